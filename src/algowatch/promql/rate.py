"""rate, increase, delta, irate, idelta: Prometheus's extrapolation, for all series and steps at once.

Source: Prometheus, `extrapolatedRate` and `instantValue`. A counter that falls has been reset: what it had before is added.
Most columns hold no reset, so resets are looked for first and only the rows that have one are corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from algowatch.promql.sums import window_sums
from algowatch.promql.vectors import BoolArray, FloatArray, IntArray, Vector
from algowatch.promql.windows import Windows

_FEW_RESETS = 32
"""Up to so many resets per series are added one by one; more by running totals."""


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

    def at(self, steps: IntArray) -> _Spans:
        return _Spans(self.sampled[:, steps], self.to_start[:, steps], self.to_end[:, steps], self.range_s[steps])

    def factor(self, to_start: FloatArray) -> FloatArray:
        """By how much growth between the samples is to be stretched."""
        return (self.sampled + to_start + self.to_end) / self.sampled

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
    seconds = spans.range_s if per_second else np.ones_like(spans.range_s)
    if counter:
        _add_resets(growth, windows)
        near_zero = _columns_near_zero(growth, first, spans)
        if near_zero.size:
            near = spans.at(near_zero)
            clamped = _clamped_at_zero(near, first[:, near_zero], growth[:, near_zero])
            corrected = growth[:, near_zero] * (near.factor(clamped) / seconds[near_zero])
            growth *= spans.factor(spans.to_start) / seconds
            growth[:, near_zero] = corrected
            return
    growth *= spans.factor(spans.to_start) / seconds


def _columns_near_zero(growth: FloatArray, first: FloatArray, spans: _Spans) -> IntArray:
    """The steps at which the line of some series may meet zero within its window."""
    least, most = first.min(axis=0, initial=np.inf), growth.max(axis=0, initial=0.0)
    far = least * spans.sampled.min(axis=0, initial=np.inf) >= spans.to_start.max(axis=0, initial=0.0) * most
    return np.flatnonzero(~far)


def _clamped_at_zero(spans: _Spans, first: FloatArray, growth: FloatArray) -> FloatArray:
    """A counter does not extrapolate to below zero: at most to where its line would meet zero."""
    to_zero = spans.sampled * (first / growth)
    meets = (growth > 0) & (first >= 0) & (to_zero < spans.to_start)
    return np.where(meets, to_zero, spans.to_start)


def _add_resets(growth: FloatArray, windows: Windows) -> None:
    """Add to each window, in place, the values from which its counter fell."""
    values = windows.values
    falls = values[:, 1:] < values[:, :-1]
    if not falls.any():
        return
    rows, columns = np.nonzero(falls)
    if rows.size <= _FEW_RESETS * len(values):
        _add_one_by_one(growth, windows, rows, columns)
        return
    lost = np.zeros(values.shape)
    np.copyto(lost[:, 1:], values[:, :-1], where=falls)
    growth += lost_within(lost, windows.lo, windows.hi)


def _add_one_by_one(growth: FloatArray, windows: Windows, rows: IntArray, columns: IntArray) -> None:
    """Windows move forward with the steps, so those that hold a certain pair of neighbours are a run of steps."""
    lost = windows.values[rows, columns].tolist()
    if windows.lo.shape[0] == 1:
        starts = np.searchsorted(windows.hi[0], columns + 1, side="right").tolist()
        stops = np.searchsorted(windows.lo[0], columns, side="right").tolist()
    else:
        pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
        starts = [int(np.searchsorted(windows.hi[row], column + 1, side="right")) for row, column in pairs]
        stops = [int(np.searchsorted(windows.lo[row], column, side="right")) for row, column in pairs]
    for row, start, stop, value in zip(rows.tolist(), starts, stops, lost, strict=True):
        if start < stop:
            growth[row, start:stop] += value


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
