"""rate, increase, delta, irate, idelta: Prometheus's extrapolation, for all series and steps at once.

Source: Prometheus, `extrapolatedRate` and `instantValue`. A counter that falls has been reset: what it had before is added.
Most columns hold no reset, so resets are looked for first and only the rows that have one are corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from algowatch.promql.sums import window_sums
from algowatch.promql.vectors import BoolArray, FloatArray, Vector
from algowatch.promql.windows import Windows


def extrapolated(windows: Windows, *, counter: bool, per_second: bool) -> Vector:
    """rate (counter, per second), increase (counter) or delta of every window; a window of fewer than two samples has none."""
    values = np.empty(windows.shape)
    shared = _Spans.of(windows) if windows.lo.shape[0] == 1 and windows.times_ms.shape[0] == 1 else None
    start = 0
    with np.errstate(all="ignore"):
        for chunk in windows.row_chunks():
            stop = start + len(chunk.labels)
            _extrapolate(values[start:stop], chunk, shared or _Spans.of(chunk), counter, per_second)
            start = stop
    return Vector(windows.labels, values, _enough(windows, 2), windows.unnamed)


@dataclass(frozen=True, slots=True, eq=False)
class _Spans:
    """Seconds of each window, [series or 1, steps]: sampled from the first to the last sample, and what is added to it.

    to_start, to_end: as far as the window's edge where a sample may be missing there, that is within 1.1 times the average
    distance of samples; else half that distance.
    """

    sampled: FloatArray
    to_start: FloatArray
    to_end: FloatArray
    range_s: FloatArray

    @classmethod
    def of(cls, windows: Windows) -> _Spans:
        first_ms, last_ms = windows.time_at(windows.lo), windows.time_at(windows.hi - 1)
        to_start = (first_ms - windows.starts_ms) / 1000
        to_end = (windows.ends_ms - last_ms) / 1000
        sampled = (last_ms - first_ms) / 1000
        average = sampled / np.maximum(windows.counts - 1, 1)
        far = average * 1.1
        return cls(
            sampled,
            np.where(to_start >= far, average / 2, to_start),
            np.where(to_end >= far, average / 2, to_end),
            (windows.ends_ms - windows.starts_ms) / 1000,
        )


def _enough(windows: Windows, least: int) -> BoolArray | None:
    enough = windows.counts >= least
    if enough.all():
        return None
    return np.broadcast_to(enough, windows.shape)


def _extrapolate(growth: FloatArray, windows: Windows, spans: _Spans, counter: bool, per_second: bool) -> None:
    """Fills growth [series, steps]."""
    first = windows.value_at(windows.lo)
    np.subtract(windows.value_at(windows.hi - 1), first, out=growth)
    to_start = spans.to_start
    if counter:
        _add_resets(growth, windows)
        to_start = _clamped_at_zero(to_start, spans.sampled, first, growth)
    factor = (spans.sampled + to_start + spans.to_end) / spans.sampled
    if per_second:
        factor = factor / spans.range_s
    growth *= factor


def _clamped_at_zero(to_start: FloatArray, sampled: FloatArray, first: FloatArray, growth: FloatArray) -> FloatArray:
    """A counter does not extrapolate to below zero: at most to where its line would meet zero."""
    if first.size and first.min() * sampled.min() >= to_start.max() * max(growth.max(), 0.0):
        return to_start  # so far from zero that no line meets it in time
    to_zero = first / growth
    to_zero *= sampled
    meets = (growth > 0) & (first >= 0) & (to_zero < to_start)
    return np.where(meets, to_zero, to_start) if meets.any() else to_start


def _add_resets(growth: FloatArray, windows: Windows) -> None:
    """Add to each window, in place, the values from which its counter fell."""
    values = windows.values
    falls = values[:, 1:] < values[:, :-1]
    if not falls.any():
        return
    rows = np.flatnonzero(falls.any(axis=1))
    lost = np.zeros((rows.size, values.shape[1]))
    np.copyto(lost[:, 1:], values[rows, :-1], where=falls[rows])
    lo = windows.lo if windows.lo.shape[0] == 1 else windows.lo[rows]
    hi = windows.hi if windows.hi.shape[0] == 1 else windows.hi[rows]
    growth[rows] += lost_within(lost, lo, hi)


def lost_within(lost: FloatArray, lo: np.ndarray, hi: np.ndarray) -> FloatArray:
    """The sum of what was lost at the samples after a window's first one, up to its last."""
    after = np.minimum(lo + 1, hi)
    if not np.isfinite(lost).all():
        return window_sums(lost, after, hi)
    total = np.zeros((lost.shape[0], lost.shape[1] + 1))
    np.cumsum(lost, axis=1, out=total[:, 1:])
    if lo.shape[0] == 1:
        return np.asarray(total[:, hi[0]] - total[:, after[0]])
    return np.asarray(np.take_along_axis(total, hi, axis=1) - np.take_along_axis(total, after, axis=1))


def instant(windows: Windows, *, counter: bool) -> Vector:
    """irate (counter) or idelta: from the last two samples of every window."""
    last, before = windows.value_at(windows.hi - 1), windows.value_at(windows.hi - 2)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        values = last - before
        if counter:
            values = np.where(last < before, last, values)
            values = values / ((windows.time_at(windows.hi - 1) - windows.time_at(windows.hi - 2)) / 1000)
    return Vector(windows.labels, values, _enough(windows, 2), windows.unnamed)
