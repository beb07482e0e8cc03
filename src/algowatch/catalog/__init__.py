"""Every metric family of ours as data: name, type, unit, labels, buckets, help."""

from algowatch.catalog.families import BASE, FAMILIES, PROFILES, Family, families_of, family, find, recorded_as

__all__ = ["BASE", "FAMILIES", "PROFILES", "Family", "families_of", "family", "find", "recorded_as"]
