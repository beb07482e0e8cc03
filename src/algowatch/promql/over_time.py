"""The functions over a range: *_over_time, changes, resets, deriv, predict_linear, double_exponential_smoothing.

Each takes Windows and gives one value per series and step. Counting works on running totals, sums on blocks of powers of two,
minimum and maximum on blocks that may overlap; what needs every sample of a window side by side takes them in chunks of steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from algowatch.errors import EvaluationError
from algowatch.promql.aggregate import sorted_quantile
from algowatch.promql.rate import lost_within
from algowatch.promql.sums import compensated_sum, window_sums
from algowatch.promql.vectors import BoolArray, FloatArray, IntArray, Vector
from algowatch.promql.windows import Cube, Windows

Function = Callable[[Windows], Vector]


def enough(windows: Windows, least: int) -> BoolArray | None:
    """Where a window holds at least so many samples; None for everywhere."""
    held = windows.counts >= least
    return None if held.all() else np.broadcast_to(held, windows.shape)


def _vector(windows: Windows, values: FloatArray, least: int = 1) -> Vector:
    full = np.array(np.broadcast_to(values, windows.shape)) if values.shape != windows.shape else values
    return Vector(windows.labels, full, enough(windows, least), windows.unnamed)


def count(windows: Windows) -> Vector:
    return _vector(windows, windows.counts.astype(np.float64))


def present(windows: Windows) -> Vector:
    return _vector(windows, np.ones((1, 1)))


def first(windows: Windows) -> Vector:
    return _vector(windows, windows.value_at(windows.lo))


def last(windows: Windows) -> Vector:
    return _vector(windows, windows.value_at(windows.hi - 1))


def time_of_first(windows: Windows) -> Vector:
    return _vector(windows, windows.time_at(windows.lo) / 1000)


def time_of_last(windows: Windows) -> Vector:
    return _vector(windows, windows.time_at(windows.hi - 1) / 1000)


def total(windows: Windows) -> Vector:
    return _vector(windows, window_sums(windows.values, windows.lo, windows.hi))


def average(windows: Windows) -> Vector:
    values = windows.values
    counts = windows.counts
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = window_sums(values, windows.lo, windows.hi) / counts
        overflown = np.isinf(mean)
        if overflown.any():
            most = max(1, int(counts.max(initial=1)))
            scaled = window_sums(values / most, windows.lo, windows.hi) * (most / counts)
            mean = np.where(overflown, scaled, mean)
    return _vector(windows, mean)


def minimum(windows: Windows) -> Vector:
    return _vector(windows, _extreme(windows, np.fmin))


def maximum(windows: Windows) -> Vector:
    return _vector(windows, _extreme(windows, np.fmax))


def _extreme(windows: Windows, choose: np.ufunc) -> FloatArray:
    """Each window is covered by two overlapping blocks of the greatest power of two that fits into it."""
    parts = [_extreme_rows(chunk, choose) for chunk in windows.row_chunks()]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _extreme_rows(windows: Windows, choose: np.ufunc) -> FloatArray:
    counts = windows.counts
    longest = int(counts.max(initial=0))
    result = np.full(windows.shape, np.nan)
    level, width = windows.values, 1
    while width <= longest:
        fitting = (counts >= width) & (counts < 2 * width)
        _take_blocks(result, level, windows.lo, windows.hi - width, fitting, choose)
        if 2 * width <= longest:
            level = choose(level[:, :-width], level[:, width:])
        width *= 2
    return result


def _take_blocks(
    result: FloatArray, level: FloatArray, lo: IntArray, hi: IntArray, fitting: BoolArray, choose: np.ufunc
) -> None:
    if fitting.shape[0] == 1:
        columns = np.flatnonzero(fitting[0])
        result[:, columns] = choose(level[:, lo[0, columns]], level[:, hi[0, columns]])
        return
    rows, columns = np.nonzero(fitting)
    result[rows, columns] = choose(level[rows, lo[rows, columns]], level[rows, hi[rows, columns]])


def time_of_minimum(windows: Windows) -> Vector:
    return _time_of(windows, lambda values: np.nanmin(values, axis=2, keepdims=True))


def time_of_maximum(windows: Windows) -> Vector:
    return _time_of(windows, lambda values: np.nanmax(values, axis=2, keepdims=True))


def _time_of(windows: Windows, extreme: Callable[[FloatArray], FloatArray]) -> Vector:
    """The time of the last sample that equals the extreme; of a window of nothing but NaN, of the last sample."""

    def of(cube: Cube) -> FloatArray:
        values = cube.filled(np.nan)
        empty = np.isnan(values).all(axis=2, keepdims=True)
        safe = np.where(empty, 0.0, values)
        wanted = (values == extreme(safe)) | (empty & cube.inside)
        times = np.broadcast_to(cube.times_ms, values.shape)
        return np.asarray(np.where(wanted, times, np.iinfo(np.int64).min).max(axis=2) / 1000)

    return _by_cube(windows, of)


def _by_cube(windows: Windows, function: Callable[[Cube], FloatArray], least: int = 1) -> Vector:
    values = np.full(windows.shape, np.nan)
    with np.errstate(all="ignore"):
        for cube in windows.cubes():
            values[cube.rows, cube.steps] = function(cube)
    return _vector(windows, values, least)


def variance(windows: Windows) -> Vector:
    return _by_cube(windows, _variance)


def deviation(windows: Windows) -> Vector:
    return _by_cube(windows, lambda cube: np.sqrt(_variance(cube)))


def _variance(cube: Cube) -> FloatArray:
    counts = cube.inside.sum(axis=2)
    distances = cube.filled(0.0) - cube.values[:, :, :1]  # equal values have a variance of exactly 0
    mean = _sum_last(distances if cube.whole else np.where(cube.inside, distances, 0.0)) / counts
    squares = np.square(distances - mean[:, :, np.newaxis])
    return np.asarray(_sum_last(squares if cube.whole else np.where(cube.inside, squares, 0.0)) / counts)


def _sum_last(values: FloatArray) -> FloatArray:
    """The compensated sum along the last axis."""
    flat = np.ascontiguousarray(np.moveaxis(values, 2, 0)).reshape(values.shape[2], -1)
    return compensated_sum(flat).reshape(values.shape[:2])


def quantile(windows: Windows, quantiles: FloatArray) -> Vector:
    """quantiles: one φ per step."""

    def of(cube: Cube) -> FloatArray:
        counts = np.broadcast_to(cube.inside.sum(axis=2), cube.values.shape[:2]).astype(np.float64)
        return _quantile(cube.filled(np.nan), counts, quantiles[cube.steps])

    return _by_cube(windows, of)


def _quantile(values: FloatArray, counts: FloatArray, quantiles: FloatArray) -> FloatArray:
    nans = np.isnan(values).sum(axis=2) - (values.shape[2] - counts)
    ascending = np.moveaxis(np.sort(values, axis=2), 2, 0)
    return sorted_quantile(ascending, nans, counts, quantiles)


def absolute_deviation(windows: Windows) -> Vector:
    """The median of the distances to the median; NaN where a sample is NaN."""

    def of(cube: Cube) -> FloatArray:
        counts = np.broadcast_to(cube.inside.sum(axis=2), cube.values.shape[:2]).astype(np.float64)
        half = np.full(cube.values.shape[1], 0.5)
        values = cube.filled(np.nan)
        median = _quantile(values, counts, half)
        result = _quantile(np.abs(values - median[:, :, np.newaxis]), counts, half)
        broken = (np.isnan(cube.values) & cube.inside).any(axis=2)
        return np.where(broken, np.nan, result)

    return _by_cube(windows, of)


def changes(windows: Windows) -> Vector:
    return _vector(windows, _steps_where(windows, _changed(windows.values)))


def resets(windows: Windows) -> Vector:
    return _vector(windows, _steps_where(windows, windows.values[:, 1:] < windows.values[:, :-1]))


def _changed(values: FloatArray) -> BoolArray:
    one, other = values[:, :-1], values[:, 1:]
    return np.asarray((one != other) & ~(np.isnan(one) & np.isnan(other)))


def _steps_where(windows: Windows, differs: BoolArray) -> FloatArray:
    """How often neighbours within a window differ in the way given; differs: [series, samples - 1]."""
    marks = np.zeros(windows.values.shape)
    marks[:, 1:] = differs
    return lost_within(marks, windows.lo, windows.hi)


def slope(windows: Windows) -> Vector:
    """deriv: the slope of the least-squares line, per second."""
    return _by_cube(windows, lambda cube: _regression(cube, cube.times_ms[:, :, :1])[0], least=2)


def predict(windows: Windows, at_ms: IntArray, ahead_s: FloatArray) -> Vector:
    """predict_linear: where the least-squares line stands some seconds after each step; at_ms, ahead_s: one per step."""

    def of(cube: Cube) -> FloatArray:
        rise, level = _regression(cube, at_ms[cube.steps][np.newaxis, :, np.newaxis])
        return rise * ahead_s[cube.steps] + level

    return _by_cube(windows, of, least=2)


def _regression(cube: Cube, origin_ms: IntArray) -> tuple[FloatArray, FloatArray]:
    """Slope and the value at the origin. Source: Prometheus, `linearRegression`, the same sums in the same shape."""
    inside = np.broadcast_to(cube.inside, cube.values.shape)
    counts = inside.sum(axis=2)
    x = np.where(inside, (cube.times_ms - origin_ms) / 1000, 0.0)
    y = cube.filled(0.0)
    sum_x, sum_y = _sum_last(x), _sum_last(y)
    sum_xy, sum_xx = _sum_last(x * y), _sum_last(x * x)
    rise = (sum_xy - sum_x * sum_y / counts) / (sum_xx - sum_x * sum_x / counts)
    level = sum_y / counts - rise * sum_x / counts
    start = cube.values[:, :, :1]
    constant = ((cube.values == start) | ~inside).all(axis=2)
    infinite = np.isinf(start[:, :, 0])
    flat, height = np.where(infinite, np.nan, 0.0), np.where(infinite, np.nan, start[:, :, 0])
    return np.where(constant, flat, rise), np.where(constant, height, level)


def smooth(windows: Windows, smoothing: FloatArray, trend: FloatArray) -> Vector:
    """double_exponential_smoothing (Holt's linear trend); both factors one per step, between 0 and 1.

    Raises: EvaluationError for a factor outside.
    """
    for name, factor in (("smoothing", smoothing), ("trend", trend)):
        bad = (factor <= 0) | (factor >= 1)
        if bad.any():
            letter = name[0]
            raise EvaluationError(f"invalid {name} factor. Expected: 0 < {letter}f < 1, got: {float(factor[bad][0]):f}")

    def of(cube: Cube) -> FloatArray:
        return _smoothed(cube, smoothing[cube.steps], trend[cube.steps])

    return _by_cube(windows, of, least=2)


def _smoothed(cube: Cube, smoothing: FloatArray, trend: FloatArray) -> FloatArray:
    values = cube.values
    inside = np.broadcast_to(cube.inside, values.shape)
    level = values[:, :, 0].copy()
    if values.shape[2] < 2:
        return level
    rise = values[:, :, 1] - values[:, :, 0]
    before = np.zeros_like(level)
    for sample in range(1, values.shape[2]):
        if sample > 1:
            new_rise = trend * (level - before) + (1 - trend) * rise
        else:
            new_rise = rise
        new_level = smoothing * values[:, :, sample] + (1 - smoothing) * (level + new_rise)
        here = inside[:, :, sample]
        before = np.where(here, level, before)
        rise = np.where(here, new_rise, rise)
        level = np.where(here, new_level, level)
    return level
