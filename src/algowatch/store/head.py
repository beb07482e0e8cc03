"""The newest samples: rows as they came, in memory beside the table that keeps them, until they are sealed into chunks.

One writer appends while readers look: a reader takes the count of rows first and never looks past it, and a buffer
that is full is replaced, not changed, so readers need no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from algowatch.store.assemble import Piece, rows_of

if TYPE_CHECKING:
    from algowatch.model.protocols import FloatMatrix, TimeVector

    Columns = slice | TimeVector

_FIRST_ROWS = 2
_FULL_BYTES = 1 << 20  # a buffer of this size is not copied into a larger one: the stream goes on in another


class LayoutRecord:
    """A stored layout: its id, its series ids in order and, per shard, which columns hold which series."""

    __slots__ = ("id", "series", "shards")

    def __init__(self, layout_id: int, series: TimeVector, shards: TimeVector) -> None:
        self.id = layout_id
        self.series = series
        self.shards = _columns_by_shard(series, shards)

    def __len__(self) -> int:
        return len(self.series)


def _columns_by_shard(series: TimeVector, shards: TimeVector) -> dict[int, tuple[TimeVector, TimeVector]]:
    """Shard → (series ids ascending, their columns)."""
    by_shard = np.lexsort((series, shards))
    borders = np.flatnonzero(np.diff(shards[by_shard])) + 1
    return {int(shards[columns[0]]): (series[columns], columns) for columns in np.split(by_shard, borders) if len(columns)}


class Segment:
    """Rows of one stream with one layout, timestamps ascending."""

    __slots__ = ("count", "layout", "number", "seqs", "timestamps_ms", "values")

    def __init__(self, number: int, layout: LayoutRecord, capacity: int = _FIRST_ROWS) -> None:
        self.number = number
        self.layout = layout
        self.count = 0
        self.seqs = np.empty(capacity, np.int64)
        self.timestamps_ms = np.empty(capacity, np.int64)
        self.values = np.empty((capacity, len(layout)))

    def append(self, seq: int, timestamp_ms: int, values: FloatMatrix) -> None:
        count = self.count
        self.seqs[count] = seq
        self.timestamps_ms[count] = timestamp_ms
        self.values[count] = values
        self.count = count + 1

    def full(self) -> bool:
        return self.count == len(self.seqs)

    def grown(self, first: int = 0, spare: bool = True) -> Segment:
        """A copy from row `first` on, with room for more."""
        kept = self.count - first
        copy = Segment(self.number, self.layout, max(_FIRST_ROWS, 2 * kept if spare else kept))
        copy.seqs[:kept] = self.seqs[first : self.count]
        copy.timestamps_ms[:kept] = self.timestamps_ms[first : self.count]
        copy.values[:kept] = self.values[first : self.count]
        copy.count = kept
        return copy

    def pieces(self, stream: int, wanted: Mapping[int, TimeVector] | None) -> list[Piece]:
        """The samples as pieces, one per shard: of the wanted series (shard → ids ascending), or of all."""
        count = self.count
        times, values = self.timestamps_ms[:count], self.values[:count]
        shards = self.layout.shards
        found: list[Piece] = []
        for shard in shards if wanted is None else wanted.keys() & shards.keys():
            ids, columns = shards[shard]
            rows = slice(0, len(ids)) if wanted is None else rows_of(ids, wanted[shard])
            if rows is None or not count:
                continue
            columns = columns[rows]
            neighbours = columns[-1] - columns[0] + 1 == len(columns) and (np.diff(columns) == 1).all()
            chosen: Columns = slice(int(columns[0]), int(columns[-1]) + 1) if neighbours else columns
            found.append(Piece(("head", self.number), stream, shard, times, ids[rows], values[:, chosen].T, None))
        return found


class StreamHead:
    """The unsealed rows of one stream: segments in the order of their first row."""

    __slots__ = ("id", "last_ms", "name", "segments")

    def __init__(self, stream_id: int, name: str, last_ms: int) -> None:
        self.id = stream_id
        self.name = name
        self.last_ms = last_ms
        self.segments: tuple[Segment, ...] = ()

    def rows(self) -> int:
        return sum(segment.count for segment in self.segments)

    def cells(self) -> int:
        return sum(segment.count * len(segment.layout) for segment in self.segments)

    def first_ms(self) -> int | None:
        return min((int(segment.timestamps_ms[0]) for segment in self.segments if segment.count), default=None)

    def append(self, number: int, seq: int, timestamp_ms: int, layout: LayoutRecord, values: FloatMatrix) -> None:
        """Add a row; `number` names the segment, should a new one begin."""
        last = self.segments[-1] if self.segments else None
        if last is None or last.layout.id != layout.id or last.timestamps_ms[last.count - 1] >= timestamp_ms:
            last = Segment(number, layout)
            last.append(seq, timestamp_ms, values)
            self.segments = (*self.segments, last)
        elif last.full() and last.values.nbytes >= _FULL_BYTES:
            last = Segment(number, layout, len(last.seqs))
            last.append(seq, timestamp_ms, values)
            self.segments = (*self.segments, last)
        elif last.full():
            last = last.grown()
            last.append(seq, timestamp_ms, values)
            self.segments = (*self.segments[:-1], last)
        else:
            last.append(seq, timestamp_ms, values)
        self.last_ms = max(self.last_ms, timestamp_ms)

    def drop_sealed(self, sealed_seq: int) -> None:
        """Forget the rows up to `sealed_seq`; rows that came while sealing stay."""
        kept = []
        for segment in self.segments:
            first = int(np.searchsorted(segment.seqs[: segment.count], sealed_seq, "right"))
            if first == 0:
                kept.append(segment)
            elif first < segment.count:
                kept.append(segment.grown(first))
        self.segments = tuple(kept)


HeadView = Sequence[tuple[int, tuple[Segment, ...]]]


def view(streams: Iterable[StreamHead]) -> HeadView:
    """What the head holds at this moment, whatever is sealed or appended afterwards."""
    return [(stream.id, stream.segments) for stream in streams if stream.segments]


def head_pieces(heads: HeadView, wanted: Mapping[int, TimeVector] | None) -> list[Piece]:
    """Pieces of all streams' unsealed rows; see `Segment.pieces`."""
    return [piece for stream, segments in heads for segment in segments for piece in segment.pieces(stream, wanted)]
