"""The modifiers anchored and smoothed: rate, increase and delta from edge to edge of the range, without extrapolation.

An anchored range begins with the last sample at or before its start. A smoothed one takes the values at its very edges from the
line between the samples on both sides. Samples around the range are looked for as far as the lookback reaches.
Source: Prometheus, `extendedRate`, `pickOrInterpolateLeft`, `pickOrInterpolateRight`, `correctForCounterResets`.
"""

from __future__ import annotations

import numpy as np

from algowatch.model.protocols import SeriesMatrix
from algowatch.promql.rate import lost_within
from algowatch.promql.vectors import BoolArray, FloatArray, IntArray, Vector
from algowatch.promql.windows import Windows, pack


def anchored_windows(matrix: SeriesMatrix, starts_ms: IntArray, ends_ms: IntArray, lookback_ms: int) -> Windows:
    """Windows that begin one sample earlier, where there is one; without a sample after the start they are empty."""
    samples = pack(matrix)
    lo = samples.columns(starts_ms, "right")
    hi = np.maximum(lo, samples.columns(ends_ms, "right"))
    earliest = samples.columns(starts_ms - lookback_ms, "right")
    lo = np.where(hi > lo, np.maximum(np.minimum(lo, earliest), lo - 1), lo)
    return Windows(samples.labels, samples.values, samples.times_ms, lo, hi, starts_ms, ends_ms)


def anchored_rate(windows: Windows, *, counter: bool, per_second: bool) -> Vector:
    """The growth from a window's first sample to its last; a single sample has grown by 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        growth = windows.value_at(windows.hi - 1) - windows.value_at(windows.lo)
        if counter:
            growth = growth + lost_within(_lost(windows.values), windows.lo, windows.hi)
        if per_second:
            growth = growth / ((windows.ends_ms - windows.starts_ms) / 1000)
    return Vector(windows.labels, growth, np.array(np.broadcast_to(windows.counts > 0, windows.shape)))


def _lost(values: FloatArray) -> FloatArray:
    """At each sample, what the counter had before it fell there, or 0."""
    lost = np.zeros(values.shape)
    np.copyto(lost[:, 1:], values[:, :-1], where=values[:, 1:] < values[:, :-1])
    return lost


def smoothed_rate(
    matrix: SeriesMatrix,
    starts_ms: IntArray,
    ends_ms: IntArray,
    lookback_ms: int,
    *,
    counter: bool,
    per_second: bool,
) -> Vector:
    """The growth between the values at both edges, which are found between the samples around them."""
    samples = pack(matrix)
    shape = (len(samples.labels), len(starts_ms))
    first_known = samples.columns(starts_ms - lookback_ms, "right")
    after_known = samples.columns(ends_ms + lookback_ms, "right")
    lo, hi = samples.columns(starts_ms, "right"), samples.columns(ends_ms, "left")
    first = np.maximum(lo - 1, first_known)
    last = np.minimum(hi, after_known - 1)
    around = Windows(samples.labels, samples.values, samples.times_ms, lo, np.maximum(lo, hi), starts_ms, ends_ms)
    usable = (last >= first) & (around.time_at(last) > starts_ms) & (around.time_at(first) <= ends_ms)
    with np.errstate(all="ignore"):
        left = _edge(around, first, starts_ms, around.time_at(first) < starts_ms, counter)
        right = _edge(around, last - 1, ends_ms, (last > first_known) & (around.time_at(last) > ends_ms), counter)
        right = np.where((last > first_known) & (around.time_at(last) > ends_ms), right, around.value_at(last))
        growth = right - left
        if counter:
            growth = growth + _resets_between(around, left, right)
        if per_second:
            growth = growth / ((ends_ms - starts_ms) / 1000)
    return Vector(samples.labels, np.array(np.broadcast_to(growth, shape)), np.array(np.broadcast_to(usable, shape)))


def _edge(windows: Windows, column: IntArray, at_ms: IntArray, between: BoolArray, counter: bool) -> FloatArray:
    """The value at some times on the line from a sample to the next; the sample itself where the time is not between them."""
    before, after = windows.value_at(column), windows.value_at(column + 1)
    start = np.where(after < before, 0.0, before) if counter else before
    share = (at_ms - windows.time_at(column)) / (windows.time_at(column + 1) - windows.time_at(column))
    return np.where(between, start + (after - start) * share, before)


def _resets_between(windows: Windows, left: FloatArray, right: FloatArray) -> FloatArray:
    """What the counter lost on its way from the left edge over the samples between to the right one."""
    some = windows.counts > 0
    inner_first, inner_last = windows.value_at(windows.lo), windows.value_at(windows.hi - 1)
    within = lost_within(_lost(windows.values), windows.lo, windows.hi)
    within = within + np.where(inner_first < left, left, 0.0) + np.where(right < inner_last, inner_last, 0.0)
    return np.where(some, within, np.where(right < left, left, 0.0))


def smoothed_latest(matrix: SeriesMatrix, at_ms: IntArray, lookback_ms: int) -> tuple[FloatArray, BoolArray | None, IntArray]:
    """What a smoothed instant selector sees: the value on the line between the samples before and after a time.

    Without a later sample the earlier one holds; without an earlier one there is nothing. Answer as `windows.latest`.
    """
    samples = pack(matrix)
    shape = (len(samples.labels), len(at_ms))
    before = samples.columns(at_ms, "right") - 1
    has_before = before >= samples.columns(at_ms - lookback_ms, "right")
    has_after = before + 1 < samples.columns(at_ms + lookback_ms, "right")
    around = Windows(samples.labels, samples.values, samples.times_ms, before, before, at_ms, at_ms)
    with np.errstate(all="ignore"):
        between = has_after & (around.time_at(before) < at_ms)
        values = _edge(around, before, at_ms, between, counter=False)
    return np.array(np.broadcast_to(values, shape)), np.array(np.broadcast_to(has_before, shape)), at_ms[np.newaxis, :]
