"""The query engine: takes the text of an expression, gives a QueryResult."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from algowatch.errors import EvaluationError, QueryError, QueryLimitError
from algowatch.model.labels import EMPTY, Labels
from algowatch.model.protocols import QueryResult, ResultType, Select, SeriesMatrix
from algowatch.promql.annotations import Annotations
from algowatch.promql.durations import QuerySpan
from algowatch.promql.evaluate import Evaluator, Query, evaluate
from algowatch.promql.functions import unwrapped
from algowatch.promql.nodes import Expr, MatrixSelector, Subquery
from algowatch.promql.parser import parse
from algowatch.promql.vectors import (
    SAME_LABELSET,
    IntArray,
    Scalar,
    Value,
    Vector,
    has_duplicates,
    merge_same_labelsets,
    without_name,
)
from algowatch.promql.windows import Windows


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """lookback_delta_ms: how old a sample an instant selector may still see.

    subquery_step_ms: the resolution of subqueries that name none. span_at_once_ms: how much time a query evaluates at once.
    delayed_name_removal: metric names go when the query ends, not at the function that drops them (Prometheus's feature flag
    `promql-delayed-name-removal`).
    """

    lookback_delta_ms: int = 300_000
    max_samples: int = 50_000_000
    max_steps: int = 11_000
    timeout_s: float = 120.0
    subquery_step_ms: int = 60_000
    span_at_once_ms: int = 86_400_000
    delayed_name_removal: bool = False
    parsed_expressions: int = 1024


DEFAULT_OPTIONS = QueryOptions()


@dataclass(slots=True)
class QueryCall:
    """What one caller wants of one query besides its expression, and what it can be told about it afterwards.

    timeout_s, lookback_delta_ms: instead of the engine's own; a longer time-out than the engine's counts as the engine's.
    cancelled: asked now and then; once it says True the query ends with a QueryTimeoutError.
    samples:   how many samples were read or made. read_s: how long it took to read them from the store, in seconds.
    """

    timeout_s: float | None = None
    lookback_delta_ms: int | None = None
    cancelled: Callable[[], bool] = lambda: False
    samples: int = 0
    read_s: float = 0.0


class QueryEngine:
    """Answers PromQL over whatever `select` reads; may be used from several threads at once.

    parse: turns text into a syntax tree; raises ParseError.
    """

    def __init__(self, select: Select, options: QueryOptions = DEFAULT_OPTIONS, parse: Callable[[str], Expr] = parse) -> None:
        self.options = options
        self._select = select
        self._parse = lru_cache(options.parsed_expressions)(parse)

    @np.errstate(all="ignore")
    def instant(self, expr_text: str, at_ms: int, call: QueryCall | None = None) -> QueryResult:
        """The answer at one moment.

        Raises: QueryError; ParseError where the text is not PromQL.
        """
        expr = self._parse(expr_text)
        with self._asked(call, expr_text, QuerySpan(at_ms, at_ms, 0)) as query:
            return self._instant(expr, at_ms, query)

    def _instant(self, expr: Expr, at_ms: int, query: Query) -> QueryResult:
        steps = np.array([at_ms], np.int64)
        bare = unwrapped(expr)
        if isinstance(bare, MatrixSelector | Subquery):
            return _raw(Evaluator(query, steps).windows(bare), steps, query)
        value = Evaluator(query, steps).evaluate(expr)
        return _result(value, steps, query, "vector")

    @np.errstate(all="ignore")
    def range(self, expr_text: str, start_ms: int, end_ms: int, step_ms: int, call: QueryCall | None = None) -> QueryResult:
        """The answer at start, start + step …, up to and including end.

        Raises: QueryError; QueryLimitError for more steps than allowed.
        """
        if step_ms <= 0:
            raise _bad_data("zero or negative query resolution step widths are not accepted. Try a positive integer")
        if end_ms < start_ms:
            raise _bad_data("end timestamp must not be before start time")
        if (end_ms - start_ms) // step_ms + 1 > self.options.max_steps:
            raise _limit(self.options.max_steps)
        expr = self._parse(expr_text)
        steps = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
        with self._asked(call, expr_text, QuerySpan(start_ms, end_ms, step_ms)) as query:
            value = evaluate(query, expr, steps)
            if isinstance(value, str):
                raise _bad_data('invalid expression type "string" for range query, must be Scalar or instant Vector')
            return _result(value, steps, query, "matrix")

    @contextlib.contextmanager
    def _asked(self, call: QueryCall | None, text: str, span: QuerySpan) -> Iterator[Query]:
        """The query of one call, which is told what it took."""
        options, call = self.options, call or QueryCall()
        query = Query(
            select=self._select,
            span=span,
            annotations=Annotations(text),
            lookback_ms=options.lookback_delta_ms if call.lookback_delta_ms is None else call.lookback_delta_ms,
            subquery_step_ms=options.subquery_step_ms,
            max_samples=options.max_samples,
            timeout_s=options.timeout_s if call.timeout_s is None else min(call.timeout_s, options.timeout_s),
            delayed_names=options.delayed_name_removal,
            span_at_once_ms=options.span_at_once_ms,
            cancelled=call.cancelled,
        )
        try:
            yield query
        finally:
            call.samples, call.read_s = query.samples, query.read_s


def _bad_data(problem: str) -> QueryError:
    error = QueryError(problem)
    error.error_type = "bad_data"
    return error


def _limit(max_steps: int) -> QueryError:
    error = QueryLimitError(
        f"exceeded maximum resolution of {max_steps:,} points per timeseries. Try decreasing the query resolution (?step=XX)"
    )
    error.error_type = "bad_data"
    return error


def _result(value: Value, steps: IntArray, query: Query, vector_type: Literal["vector", "matrix"]) -> QueryResult:
    warnings, infos = query.annotations.warnings, query.annotations.infos
    if isinstance(value, str):
        nothing = np.empty((0, len(steps)))
        return QueryResult("string", (), steps, nothing, nothing.astype(bool), text=value)
    if isinstance(value, Scalar):
        kind: ResultType = "scalar" if vector_type == "vector" else "matrix"
        values = value.values[np.newaxis, :]
        return QueryResult(kind, (EMPTY,), steps, values, np.ones(values.shape, bool), warnings=warnings, infos=infos)
    vector = _named(value).occupied()
    if vector_type == "matrix":
        vector = _sorted(vector)
    return QueryResult(vector_type, vector.labels, steps, vector.values, vector.mask(), warnings=warnings, infos=infos)


def _named(vector: Vector) -> Vector:
    """Takes off the names whose removal was delayed."""
    if vector.unnamed is None:
        return merge_same_labelsets(vector)
    labels = [
        without_name(row) if unnamed else row for row, unnamed in zip(vector.labels, vector.unnamed.tolist(), strict=True)
    ]
    return merge_same_labelsets(Vector(labels, vector.values, vector.present, None, vector.ordered))


def _sorted(vector: Vector) -> Vector:
    order = sorted(range(len(vector)), key=vector.labels.__getitem__)
    return vector.rows(order)


def _raw(windows: list[Windows], steps: IntArray, query: Query) -> QueryResult:
    """The samples themselves that an instant query for a range vector asks for."""
    matrices = [matrix for window in windows for matrix in _matrices(window)]
    labels = [row for matrix in matrices for row in matrix.labels]
    if has_duplicates(labels):
        raise EvaluationError(SAME_LABELSET)
    nothing = np.empty((0, len(steps)))
    return QueryResult(
        "matrix",
        (),
        steps,
        nothing,
        nothing.astype(bool),
        matrices=matrices,
        warnings=query.annotations.warnings,
        infos=query.annotations.infos,
    )


def _matrices(windows: Windows) -> list[SeriesMatrix]:
    names: list[Labels] = list(windows.labels)
    if windows.unnamed is not None:
        names = [without_name(row) if gone else row for row, gone in zip(names, windows.unnamed.tolist(), strict=True)]
    found = []
    for row, labels in enumerate(names):
        low, high = (int(side[0 if side.shape[0] == 1 else row, 0]) for side in (windows.lo, windows.hi))
        if high > low:
            times = windows.times_ms[0 if windows.times_ms.shape[0] == 1 else row, low:high]
            found.append(SeriesMatrix((labels,), times, windows.values[row : row + 1, low:high]))
    return found
