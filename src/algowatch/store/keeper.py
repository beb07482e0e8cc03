"""Housekeeping: rows are sealed into chunks, chunks merged into blocks of two hours, old ones deleted.

Everything expensive (reading, encoding) happens outside transactions; a transaction inserts what replaces and takes
away what is replaced, so a process that dies at any moment leaves every sample in exactly one place.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from algowatch.errors import StoreError
from algowatch.store.blocks import (
    BLOCK_MS,
    ChunkReader,
    ChunkRef,
    NewBlock,
    encode_blocks,
    find_chunks,
    write_block,
    write_chunks,
)
from algowatch.store.database import Database
from algowatch.store.follow import Followers
from algowatch.store.head import StreamHead, head_pieces, view
from algowatch.store.registry import Pending, Registry

if TYPE_CHECKING:
    from algowatch.model.clock import Clock
    from algowatch.model.protocols import TimeVector
    from algowatch.store.options import StoreOptions

SEALED, QUARTER_HOUR, TWO_HOURS = 0, 1, 2
_QUARTER_HOUR_MS = 900_000
_SHORT_TRANSACTION_BYTES = 256 << 10
_SHORT_TRANSACTION_CHUNKS = 64
_WAL_BYTES = 4 << 20
_VACUUM_PAGES = 256
_LAYOUTS_BETWEEN_SWEEPS = 2000


class _Block(NamedTuple):
    id: int
    stream: int
    start_ms: int
    end_ms: int
    level: int


class Keeper:
    """`work_lock` is held by whoever moves chunks about: one at a time."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        chunks: ChunkReader,
        followers: Followers,
        options: StoreOptions,
        clock: Clock,
    ) -> None:
        self.work_lock = threading.RLock()
        self.forget_layouts: Callable[[], None] = registry.forget_layouts
        self._database = database
        self._registry = registry
        self._chunks = chunks
        self._followers = followers
        self._options = options
        self._clock = clock
        self._done_rows: list[int] = []

    def maintain(self) -> None:
        """One round of all that is due; what fails does not keep the rest from being done.

        Raises: StoreError, the first one met.
        """
        with self.work_lock:
            self._database.writer()
            self._round(
                lambda: self.seal(everything=False), lambda: self.merge(everything=False), self.retain, self._checkpoint
            )

    def compact(self) -> None:
        """Seal, merge and drop everything now, and give the space back to the file system."""
        with self.work_lock:
            self._database.writer()
            self._round(partial(self.seal, everything=True), partial(self.merge, everything=True), self.retain, self.sweep)
            self._give_space_back()

    def _give_space_back(self) -> None:
        while free := self._database.free_pages():
            self._database.give_way()
            self._database.vacuum(_VACUUM_PAGES)
            if self._database.free_pages() >= free:
                break
        self._database.checkpoint(truncate=True)

    def _round(self, *steps: Callable[[], object]) -> None:
        failed: StoreError | None = None
        for step in steps:
            try:
                step()
            except StoreError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    # ---- sealing

    def seal(self, *, everything: bool) -> None:
        for stream in list(self._registry.streams.values()):
            if stream.segments and (everything or self._due(stream)):
                self.seal_stream(stream)
        self._delete_sealed_rows()

    def _due(self, stream: StreamHead) -> bool:
        rows, options = stream.rows(), self._options
        if rows >= options.seal_rows or (rows >= options.seal_min_rows and stream.cells() >= options.seal_cells):
            return True
        first_ms = stream.first_ms()
        return first_ms is not None and first_ms < max(self._clock.now_ms(), stream.last_ms) - BLOCK_MS

    def seal_stream(self, stream: StreamHead) -> None:
        """Turn the stream's rows into chunks; rows that come meanwhile stay rows."""
        with self._database.write_lock:
            heads = view([stream])
            pieces = head_pieces(heads, None)
            segments = [segment for _, segments in heads for segment in segments]
            seqs = [seq for segment in segments for seq in segment.seqs[: segment.count].tolist()]
            sizes = [8 * len(segment.layout) for segment in segments for _ in range(segment.count)]
        if not seqs:
            return
        blocks = encode_blocks(pieces)
        sealed_seq = max(seqs)
        pending = Pending()
        self._database.give_way()
        with self._database.write_lock:
            with self._database.transaction(on_commit=lambda: stream.drop_sealed(sealed_seq)) as connection:
                for block in blocks:
                    write_block(connection, self._registry, pending, stream.id, SEALED, block)
                connection.execute("UPDATE streams SET sealed_seq = ? WHERE id = ?", (sealed_seq, stream.id))
            self._registry.commit(pending)
        self._followers.hold(seqs, sizes)

    def _delete_sealed_rows(self) -> None:
        """A few at a time; a row that outlives a crash is deleted when the store is opened again."""
        self._done_rows.extend(self._followers.release())
        while self._done_rows:
            batch = self._done_rows[-16:]
            self._database.give_way()
            with self._database.transaction() as connection:
                connection.executemany("DELETE FROM rows WHERE seq = ?", [(seq,) for seq in batch])
            del self._done_rows[-16:]

    # ---- merging

    def merge(self, *, everything: bool) -> None:
        now_ms = self._clock.now_ms()
        newest = {stream.id: max(stream.last_ms, now_ms) for stream in self._registry.streams.values()}
        for (stream, window_ms), blocks in sorted(self._unmerged_windows().items()):
            if everything or newest.get(stream, now_ms) >= window_ms + BLOCK_MS:
                self._merge_blocks(stream, blocks, TWO_HOURS)
                continue
            quarters: defaultdict[int, list[_Block]] = defaultdict(list)
            for block in blocks:
                if block.level == SEALED:
                    quarters[block.start_ms // _QUARTER_HOUR_MS].append(block)
            for quarter, members in sorted(quarters.items()):
                if newest.get(stream, now_ms) >= (quarter + 1) * _QUARTER_HOUR_MS:
                    self._merge_blocks(stream, members, QUARTER_HOUR)

    def _unmerged_windows(self) -> dict[tuple[int, int], list[_Block]]:
        """(stream, start of the two hours) → its blocks, where there are several and not all are merged yet."""
        windows: dict[tuple[int, int], list[_Block]] = {}
        with self._database.reader() as connection:
            starts = connection.execute("SELECT stream, start_ms FROM blocks WHERE level < 2").fetchall()
            for stream, window_ms in {(stream, start_ms // BLOCK_MS * BLOCK_MS) for stream, start_ms in starts}:
                rows = connection.execute(
                    "SELECT id, stream, start_ms, end_ms, level FROM blocks WHERE stream = ? AND start_ms BETWEEN ? AND ?",
                    (stream, window_ms, window_ms + BLOCK_MS - 1),
                )
                windows[stream, window_ms] = list(map(_Block._make, rows))
        return windows

    def _merge_blocks(self, stream: int, blocks: Sequence[_Block], level: int) -> None:
        """Put the chunks of each shard together; a shard with a damaged chunk is left as it is."""
        if all(block.level >= level for block in blocks) or (len(blocks) == 1 and level < TWO_HOURS):
            return
        levels = {block.id: block.level for block in blocks}
        if len(blocks) > 1:
            self._merge_chunks(stream, levels, level)
        with self._database.transaction() as connection:
            for block in levels:
                connection.execute(
                    "DELETE FROM blocks WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM chunks WHERE block = ?1)", (block,)
                )
                connection.execute("UPDATE blocks SET level = max(level, ?) WHERE id = ?", (level, block))

    def _merge_chunks(self, stream: int, levels: dict[int, int], level: int) -> None:
        merged: dict[bytes, int] = {}
        batch: list[tuple[list[ChunkRef], list[NewBlock]]] = []
        size = 0
        for refs, encoded in self._merged_shards(stream, levels, level):
            batch.append((refs, encoded))
            size += sum(len(chunk.data) for block in encoded for chunk in block.chunks)
            if size >= _SHORT_TRANSACTION_BYTES or len(batch) >= _SHORT_TRANSACTION_CHUNKS:
                self._replace(stream, level, batch, merged)
                batch, size = [], 0
        self._replace(stream, level, batch, merged)

    def _merged_shards(
        self, stream: int, levels: dict[int, int], level: int
    ) -> Iterator[tuple[list[ChunkRef], list[NewBlock]]]:
        """Shard by shard, so that memory holds one at a time: the chunks to take away and what replaces them."""
        by_shard: defaultdict[int, list[ChunkRef]] = defaultdict(list)
        with self._database.reader() as connection:
            for block in sorted(levels):
                for row in connection.execute("SELECT id, shard, block, layout FROM chunks WHERE block = ?", (block,)):
                    by_shard[row[1]].append(ChunkRef._make((*row, stream)))
            for refs in by_shard.values():
                if len(refs) == 1 and levels[refs[0].block] >= level:
                    continue
                pieces = self._chunks.pieces(connection, refs, keep=False)
                if len(pieces) == len(refs):
                    yield refs, encode_blocks(pieces)

    def _replace(
        self, stream: int, level: int, batch: Sequence[tuple[list[ChunkRef], list[NewBlock]]], merged: dict[bytes, int]
    ) -> None:
        """One short transaction. `merged`: timestamps → the new block that has them, for the whole merge."""
        pending = Pending()
        made: dict[bytes, int] = {}
        self._database.give_way()
        with self._database.write_lock:
            with self._database.transaction() as connection:
                for refs, blocks in batch:
                    _delete_chunks(connection, refs)
                    for block in blocks:
                        key = block.timestamps_ms.tobytes()
                        number = merged.get(key) or made.get(key)
                        if number is None:
                            made[key] = write_block(connection, self._registry, pending, stream, level, block)
                        else:
                            self._add_to_block(connection, pending, number, block)
            self._registry.commit(pending)
        merged.update(made)

    def _add_to_block(self, connection: sqlite3.Connection, pending: Pending, number: int, block: NewBlock) -> None:
        span = (int(block.timestamps_ms[0]), int(block.timestamps_ms[-1]))
        write_chunks(connection, self._registry, pending, number, span, block.chunks)
        samples = sum(chunk.samples for chunk in block.chunks)
        connection.execute("UPDATE blocks SET samples = samples + ? WHERE id = ?", (samples, number))

    # ---- retention

    def retain(self) -> None:
        """Delete blocks past the retention by time, then the oldest ones while the file is above the retention by size."""
        deleted = False
        if self._options.retention_ms:
            cutoff_ms = self._clock.now_ms() - self._options.retention_ms
            deleted |= self._delete_blocks("SELECT id FROM blocks WHERE end_ms < ? ORDER BY end_ms", (cutoff_ms,))
        if self._options.retention_bytes:
            while self._database.used_bytes() > self._options.retention_bytes:
                if not self._delete_blocks("SELECT id FROM blocks ORDER BY end_ms LIMIT 1", ()):
                    break
                deleted = True
        if deleted:
            self.sweep()

    def _delete_blocks(self, query: str, arguments: tuple[int, ...]) -> bool:
        with self._database.reader() as connection:
            blocks = [block for (block,) in connection.execute(query, arguments)]
        for block in blocks:
            with self._database.reader() as connection:
                chunks = connection.execute("SELECT id FROM chunks WHERE block = ?", (block,)).fetchall()
            for first in range(0, len(chunks), _SHORT_TRANSACTION_CHUNKS):
                self._database.give_way()
                with self._database.transaction() as connection:
                    connection.executemany("DELETE FROM chunks WHERE id = ?", chunks[first : first + _SHORT_TRANSACTION_CHUNKS])
            with self._database.transaction() as connection:
                connection.execute("DELETE FROM blocks WHERE id = ?", (block,))
        return bool(blocks)

    def delete(self, ids: TimeVector, start_ms: int, end_ms: int) -> int:
        """Delete the samples of those series (ascending) in [start_ms, end_ms]; returns how many there were."""
        with self.work_lock:
            self.seal(everything=True)
            shards = sorted(set(self._registry.index.shards_of(ids.tolist())))
            with self._database.reader() as connection:
                refs = find_chunks(connection, shards, start_ms, end_ms)
                levels = dict(connection.execute("SELECT id, level FROM blocks").fetchall())
            deleted = sum(self._delete_from_chunk(ref, levels[ref.block], ids, start_ms, end_ms) for ref in refs)
            self.sweep()
            return deleted

    def _delete_from_chunk(self, ref: ChunkRef, level: int, ids: TimeVector, start_ms: int, end_ms: int) -> int:
        """Replace the chunk by one without those samples."""
        with self._database.reader() as connection:
            pieces = self._chunks.pieces(connection, [ref], keep=False)
        if not pieces:
            return 0
        (piece,) = pieces
        before = np.ones(piece.values.shape, np.bool_) if piece.present is None else piece.present
        inside = (piece.timestamps_ms >= start_ms) & (piece.timestamps_ms <= end_ms)
        after = before & ~(np.isin(piece.ids, ids)[:, None] & inside)
        deleted = int(np.count_nonzero(before) - np.count_nonzero(after))
        if deleted:
            rest = encode_blocks([replace(piece, present=after)])
            self._replace(ref.stream, level, [([ref], rest)], {})
            with self._database.transaction() as writer:
                writer.execute(
                    "DELETE FROM blocks WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM chunks WHERE block = ?1)", (ref.block,)
                )
        return deleted

    def sweep(self) -> None:
        """Forget series and layouts that no chunk and no row has any more."""
        with self._database.reader() as connection:
            used = {layout for (layout,) in connection.execute("SELECT DISTINCT layout FROM chunks")}
            alive: set[int] = set()
            for layout in used:
                alive.update(self._chunks.ids(connection, layout).tolist())
        with self._database.write_lock:
            for stream in self._registry.streams.values():
                for segment in stream.segments:
                    used.add(segment.layout.id)
                    alive.update(segment.layout.series.tolist())
            gone = [series for series in self._registry.index.all_ids() if series not in alive]
            with self._database.transaction() as connection:
                used.update(layout for (layout,) in connection.execute("SELECT DISTINCT layout FROM rows"))
                unused = [(layout,) for (layout,) in connection.execute("SELECT id FROM layouts") if layout not in used]
                connection.executemany("DELETE FROM layouts WHERE id = ?", unused)
                connection.executemany("DELETE FROM series WHERE id = ?", [(series,) for series in gone])
            self._registry.index.remove(gone)
            self._registry.new_layouts = 0
            self.forget_layouts()

    def _checkpoint(self) -> None:
        if self._database.wal_bytes() >= _WAL_BYTES:
            self._database.checkpoint()


def _delete_chunks(connection: sqlite3.Connection, refs: Sequence[ChunkRef]) -> None:
    connection.executemany(
        "UPDATE blocks SET samples = samples - (SELECT samples FROM chunks WHERE id = ?) WHERE id = ?",
        [(ref.id, ref.block) for ref in refs],
    )
    connection.executemany("DELETE FROM chunks WHERE id = ?", [(ref.id,) for ref in refs])
