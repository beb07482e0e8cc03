from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algowatch.errors import EvaluationError, NotSupportedError, ParseError, QueryError, QueryLimitError
from algowatch.model.labels import EMPTY, Labels
from algowatch.model.staleness import STALE_NAN
from algowatch.promql.engine import QueryEngine, QueryOptions
from promql.series import NAN, Memory, labels, matrix

UP = labels("up", job="a")


def engine(*series: dict[Labels, list[float | None]], interval_s: float = 60, **options: object) -> QueryEngine:
    return QueryEngine(Memory(*(matrix(interval_s, part) for part in series)), QueryOptions(**options))  # type: ignore[arg-type]


class TestResults:
    def test_an_instant_vector(self) -> None:
        result = engine({UP: [1]}).instant("up", 0)
        assert (result.type, result.samples()) == ("vector", [(UP, 1.0)])

    def test_a_scalar_has_one_empty_label_set(self) -> None:
        result = engine().instant("1 + 2", 0)
        assert (result.type, list(result.labels), result.values.tolist()) == ("scalar", [EMPTY], [[3]])

    def test_a_string(self) -> None:
        result = engine().instant('"x"', 0)
        assert (result.type, result.text) == ("string", "x")

    def test_a_range_vector_gives_the_samples_themselves(self) -> None:
        result = engine({UP: [1, STALE_NAN, 3, NAN]}).instant("up[5m]", 180_000)
        assert result.type == "matrix"
        assert [row for part in result.matrices for row in part.labels] == [UP]
        assert result.matrices[0].timestamps_ms.tolist() == [0, 120_000, 180_000]
        assert result.matrices[0].values[0, :2].tolist() == [1, 3]

    def test_a_range_query_of_a_scalar_is_a_matrix(self) -> None:
        result = engine().range("time()", 0, 20_000, 10_000)
        assert (result.type, result.values.tolist()) == ("matrix", [[0, 10, 20]])

    def test_the_end_is_a_step_only_if_the_steps_reach_it(self) -> None:
        assert engine().range("time()", 0, 25_000, 10_000).steps_ms.tolist() == [0, 10_000, 20_000]

    def test_warnings_and_infos_carry_their_place(self) -> None:
        result = engine({UP: [1, 2]}).instant("rate(up[5m])", 60_000)
        assert result.infos == (
            'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "up" (1:6)',
        )
        result = engine({UP: [1, 2]}).instant("quantile(\n  2, up)", 0)
        assert result.warnings == ("PromQL warning: quantile value should be between 0 and 1, got 2 (2:3)",)

    def test_sorting_holds_for_instant_queries_only(self) -> None:
        source = engine({labels("up", job="a"): [1], labels("up", job="b"): [3], labels("up", job="c"): [2]})
        assert source.instant("sort_desc(up)", 0).values[:, 0].tolist() == [3, 2, 1]
        ranged = source.range("sort_desc(up)", 0, 60_000, 60_000)
        assert ranged.values[:, 0].tolist() == [1, 3, 2]
        assert "sort is ineffective for range queries" in ranged.warnings[0]


class TestErrors:
    def test_a_fault_in_the_text(self) -> None:
        with pytest.raises(ParseError):
            engine().instant("up{", 0)

    @pytest.mark.parametrize(("start", "end", "step"), [(0, 10, 0), (0, 10, -1), (10, 0, 1)])
    def test_a_range_that_is_none(self, start: int, end: int, step: int) -> None:
        with pytest.raises(QueryError) as caught:
            engine().range("up", start, end, step)
        assert caught.value.error_type == "bad_data"

    def test_a_string_has_no_range(self) -> None:
        with pytest.raises(QueryError, match="invalid expression type"):
            engine().range('"x"', 0, 10, 1)

    def test_what_this_engine_does_not_do(self) -> None:
        with pytest.raises(NotSupportedError, match="smoothed"):
            engine({UP: [1]}).instant("up[5m] smoothed", 0)

    def test_a_duration_that_comes_out_at_nothing(self) -> None:
        with pytest.raises(EvaluationError, match="duration must be greater than 0"):
            engine({UP: [1]}).instant("count_over_time(up[step()])", 0)


def test_durations_may_be_expressions_of_the_step() -> None:
    source = engine({UP: [float(value) for value in range(60)]})
    result = source.range("count_over_time(up[step() * 3])", 1_200_000, 1_800_000, 120_000)
    assert result.values.tolist() == [[6] * 6]


def test_an_expression_is_parsed_once() -> None:
    parsed = []

    def parse(text: str):  # type: ignore[no-untyped-def]
        from algowatch.promql.parser import parse as real

        parsed.append(text)
        return real(text)

    source = QueryEngine(Memory(), QueryOptions(), parse)
    source.instant("up", 0)
    source.range("up", 0, 10, 1)
    assert parsed == ["up"]


def test_threads_share_an_engine() -> None:
    source = engine({labels("x_total", row=str(row)): [row * step for step in range(100)] for row in range(20)})
    expected = source.range("sum(rate(x_total[10m]))", 0, 5_940_000, 60_000).values
    answers: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: answers.append(source.range("sum(rate(x_total[10m]))", 0, 5_940_000, 60_000).values))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(answer, expected, equal_nan=True) for answer in answers)
    assert len(answers) == 4


EXPRESSIONS = [
    "m",
    "m offset 1m",
    "m @ 300",
    "-m",
    "rate(m[3m])",
    "increase(m[3m])",
    "delta(m[150s])",
    "irate(m[3m])",
    "idelta(m[3m])",
    "rate(m[3m] anchored)",
    "rate(m[3m] smoothed)",
    "m smoothed",
    "changes(m[5m])",
    "resets(m[5m])",
    "sum_over_time(m[4m])",
    "avg_over_time(m[4m])",
    "min_over_time(m[4m])",
    "max_over_time(m[4m])",
    "stddev_over_time(m[4m])",
    "quantile_over_time(0.3, m[4m])",
    "mad_over_time(m[4m])",
    "first_over_time(m[4m])",
    "last_over_time(m[4m])",
    "count_over_time(m[4m])",
    "ts_of_max_over_time(m[4m])",
    "deriv(m[5m])",
    "predict_linear(m[5m], 60)",
    "double_exponential_smoothing(m[5m], 0.5, 0.5)",
    "absent(m)",
    "absent_over_time(m[2m])",
    "sum(m)",
    "avg by (x) (m)",
    "stddev(m)",
    "quantile(0.5, m)",
    "topk(1, m)",
    "bottomk(1, m)",
    "count_values('v', m)",
    "m + on (x) group_left sum by (x) (m)",
    "m > 2",
    "m and m > 1",
    "m unless m > 1",
    "m > 3 or m < 1",
    "sum_over_time(m[5m:1m])",
    "max_over_time(rate(m[2m])[5m:30s])",
    "timestamp(m)",
    "scalar(m)",
    "label_replace(m, 'y', '$1', 'x', '(.*)')",
    "histogram_quantile(0.5, m)",
    "clamp(m, 1, 3)",
    "hour(m)",
]

values = st.one_of(
    st.none(),
    st.floats(min_value=0, max_value=8).map(lambda value: round(value, 1)),
    st.sampled_from([NAN, math.inf, STALE_NAN]),
)
histories = st.lists(st.lists(values, min_size=15, max_size=15), min_size=1, max_size=3)


@settings(max_examples=30, deadline=None)
@given(histories)
@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_a_range_query_answers_at_each_step_what_an_instant_query_answers(expr: str, rows: list[list[float | None]]) -> None:
    series = {labels("m", x="ab"[row % 2], le=str(row), row=str(row)): history for row, history in enumerate(rows)}
    source = engine(series)
    steps = range(100_000, 900_000, 130_000)
    try:
        ranged = source.range(expr, steps.start, steps.stop, steps.step)
    except EvaluationError:
        return
    for column, at_ms in enumerate(steps):
        here = ranged.present[:, column]
        found = {row: value for row, value, there in zip(ranged.labels, ranged.values[:, column], here, strict=True) if there}
        result = source.instant(expr, at_ms)
        expected = dict(result.samples())
        assert found.keys() == expected.keys()
        for row, value in expected.items():
            assert found[row] == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), (row, at_ms)


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("expr", [*EXPRESSIONS, "time()", "-{x=~'a|b'}", "max_over_time(m[20m:10s])"])
def test_evaluating_a_long_query_in_pieces_changes_nothing(expr: str, delayed: bool) -> None:
    generator = np.random.default_rng(5)
    series: dict[Labels, list[float | None]] = {}
    for row in range(4):
        history = [None if generator.random() < 0.3 else float(generator.integers(0, 8)) for _ in range(40)]
        series[labels("m", x="ab"[row % 2], le=str(row), row=str(row))] = [None] * (row * 9) + history[: 40 - row * 9]
    at_once = engine(series, delayed_name_removal=delayed)
    in_pieces = engine(series, delayed_name_removal=delayed, span_at_once_ms=1000)
    try:
        expected = at_once.range(expr, 0, 2_400_000, 37_000)
    except EvaluationError:
        with pytest.raises(EvaluationError):
            in_pieces.range(expr, 0, 2_400_000, 37_000)
        return
    found = in_pieces.range(expr, 0, 2_400_000, 37_000)
    assert list(found.labels) == list(expected.labels)
    assert np.array_equal(found.present, expected.present)
    assert np.array_equal(found.values[found.present], expected.values[expected.present], equal_nan=True)


def test_samples_of_one_piece_do_not_count_against_the_next() -> None:
    history: list[float | None] = [1.0] * 4000
    roomy = engine({UP: history}, interval_s=1, max_samples=2000, span_at_once_ms=4_000_000)
    assert roomy.range("count_over_time(up[10s])", 10_000, 3_990_000, 10_000).values.tolist() == [[10.0] * 399]
    with pytest.raises(QueryLimitError):
        roomy.range("count_over_time(up[50m])", 3_000_000, 3_990_000, 10_000)


def test_a_subquery_of_too_many_steps_is_refused_before_it_takes_memory():
    engine = QueryEngine(lambda matchers, start_ms, end_ms: [], QueryOptions())
    with pytest.raises(QueryLimitError, match="would load too many samples"):
        engine.instant("max_over_time(vector(1)[90d:1ms])", 1_700_000_000_000)
