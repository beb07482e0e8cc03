"""The time-series store on SQLite."""

from algowatch.store.backup import Saved, back_up, restore
from algowatch.store.check import StoreCheck, check, check_file
from algowatch.store.export import export_csv
from algowatch.store.follow import Follower, StoredRow
from algowatch.store.options import StoreOptions
from algowatch.store.readonly import StoreReader
from algowatch.store.store import Store, StoreStats
from algowatch.store.writer import AppendOutcome

__all__ = [
    "AppendOutcome",
    "Follower",
    "Saved",
    "Store",
    "StoreCheck",
    "StoreOptions",
    "StoreReader",
    "StoreStats",
    "StoredRow",
    "back_up",
    "check",
    "check_file",
    "export_csv",
    "restore",
]
