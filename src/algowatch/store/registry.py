"""Names and numbers: streams, shards, series and layouts, in memory and in their tables.

New entries are written inside the caller's transaction and enter memory only when that has committed, so that a full
disk leaves nothing half-known.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import orjson

from algowatch.errors import StoreError
from algowatch.model.labels import Labels
from algowatch.store.codec import decode_integers, encode_integers
from algowatch.store.head import LayoutRecord, StreamHead
from algowatch.store.index import SeriesIndex

if TYPE_CHECKING:
    from algowatch.model.protocols import TimeVector

SHARD_SERIES = 128
_REMEMBERED_LAYOUTS = 4096
_REMEMBERED_SERIES = 500_000


@dataclass(slots=True)
class Pending:
    """What a transaction adds, until it commits."""

    streams: dict[str, StreamHead] = field(default_factory=dict)
    shards: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    new_shards: list[tuple[int, str, int]] = field(default_factory=list)
    series: dict[Labels, tuple[int, int]] = field(default_factory=dict)
    layouts: dict[bytes, int] = field(default_factory=dict)


class Registry:
    """Changed only by the thread that holds the database's write lock; read by any."""

    def __init__(self) -> None:
        self.index = SeriesIndex()
        self.streams: dict[str, StreamHead] = {}
        self._open_shards: dict[tuple[int, str], tuple[int, int]] = {}
        self._writers: dict[int, int] = {}
        self._layouts: dict[bytes, int] = {}
        self._records: dict[int, LayoutRecord] = {}
        self._recorded_series = 0
        self.new_layouts = 0
        self._next = {"streams": 1, "shards": 1, "series": 1}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read what the tables have; called again, what they have got since."""
        for stream, name in connection.execute("SELECT id, name FROM streams"):
            self.streams.setdefault(name, StreamHead(stream, name, -(2**63)))
            self._next["streams"] = max(self._next["streams"], stream + 1)
        shards = connection.execute("SELECT id, stream, family FROM shards WHERE id >= ? ORDER BY id", (self._next["shards"],))
        owners = {shard: (stream, family) for shard, stream, family in shards}
        self._writers.update((shard, stream) for shard, (stream, _) in owners.items())
        series = connection.execute("SELECT id, shard, labels FROM series WHERE id >= ? ORDER BY id", (self._next["series"],))
        entries = [(number, _labels_of(text), shard) for number, shard, text in series]
        sizes = Counter(shard for _, _, shard in entries)
        for shard, owner in owners.items():
            self._open_shards[owner] = (shard, sizes[shard])
        self.index.add(entries)
        for table, last in connection.execute("SELECT name, seq FROM sqlite_sequence"):
            if table in self._next:
                self._next[table] = last + 1

    def first_writer(self, series: int) -> int:
        """The stream that wrote a series first."""
        return self._writers[self.index.shards_of([series])[0]]

    def stream(self, name: str, pending: Pending) -> StreamHead:
        known = self.streams.get(name) or pending.streams.get(name)
        if known is None:
            known = StreamHead(self._next["streams"] + len(pending.streams), name, -(2**63))
            pending.streams[name] = known
        return known

    def ids(self, stream: StreamHead, series: Sequence[Labels], pending: Pending) -> TimeVector:
        """The series' ids in order; new ones get a number. Raises: StoreError if a series is given twice."""
        found = np.empty(len(series), np.int64)
        for place, labels in enumerate(series):
            known = self.index.id_of(labels)
            found[place] = known if known is not None else self._new_series(stream, labels, pending)
        if len(np.unique(found)) != len(found):
            values, counts = np.unique(found, return_counts=True)
            twice = next(labels for labels, number in zip(series, found, strict=True) if number in values[counts > 1])
            raise StoreError(f"stream {stream.name!r}: the layout has series {twice} more than once; leave the repetitions out")
        return found

    def _new_series(self, stream: StreamHead, labels: Labels, pending: Pending) -> int:
        known = pending.series.get(labels)
        if known is None:
            known = (self._next["series"] + len(pending.series), self._shard(stream.id, labels.metric_name, pending))
            pending.series[labels] = known
        return known[0]

    def _shard(self, stream: int, family: str, pending: Pending) -> int:
        key = (stream, family)
        shard, size = pending.shards.get(key) or self._open_shards.get(key) or (0, SHARD_SERIES)
        if size >= SHARD_SERIES:
            shard, size = self._next["shards"] + len(pending.new_shards), 0
            pending.new_shards.append((shard, family, stream))
        pending.shards[key] = (shard, size + 1)
        return shard

    def write(self, connection: sqlite3.Connection, pending: Pending) -> None:
        """Put what is pending into the tables, inside the caller's transaction."""
        streams = [(stream.id, stream.name) for stream in pending.streams.values()]
        connection.executemany("INSERT INTO streams (id, name, sealed_seq) VALUES (?, ?, 0)", streams)
        connection.executemany("INSERT INTO shards (id, family, stream) VALUES (?, ?, ?)", pending.new_shards)
        series = [(number, shard, _text_of(labels)) for labels, (number, shard) in pending.series.items()]
        connection.executemany("INSERT INTO series (id, shard, labels) VALUES (?, ?, ?)", series)

    def layout_id(self, connection: sqlite3.Connection, ids: TimeVector, pending: Pending) -> int:
        """The number of an ordered list of series ids; a new list is stored, inside the caller's transaction."""
        digest = hashlib.blake2b(ids.tobytes(), digest_size=16).digest()
        known = self._layouts.get(digest) or pending.layouts.get(digest)
        if known is None:
            row = connection.execute("SELECT id FROM layouts WHERE digest = ?", (digest,)).fetchone()
            if row is None:
                row = connection.execute(
                    "INSERT INTO layouts (digest, series) VALUES (?, ?) RETURNING id", (digest, encode_integers(ids))
                ).fetchone()
            known = int(row[0])
            pending.layouts[digest] = known
        return known

    def commit(self, pending: Pending) -> None:
        """Take over what a committed transaction has added."""
        self.streams.update(pending.streams)
        self._open_shards.update(pending.shards)
        self._writers.update((shard, stream) for shard, _, stream in pending.new_shards)
        self.index.add((number, labels, shard) for labels, (number, shard) in pending.series.items())
        if len(self._layouts) > _REMEMBERED_LAYOUTS:
            self._layouts.clear()
        self._layouts.update(pending.layouts)
        self.new_layouts += len(pending.layouts)
        self._next["streams"] += len(pending.streams)
        self._next["shards"] += len(pending.new_shards)
        self._next["series"] += len(pending.series)

    def record(self, layout: int, ids: TimeVector) -> LayoutRecord:
        """The layout as rows use it; its series must be committed."""
        known = self._records.get(layout)
        if known is None:
            if self._recorded_series > _REMEMBERED_SERIES:
                self._records.clear()
                self._recorded_series = 0
            self._recorded_series += len(ids)
            known = LayoutRecord(layout, ids, np.array(self.index.shards_of(ids.tolist()), np.int64))
            self._records[layout] = known
        return known

    def stored_record(self, connection: sqlite3.Connection, layout: int) -> LayoutRecord:
        return self._records.get(layout) or self.record(layout, read_layout(connection, layout))

    def forget_layouts(self) -> None:
        self._layouts.clear()
        self._records.clear()
        self._recorded_series = 0


def read_layout(connection: sqlite3.Connection, layout: int) -> TimeVector:
    row = connection.execute("SELECT series FROM layouts WHERE id = ?", (layout,)).fetchone()
    if row is None:
        raise StoreError(f"layout {layout} is missing from the store; restore a backup")
    return decode_integers(row[0])


def _text_of(labels: Labels) -> str:
    return orjson.dumps([part for pair in labels for part in pair]).decode()


def _labels_of(text: str) -> Labels:
    parts = orjson.loads(text)
    return Labels(zip(parts[::2], parts[1::2], strict=True))
