from __future__ import annotations

import math

import numpy as np
import pytest

from algowatch.errors import EvaluationError, QueryLimitError, QueryTimeoutError
from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import QueryResult
from algowatch.model.staleness import STALE_NAN
from algowatch.promql.annotations import Annotations
from algowatch.promql.durations import QuerySpan
from algowatch.promql.engine import QueryEngine, QueryOptions
from algowatch.promql.evaluate import Evaluator, Query
from algowatch.promql.nodes import Aggregate, Call, Expr, MatrixSelector, NumberLiteral, Subquery, Unary, VectorSelector
from promql.series import NAN, Memory, labels, matrix


def selector(name: str, offset_s: float = 0, at: int | None = None) -> VectorSelector:
    return VectorSelector(name, (Matcher("__name__", "=", name),), int(offset_s * 1000), at)


def over(name: str, range_s: float, offset_s: float = 0) -> MatrixSelector:
    return MatrixSelector(selector(name, offset_s), int(range_s * 1000))


def engine(memory: Memory, expr: Expr, **options: object) -> QueryEngine:
    return QueryEngine(memory, QueryOptions(**options), lambda _: expr)  # type: ignore[arg-type]


def instant(memory: Memory, expr: Expr, at_s: float) -> dict[Labels, float]:
    return dict(engine(memory, expr).instant("", int(at_s * 1000)).samples())


def in_range(memory: Memory, expr: Expr, start_s: int, end_s: int, step_s: int) -> QueryResult:
    return engine(memory, expr).range("", start_s * 1000, end_s * 1000, step_s * 1000)


UP = labels("up", job="a")


class TestInstantSelectors:
    def test_sees_the_latest_sample_within_the_lookback(self) -> None:
        memory = Memory(matrix(60, {UP: [1, 2, 3]}))
        assert instant(memory, selector("up"), 119) == {UP: 2}
        assert instant(memory, selector("up"), 120) == {UP: 3}
        assert instant(memory, selector("up"), 120 + 299) == {UP: 3}

    def test_leaves_out_a_sample_exactly_as_old_as_the_lookback(self) -> None:
        memory = Memory(matrix(60, {UP: [1]}))
        assert instant(memory, selector("up"), 300) == {}

    def test_sees_nothing_behind_a_staleness_marker(self) -> None:
        memory = Memory(matrix(60, {UP: [1, STALE_NAN, None, 4]}))
        assert instant(memory, selector("up"), 59) == {UP: 1}
        assert instant(memory, selector("up"), 61) == {}
        assert instant(memory, selector("up"), 121) == {}
        assert instant(memory, selector("up"), 180) == {UP: 4}

    def test_keeps_a_nan_that_is_no_marker(self) -> None:
        memory = Memory(matrix(60, {UP: [NAN]}))
        assert math.isnan(instant(memory, selector("up"), 1)[UP])

    def test_looks_back_past_samples_that_one_series_lacks(self) -> None:
        other = labels("up", job="b")
        memory = Memory(matrix(60, {UP: [1, 2, 3], other: [7, None, None]}))
        assert instant(memory, selector("up"), 121) == {UP: 3, other: 7}

    def test_offset_and_at_move_the_moment(self) -> None:
        memory = Memory(matrix(60, {UP: [1, 2, 3]}))
        assert instant(memory, selector("up", offset_s=60), 120) == {UP: 2}
        assert instant(memory, selector("up", offset_s=-60), 60) == {UP: 3}
        assert instant(memory, selector("up", at=60_000), 5000) == {UP: 2}

    def test_range_query_has_gaps_where_nothing_is_seen(self) -> None:
        memory = Memory(matrix(60, {UP: [1, STALE_NAN, 3]}))
        result = in_range(memory, selector("up"), 0, 180, 60)
        assert result.present.tolist() == [[True, False, True, True]]
        assert result.values[result.present].tolist() == [1, 3, 3]

    def test_reads_no_more_than_the_steps_can_see(self) -> None:
        memory = Memory(matrix(60, {UP: [1]}))
        in_range(memory, selector("up"), 600, 900, 60)
        assert memory.reads == [(300_001, 900_000)]


class TestSubqueries:
    def test_inner_steps_are_multiples_of_the_resolution_and_leave_out_the_left_edge(self) -> None:
        memory = Memory(matrix(10, {UP: list(range(100))}))
        expr = Call("count_over_time", (Subquery(selector("up"), 60_000, 30_000),))
        assert instant(memory, expr, 120) == {labels(job="a"): 2}
        assert instant(memory, expr, 121) == {labels(job="a"): 2}
        values = Call("sum_over_time", (Subquery(selector("up"), 60_000, 30_000),))
        assert instant(memory, values, 121) == {labels(job="a"): 9 + 12}

    def test_a_subquery_of_a_scalar_is_one_series(self) -> None:
        expr = Call("sum_over_time", (Subquery(NumberLiteral(2.0), 300_000, 60_000),))
        assert instant(Memory(), expr, 600) == {Labels(): 10.0}

    def test_a_subquery_keeps_gaps(self) -> None:
        memory = Memory(matrix(60, {UP: [1, STALE_NAN, None, 4, 5]}))
        expr = Call("count_over_time", (Subquery(selector("up"), 300_000, 60_000),))
        assert instant(memory, expr, 240) == {labels(job="a"): 3}


class TestNames:
    def test_minus_drops_the_name_and_plus_keeps_it(self) -> None:
        memory = Memory(matrix(60, {UP: [1]}))
        assert instant(memory, Unary("-", selector("up")), 0) == {labels(job="a"): -1}
        assert instant(memory, Unary("+", selector("up")), 0) == {UP: 1}

    def test_two_series_that_become_the_same_are_an_error(self) -> None:
        memory = Memory(matrix(60, {labels("a_total", x="1"): [1, 2], labels("b_total", x="1"): [3, 4]}))
        both = VectorSelector("", (Matcher("x", "=", "1"),))
        with pytest.raises(EvaluationError, match="vector cannot contain metrics with the same labelset"):
            instant(memory, Call("rate", (MatrixSelector(both, 120_000),)), 60)
        with pytest.raises(EvaluationError, match="vector cannot contain metrics with the same labelset"):
            instant(memory, Call("abs", (both,)), 60)

    def test_series_that_take_turns_become_one(self) -> None:
        memory = Memory(matrix(60, {labels("a", x="1"): [1, STALE_NAN, None], labels("b", x="1"): [None, 3, 4]}))
        both = VectorSelector("", (Matcher("x", "=", "1"),))
        result = in_range(memory, Call("abs", (both,)), 0, 120, 60)
        assert list(result.labels) == [labels(x="1")]
        assert result.values.tolist() == [[1, 3, 4]]

    def test_delayed_removal_lets_an_aggregation_group_by_name(self) -> None:
        memory = Memory(matrix(60, {labels("a_total", x="1"): [0, 60], labels("b_total", x="1"): [0, 120]}))
        rates = Call("rate", (MatrixSelector(VectorSelector("", (Matcher("x", "=", "1"),)), 120_000),))
        by_name = Aggregate("sum", rates, grouping=("__name__",))
        delayed = engine(memory, by_name, delayed_name_removal=True).instant("", 60_000)
        assert {row.metric_name for row in delayed.labels} == {"a_total", "b_total"}
        with pytest.raises(EvaluationError, match="same labelset"):
            engine(memory, rates, delayed_name_removal=True).instant("", 60_000)


class TestLimits:
    def test_too_many_samples(self) -> None:
        memory = Memory(matrix(1, {UP: [1.0] * 100}))
        with pytest.raises(QueryLimitError, match="too many samples"):
            engine(memory, over_sum(), max_samples=50).instant("", 99_000)

    def test_too_many_steps(self) -> None:
        with pytest.raises(QueryLimitError, match="exceeded maximum resolution of 11,000 points"):
            engine(Memory(), selector("up")).range("", 0, 11_000_000, 1000)
        engine(Memory(), selector("up")).range("", 0, 10_999_000, 1000)

    def test_timeout(self) -> None:
        with pytest.raises(QueryTimeoutError):
            engine(Memory(), selector("up"), timeout_s=-1.0).instant("", 0)

    def test_the_clock_is_looked_at_while_a_function_works(self) -> None:
        memory = Memory(matrix(1, {labels("up", row=str(row)): [1.0] * 400 for row in range(400)}))
        ticks = iter(range(1000))
        query = Query(
            memory,
            QuerySpan(0, 399_000, 1000),
            Annotations(),
            lookback_ms=300_000,
            subquery_step_ms=60_000,
            max_samples=10**9,
            timeout_s=4.0,
            delayed_names=False,
            monotonic=lambda: float(next(ticks)),
        )
        with pytest.raises(QueryTimeoutError):
            Evaluator(query, np.arange(0, 399_001, 1000)).evaluate(Call("stddev_over_time", (over("up", 100),)))
        assert next(ticks) < 10


def over_sum() -> Expr:
    return Call("sum_over_time", (over("up", 100),))


def test_results_of_range_queries_are_sorted_by_labels() -> None:
    memory = Memory(matrix(60, {labels("up", job=job): [1] for job in "cab"}))
    result = in_range(memory, selector("up"), 0, 60, 60)
    assert [row.get("job") for row in result.labels] == ["a", "b", "c"]
    assert np.array_equal(result.values, np.ones((3, 2)))
