"""Chunks in their blocks: writing them inside a transaction, finding and reading them, and the cache of decoded ones."""

from __future__ import annotations

import logging
import sqlite3
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from algowatch.store import codec
from algowatch.store.assemble import Piece, combine, without_empty
from algowatch.store.registry import Pending, Registry, read_layout

if TYPE_CHECKING:
    from algowatch.model.protocols import BoolMatrix, FloatMatrix, TimeVector

BLOCK_MS = 2 * 3_600_000
_OVERHEAD_BYTES = 200
_log = logging.getLogger(__name__)


class ChunkRef(NamedTuple):
    """Where a chunk is, without its values."""

    id: int
    shard: int
    block: int
    layout: int
    stream: int


@dataclass(frozen=True, slots=True)
class NewChunk:
    shard: int
    ids: TimeVector
    samples: int
    data: bytes


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block that is not in the file yet: encoded, so that the transaction that writes it is short."""

    timestamps_ms: TimeVector
    chunks: list[NewChunk]


def encode_blocks(pieces: Sequence[Piece]) -> list[NewBlock]:
    """Chunks of all pieces, cut at multiples of two hours; shards with the same timestamps share a block."""
    blocks: list[NewBlock] = []
    for window_ms in _windows(pieces):
        by_shard: dict[int, list[Piece]] = {}
        for piece in pieces:
            inside = piece.trimmed(window_ms, window_ms + BLOCK_MS - 1)
            if inside is not None:
                by_shard.setdefault(piece.shard, []).append(inside)
        blocks.extend(_encode_window(by_shard))
    return blocks


def _windows(pieces: Iterable[Piece]) -> list[int]:
    windows: set[int] = set()
    for piece in pieces:
        first, last = (int(piece.timestamps_ms[place]) // BLOCK_MS for place in (0, -1))
        windows.update({first, last} if last - first < 2 else np.unique(piece.timestamps_ms // BLOCK_MS).tolist())
    return sorted(number * BLOCK_MS for number in windows)


def _encode_window(by_shard: Mapping[int, Sequence[Piece]]) -> list[NewBlock]:
    blocks: dict[bytes, NewBlock] = {}
    for shard, pieces in by_shard.items():
        whole = without_empty(combine(pieces))
        if not whole.values.size:
            continue
        chunk = NewChunk(
            shard, whole.ids, count_samples(whole.values, whole.present), codec.encode_matrix(whole.values, whole.present)
        )
        key = whole.timestamps_ms.tobytes()
        blocks.setdefault(key, NewBlock(whole.timestamps_ms, [])).chunks.append(chunk)
    return list(blocks.values())


def count_samples(values: FloatMatrix, present: BoolMatrix | None) -> int:
    return int(values.size if present is None else np.count_nonzero(present))


def write_block(
    connection: sqlite3.Connection, registry: Registry, pending: Pending, stream: int, level: int, block: NewBlock
) -> int:
    """Insert a block with its chunks, inside the caller's transaction; returns the block's number."""
    times = codec.encode_integers(block.timestamps_ms)
    span = (int(block.timestamps_ms[0]), int(block.timestamps_ms[-1]))
    samples = sum(chunk.samples for chunk in block.chunks)
    (number,) = connection.execute(
        "INSERT INTO blocks (stream, start_ms, end_ms, level, samples, crc, timestamps) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (stream, *span, level, samples, codec.checksum(times), times),
    ).fetchone()
    write_chunks(connection, registry, pending, number, span, block.chunks)
    return int(number)


def write_chunks(
    connection: sqlite3.Connection,
    registry: Registry,
    pending: Pending,
    block: int,
    span: tuple[int, int],
    chunks: Iterable[NewChunk],
) -> None:
    connection.executemany(
        "INSERT INTO chunks (shard, block, layout, start_ms, end_ms, samples, crc, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                chunk.shard,
                block,
                registry.layout_id(connection, chunk.ids, pending),
                *span,
                chunk.samples,
                codec.checksum(chunk.data),
                chunk.data,
            )
            for chunk in chunks
        ],
    )


def find_chunks(connection: sqlite3.Connection, shards: Iterable[int], start_ms: int, end_ms: int) -> list[ChunkRef]:
    """The chunks of those shards whose blocks touch [start_ms, end_ms], oldest block number first."""
    found: list[ChunkRef] = []
    for shard in shards:
        rows = connection.execute(
            "SELECT c.id, c.shard, c.block, c.layout, b.stream FROM chunks c JOIN blocks b ON b.id = c.block "
            "WHERE c.shard = ? AND c.end_ms >= ? AND c.start_ms <= ?",
            (shard, start_ms, end_ms),
        )
        found.extend(map(ChunkRef._make, rows))
    found.sort(key=lambda ref: ref.block)
    return found


class ChunkReader:
    """Decodes chunks and keeps the last used ones, up to `cache_bytes`. A damaged chunk is counted, logged once, left out."""

    def __init__(self, cache_bytes: int) -> None:
        self._cache = _Cache(cache_bytes)
        self._damaged: set[tuple[str, int]] = set()

    @property
    def damaged(self) -> int:
        return len(self._damaged)

    def pieces(
        self,
        connection: sqlite3.Connection,
        refs: Iterable[ChunkRef],
        wanted: Mapping[int, TimeVector] | None = None,
        *,
        keep: bool = True,
    ) -> list[Piece]:
        """The chunks as pieces: of the wanted series (shard → ids ascending), or of all. Without `keep`, past the cache."""
        found: list[Piece] = []
        for ref in refs:
            ids = self.ids(connection, ref.layout)
            times = self._times(connection, ref.block)
            if times is None or (wanted is not None and not _any_in(ids, wanted[ref.shard])):
                continue
            decoded = self._decoded(connection, ref, keep)
            if decoded is None:
                continue
            piece: Piece | None = Piece(("block", ref.block), ref.stream, ref.shard, times, ids, *decoded)
            if wanted is not None and piece is not None:
                piece = piece.picked(wanted[ref.shard])
            if piece is not None:
                found.append(piece)
        return found

    def ids(self, connection: sqlite3.Connection, layout: int) -> TimeVector:
        known: TimeVector | None = self._cache.get(("layout", layout))
        if known is None:
            known = read_layout(connection, layout)
            self._cache.put(("layout", layout), known, known.nbytes)
        return known

    def _times(self, connection: sqlite3.Connection, block: int) -> TimeVector | None:
        known: TimeVector | None = self._cache.get(("block", block))
        if known is None:
            row = connection.execute("SELECT crc, timestamps FROM blocks WHERE id = ?", (block,)).fetchone()
            if row is None or codec.checksum(row[1]) != row[0]:
                self._report("block", block)
                return None
            known = codec.decode_integers(row[1])
            self._cache.put(("block", block), known, known.nbytes)
        return known

    def _decoded(
        self, connection: sqlite3.Connection, ref: ChunkRef, keep: bool
    ) -> tuple[FloatMatrix, BoolMatrix | None] | None:
        known: tuple[FloatMatrix, BoolMatrix | None] | None = self._cache.get(("chunk", ref.id))
        if known is None:
            row = connection.execute("SELECT crc, data FROM chunks WHERE id = ?", (ref.id,)).fetchone()
            if row is None or codec.checksum(row[1]) != row[0]:
                self._report("chunk", ref.id)
                return None
            try:
                known = codec.decode_matrix(row[1])
            except (ValueError, RuntimeError, struct.error):
                self._report("chunk", ref.id)
                return None
            if keep:
                self._cache.put(("chunk", ref.id), known, known[0].nbytes + (0 if known[1] is None else known[1].nbytes))
        return known

    def _report(self, kind: str, number: int) -> None:
        if (kind, number) not in self._damaged:
            self._damaged.add((kind, number))
            _log.error("%s %d of the store is damaged and left out of every answer; a backup has it", kind, number)

    def forget(self) -> None:
        self._cache.clear()


def _any_in(ids: TimeVector, wanted: TimeVector) -> bool:
    places = np.searchsorted(ids, wanted)
    places[places == len(ids)] = 0
    return bool((ids[places] == wanted).any())


class _Cache:
    """Last used, bounded by bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, int], tuple[object, int]] = OrderedDict()

    def get(self, key: tuple[str, int]) -> Any:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: tuple[str, int], value: object, size: int) -> None:
        size += _OVERHEAD_BYTES
        with self._lock:
            if key in self._entries or size > self._limit:
                return
            self._entries[key] = (value, size)
            self._size += size
            while self._size > self._limit:
                _, (_, freed) = self._entries.popitem(last=False)
                self._size -= freed

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._size = 0
