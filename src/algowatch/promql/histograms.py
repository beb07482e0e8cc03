"""Classic histograms: histogram_quantile, histogram_quantiles and histogram_fraction over series with the label `le`.

Series that differ only in `le` form one histogram. Histograms with the same bounds are calculated together, as
[histogram, bucket, step]. Source: Prometheus, `BucketQuantile`, `BucketFraction`, `ensureMonotonicAndIgnoreSmallDeltas`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from algowatch.model.labels import Labels
from algowatch.promql.annotations import MendedCounts, format_g
from algowatch.promql.nodes import Call, Expr
from algowatch.promql.vectors import BoolArray, FloatArray, IntArray, Value, Vector, concatenate, drop_names, empty_vector

if TYPE_CHECKING:
    from algowatch.promql.evaluate import Evaluator

_SMALL_DELTA = 1e-12
_SMALLEST_NORMAL = 2.2250738585072014e-308


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Histograms of the same bounds, at the steps at which they have all these buckets.

    histograms: which rows of the result these are; steps: which steps; counts: float64 [histogram, bucket, step].
    """

    histograms: IntArray
    steps: IntArray
    bounds: FloatArray
    counts: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Histograms:
    """The histograms among some series: the labels of each, and their buckets as rows of the vector, by rising bound."""

    vector: Vector
    labels: list[Labels]
    rows: list[list[int]]
    bounds: list[tuple[float, ...]]
    names: list[str]

    def blocks(self) -> Iterator[_Block]:
        alike: dict[tuple[float, ...], list[int]] = {}
        for histogram, bounds in enumerate(self.bounds):
            alike.setdefault(bounds, []).append(histogram)
        for bounds, members in alike.items():
            rows = np.array([self.rows[histogram] for histogram in members])
            yield from self._by_presence(np.array(members), rows, np.array(bounds))

    def _by_presence(self, members: IntArray, rows: IntArray, bounds: FloatArray) -> Iterator[_Block]:
        every_step = np.arange(self.vector.steps)
        present = None if self.vector.present is None else self.vector.present[rows]
        whole = np.ones(len(members), bool) if present is None else present.all(axis=(1, 2))
        if whole.any():
            yield _coalesced(members[whole], every_step, bounds, self.vector.values[rows[whole]])
        for place in np.flatnonzero(~whole).tolist():
            assert present is not None
            patterns, which = np.unique(present[place], axis=1, return_inverse=True)
            for number in range(patterns.shape[1]):
                there = np.flatnonzero(patterns[:, number])
                steps = np.flatnonzero(which.ravel() == number)
                if len(there):
                    counts = self.vector.values[np.ix_(rows[place][there], steps)][np.newaxis]
                    yield _coalesced(members[place : place + 1], steps, bounds[there], counts)


def _coalesced(histograms: IntArray, steps: IntArray, bounds: FloatArray, counts: FloatArray) -> _Block:
    """Buckets of the same bound (`1` and `1.0`) are added up."""
    starts = np.flatnonzero(np.concatenate([[True], bounds[1:] != bounds[:-1]]))
    if len(starts) < len(bounds):
        counts = np.add.reduceat(counts, starts, axis=1)
    return _Block(histograms, steps, bounds[starts], counts)


def _collect(evaluator: Evaluator, expr: Expr) -> _Histograms:
    vector = evaluator.vector(expr).occupied()
    buckets: dict[Labels, list[tuple[float, int]]] = {}
    for row, labels in enumerate(vector.labels):
        bound = _bound(labels.get("le"))
        if bound is None:
            evaluator.query.annotations.bad_bucket(labels.metric_name, labels.get("le"), expr.span)
            continue
        buckets.setdefault(labels.without(("le",)), []).append((bound, row))
    for found in buckets.values():
        found.sort()
    rows = [[row for _, row in found] for found in buckets.values()]
    bounds = [tuple(bound for bound, _ in found) for found in buckets.values()]
    return _Histograms(vector, list(buckets), rows, bounds, [labels.metric_name for labels in buckets])


def _bound(text: str) -> float | None:
    if not text or not text.isascii() or "_" in text or any(character.isspace() for character in text):
        return None
    try:
        return float(text)
    except ValueError:
        return None


Calculation = Callable[[_Block], FloatArray]
"""One value per histogram and step of a block."""


def _calculated(histograms: _Histograms, calculate: Calculation) -> Vector:
    shape = (len(histograms.labels), histograms.vector.steps)
    values, present = np.full(shape, np.nan), np.zeros(shape, bool)
    for block in histograms.blocks():
        place = np.ix_(block.histograms, block.steps)
        values[place] = calculate(block)
        present[place] = True
    return Vector(histograms.labels, values, None if present.all() else present)


@np.errstate(all="ignore")
def bucket_quantile(quantiles: FloatArray, bounds: FloatArray, counts: FloatArray) -> FloatArray:
    """The quantile of histograms whose counts rise; quantiles: one per step.

    Within a bucket values are taken as evenly spread; the lowest one begins at 0 if its bound is above 0; in the highest one
    the answer is the bound below it. NaN where there are fewer than two buckets, no bucket to infinity, or no observation.
    """
    buckets = len(bounds)
    if buckets < 2 or not math.isinf(bounds[-1]) or bounds[-1] < 0:
        return np.full((counts.shape[0], counts.shape[2]), np.nan)
    total = counts[:, -1]
    rank = quantiles * total
    place = (~(counts[:, :-1] >= rank[:, np.newaxis])).sum(axis=1)
    below_place = np.maximum(place - 1, 0)
    start = np.where(place > 0, bounds[below_place], 0.0)
    below = np.where(place > 0, _counts_at(counts, below_place), 0.0)
    inside = _counts_at(counts, place) - below
    result = start + (bounds[place] - start) * ((rank - below) / inside)
    if bounds[0] <= 0:
        result = np.where(place == 0, bounds[0], result)
    result = np.where(place == buckets - 1, bounds[-2], result)
    return np.where(total == 0, np.nan, result)


def _counts_at(counts: FloatArray, place: IntArray) -> FloatArray:
    return np.take_along_axis(counts, place[:, np.newaxis], axis=1)[:, 0]


def _outside(quantiles: FloatArray, result: FloatArray) -> FloatArray:
    result = np.where(quantiles < 0, -np.inf, np.where(quantiles > 1, np.inf, result))
    return np.where(np.isnan(quantiles), np.nan, result)


class _Monotonic:
    """Makes counts rise with the bounds, and remembers where more than rounding had to be mended."""

    def __init__(self, quantiles: FloatArray, names: Sequence[str], steps_ms: IntArray) -> None:
        self._asked = (quantiles >= 0) & (quantiles <= 1)
        self._names = names
        self._steps_ms = steps_ms
        self.mended: dict[tuple[str, int, int], MendedCounts] = {}

    @np.errstate(all="ignore")
    def mend(self, block: _Block) -> FloatArray:
        rises = np.diff(block.counts, axis=1)
        tiny = (rises != 0) & (np.abs(rises) <= 4 * _SMALL_DELTA * np.abs(block.counts[:, 1:]))
        if not (rises < 0).any() and not tiny.any():
            return block.counts
        counts = block.counts.copy()
        before = counts[:, 0].copy()
        for bucket in range(1, counts.shape[1]):
            here = counts[:, bucket]
            same = (here == before) | _almost_equal(before, here)
            falls = (here < before) & ~same
            self._note(block, bucket, falls, before - here)
            counts[:, bucket] = np.where(same | falls, before, here)
            before = counts[:, bucket].copy()
        return counts

    def _note(self, block: _Block, bucket: int, falls: BoolArray, differences: FloatArray) -> None:
        usable = len(block.bounds) >= 2 and math.isinf(block.bounds[-1])
        falls = falls & self._asked[block.steps]
        if not usable or not falls.any():
            return
        bound = float(block.bounds[bucket])
        for place, step in zip(*(found.tolist() for found in np.nonzero(falls)), strict=True):
            histogram, at = int(block.histograms[place]), int(block.steps[step])
            key = (self._names[histogram], histogram, at)
            at_ms = int(self._steps_ms[at])
            here = MendedCounts(at_ms, at_ms, bound, bound, float(differences[place, step]), 1)
            before = self.mended.get(key)
            self.mended[key] = here if before is None else replace(before.merged(here), samples=1)


def _almost_equal(one: FloatArray, other: FloatArray) -> BoolArray:
    total = np.abs(one) + np.abs(other)
    difference = np.abs(one - other)
    near_zero = (one == 0) | (other == 0) | (total < _SMALLEST_NORMAL)
    relative = difference / np.minimum(total, np.finfo(np.float64).max) < _SMALL_DELTA
    return np.where(near_zero, difference < _SMALL_DELTA * _SMALLEST_NORMAL, relative)


def _quantile_of(evaluator: Evaluator, histograms: _Histograms, quantiles: FloatArray, expr: Expr) -> Vector:
    names = histograms.names if evaluator.delayed else [""] * len(histograms.names)
    monotonic = _Monotonic(quantiles, names, evaluator.steps_ms)

    def calculate(block: _Block) -> FloatArray:
        asked = quantiles[block.steps]
        usable = np.where((asked >= 0) & (asked <= 1), asked, 0.0)
        return _outside(asked, bucket_quantile(usable, block.bounds, monotonic.mend(block)))

    vector = _calculated(histograms, calculate)
    for (name, _, _), mended in monotonic.mended.items():
        evaluator.query.annotations.forced_monotonicity(name, mended, expr.span)
    return vector


def histogram_quantile(evaluator: Evaluator, call: Call) -> Value:
    quantiles = evaluator.scalar(call.args[0])
    evaluator.check_quantiles(quantiles, call.args[0])
    vector = _quantile_of(evaluator, _collect(evaluator, call.args[1]), quantiles, call.args[1])
    return evaluator.per_step(drop_names(vector, evaluator.delayed))


def histogram_quantiles(evaluator: Evaluator, call: Call) -> Value:
    """histogram_quantiles(v, label, φ…): one series per quantile, told apart by the label."""
    histograms = _collect(evaluator, call.args[0])
    label = evaluator.text(call.args[1])
    parts: list[Vector] = []
    for arg in call.args[2:]:
        quantiles = evaluator.scalar(arg)
        evaluator.check_quantiles(quantiles, arg)
        vector = _quantile_of(evaluator, histograms, quantiles, call.args[0])
        parts.extend(_labelled(vector, label, quantiles))
    return evaluator.per_step(drop_names(concatenate(parts, len(evaluator.steps_ms)), evaluator.delayed))


def _labelled(vector: Vector, label: str, quantiles: FloatArray) -> Iterator[Vector]:
    """The rows once for each different quantile that the steps ask for, which is one unless it is calculated."""
    for quantile in np.unique(quantiles).tolist():
        asked = np.isnan(quantiles) if math.isnan(quantile) else quantiles == quantile
        labels = [row.with_labels({label: _open_metrics(quantile)}) for row in vector.labels]
        labelled = Vector(labels, vector.values, vector.present)
        yield labelled if asked.all() else labelled.only_where(np.broadcast_to(asked, vector.values.shape))


def _open_metrics(value: float) -> str:
    text = format_g(value)
    return text if not math.isfinite(value) or "." in text or "e" in text else text + ".0"


def histogram_fraction(evaluator: Evaluator, call: Call) -> Value:
    """histogram_fraction(lower, upper, v): the share of the observations between two values."""
    lower, upper = evaluator.scalar(call.args[0]), evaluator.scalar(call.args[1])
    histograms = _collect(evaluator, call.args[2])

    def calculate(block: _Block) -> FloatArray:
        return bucket_fraction(lower[block.steps], upper[block.steps], block.bounds, block.counts)

    return evaluator.per_step(drop_names(_calculated(histograms, calculate), evaluator.delayed))


@np.errstate(all="ignore")
def bucket_fraction(lower: FloatArray, upper: FloatArray, bounds: FloatArray, counts: FloatArray) -> FloatArray:
    """The share of observations between lower and upper (one each per step), spread evenly within buckets."""
    if not math.isinf(bounds[-1]) or bounds[-1] < 0:
        return np.full((counts.shape[0], counts.shape[2]), np.nan)
    total = counts[:, -1]
    share = (_rank(upper, bounds, counts) - _rank(lower, bounds, counts)) / total
    share = np.where(lower >= upper, 0.0, share)
    return np.where((total == 0) | np.isnan(lower) | np.isnan(upper), np.nan, share)


def _rank(value: FloatArray, bounds: FloatArray, counts: FloatArray) -> FloatArray:
    """How many observations lie at or below a value; in a bucket without end, those of the buckets below it."""
    place = np.minimum(np.searchsorted(bounds, value, side="left"), len(bounds) - 1)
    first = 0.0 if bounds[0] > 0 else -np.inf
    start = np.where(place > 0, bounds[np.maximum(place - 1, 0)], first)
    below = np.where(place > 0, counts[:, np.maximum(place - 1, 0), np.arange(len(value))], 0.0)
    here = counts[:, place, np.arange(len(value))]
    rank = below + (here - below) * ((value - start) / (bounds[place] - start))
    rank = np.where(np.isinf(bounds[place]), below, rank)
    rank = np.where(np.isinf(start), here, rank)
    rank = np.where(value <= start, below, rank)
    rank = np.where(value == bounds[place], here, rank)
    return np.minimum(rank, counts[:, -1])


def _of_native_only(evaluator: Evaluator, call: Call) -> Value:
    """Numbers are no native histograms: Prometheus leaves them out, and no other samples are kept here."""
    evaluator.vector(call.args[0])
    return empty_vector(len(evaluator.steps_ms))


FUNCTIONS = {
    "histogram_quantile": histogram_quantile,
    "histogram_quantiles": histogram_quantiles,
    "histogram_fraction": histogram_fraction,
    "histogram_avg": _of_native_only,
    "histogram_count": _of_native_only,
    "histogram_stddev": _of_native_only,
    "histogram_stdvar": _of_native_only,
    "histogram_sum": _of_native_only,
}
