"""Aggregation operators: sum by (…), topk, quantile and their kin, over all steps at once.

The rows of all groups of one size are laid out as [member, group, step]; each operator reduces the first axis. Values that are
not present are filled with what leaves the result alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from algowatch.errors import EvaluationError
from algowatch.model.labels import Labels
from algowatch.promql.annotations import format_f, format_g
from algowatch.promql.grouping import Grouping, group_rows, key_function
from algowatch.promql.sampling import sampling_offsets
from algowatch.promql.sums import compensated_sum
from algowatch.promql.vectors import BoolArray, FloatArray, Vector, common_mask

_CHUNK = 1 << 16
"""Values worked on at a time, so that they stay in the cache."""

Reducer = Callable[[FloatArray, BoolArray | None, FloatArray], FloatArray]
"""(values [member, group, step], present or None, count [group, step]) → [group, step]."""


def _sums(values: FloatArray) -> FloatArray:
    members = values.shape[0]
    return compensated_sum(values.reshape(members, -1)).reshape(values.shape[1:])


def _filled(values: FloatArray, present: BoolArray | None, filler: float) -> FloatArray:
    return values if present is None else np.where(present, values, filler)


def _sum(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
    return _sums(_filled(values, present, 0.0))


def _avg(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
    known = _filled(values, present, 0.0)
    total = _sums(known)
    mean = total / count
    overflown = np.isinf(total) & np.isfinite(known).all(axis=0)
    if overflown.any():
        mean[overflown] = compensated_sum(known[:, overflown] / count[overflown])
    return mean


def _min(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
    least: FloatArray = np.fmin.reduce(_filled(values, present, np.nan), axis=0)
    return least


def _max(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
    most: FloatArray = np.fmax.reduce(_filled(values, present, np.nan), axis=0)
    return most


def _count(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
    return count.copy()


def _group(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
    return np.ones(count.shape)


def _stdvar(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
    origin = values[:1] if present is None else np.take_along_axis(values, present.argmax(axis=0)[np.newaxis], axis=0)
    distances = values - origin  # equal values have a variance of exactly 0
    squares = np.square(distances - _avg(distances, present, count))
    return _sums(_filled(squares, present, 0.0)) / count


def _stddev(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
    return np.sqrt(_stdvar(values, present, count))


REDUCERS: dict[str, Reducer] = {
    "sum": _sum,
    "avg": _avg,
    "min": _min,
    "max": _max,
    "count": _count,
    "group": _group,
    "stdvar": _stdvar,
    "stddev": _stddev,
}


def grouping_of(vector: Vector, names: tuple[str, ...], without: bool) -> Grouping:
    return group_rows(vector.labels, key_function(names, keep=not without))


def reduce_groups(vector: Vector, grouping: Grouping, reducer: Reducer, *, all_steps: bool = False) -> Vector:
    """One row per group; a step at which no member is present has no value.

    all_steps: hand the reducer all steps in one piece, and not as many as fit into the cache.
    """
    shape = (len(grouping), vector.steps)
    values, counts = np.empty(shape), np.empty(shape)
    alike = common_mask(vector.present)
    own = None if alike is not None else vector.present
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for groups, rows in grouping.by_size():
            width = vector.steps if all_steps else max(16, _CHUNK // rows.size)
            for start in range(0, vector.steps, width):
                steps = slice(start, start + width)
                members = vector.values[:, steps][rows]
                present = None if own is None else own[:, steps][rows]
                count = (
                    np.full(members.shape[1:], float(len(rows))) if present is None else present.sum(axis=0, dtype=np.float64)
                )
                counts[groups, steps] = count
                values[groups, steps] = reducer(members, present, count)
    some = counts > 0 if alike is None else np.broadcast_to(alike, shape)
    return Vector(grouping.keys, values, None if some.all() else some).occupied()


def quantile_reducer(quantiles: FloatArray) -> Reducer:
    """quantiles: one φ per step. Interpolates between neighbours; NaN sorts below all numbers, as in Prometheus."""

    def reduce(values: FloatArray, present: BoolArray | None, count: FloatArray) -> FloatArray:
        missing = _filled(values, present, np.nan)
        nans = np.isnan(missing).sum(axis=0) - (values.shape[0] - count)
        return sorted_quantile(np.sort(missing, axis=0), nans, count, quantiles)

    return reduce


def sorted_quantile(ascending: FloatArray, nans: FloatArray, count: FloatArray, quantiles: FloatArray) -> FloatArray:
    """The quantile of values sorted along the first axis, with `nans` of the `count` values being NaN and standing last."""
    usable = np.where(np.isnan(quantiles), 0.0, np.clip(quantiles, 0.0, 1.0))
    rank = usable * (count - 1)
    below = np.maximum(0.0, np.floor(rank))
    above = np.minimum(count - 1, below + 1)
    weight = rank - np.floor(rank)
    with np.errstate(invalid="ignore"):
        result = _nth(ascending, nans, below) * (1 - weight) + _nth(ascending, nans, above) * weight
    result = np.where(quantiles < 0, -np.inf, np.where(quantiles > 1, np.inf, result))
    return np.where(np.isnan(quantiles), np.nan, result)


def _nth(ascending: FloatArray, nans: FloatArray, rank: FloatArray) -> FloatArray:
    """The value of some rank where NaN comes first."""
    place = np.maximum(rank - nans, 0).astype(np.int64)
    found = np.take_along_axis(ascending, place[np.newaxis], axis=0)[0]
    return np.where(rank < nans, np.nan, found)


def selected(vector: Vector, grouping: Grouping, op: str, params: FloatArray) -> Vector:
    """topk, bottomk, limitk, limit_ratio: the chosen rows keep all their labels. params: k or the ratio, one per step."""
    keep = np.zeros(vector.values.shape, bool)
    for _, rows in grouping.by_size():
        present = vector.mask()[rows]
        if op == "limit_ratio":
            offsets = sampling_offsets([vector.labels[row] for row in rows.ravel().tolist()]).reshape(rows.shape)
            offset = offsets[:, :, np.newaxis]
            keep[rows] = np.where(params >= 0, offset < params, offset >= 1 + params)
        elif op == "limitk":
            keep[rows] = np.cumsum(present, axis=0) <= params
        else:
            keep[rows] = _ranks(vector.values[rows], present, largest=op == "topk") < params
    chosen = vector.only_where(keep)
    if op in ("topk", "bottomk") and vector.steps == 1:
        return _in_order(chosen, grouping, largest=op == "topk")
    return chosen.occupied()


def _ranks(values: FloatArray, present: BoolArray, largest: bool) -> np.ndarray:
    """The place of each member in its group, best first; NaN behind all numbers, what is not present behind NaN."""
    keys = -values if largest else values
    order = np.lexsort((keys, np.isnan(values), ~present), axis=0)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(values.shape[0])[:, np.newaxis, np.newaxis], axis=0)
    return ranks


def _in_order(vector: Vector, grouping: Grouping, largest: bool) -> Vector:
    here = np.flatnonzero(vector.mask()[:, 0])
    values = vector.values[here, 0]
    order = np.lexsort((-values if largest else values, np.isnan(values), grouping.of_row[here]))
    rows = vector.rows(here[order])
    return Vector(rows.labels, rows.values, None, rows.unnamed, ordered=True)


def check_count(params: FloatArray) -> None:
    """Raises: EvaluationError where a k is no whole number that fits."""
    if np.isnan(params).any():
        raise EvaluationError("Parameter value is NaN")
    if params.min() <= -(2.0**63):
        raise EvaluationError(f"Scalar value {format_g(float(params.min()))} underflows int64")
    if params.max() >= 2.0**63:
        raise EvaluationError(f"Scalar value {format_g(float(params.max()))} overflows int64")


def count_values(vector: Vector, grouping: Grouping, label: str) -> Vector:
    """How many members of each group have each value; the value becomes a label."""
    counts: dict[Labels, FloatArray] = {}
    mask = vector.mask()
    for group, rows in enumerate(grouping.rows_by_group()):
        present, values = mask[rows], vector.values[rows]
        _, columns = np.nonzero(present)
        distinct, which = np.unique(values[present], return_inverse=True)
        table = np.zeros((distinct.size, vector.steps))
        np.add.at(table, (which, columns), 1.0)
        for value, row in zip(distinct.tolist(), table, strict=True):
            labels = grouping.keys[group].with_labels({label: format_f(value)})
            counts[labels] = counts[labels] + row if labels in counts else row
    values = np.array(list(counts.values())).reshape(len(counts), vector.steps)
    return Vector(list(counts), values, values > 0)
