"""The time-series store on SQLite."""

from algowatch.store.options import StoreOptions
from algowatch.store.readonly import StoreReader
from algowatch.store.store import Store, StoreStats
from algowatch.store.writer import AppendOutcome

__all__ = ["AppendOutcome", "Store", "StoreOptions", "StoreReader", "StoreStats"]
