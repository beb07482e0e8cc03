from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algowatch.errors import EvaluationError, NotSupportedError
from algowatch.model.labels import Labels
from algowatch.model.protocols import QueryResult
from algowatch.promql.engine import QueryEngine
from algowatch.promql.functions import FUNCTIONS
from algowatch.promql.histograms import bucket_fraction, bucket_quantile
from algowatch.promql.ordering import natural_less
from algowatch.promql.signatures import RENAMED, SIGNATURES
from promql.series import NAN, Memory, labels, matrix

INF = math.inf


def ask(expr: str, at_s: float, *series: dict[Labels, list[float | None]], interval_s: float = 60) -> QueryResult:
    return QueryEngine(Memory(*(matrix(interval_s, part) for part in series))).instant(expr, int(at_s * 1000))


def values(expr: str, at_s: float, *series: dict[Labels, list[float | None]], interval_s: float = 60) -> dict[Labels, float]:
    return dict(ask(expr, at_s, *series, interval_s=interval_s).samples())


def one(expr: str, history: list[float | None], at_s: float | None = None) -> float:
    """The only value of an expression over the series m with a sample a minute."""
    end = (len(history) - 1) * 60 if at_s is None else at_s
    [(_, value)] = ask(expr, end, {labels("m"): history}).samples()
    return value


def test_every_function_that_parses_is_there() -> None:
    assert FUNCTIONS.keys() == {RENAMED.get(name, name) for name in SIGNATURES} - {"integral"}


def test_a_function_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(NotSupportedError, match=r"integral\(\) is not supported"):
        one("integral(m[5m])", [1, 2])


class TestOverTime:
    @pytest.mark.parametrize(
        ("expr", "expected"),
        [
            ("sum_over_time(m[4m])", 3 + 1 + 4 + 1),
            ("avg_over_time(m[4m])", 9 / 4),
            ("min_over_time(m[4m])", 1),
            ("max_over_time(m[4m])", 4),
            ("count_over_time(m[4m])", 4),
            ("first_over_time(m[4m])", 3),
            ("last_over_time(m[4m])", 1),
            ("present_over_time(m[4m])", 1),
            ("stdvar_over_time(m[4m])", (0.75**2 + 1.25**2 + 1.75**2 + 1.25**2) / 4),
            ("quantile_over_time(0.5, m[4m])", 2),
            ("quantile_over_time(0.9, m[4m])", 3.7),
            ("mad_over_time(m[4m])", 1),
            ("ts_of_first_over_time(m[4m])", 60),
            ("ts_of_last_over_time(m[4m])", 240),
            ("ts_of_max_over_time(m[4m])", 180),
            ("ts_of_min_over_time(m[4m])", 240),
            ("changes(m[4m])", 3),
            ("resets(m[4m])", 2),
        ],
    )
    def test_looks_at_the_samples_after_the_left_edge(self, expr: str, expected: float) -> None:
        assert one(expr, [99, 3, 1, 4, 1]) == pytest.approx(expected)

    def test_min_and_max_prefer_numbers_to_nan(self) -> None:
        assert one("max_over_time(m[5m])", [NAN, 2, NAN, 1]) == 2
        assert math.isnan(one("min_over_time(m[2m])", [5, NAN, NAN]))

    def test_sums_are_compensated(self) -> None:
        assert one("sum_over_time(m[5m])", [1, 1e100, 1, -1e100]) == 2
        assert one("avg_over_time(m[5m])", [1, 1e100, 1, -1e100]) == 0.5
        assert one("avg_over_time(m[5m])", [1.7e308, 1.7e308]) == pytest.approx(1.7e308)

    def test_an_infinity_before_the_window_does_not_touch_it(self) -> None:
        assert one("sum_over_time(m[2m])", [INF, NAN, 3, 4]) == 7
        assert one("deriv(m[2m])", [INF, NAN, 3, 4]) == pytest.approx(1 / 60)

    def test_deriv_and_predict_linear_follow_a_line(self) -> None:
        line = [7 + 0.5 * 60 * minute for minute in range(10)]
        assert one("deriv(m[5m])", line) == pytest.approx(0.5)
        assert one("predict_linear(m[5m], 3600)", line) == pytest.approx(line[-1] + 0.5 * 3600)
        assert one("deriv(m[5m])", [4.0] * 10) == 0
        assert math.isnan(one("deriv(m[5m])", [INF] * 10))

    def test_double_exponential_smoothing_by_hand(self) -> None:
        # s1 = 1, b = 2; then 0.5·3 + 0.5·(1+2) = 3; b = 0.5·(3−1) + 0.5·2 = 2; then 0.5·9 + 0.5·(3+2) = 7.
        assert one("double_exponential_smoothing(m[5m], 0.5, 0.5)", [1, 3, 9]) == pytest.approx(7)

    @pytest.mark.parametrize(("expr", "word"), [("m[5m], 0, 0.5", "smoothing"), ("m[5m], 0.5, 1", "trend")])
    def test_smoothing_factors_lie_between_0_and_1(self, expr: str, word: str) -> None:
        with pytest.raises(EvaluationError, match=f"invalid {word} factor"):
            one(f"double_exponential_smoothing({expr})", [1, 3, 9])

    def test_anchored_rates_begin_with_the_sample_before_the_range(self) -> None:
        assert one("increase(m[2m] anchored)", [0, 10, 25, 45]) == 35
        assert one("increase(m[2m] anchored)", [0, 10, 3, 45]) == 3 + 42
        assert one("rate(m[2m] anchored)", [0, 10, 25, 45]) == pytest.approx(35 / 120)
        assert one("delta(m[2m] anchored)", [0, 10, 3, 5]) == -5

    def test_smoothed_rates_interpolate_at_both_edges(self) -> None:
        history: list[float | None] = [0, 60, 120, 240, 360]
        # From 30 s (value 30) to 150 s (value 180).
        assert one("increase(m[2m] smoothed)", history, at_s=150) == pytest.approx(150)
        assert one("m smoothed", history, at_s=150) == pytest.approx(180)


class TestOfOneNumber:
    @pytest.mark.parametrize(
        ("expr", "value", "expected"),
        [
            ("abs(m)", -2.5, 2.5),
            ("ceil(m)", 1.2, 2),
            ("floor(m)", -1.2, -2),
            ("round(m)", 2.5, 3),
            ("round(m)", -2.5, -2),
            ("round(m, 0.1)", 0.27, 0.3),
            ("sgn(m)", -7, -1),
            ("sqrt(m)", 16, 4),
            ("exp(m)", 1, math.e),
            ("ln(m)", math.e, 1),
            ("ln(m)", 0, -INF),
            ("log2(m)", 8, 3),
            ("log10(m)", 1000, 3),
            ("deg(m)", math.pi, 180),
            ("rad(m)", 180, math.pi),
            ("sin(m)", math.pi / 2, 1),
            ("acosh(m)", math.cosh(2), 2),
            ("clamp(m, 0, 3)", 7, 3),
            ("clamp_min(m, 9)", 7, 9),
            ("clamp_max(m, 3)", 7, 3),
        ],
    )
    def test_computes(self, expr: str, value: float, expected: float) -> None:
        assert one(expr, [value]) == pytest.approx(expected)

    def test_clamp_with_crossed_bounds_gives_nothing(self) -> None:
        assert values("clamp(m, 3, 0)", 0, {labels("m"): [1]}) == {}


class TestAbsent:
    def test_builds_labels_from_equality_matchers_given_once(self) -> None:
        assert values('absent(nothing{job="a", x=~"b.*", y="1", y="2"})', 0) == {labels(job="a"): 1}
        assert values('absent_over_time(nothing{job="a"}[5m])', 0) == {labels(job="a"): 1}

    def test_is_empty_where_something_is(self) -> None:
        assert values("absent(m)", 0, {labels("m"): [1]}) == {}
        assert values("absent_over_time(m[5m])", 60, {labels("m"): [1]}) == {}


class TestScalarAndTime:
    def test_scalar_of_one_series_and_of_more(self) -> None:
        assert ask("scalar(m)", 0, {labels("m"): [4]}).values.tolist() == [[4]]
        assert np.isnan(ask("scalar(m)", 0, {labels("m", x="1"): [4], labels("m", x="2"): [5]}).values).all()

    def test_timestamp_is_the_samples_own_unless_it_went_through_something(self) -> None:
        assert one("timestamp(m)", [1, 2], at_s=119) == 60
        assert one("timestamp(m + 0)", [1, 2], at_s=119) == 119


class TestDates:
    @given(st.integers(-2_000_000_000, 4_000_000_000))
    def test_agree_with_the_standard_librarys_calendar(self, second: int) -> None:
        moment = datetime.fromtimestamp(second, UTC)
        following = datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)
        expected = {
            "year": moment.year,
            "month": moment.month,
            "day_of_month": moment.day,
            "day_of_week": moment.isoweekday() % 7,
            "day_of_year": moment.timetuple().tm_yday,
            "hour": moment.hour,
            "minute": moment.minute,
            "days_in_month": (following - datetime(moment.year, moment.month, 1, tzinfo=UTC)).days,
        }
        for name, value in expected.items():
            assert one(f"{name}(m)", [float(second)]) == value

    def test_without_an_argument_take_the_time_of_the_step(self) -> None:
        assert values("hour()", 7 * 3600 + 59) == {Labels(): 7}


class TestLabels:
    def test_label_replace_fills_in_groups(self) -> None:
        source = {labels("m", src="alpha-7"): [1.0]}
        assert values("label_replace(m, 'dst', '$2 of ${1}x', 'src', '(.*)-(.*)')", 0, source) == {
            labels("m", src="alpha-7", dst="7 of alphax"): 1
        }

    def test_label_replace_leaves_what_does_not_match_as_a_whole(self) -> None:
        source = {labels("m", src="alpha"): [1.0]}
        assert values("label_replace(m, 'dst', 'x', 'src', 'alph')", 0, source) == {labels("m", src="alpha"): 1}
        assert values("label_replace(m, 'src', '', 'src', '.*')", 0, source) == {labels("m"): 1}

    def test_label_replace_may_not_make_two_series_one(self) -> None:
        source = {labels("m", x="1"): [1.0], labels("m", x="2"): [2.0]}
        with pytest.raises(EvaluationError, match="same labelset"):
            values("label_replace(m, 'x', 'same', 'x', '.*')", 0, source)

    def test_label_replace_names_a_wrong_pattern(self) -> None:
        with pytest.raises(EvaluationError, match=r"invalid regular expression in label_replace\(\): \("):
            values("label_replace(m, 'x', '', 'x', '(')", 0)

    def test_label_join(self) -> None:
        source = {labels("m", a="1", b="2"): [1.0]}
        assert values("label_join(m, 'c', '-', 'a', 'b', 'none')", 0, source) == {labels("m", a="1", b="2", c="1-2-"): 1}


class TestOrder:
    def test_sort_by_label_counts_digits_as_numbers(self) -> None:
        source = {labels("m", host=f"h{number}"): [1.0] for number in (10, 2, 1)}
        found = ask("sort_by_label(m, 'host')", 0, source)
        assert [row.get("host") for row in found.labels] == ["h1", "h2", "h10"]
        found = ask("sort_by_label_desc(m, 'host')", 0, source)
        assert [row.get("host") for row in found.labels] == ["h10", "h2", "h1"]

    def test_sort_puts_nan_last_both_ways(self) -> None:
        source = {labels("m", x=str(value)): [value] for value in (2.0, NAN, 1.0)}
        assert ask("sort(m)", 0, source).values[:2, 0].tolist() == [1, 2]
        assert ask("sort_desc(m)", 0, source).values[:2, 0].tolist() == [2, 1]

    def test_natural_order(self) -> None:
        assert natural_less("a2b", "a10")
        assert not natural_less("a10", "a2b")
        assert natural_less("a", "ab")


LATENCY = {
    labels("h_bucket", le=bound): [count] for bound, count in {"0.1": 10.0, "0.5": 30.0, "1": 40.0, "+Inf": 50.0}.items()
}


class TestHistograms:
    @pytest.mark.parametrize(
        ("quantile", "expected"),
        [
            (0.1, 0.05),
            (0.2, 0.1),
            (0.5, 0.1 + 0.4 * 15 / 20),
            (0.7, 0.75),
            (0.9, 1.0),
            (1, 1.0),
            (-1, -INF),
            (2, INF),
            (0, 0.0),
        ],
    )
    def test_quantiles_interpolate_within_a_bucket(self, quantile: float, expected: float) -> None:
        assert values(f"histogram_quantile({quantile}, h_bucket)", 0, LATENCY) == {Labels(): pytest.approx(expected)}

    def test_several_quantiles_get_a_label(self) -> None:
        assert values("histogram_quantiles(h_bucket, 'q', 0.1, 1)", 0, LATENCY) == {
            labels(q="0.1"): pytest.approx(0.05),
            labels(q="1.0"): 1.0,
        }

    def test_fraction_is_the_inverse(self) -> None:
        assert values("histogram_fraction(0, 0.4, h_bucket)", 0, LATENCY) == {Labels(): pytest.approx(25 / 50)}
        assert values("histogram_fraction(0.1, +Inf, h_bucket)", 0, LATENCY) == {Labels(): pytest.approx(40 / 50)}

    def test_without_a_bucket_to_infinity_there_is_no_answer(self) -> None:
        part = {row: counts for row, counts in LATENCY.items() if row.get("le") != "+Inf"}
        assert math.isnan(values("histogram_quantile(0.5, h_bucket)", 0, part)[Labels()])

    def test_counts_that_fall_are_mended_and_mentioned(self) -> None:
        broken = {**LATENCY, labels("h_bucket", le="0.5"): [4.0]}
        result = ask("histogram_quantile(0.5, h_bucket)", 0, broken)
        # 10, 10, 40, 50: rank 25 lies in (0.5, 1].
        assert result.samples() == [(Labels(), pytest.approx(0.5 + 0.5 * 15 / 30))]
        assert result.infos[0].startswith("PromQL info: input to histogram_quantile needed to be fixed for monotonicity")
        assert ", from buckets 0.5 to 0.5, with a max diff of 6, over 1 samples" in result.infos[0]

    def test_a_bound_that_is_no_number_is_left_out_with_a_warning(self) -> None:
        odd = {**LATENCY, labels("h_bucket", le="wide"): [4.0]}
        result = ask("histogram_quantile(0.2, h_bucket)", 0, odd)
        assert result.samples() == [(Labels(), pytest.approx(0.1))]
        assert result.warnings == (
            'PromQL warning: bucket label "le" is missing or has a malformed value of "wide" for metric name "h_bucket" (1:25)',
        )

    def test_a_missing_bucket_counts_only_at_the_steps_where_it_is_missing(self) -> None:
        series: dict[Labels, list[float | None]] = {
            labels("h_bucket", le="1"): [10.0, 10.0],
            labels("h_bucket", le="2"): [20.0, None],
            labels("h_bucket", le="+Inf"): [20.0, 20.0],
        }
        source = QueryEngine(Memory(matrix(600, series)))
        found = source.range("histogram_quantile(0.75, h_bucket)", 0, 600_000, 600_000)
        assert found.values.tolist() == [[1.5, 1.0]]

    @given(
        st.lists(st.integers(0, 100), min_size=3, max_size=8),
        # Bounds a hundredth apart at least: between neighbours of float64 the way there and back loses too many digits.
        st.lists(st.integers(1, 1000).map(lambda hundredths: hundredths / 100), min_size=8, max_size=8, unique=True),
        st.floats(0.01, 0.99),
    )
    def test_fraction_below_a_quantile_is_the_quantile(self, added: list[int], bounds: list[float], share: float) -> None:
        limits = np.array([*sorted(bounds)[: len(added) - 1], INF])
        counts = np.cumsum(np.array(added, float))[np.newaxis, :, np.newaxis]
        if counts[0, -1, 0] == 0 or share * counts[0, -1, 0] > counts[0, -2, 0]:
            return
        quantile = bucket_quantile(np.array([share]), limits, counts)[0]
        assert bucket_fraction(np.array([-INF]), quantile, limits, counts)[0, 0] >= share - 1e-9


class TestInfo:
    BASE = labels("m", instance="i", job="j")
    TARGET = labels("target_info", instance="i", job="j", version="2", region="eu")

    def test_adds_the_labels_of_the_target(self) -> None:
        source = {self.BASE: [1.0], self.TARGET: [1.0]}
        assert values("info(m)", 0, source) == {labels("m", instance="i", job="j", version="2", region="eu"): 1}

    def test_adds_only_the_labels_asked_for(self) -> None:
        source = {self.BASE: [1.0], self.TARGET: [1.0]}
        assert values('info(m, {version=~".+"})', 0, source) == {labels("m", instance="i", job="j", version="2"): 1}

    def test_leaves_out_a_series_without_a_label_that_is_demanded(self) -> None:
        assert values('info(m, {version=~".+"})', 0, {self.BASE: [1.0]}) == {}
        assert values("info(m)", 0, {self.BASE: [1.0]}) == {self.BASE: 1}
