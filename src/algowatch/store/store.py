"""The store as the engine sees it: rows go in, matrices come out.

Thread-safe: one thread at a time writes, any number read. When an append has returned, the samples are committed, are
seen by every later `select`, and survive `kill -9` of the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from algowatch.errors import StoreError
from algowatch.model.clock import Clock, SystemClock
from algowatch.model.labels import Matcher
from algowatch.model.protocols import Layout, SeriesMatrix
from algowatch.store.assemble import Combined, combine_by_stream
from algowatch.store.blocks import ChunkReader, find_chunks
from algowatch.store.database import Database
from algowatch.store.head import HeadView, LayoutRecord, head_pieces, view
from algowatch.store.keeper import Keeper
from algowatch.store.lock import DirectoryLock
from algowatch.store.options import StoreOptions
from algowatch.store.registry import Pending, Registry

if TYPE_CHECKING:
    from algowatch.model.protocols import FloatMatrix, TimeVector

_KNOWN_LAYOUTS = 8
MIN_MS, MAX_MS = -(2**62), 2**62


class Store:
    """Open it with `Store.open`; one process at a time may have a directory open for writing."""

    def __init__(self, directory: Path, options: StoreOptions, clock: Clock, lock: DirectoryLock) -> None:
        self.directory = directory
        self.options = options
        self._clock = clock
        self._lock = lock
        self._database = Database(directory)
        self._registry = Registry()
        self._chunks = ChunkReader(options.cache_bytes)
        self._known_layouts: dict[str, list[tuple[Layout, LayoutRecord]]] = {}
        self._next_seq = 1
        self._next_segment = 1
        self._keeper = Keeper(self._database, self._registry, self._chunks, options, clock)
        self._keeper.forget_layouts = self._forget_layouts
        self._database.on_rollback = self._registry.forget_layouts
        self._load()

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
        values = np.ascontiguousarray(values, dtype="<f8")
        if values.shape != (len(layout),):
            raise StoreError(f"stream {stream!r}: {values.size} values for a layout of {len(layout)} series")
        with self._database.write_lock:
            head = self._registry.streams.get(stream)
            if head is not None and timestamp_ms <= head.last_ms:
                raise StoreError(
                    f"stream {stream!r}: a row at {timestamp_ms} ms is not newer than the last one at {head.last_ms} ms; "
                    "samples out of order go through append_samples"
                )
            self._append_row(stream, timestamp_ms, layout, values)

    def _append_row(self, stream: str, timestamp_ms: int, layout: Layout, values: FloatMatrix) -> None:
        record = self._known_record(stream, layout)
        pending = Pending()
        with self._database.transaction() as connection:
            head = self._registry.stream(stream, pending)
            if record is None:
                ids = self._registry.ids(head, layout.series, pending)
                layout_id = self._registry.layout_id(connection, ids, pending)
                self._registry.write(connection, pending)
            else:
                layout_id = record.id
            connection.execute(
                "INSERT INTO rows (seq, stream, timestamp_ms, layout, vector) VALUES (?, ?, ?, ?, ?)",
                (self._next_seq, head.id, timestamp_ms, layout_id, values.data),
            )
        if record is None:
            self._registry.commit(pending)
            record = self._remember(stream, layout, self._registry.record(layout_id, ids))
        head.append(self._next_segment, self._next_seq, timestamp_ms, record, values)
        self._next_seq += 1
        self._next_segment += 1

    def _known_record(self, stream: str, layout: Layout) -> LayoutRecord | None:
        for known, record in self._known_layouts.get(stream, ()):
            if known is layout:
                return record
        return None

    def _remember(self, stream: str, layout: Layout, record: LayoutRecord) -> LayoutRecord:
        known = self._known_layouts.setdefault(stream, [])
        known.insert(0, (layout, record))
        del known[_KNOWN_LAYOUTS:]
        return record

    def _forget_layouts(self) -> None:
        self._known_layouts.clear()
        self._registry.forget_layouts()

    # ---- housekeeping

    def maintain(self) -> None:
        """Seal, merge and delete what is due; the engine calls it about once a minute from a worker thread.

        Raises: StoreError if something could not be written; everything stored stays readable.
        """
        self._keeper.maintain()

    def compact(self) -> None:
        """Seal, merge and compress everything now. Raises: StoreError."""
        self._keeper.compact()

    # ---- reading

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[SeriesMatrix]:
        """See `model.protocols.Select`: both ends are inclusive; no sample outside the span comes along.

        Raises: StoreError; re.error where a matcher's regular expression is wrong.
        """
        found = self._combined(self._registry.index.match(matchers), start_ms, end_ms)
        return [matrix for combined in found if (matrix := self._matrix(combined)) is not None]

    def _combined(self, ids: TimeVector, start_ms: int, end_ms: int) -> list[Combined]:
        if not len(ids) or start_ms > end_ms:
            return []
        wanted = self._by_shard(ids)
        with self._database.snapshot(self._look) as (connection, heads):
            refs = find_chunks(connection, wanted, start_ms, end_ms)
            pieces = self._chunks.pieces(connection, refs, wanted)
        pieces += head_pieces(heads, wanted)
        return combine_by_stream([kept for piece in pieces if (kept := piece.trimmed(start_ms, end_ms)) is not None])

    def _look(self) -> HeadView:
        return view(list(self._registry.streams.values()))

    def _by_shard(self, ids: TimeVector) -> dict[int, TimeVector]:
        """Shard → its ids among those, ascending."""
        shards = np.array(self._registry.index.shards_of(ids.tolist()), np.int64)
        by_shard = np.argsort(shards, kind="stable")
        borders = np.flatnonzero(np.diff(shards[by_shard])) + 1
        return {int(shards[places[0]]): ids[places] for places in np.split(by_shard, borders)}

    def _matrix(self, combined: Combined) -> SeriesMatrix | None:
        """With labels; without the series that have no sample; None if none has one."""
        ids, values, present = combined.ids, combined.values, combined.present
        if present is not None:
            there = present.any(axis=1)
            if not there.all():
                ids, values, present = ids[there], values[there], present[there]
        if not len(ids):
            return None
        return SeriesMatrix(self._registry.index.labels_of(ids.tolist()), combined.timestamps_ms, values, present)

    # ---- opening

    def _load(self) -> None:
        """Rebuild in memory what the file holds."""
        with self._database.transaction() as connection:
            self._registry.load(connection)
            connection.execute("DELETE FROM rows WHERE seq <= (SELECT sealed_seq FROM streams WHERE id = rows.stream)")
            (sealed,) = connection.execute("SELECT coalesce(max(sealed_seq), 0) FROM streams").fetchone()
            self._next_seq = sealed + 1
            heads = {head.id: head for head in self._registry.streams.values()}
            for stream, last_ms in connection.execute("SELECT stream, max(end_ms) FROM blocks GROUP BY stream"):
                heads[stream].last_ms = last_ms
            rows = connection.execute("SELECT seq, stream, timestamp_ms, layout, vector FROM rows ORDER BY seq").fetchall()
            for seq, stream, timestamp_ms, layout, vector in rows:
                record = self._registry.stored_record(connection, layout)
                heads[stream].append(seq, seq, timestamp_ms, record, np.frombuffer(vector, "<f8"))
                self._next_seq = seq + 1
        self._next_segment = self._next_seq
