"""The time-series store on SQLite."""

from algowatch.store.options import StoreOptions
from algowatch.store.store import Store

__all__ = ["Store", "StoreOptions"]
