"""From pieces (a chunk's rows, a stretch of the head) to one matrix per group of series that share timestamps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from algowatch.model.protocols import BoolMatrix, FloatMatrix, TimeVector

    Columns = slice | TimeVector


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Samples of some series over one stretch of time.

    axis:    names the timestamps: pieces with the same axis share them.
    ids:     int64 [series], ascending.
    values:  float64 [series, samples]; present: bool of that shape, or None where every sample is there.
    """

    axis: tuple[str, int]
    stream: int
    shard: int
    timestamps_ms: TimeVector
    ids: TimeVector
    values: FloatMatrix
    present: BoolMatrix | None

    def trimmed(self, start_ms: int, end_ms: int) -> Piece | None:
        """The samples in [start_ms, end_ms]; None if there are none."""
        first = int(np.searchsorted(self.timestamps_ms, start_ms, "left"))
        stop = int(np.searchsorted(self.timestamps_ms, end_ms, "right"))
        if first >= stop:
            return None
        if first == 0 and stop == len(self.timestamps_ms):
            return self
        present = None if self.present is None else self.present[:, first:stop]
        times = self.timestamps_ms[first:stop]
        return Piece(self.axis, self.stream, self.shard, times, self.ids, self.values[:, first:stop], present)

    def picked(self, ids: TimeVector) -> Piece | None:
        """The rows of those series, given ascending, that are in here; None if there are none."""
        rows = rows_of(self.ids, ids)
        if rows is None:
            return None
        if isinstance(rows, slice) and rows == slice(0, len(self.ids)):
            return self
        present = None if self.present is None else self.present[rows]
        return Piece(self.axis, self.stream, self.shard, self.timestamps_ms, self.ids[rows], self.values[rows], present)


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """Series ids ascending, timestamps ascending, values [series, samples], and what is present (None: all)."""

    ids: TimeVector
    timestamps_ms: TimeVector
    values: FloatMatrix
    present: BoolMatrix | None


def rows_of(have: TimeVector, wanted: TimeVector) -> Columns | None:
    """Where in `have` the wanted ids stand (both ascending); a slice where they are neighbours, None if none is there."""
    if len(have) == len(wanted) and (have == wanted).all():
        return slice(0, len(have))
    places = np.searchsorted(have, wanted)
    places[places == len(have)] = 0
    rows = places[have[places] == wanted]
    if not len(rows):
        return None
    return _as_slice(rows)


def combine(pieces: Sequence[Piece]) -> Combined:
    """One matrix of all pieces; where two have the same sample, the earlier piece in the list wins."""
    if len(pieces) == 1:
        only = pieces[0]
        return Combined(only.ids, only.timestamps_ms, only.values, only.present)
    ids = _union([piece.ids for piece in pieces])
    timestamps, columns, apart = _lay_out_axes(pieces)
    values = np.empty((len(ids), len(timestamps)))
    cells = sum(piece.values.size for piece in pieces)
    masked = not apart or cells != values.size or any(piece.present is not None for piece in pieces)
    present = np.zeros(values.shape, np.bool_) if masked else None
    for piece in pieces:
        rows = rows_of(ids, piece.ids)
        assert rows is not None
        if present is None:
            _store(values, rows, columns[piece.axis], piece.values)
        else:
            _store_absent(values, present, rows, columns[piece.axis], piece)
    if present is not None and present.all():
        present = None
    return Combined(ids, timestamps, values, present)


def without_empty(combined: Combined) -> Combined:
    """Less the series and the timestamps at which nothing is present."""
    present = combined.present
    if present is None:
        return combined
    rows, columns = present.any(axis=1), present.any(axis=0)
    present = present[rows][:, columns]
    values = combined.values[rows][:, columns]
    return Combined(combined.ids[rows], combined.timestamps_ms[columns], values, None if present.all() else present)


def combine_by_stream(pieces: Sequence[Piece]) -> list[Combined]:
    """One matrix per stream; a series that lives in several streams stands in a matrix of its own kind only."""
    by_stream: defaultdict[int, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_stream[piece.stream].append(piece)
    shared = _shared_series(by_stream)
    if not len(shared):
        return [combine(group) for group in by_stream.values()]
    groups: list[list[Piece]] = []
    for group in by_stream.values():
        alone = [kept for piece in group if (kept := _without(piece, shared)) is not None]
        if alone:
            groups.append(alone)
    groups.append([kept for piece in pieces if (kept := piece.picked(shared)) is not None])
    return [combine(group) for group in groups]


def _shared_series(by_stream: dict[int, list[Piece]]) -> TimeVector:
    """Ids that stand in more than one stream, ascending."""
    if len(by_stream) < 2:
        return np.empty(0, np.int64)
    members = [_union([piece.ids for piece in group]) for group in by_stream.values()]
    ids, counts = np.unique(np.concatenate(members), return_counts=True)
    return ids[counts > 1]


def _without(piece: Piece, ids: TimeVector) -> Piece | None:
    kept = piece.ids[~np.isin(piece.ids, ids, assume_unique=True)]
    return piece.picked(kept) if len(kept) else None


def _union(arrays: Sequence[TimeVector]) -> TimeVector:
    first = arrays[0]
    if all(other is first or (len(other) == len(first) and (other == first).all()) for other in arrays[1:]):
        return first
    return np.unique(np.concatenate(arrays))


def _lay_out_axes(pieces: Sequence[Piece]) -> tuple[TimeVector, dict[tuple[str, int], Columns], bool]:
    """All timestamps, the columns that each axis takes, and whether the axes lie apart (no two overlap)."""
    axes = {piece.axis: piece.timestamps_ms for piece in pieces}
    ordered = sorted(axes.items(), key=lambda item: int(item[1][0]))
    apart = all(before[1][-1] < after[1][0] for before, after in pairwise(ordered))
    columns: dict[tuple[str, int], Columns] = {}
    if apart:
        offset = 0
        for axis, times in ordered:
            columns[axis] = slice(offset, offset + len(times))
            offset += len(times)
        return np.concatenate([times for _, times in ordered]), columns, True
    timestamps = np.unique(np.concatenate([times for _, times in ordered]))
    for axis, times in ordered:
        columns[axis] = _as_slice(np.searchsorted(timestamps, times))
    return timestamps, columns, False


def _as_slice(places: TimeVector) -> Columns:
    """Ascending places as a slice where they are neighbours: indexing with it makes a view."""
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first + 1 == len(places) else places


def _grid(rows: Columns, columns: Columns) -> tuple[Columns, Columns]:
    if isinstance(rows, slice) or isinstance(columns, slice):
        return rows, columns
    return rows[:, None], columns


def _store(values: FloatMatrix, rows: Columns, columns: Columns, given: FloatMatrix) -> None:
    values[_grid(rows, columns)] = given


def _store_absent(values: FloatMatrix, present: BoolMatrix, rows: Columns, columns: Columns, piece: Piece) -> None:
    """Write the cells of a piece that no earlier piece has written."""
    grid = _grid(rows, columns)
    there = present[grid]
    if piece.present is None and not there.any():
        values[grid] = piece.values
        present[grid] = True
        return
    new = ~there if piece.present is None else piece.present & ~there
    values[grid] = np.where(new, piece.values, values[grid])
    present[grid] = there | new
