"""Walks the syntax tree and returns whole vectors: every node is evaluated once for all steps."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from algowatch.errors import EvaluationError, NotSupportedError, QueryLimitError, QueryTimeoutError
from algowatch.model.labels import Matcher
from algowatch.model.protocols import Select, SeriesMatrix
from algowatch.promql import aggregate, binary
from algowatch.promql.annotations import Annotations
from algowatch.promql.durations import QuerySpan, offset_ms, positive_ms
from algowatch.promql.extended import anchored_windows, smoothed_latest, smoothed_rate
from algowatch.promql.functions import FUNCTIONS, unwrapped
from algowatch.promql.grouping import Grouping
from algowatch.promql.nodes import (
    Aggregate,
    At,
    Binary,
    Call,
    Duration,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
)
from algowatch.promql.pieces import in_pieces
from algowatch.promql.vectors import (
    FloatArray,
    IntArray,
    Scalar,
    Value,
    Vector,
    concatenate,
    drop_names,
    empty_vector,
    merge_same_labelsets,
    metric_names,
    reject_same_labelsets,
    single,
)
from algowatch.promql.windows import Windows, between, latest, make_windows, without_stale


@dataclass(slots=True, eq=False)
class Query:
    """What all levels of one query share: where samples come from, its span, its limits, and what is to be said about it."""

    select: Select
    span: QuerySpan
    annotations: Annotations
    lookback_ms: int
    subquery_step_ms: int
    max_samples: int
    timeout_s: float
    delayed_names: bool
    span_at_once_ms: int = 86_400_000
    monotonic: Callable[[], float] = time.monotonic
    cancelled: Callable[[], bool] = lambda: False
    started_s: float = 0.0
    samples: int = 0
    read_s: float = 0.0
    selected: dict[tuple[tuple[Matcher, ...], int, int], Sequence[SeriesMatrix]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started_s = self.monotonic()

    @property
    def is_range(self) -> bool:
        return self.span.step_ms > 0

    def check_time(self) -> None:
        """Raises: QueryTimeoutError once the query has taken longer than it may, or nobody waits for it any more."""
        if self.cancelled():
            raise QueryTimeoutError("query was canceled in expression evaluation")
        if self.monotonic() - self.started_s > self.timeout_s:
            raise QueryTimeoutError("query timed out in expression evaluation")

    def count_samples(self, count: int) -> None:
        """Raises: QueryLimitError once the query has read or produced more samples than it may."""
        self.samples += count
        if self.samples > self.max_samples:
            raise QueryLimitError("query processing would load too many samples into memory in query execution")

    def read(self, matchers: tuple[Matcher, ...], after_ms: int, until_ms: int) -> Sequence[SeriesMatrix]:
        """The stored samples in (after, until]; asked for only once where an expression names a selector twice."""
        key = (matchers, after_ms, until_ms)
        found = self.selected.get(key)
        if found is None:
            began_s = self.monotonic()
            try:
                found = self.select(matchers, after_ms + 1, until_ms)
            except re.error as error:
                raise EvaluationError(f"error parsing regexp: {error}") from error
            self.selected[key] = found
            self.read_s += self.monotonic() - began_s
        return found


def evaluate(query: Query, expr: Expr, steps_ms: IntArray) -> Value:
    """The value of an expression at some steps, a limited span of time at once.

    Samples that were read for one span count no longer when the next one is read; what came out of it does.
    """
    kept = query.samples

    def piece(steps: IntArray) -> Value:
        nonlocal kept
        query.samples = kept
        query.selected.clear()
        value = Evaluator(query, steps).evaluate(expr)
        kept += value.values.size if isinstance(value, Vector) else len(steps)
        return value

    value = in_pieces(steps_ms, query.span_at_once_ms, piece)
    query.samples = max(query.samples, kept)
    return value


class Evaluator:
    """Evaluates expressions at some steps; a subquery evaluates its expression with steps of its own."""

    def __init__(self, query: Query, steps_ms: IntArray) -> None:
        self.query: Query = query
        self.steps_ms: IntArray = steps_ms

    @property
    def delayed(self) -> bool:
        return self.query.delayed_names

    def evaluate(self, expr: Expr) -> Value:
        """Raises: QueryError."""
        self.query.check_time()
        match expr:
            case NumberLiteral(value=value):
                return Scalar(np.full(len(self.steps_ms), value))
            case StringLiteral(value=text):
                return text
            case Paren(expr=inner):
                return self.evaluate(inner)
            case VectorSelector():
                return self.instant(expr)[0]
            case Unary():
                return self._unary(expr)
            case Binary():
                return self._binary(expr)
            case Aggregate():
                return self._aggregate(expr)
            case Call():
                return self._call(expr)
            case MatrixSelector() | Subquery():
                raise EvaluationError("a range vector cannot stand here; only functions over ranges take one")

    def _call(self, expr: Call) -> Value:
        implementation = FUNCTIONS.get(expr.func)
        if implementation is None:
            raise NotSupportedError(f"the function {expr.func}() is not supported by this engine")
        return implementation(self, expr)

    def vector(self, expr: Expr) -> Vector:
        value = self.evaluate(expr)
        assert isinstance(value, Vector), f"{expr} is no instant vector"
        return value

    def scalar(self, expr: Expr) -> FloatArray:
        """One number per step."""
        value = self.evaluate(expr)
        assert isinstance(value, Scalar), f"{expr} is no scalar"
        return value.values

    def text(self, expr: Expr) -> str:
        value = self.evaluate(expr)
        assert isinstance(value, str), f"{expr} is no string"
        return value

    def instant(self, selector: VectorSelector) -> tuple[Vector, FloatArray]:
        """The latest samples of a selector and, [series, steps], the times in seconds at which they were taken."""
        lookback = self.query.lookback_ms
        at_ms = self._reference(selector.at, selector.offset)
        parts, times = [], []
        ahead = lookback if selector.smoothed else 0
        for matrix in self._read(selector, int(at_ms.min()) - lookback, int(at_ms.max()) + ahead):
            self.query.count_samples(len(matrix.labels) * len(at_ms))
            if selector.smoothed:
                values, present, sample_ms = smoothed_latest(without_stale(matrix), at_ms, lookback)
            else:
                values, present, sample_ms = latest(matrix, at_ms, lookback)
            parts.append(Vector(matrix.labels, values, present))
            times.append(np.broadcast_to(sample_ms / 1000, values.shape))
        vector = concatenate(parts, len(at_ms))
        return vector, np.concatenate(times) if times else np.empty(vector.values.shape)

    def _read(self, selector: VectorSelector, after_ms: int, until_ms: int) -> list[SeriesMatrix]:
        found = self.query.read(selector.matchers, after_ms, until_ms)
        matrices = [between(matrix, after_ms, until_ms) for matrix in found]
        return [matrix for matrix in matrices if len(matrix.labels) and len(matrix.timestamps_ms)]

    def _reference(self, at: At | None, offset: Duration) -> IntArray:
        """The moments that a selector looks from, one per step."""
        steps = self.steps_ms
        if at is not None:
            moment = (
                {"start": self.query.span.start_ms, "end": self.query.span.end_ms}.get(at, at) if isinstance(at, str) else at
            )
            steps = np.full(len(steps), moment, np.int64)
        return steps - offset_ms(offset, self.query.span)

    def windows(self, expr: Expr) -> list[Windows]:
        """The windows of a range selector or subquery."""
        expr = unwrapped(expr)
        if isinstance(expr, MatrixSelector):
            return self._selected_windows(expr)
        assert isinstance(expr, Subquery), f"{expr} is no range vector"
        return self._subquery_windows(expr)

    def _selected_windows(self, expr: MatrixSelector) -> list[Windows]:
        selector = expr.selector
        if selector.smoothed:
            raise NotSupportedError("the modifier smoothed is supported only for rate, increase, delta and instant selectors")
        starts, ends = self._span(expr)
        before = self.query.lookback_ms if selector.anchored else 0
        windows = []
        for matrix in self._read(selector, int(starts.min()) - before, int(ends.max())):
            self.query.count_samples(matrix.values.size)
            fresh = without_stale(matrix)
            if selector.anchored:
                windows.append(anchored_windows(fresh, starts, ends, before))
            else:
                windows.append(make_windows(fresh, starts, ends))
        return windows

    def _span(self, expr: MatrixSelector) -> tuple[IntArray, IntArray]:
        ends = self._reference(expr.selector.at, expr.selector.offset)
        return ends - positive_ms(expr.range, self.query.span), ends

    def smoothed_rates(self, expr: MatrixSelector, *, counter: bool, per_second: bool) -> Vector:
        """rate, increase or delta of a range whose values at its edges are interpolated."""
        starts, ends = self._span(expr)
        around = self.query.lookback_ms
        parts = []
        for matrix in self._read(expr.selector, int(starts.min()) - around, int(ends.max()) + around):
            self.query.count_samples(matrix.values.size)
            fresh = without_stale(matrix)
            parts.append(smoothed_rate(fresh, starts, ends, around, counter=counter, per_second=per_second))
        return concatenate(parts, len(self.steps_ms)).occupied()

    def _subquery_windows(self, expr: Subquery) -> list[Windows]:
        span = self.query.span
        ends = self._reference(expr.at, expr.offset)
        starts = ends - positive_ms(expr.range, span)
        step = self.query.subquery_step_ms if expr.step is None else positive_ms(expr.step, span)
        first = (int(starts.min()) // step + 1) * step
        self.query.count_samples(max(0, (int(ends.max()) - first) // step + 1))
        inner_steps = np.arange(first, int(ends.max()) + 1, step, dtype=np.int64)
        if not len(inner_steps):
            return []
        value = evaluate(self.query, expr.expr, inner_steps)
        vector = single(value.values) if isinstance(value, Scalar) else value
        assert isinstance(vector, Vector)
        vector = vector.occupied()
        if not len(vector):
            return []
        matrix = SeriesMatrix(vector.labels, inner_steps, vector.values, vector.present)
        return [make_windows(matrix, starts, ends, vector.unnamed)]

    def over_windows(self, expr: Expr, function: Callable[[Windows], Vector], *, keep_name: bool = False) -> Vector:
        """A function over a range applied to all series; the metric name goes unless it is to be kept."""
        parts = []
        for windows in self.windows(expr):
            self.query.count_samples(len(windows.labels) * len(self.steps_ms))
            parts.append(function(replace(windows, check=self.query.check_time)))
        vector = concatenate(parts, len(self.steps_ms)).occupied()
        return vector if keep_name else self.unnamed_ranges(vector)

    def unnamed_ranges(self, vector: Vector) -> Vector:
        """The result of a function over ranges without its metric names, which must tell no two series apart."""
        one_name = len(metric_names(vector.labels)) <= 1  # then no two series differ in it alone
        vector = drop_names(vector, self.delayed)
        return vector if self.delayed or one_name else reject_same_labelsets(vector)

    def per_step(self, vector: Vector) -> Vector:
        """The result of a function over instant vectors, whose names may just have gone; rows of the same labels are joined."""
        return vector if self.delayed else merge_same_labelsets(vector)

    def _unary(self, expr: Unary) -> Value:
        value = self.evaluate(expr.expr)
        if isinstance(value, str) or expr.op == "+":
            return value
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        return self.per_step(drop_names(replace(value, values=-value.values), self.delayed))

    def _binary(self, expr: Binary) -> Value:
        lhs, rhs = self.evaluate(expr.lhs), self.evaluate(expr.rhs)
        if isinstance(lhs, Scalar) and isinstance(rhs, Scalar):
            return Scalar(binary.calculate(expr.op, lhs.values, rhs.values))
        if expr.op in binary.TRIM_OPERATORS:
            return self._trimmed(expr)
        if isinstance(lhs, Vector) and isinstance(rhs, Vector):
            assert expr.matching is not None
            if expr.op in binary.SET_OPERATORS:
                return binary.set_operation(expr.op, lhs, rhs, expr.matching)
            return self.per_step(binary.vector_operation(expr.op, lhs, rhs, expr.matching, expr.return_bool, self.delayed))
        vector, scalar = (lhs, rhs) if isinstance(lhs, Vector) else (rhs, lhs)
        assert isinstance(vector, Vector)
        assert isinstance(scalar, Scalar)
        result = binary.with_scalar(
            expr.op,
            vector,
            scalar.values,
            scalar_first=isinstance(lhs, Scalar),
            return_bool=expr.return_bool,
            delayed=self.delayed,
        )
        return self.per_step(result)

    def _trimmed(self, expr: Binary) -> Vector:
        """The trim operators cut histograms; with numbers alone there is nothing to cut, which Prometheus notes."""
        self.query.annotations.incompatible_types("float", expr.op, "float", expr.span)
        return empty_vector(len(self.steps_ms))

    def _aggregate(self, expr: Aggregate) -> Vector:
        vector = self.vector(expr.expr)
        grouping = aggregate.grouping_of(vector, expr.grouping, expr.without)
        if expr.op == "count_values":
            assert expr.param is not None
            return aggregate.count_values(vector, grouping, self.text(expr.param))
        if expr.op in aggregate.REDUCERS:
            return aggregate.reduce_groups(vector, grouping, aggregate.REDUCERS[expr.op])
        assert expr.param is not None
        params = self.scalar(expr.param)
        if expr.op == "quantile":
            self.check_quantiles(params, expr.param)
            return aggregate.reduce_groups(vector, grouping, aggregate.quantile_reducer(params), all_steps=True)
        return self._select_rows(expr.op, vector, grouping, params, expr.param)

    def _select_rows(self, op: str, vector: Vector, grouping: Grouping, params: FloatArray, param: Expr) -> Vector:
        if op == "limit_ratio":
            if np.isnan(params).any():
                raise EvaluationError("Ratio value is NaN")
            for worst, bound in ((params.max(), 1.0), (params.min(), -1.0)):
                if worst * bound > 1:
                    self.query.annotations.invalid_ratio(float(worst), bound, param.span)
            params = np.clip(params, -1.0, 1.0)
        else:
            if params.max() < 1:
                return vector.rows([])
            aggregate.check_count(params)
            params = np.trunc(params)
        return aggregate.selected(vector, grouping, op, params)

    def check_quantiles(self, quantiles: FloatArray, expr: Expr) -> None:
        """Warn of quantiles outside 0 … 1, once of each kind."""
        if np.isnan(quantiles).any():
            self.query.annotations.invalid_quantile(float("nan"), expr.span)
        known = quantiles[~np.isnan(quantiles)]
        if known.size and known.max() > 1:
            self.query.annotations.invalid_quantile(float(known.max()), expr.span)
        if known.size and known.min() < 0:
            self.query.annotations.invalid_quantile(float(known.min()), expr.span)
