"""The five trading systems: which families each has; its rules and settings stand beside this file as data."""

from algowatch.catalog.families import BASE, PROFILES, families_of

__all__ = ["BASE", "PROFILES", "families_of"]
