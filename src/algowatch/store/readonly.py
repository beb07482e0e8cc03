"""Looking into a store from another process while the engine runs, or without one; nothing is ever written."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from algowatch.store import schema
from algowatch.store.blocks import ChunkReader
from algowatch.store.head import HeadView, StreamHead, view
from algowatch.store.reader import MAX_MS, MIN_MS, Reader
from algowatch.store.registry import Registry

if TYPE_CHECKING:
    from algowatch.model.labels import Labels, Matcher
    from algowatch.model.protocols import SeriesMatrix

_CACHE_BYTES = 32 << 20


class StoreReader:
    """Each call sees what the engine had committed when it began. Thread-safe; calls wait for each other."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / schema.FILE_NAME
        self._lock = threading.RLock()
        self._connection = schema.open_reader(directory)
        self._registry = Registry()
        self._reader = Reader(self._snapshot, self._registry, ChunkReader(_CACHE_BYTES))
        self._last_seq = 0

    @classmethod
    def open(cls, directory: Path | str) -> StoreReader:
        """Raises: StoreError if there is no store, or a newer release wrote it."""
        return cls(Path(directory))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[SeriesMatrix]:
        """See `Store.select`."""
        with self._snapshot():
            return self._reader.select(matchers, start_ms, end_ms)

    def series(self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int = MIN_MS, end_ms: int = MAX_MS) -> list[Labels]:
        """See `Store.series`."""
        with self._snapshot():
            return self._reader.series(matcher_sets, start_ms, end_ms)

    def label_names(
        self, matcher_sets: Sequence[Sequence[Matcher]] = (), start_ms: int = MIN_MS, end_ms: int = MAX_MS
    ) -> list[str]:
        """See `Store.label_names`."""
        with self._snapshot():
            return self._reader.label_names(matcher_sets, start_ms, end_ms)

    def label_values(
        self, name: str, matcher_sets: Sequence[Sequence[Matcher]] = (), start_ms: int = MIN_MS, end_ms: int = MAX_MS
    ) -> list[str]:
        """See `Store.label_values`."""
        with self._snapshot():
            return self._reader.label_values(name, matcher_sets, start_ms, end_ms)

    def span(self) -> tuple[int, int] | None:
        """Times of the oldest and the newest sample; None in an empty store."""
        with self._snapshot() as (connection, heads):
            first, last = connection.execute("SELECT min(start_ms), max(end_ms) FROM blocks").fetchone()
        times = [time for time in (first, last) if time is not None]
        for _, segments in heads:
            for segment in segments:
                times += [int(segment.timestamps_ms[0]), int(segment.timestamps_ms[segment.count - 1])]
        return (min(times), max(times)) if times else None

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[tuple[sqlite3.Connection, HeadView]]:
        """One moment of the file; a snapshot inside a snapshot is the same one."""
        with self._lock:
            outermost = not self._connection.in_transaction
            try:
                if outermost:
                    self._connection.execute("BEGIN")
                    self._catch_up()
                yield self._connection, view(self._registry.streams.values())
            except sqlite3.Error as error:
                raise schema.explain(error, self._path) from error
            finally:
                if outermost:
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")

    def _catch_up(self) -> None:
        """Take over new series and rows, and let go of rows that the engine has sealed since."""
        connection = self._connection
        self._registry.load(connection)
        heads = {head.id: head for head in self._registry.streams.values()}
        for stream, sealed_seq in connection.execute("SELECT id, sealed_seq FROM streams"):
            heads[stream].drop_sealed(sealed_seq)
        rows = connection.execute(
            "SELECT r.seq, r.stream, r.timestamp_ms, r.layout, r.vector FROM rows r JOIN streams s ON s.id = r.stream "
            "WHERE r.seq > ? AND r.seq > s.sealed_seq ORDER BY r.seq",
            (self._last_seq,),
        ).fetchall()
        for seq, stream, timestamp_ms, layout, vector in rows:
            self._last_seq = seq
            self._append(heads[stream], seq, timestamp_ms, layout, vector)

    def _append(self, head: StreamHead, seq: int, timestamp_ms: int, layout: int, vector: bytes) -> None:
        record = self._registry.stored_record(self._connection, layout)
        head.append(seq, seq, timestamp_ms, record, np.frombuffer(vector, "<f8"))
