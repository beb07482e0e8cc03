"""Sums that keep what floating point would lose.

Prometheus adds with Neumaier's compensation, one number after the other. Here whole arrays are added pairwise, each pair with
its rounding error (Knuth's two-sum), and the errors beside them: at least as exact, and a handful of array operations.
"""

from __future__ import annotations

import numpy as np

from algowatch.promql.vectors import FloatArray, IntArray

_CHUNK = 1 << 17
"""Elements worked on at a time, so that what a step writes is still in the cache when the next one reads it."""


_ROWS = 1 << 15
"""Samples of the series that window sums are formed of at a time."""


def compensated_sum(values: FloatArray) -> FloatArray:
    """The sum along the first axis. Infinities and NaN come out as plain addition has them."""
    count = values.shape[0]
    if count == 0:
        return np.zeros(values.shape[1:])
    if count == 1:
        return np.array(values[0])
    if values.ndim == 2 and values.size > 2 * _CHUNK:
        width = max(16, _CHUNK // count)
        parts = [_tree_sum(values[:, at : at + width]) for at in range(0, values.shape[1], width)]
        return np.concatenate(parts)
    return _tree_sum(values)


def _tree_sum(values: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", over="ignore"):
        high, low = values, None
        while high.shape[0] > 1:
            half = high.shape[0] // 2
            total, error = two_sum(high[:half], high[half : 2 * half])
            if low is not None:
                error += low[:half]
                error += low[half : 2 * half]
            if high.shape[0] % 2:
                rest = np.zeros_like(high[-1:]) if low is None else low[-1:]
                total, error = np.concatenate([total, high[-1:]]), np.concatenate([error, rest])
            high, low = total, error
        return joined(high[0], low[0] if low is not None else np.zeros_like(high[0]))


def two_sum(one: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The rounded sum and its rounding error; both together are exact. Source: Knuth, TAOCP 2, 4.2.2."""
    total = one + other
    shadow = total - one
    error = total - shadow
    np.subtract(one, error, out=error)
    np.subtract(other, shadow, out=shadow)
    error += shadow
    return total, error


def joined(total: FloatArray, error: FloatArray) -> FloatArray:
    """Sum plus error; where the sum is infinite or NaN the error says nothing."""
    result = total + error
    wrong = ~np.isfinite(result)
    if wrong.any():
        result = np.where(wrong, total, result)
    return result


def window_sums(values: FloatArray, lo: IntArray, hi: IntArray) -> FloatArray:
    """The compensated sum of values[series, lo:hi] for every window.

    values: float64 [series, samples]; lo, hi: int64 [series or 1, steps]. Answer: float64 [series, steps].

    Sums of 1, 2, 4, 8 … neighbouring samples are formed once for all windows; each window is put together from the ones that
    its length's binary digits name. So nothing outside a window touches its sum, as would happen with running totals.
    """
    result = np.empty((values.shape[0], lo.shape[1]))
    size = max(1, _ROWS // max(1, values.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, values.shape[0], size):
            rows = slice(start, start + size)
            own_lo, own_hi = (lo, hi) if lo.shape[0] == 1 else (lo[rows], hi[rows])
            result[rows] = _window_sums(values[rows], own_lo, own_hi)
    return result


def _window_sums(values: FloatArray, lo: IntArray, hi: IntArray) -> FloatArray:
    counts = hi - lo
    longest = int(counts.max(initial=0))
    high, low = np.zeros((values.shape[0], lo.shape[1])), np.zeros((values.shape[0], lo.shape[1]))
    at = lo.copy()
    level, level_low = values, np.zeros_like(values)
    width = 1
    while width <= longest:
        _add_blocks(high, low, level, level_low, at, (counts & width) > 0)
        at += np.where(counts & width, width, 0)
        width *= 2
        if width <= longest:
            half = width // 2
            level, error = two_sum(level[:, :-half], level[:, half:])
            error += level_low[:, :-half]
            error += level_low[:, half:]
            level_low = error
    return joined(high, low)


def _add_blocks(
    high: FloatArray, low: FloatArray, level: FloatArray, level_low: FloatArray, at: IntArray, wanted: np.ndarray
) -> None:
    """Add one block to each window that wants one; in place."""
    if wanted.shape[0] == 1:
        columns = np.flatnonzero(wanted[0])
        if not columns.size:
            return
        index = at[0, columns]
        total, error = two_sum(high[:, columns], level[:, index])
        high[:, columns] = total
        low[:, columns] += error + level_low[:, index]
        return
    rows, columns = np.nonzero(wanted)
    index = at[rows, columns]
    total, error = two_sum(high[rows, columns], level[rows, index])
    high[rows, columns] = total
    low[rows, columns] += error + level_low[rows, index]
