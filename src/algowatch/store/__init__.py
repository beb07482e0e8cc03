"""The time-series store on SQLite."""

from algowatch.store.store import Store, StoreOptions

__all__ = ["Store", "StoreOptions"]
