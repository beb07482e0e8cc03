"""The store as the engine sees it: rows go in, matrices come out.

Thread-safe: one thread at a time writes, any number read. When an append has returned, the samples are committed, are
seen by every later `select`, and survive `kill -9` of the process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from algowatch.errors import StoreError
from algowatch.model.clock import Clock, SystemClock
from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import Layout, SeriesMatrix
from algowatch.store.backup import Saved, back_up
from algowatch.store.blocks import ChunkReader
from algowatch.store.check import StoreCheck, check
from algowatch.store.database import Database
from algowatch.store.follow import Follower, Followers
from algowatch.store.head import HeadView, view
from algowatch.store.index import Cardinality
from algowatch.store.keeper import Keeper
from algowatch.store.lock import DirectoryLock
from algowatch.store.options import StoreOptions
from algowatch.store.reader import MAX_MS, MIN_MS, Reader
from algowatch.store.readonly import StoreReader
from algowatch.store.registry import Registry
from algowatch.store.writer import AppendOutcome, Writer

if TYPE_CHECKING:
    from algowatch.model.protocols import BoolMatrix, FloatMatrix, TimeVector


@dataclass(frozen=True, slots=True)
class StoreStats:
    """file_bytes counts the database file, wal_bytes its write-ahead log; head_rows are not sealed into chunks yet.

    first_ms, last_ms: time of the oldest and newest sample, None in an empty store.
    damaged_chunks: chunks whose checksum failed when they were read since the store was opened.
    failed_appends, failed_upkeep: calls that raised StoreError since then, of append and append_samples, and of maintain.
    """

    series: int
    streams: int
    samples: int
    head_rows: int
    head_samples: int
    blocks: int
    chunks: int
    file_bytes: int
    free_bytes: int
    wal_bytes: int
    first_ms: int | None
    last_ms: int | None
    damaged_chunks: int
    failed_appends: int
    failed_upkeep: int
    sqlite_version: str


class Store:
    """Open it with `Store.open`; one process at a time may have a directory open for writing."""

    def __init__(self, directory: Path, options: StoreOptions, clock: Clock, lock: DirectoryLock) -> None:
        self.directory = directory
        self.options = options
        self._lock = lock
        self._failed_appends = self._failed_upkeep = 0
        self._database = Database(directory)
        self._registry = Registry()
        self._chunks = ChunkReader(options.cache_bytes)
        self._reader = Reader(self._snapshot, self._registry, self._chunks)
        self._followers = Followers(self._database, self._chunks, options.unsent_bytes)
        self._keeper = Keeper(self._database, self._registry, self._chunks, self._followers, options, clock)
        self._writer = Writer(self._database, self._registry, self._reader, self._keeper, self._load())
        self._keeper.forget_layouts = self._writer.forget_layouts
        self._database.on_rollback = self._registry.forget_layouts

    @classmethod
    def open(cls, directory: Path | str, options: StoreOptions | None = None, clock: Clock | None = None) -> Store:
        """Open a data directory for writing; it is made if it is missing.

        Raises: StoreError if it cannot be written, another engine has it open, or a newer release wrote it.
        """
        directory = Path(directory)
        lock = DirectoryLock(directory)
        try:
            return cls(directory, options or StoreOptions(), clock or SystemClock(), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open_reader(cls, directory: Path | str) -> StoreReader:
        """Look into a data directory that an engine may have open at the same time. Raises: StoreError."""
        return StoreReader.open(directory)

    def close(self) -> None:
        """Let go of the file and the lock; nothing is lost if this is never called."""
        self._database.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- writing

    def append(self, stream: str, timestamp_ms: int, layout: Layout, values: FloatMatrix) -> None:
        """Store one row, float64 [len(layout)]; see `model.protocols.Append`.

        Raises: StoreError if the row is not newer than the stream's last one, or could not be written.
        """
        try:
            self._writer.append(stream, timestamp_ms, layout, values)
        except StoreError:
            self._failed_appends += 1
            raise

    def append_samples(
        self, stream: str, samples: Iterable[tuple[Labels, int, float]], out_of_order_ms: int | None = None
    ) -> AppendOutcome:
        """Store samples that carry their own times, in any order, also older than what is stored; all or none.

        A sample that is stored already is left out: counted as a duplicate, or reported if its value differs.
        out_of_order_ms: one that is more than this older than the newest stored sample of its series is left out and
        reported; None takes everything.
        Raises: StoreError if nothing was stored.
        """
        try:
            return self._writer.append_samples(stream, samples, out_of_order_ms)
        except StoreError:
            self._failed_appends += 1
            raise

    def append_block(
        self,
        stream: str,
        timestamps_ms: TimeVector,
        layout: Layout,
        values: FloatMatrix,
        present: BoolMatrix | None = None,
    ) -> int:
        """Store history in bulk, straight as chunks; returns how many samples are new.

        Args:   timestamps_ms: int64 [samples], ascending; also older than what is stored. values: float64 [series, samples].
                present: bool of that shape; None: every sample is there.
        Where a series has a sample at that time already, the stored one stays. Later rows of the stream must be newer.
        Raises: StoreError; what was written before the failure stays, and the same call may be repeated.
        """
        return self._writer.append_block(stream, timestamps_ms, layout, values, present)

    # ---- sending on

    def follow(self, names: Sequence[str]) -> list[Follower]:
        """Readers of everything that is appended, in its order, each from its saved position; a new one begins now.

        Those that are not named are forgotten, and with them what they have not read. `append_block` is not followed.
        Raises: StoreError.
        """
        return self._followers.follow(names, self._writer.last_seq)

    def labels_by_id(self, ids: Iterable[int]) -> list[Labels | None]:
        """Label sets of series by the ids in a `StoredRow`; None for a series that has been deleted."""
        return self._registry.index.find_labels(ids)

    @property
    def unsent_dropped(self) -> int:
        """Samples that a follower was too far behind to get, since the store was opened."""
        return self._followers.dropped_samples

    # ---- housekeeping

    def maintain(self) -> None:
        """Seal, merge and delete what is due; the engine calls it about once a minute from a worker thread.

        Raises: StoreError if something could not be written; everything stored stays readable.
        """
        try:
            self._keeper.maintain()
        except StoreError:
            self._failed_upkeep += 1
            raise

    def compact(self) -> None:
        """Seal, merge and compress everything now. Raises: StoreError."""
        self._keeper.compact()

    def delete(self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int = MIN_MS, end_ms: int = MAX_MS) -> int:
        """Delete for good the samples in [start_ms, end_ms] of the series that fulfil one of the matcher sets.

        Returns how many samples there were. Raises: StoreError; re.error where a regular expression is wrong.
        """
        ids = [self._registry.index.match(matchers) for matchers in matcher_sets]
        return self._keeper.delete(np.unique(np.concatenate(ids)), start_ms, end_ms) if ids else 0

    def backup(self, path: Path | str) -> Saved:
        """Copy the store, as it is at this moment, to a new file while it goes on; the copy is read back. See `back_up`.

        Raises: StoreError if the file exists already, cannot be written, or the copy is not what was read.
        """
        return back_up(self.directory, Path(path))

    def check(self) -> StoreCheck:
        """Decode everything that is stored at this moment and say what is damaged. Raises: StoreError."""
        return check(self.directory)

    def stats(self) -> StoreStats:
        streams = list(self._registry.streams.values())
        with self._database.reader() as connection:
            blocks, samples, first_ms, last_ms = connection.execute(
                "SELECT count(*), coalesce(sum(samples), 0), min(start_ms), max(end_ms) FROM blocks"
            ).fetchone()
            (chunks,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
        pages, free, size = self._database.pages()
        head_samples = sum(stream.cells() for stream in streams)
        firsts = [first_ms, *(stream.first_ms() for stream in streams)]
        lasts = [last_ms, *(stream.last_ms for stream in streams if stream.segments)]
        return StoreStats(
            series=len(self._registry.index),
            streams=len(streams),
            samples=samples + head_samples,
            head_rows=sum(stream.rows() for stream in streams),
            head_samples=head_samples,
            blocks=blocks,
            chunks=chunks,
            file_bytes=pages * size,
            free_bytes=free * size,
            wal_bytes=self._database.wal_bytes(),
            first_ms=min((first for first in firsts if first is not None), default=None),
            last_ms=max((last for last in lasts if last is not None), default=None),
            damaged_chunks=self._chunks.damaged,
            failed_appends=self._failed_appends,
            failed_upkeep=self._failed_upkeep,
            sqlite_version=sqlite3.sqlite_version,
        )

    def cardinality(self, limit: int = 10) -> Cardinality:
        """Which names and values have the most series."""
        return self._registry.index.cardinality(limit)

    # ---- reading

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[SeriesMatrix]:
        """See `model.protocols.Select`: both ends are inclusive; no sample outside the span comes along.

        Raises: StoreError; re.error where a matcher's regular expression is wrong.
        """
        return self._reader.select(matchers, start_ms, end_ms)

    def series(self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int = MIN_MS, end_ms: int = MAX_MS) -> list[Labels]:
        """Label sets, sorted, of the series that fulfil one of the matcher sets (none: all series).

        The span leaves out series of which no chunk touches it, as exactly as chunks are long.
        Raises: StoreError; re.error where a matcher's regular expression is wrong.
        """
        return self._reader.series(matcher_sets, start_ms, end_ms)

    def label_names(
        self, matcher_sets: Sequence[Sequence[Matcher]] = (), start_ms: int = MIN_MS, end_ms: int = MAX_MS
    ) -> list[str]:
        """Names of labels, sorted, of the series that `series` would find."""
        return self._reader.label_names(matcher_sets, start_ms, end_ms)

    def label_values(
        self, name: str, matcher_sets: Sequence[Sequence[Matcher]] = (), start_ms: int = MIN_MS, end_ms: int = MAX_MS
    ) -> list[str]:
        """Values of one label, sorted, of the series that `series` would find."""
        return self._reader.label_values(name, matcher_sets, start_ms, end_ms)

    # ---- inside

    def _snapshot(self) -> AbstractContextManager[tuple[sqlite3.Connection, HeadView]]:
        return self._database.snapshot(lambda: view(list(self._registry.streams.values())))

    def _load(self) -> int:
        """Rebuild in memory what the file holds; returns the number for the next row."""
        with self._database.transaction() as connection:
            self._registry.load(connection)
            connection.execute(
                "DELETE FROM rows WHERE seq <= (SELECT sealed_seq FROM streams WHERE id = rows.stream) "
                "AND seq <= coalesce((SELECT min(seq) FROM followers), seq)"
            )
            self._followers.load(connection)
            next_seq = self._followers.last_seq() + 1
            for (sealed,) in connection.execute("SELECT sealed_seq FROM streams"):
                next_seq = max(next_seq, sealed + 1)
            heads = {head.id: head for head in self._registry.streams.values()}
            for stream, last_ms in connection.execute("SELECT stream, max(end_ms) FROM blocks GROUP BY stream"):
                heads[stream].last_ms = last_ms
            rows = connection.execute(
                "SELECT r.seq, r.stream, r.timestamp_ms, r.layout, r.vector FROM rows r JOIN streams s ON s.id = r.stream "
                "WHERE r.seq > s.sealed_seq ORDER BY r.seq"
            ).fetchall()
            for seq, stream, timestamp_ms, layout, vector in rows:
                record = self._registry.stored_record(connection, layout)
                heads[stream].append(seq, seq, timestamp_ms, record, np.frombuffer(vector, "<f8"))
                next_seq = max(next_seq, seq + 1)
        return next_seq
