"""From stored samples to what each step sees: the latest sample for instant selectors, windows of samples for ranges.

Steps are found once for all series of a matrix by binary search on its shared timestamps. Where series lack samples, their
samples are moved together to the left, so that every window is a run of neighbouring columns again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from algowatch.model.labels import Labels
from algowatch.model.protocols import SeriesMatrix
from algowatch.model.staleness import STALE_NAN_BITS
from algowatch.promql.vectors import BoolArray, FloatArray, IntArray

_CUBE_ELEMENTS = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The samples of some series and, for each step, which of them lie in its window.

    values: float64 [series, samples]; times_ms: int64 [series or 1, samples]. Behind a series' last sample stands NaN.
    lo, hi: int64 [series or 1, steps]: the window of a step is the columns lo ≤ column < hi.
    starts_ms, ends_ms: int64 [steps]: the window's span, start exclusive and end inclusive.
    unnamed: bool [series] or None, as in a Vector. check: called between pieces of work; raises once the query is to end.
    """

    labels: Sequence[Labels]
    values: FloatArray
    times_ms: IntArray
    lo: IntArray
    hi: IntArray
    starts_ms: IntArray
    ends_ms: IntArray
    unnamed: BoolArray | None = None
    check: Callable[[], None] = lambda: None

    @property
    def counts(self) -> IntArray:
        return self.hi - self.lo

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.labels), self.lo.shape[1]

    def value_at(self, columns: IntArray) -> FloatArray:
        """Values at some columns [series or 1, steps]; a column out of bounds gives any value."""
        return _pick(self.values, columns)

    def time_at(self, columns: IntArray) -> IntArray:
        """Sample times at some columns, as int64 [series or 1, steps]."""
        return _pick(self.times_ms, columns)

    def row_chunks(self, elements: int = 1 << 17) -> Iterator[Windows]:
        """The same windows, a few series at a time, so that what a function writes between stays in the cache."""
        rows, steps = self.shape
        size = max(1, elements // max(1, steps, self.values.shape[1]))
        if size >= rows:
            yield self
            return
        for start in range(0, rows, size):
            self.check()
            yield self.take_rows(slice(start, start + size))

    def take_rows(self, rows: slice) -> Windows:
        def cut(array: IntArray) -> IntArray:
            return array if array.shape[0] == 1 else array[rows]

        unnamed = None if self.unnamed is None else self.unnamed[rows]
        return Windows(
            self.labels[rows],
            self.values[rows],
            self.times_ms if self.times_ms.shape[0] == 1 else self.times_ms[rows],
            cut(self.lo),
            cut(self.hi),
            self.starts_ms,
            self.ends_ms,
            unnamed,
            self.check,
        )

    def cubes(self) -> Iterator[Cube]:
        """All windows laid side by side, some series and some steps at a time."""
        longest = int(self.counts.max(initial=0))
        if not longest:
            return
        start = 0
        for chunk in self.row_chunks():
            rows, steps = chunk.shape
            size = max(1, _CUBE_ELEMENTS // (rows * longest))
            for step in range(0, steps, size):
                self.check()
                yield chunk._cube(slice(start, start + rows), slice(step, step + size))
            start += rows

    def _cube(self, rows: slice, steps: slice) -> Cube:
        lo, hi = self.lo[:, steps], self.hi[:, steps]
        longest = int((hi - lo).max(initial=0))
        columns = lo[:, :, np.newaxis] + np.arange(longest)
        inside = columns < hi[:, :, np.newaxis]
        np.minimum(columns, self.values.shape[1] - 1, out=columns)
        if columns.shape[0] == 1:
            values = self.values[:, columns[0]]
        else:
            values = self.values[np.arange(len(self.labels))[:, np.newaxis, np.newaxis], columns]
        if self.times_ms.shape[0] == 1:
            times = self.times_ms[0][columns]
        else:
            times = self.times_ms[np.arange(len(self.labels))[:, np.newaxis, np.newaxis], columns]
        return Cube(rows, steps, values, times, inside)


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """Windows laid side by side: values[series, steps, samples].

    rows, steps: which series and steps of the whole these are.
    times_ms, inside: [series or 1, steps, samples]; where `inside` is False
    the value is none of the window's.
    """

    rows: slice
    steps: slice
    values: FloatArray
    times_ms: IntArray
    inside: BoolArray

    @property
    def whole(self) -> bool:
        """Whether all windows are equally long, so that nothing need be masked."""
        return bool(self.inside.all())

    def filled(self, filler: float) -> FloatArray:
        """The values with a filler where no sample is."""
        return self.values if self.whole else np.where(self.inside, self.values, filler)


def _pick(array: np.ndarray, columns: IntArray) -> np.ndarray:
    """array[row, columns[row]]; where either has one row for all, so be it. A column out of bounds gives any value."""
    if array.shape[0] == 1:
        return np.take(array[0], columns, mode="clip")
    if columns.shape[0] == 1:
        return _pick_alike(array, columns[0])
    return np.take_along_axis(array, np.clip(columns, 0, array.shape[1] - 1), axis=1)


def _pick_alike(array: np.ndarray, columns: IntArray) -> np.ndarray:
    """The same columns of every row. Evenly spaced ones, as even scraping and even steps give, are a slice: no gather."""
    if len(columns) < 16:
        return np.take(array, columns, axis=1, mode="clip")
    stride = int(columns[-1] - columns[-2])
    uneven = np.flatnonzero(np.diff(columns) != stride)
    regular = int(uneven[-1]) + 1 if uneven.size else 0
    if stride < 1 or regular > len(columns) // 4 or columns[regular] < 0 or columns[-1] >= array.shape[1]:
        return np.take(array, columns, axis=1, mode="clip")
    even = array[:, columns[regular] : columns[-1] + 1 : stride]
    if not regular:
        return even
    result = np.empty((array.shape[0], len(columns)), array.dtype)
    np.take(array, columns[:regular], axis=1, out=result[:, :regular], mode="clip")
    result[:, regular:] = even
    return result


def without_stale(matrix: SeriesMatrix) -> SeriesMatrix:
    """The matrix with staleness markers counted as missing samples."""
    values = matrix.values
    if not values.size or not np.isnan(values.min()):
        return matrix
    fresh = values.view(np.uint64) != STALE_NAN_BITS
    if fresh.all():
        return matrix
    present = fresh if matrix.present is None else matrix.present & fresh
    return SeriesMatrix(matrix.labels, matrix.timestamps_ms, values, present)


def between(matrix: SeriesMatrix, after_ms: int, until_ms: int) -> SeriesMatrix:
    """Only the samples in (after, until]; views, nothing is copied."""
    left, right = np.searchsorted(matrix.timestamps_ms, [after_ms, until_ms], side="right")
    if left == 0 and right == len(matrix.timestamps_ms):
        return matrix
    present = None if matrix.present is None else matrix.present[:, left:right]
    return SeriesMatrix(matrix.labels, matrix.timestamps_ms[left:right], matrix.values[:, left:right], present)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The samples of some series, each series' own without gaps between them.

    values: float64 [series, samples]; times_ms: int64 [series or 1, samples]. seen: where series lack samples, how many each
    has up to a column of the shared timestamps, int64 [series, columns + 1]; else None.
    """

    labels: Sequence[Labels]
    values: FloatArray
    times_ms: IntArray
    shared_ms: IntArray
    seen: IntArray | None

    def columns(self, at_ms: IntArray, side: Literal["left", "right"]) -> IntArray:
        """How many samples lie before some times (side left) or up to them (right): int64 [series or 1, times]."""
        found = np.searchsorted(self.shared_ms, at_ms, side=side)
        return found[np.newaxis, :] if self.seen is None else self.seen[:, found]


def pack(matrix: SeriesMatrix) -> Samples:
    """Moves samples together where some are missing; else nothing is copied."""
    times, present = matrix.timestamps_ms, matrix.present
    if present is None or present.all():
        return Samples(matrix.labels, matrix.values, times[np.newaxis, :], times, None)
    seen = np.zeros((present.shape[0], present.shape[1] + 1), np.int64)
    np.cumsum(present, axis=1, out=seen[:, 1:])
    values, packed_times = _move_left(matrix.values, times, present, seen)
    return Samples(matrix.labels, values, packed_times, times, seen)


def make_windows(matrix: SeriesMatrix, starts_ms: IntArray, ends_ms: IntArray, unnamed: BoolArray | None = None) -> Windows:
    """The windows (start, end] over samples that hold no staleness markers."""
    samples = pack(matrix)
    lo = samples.columns(starts_ms, "right")
    hi = np.maximum(lo, samples.columns(ends_ms, "right"))
    return Windows(samples.labels, samples.values, samples.times_ms, lo, hi, starts_ms, ends_ms, unnamed)


def _move_left(values: FloatArray, times: IntArray, present: BoolArray, seen: IntArray) -> tuple[FloatArray, IntArray]:
    width = max(1, int(seen[:, -1].max(initial=0)))
    packed = np.full((values.shape[0], width), np.nan)
    packed_times = np.zeros((values.shape[0], width), np.int64)
    rows, columns = np.nonzero(present)
    target = seen[rows, columns]
    packed[rows, target] = values[rows, columns]
    packed_times[rows, target] = times[columns]
    return packed, packed_times


def latest(matrix: SeriesMatrix, at_ms: IntArray, lookback_ms: int) -> tuple[FloatArray, BoolArray | None, IntArray]:
    """What an instant selector sees at some times: the latest sample in (time − lookback, time], unless it is a marker.

    Answer: values [series, steps], present [series, steps] or None, sample times [series or 1, steps].
    """
    times = matrix.timestamps_ms
    shape = (matrix.values.shape[0], len(at_ms))
    if not len(times):
        return np.zeros(shape), np.zeros(shape, bool), np.zeros((1, len(at_ms)), np.int64)
    column = (np.searchsorted(times, at_ms, side="right") - 1)[np.newaxis, :]
    if matrix.present is not None:
        known = np.where(matrix.present, np.arange(len(times)), -1)
        np.maximum.accumulate(known, axis=1, out=known)
        column = np.where(column >= 0, known[:, np.maximum(column[0], 0)], -1)
    sample_times = np.take(times, column, mode="clip")
    found = (column >= 0) & (sample_times > at_ms - lookback_ms)
    values = _pick(matrix.values, column)
    present: BoolArray | None = None
    if not found.all():
        present = np.broadcast_to(found, shape)
    if values.size and np.isnan(values.min()):
        stale = values.view(np.uint64) == STALE_NAN_BITS
        if stale.any():
            present = ~stale if present is None else present & ~stale
    return values, present, sample_times
