from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algowatch.model.labels import Labels
from algowatch.promql.aggregate import REDUCERS, count_values, grouping_of, quantile_reducer, reduce_groups, selected
from algowatch.promql.sampling import xxh64
from algowatch.promql.sums import compensated_sum, window_sums
from algowatch.promql.vectors import Vector
from promql.series import NAN, labels

ROWS = [labels("m", side=side, symbol=symbol) for side in ("BUY", "SELL") for symbol in ("A", "B", "C")]


def vector(values: list[list[float | None]]) -> Vector:
    present = np.array([[value is not None for value in row] for row in values])
    numbers = np.array([[0.0 if value is None else value for value in row] for row in values])
    return Vector(ROWS[: len(values)], numbers, None if present.all() else present)


def aggregated(op: str, source: Vector, *names: str, without: bool = False) -> dict[Labels, list[float]]:
    result = reduce_groups(source, grouping_of(source, names, without), REDUCERS[op])
    mask = result.mask()
    return {
        row: [value if here else None for value, here in zip(numbers, there, strict=True)]  # type: ignore[misc]
        for row, numbers, there in zip(result.labels, result.values.tolist(), mask.tolist(), strict=True)
    }


SIX = vector([[1.0], [2.0], [3.0], [10.0], [20.0], [60.0]])
BUY, SELL = labels(side="BUY"), labels(side="SELL")


@pytest.mark.parametrize(
    ("op", "buy", "sell"),
    [
        ("sum", 6, 90),
        ("avg", 2, 30),
        ("min", 1, 10),
        ("max", 3, 60),
        ("count", 3, 3),
        ("group", 1, 1),
        ("stdvar", 2 / 3, 1400 / 3),
        ("stddev", math.sqrt(2 / 3), math.sqrt(1400 / 3)),
    ],
)
def test_reduces_each_group(op: str, buy: float, sell: float) -> None:
    result = aggregated(op, SIX, "side")
    assert result[BUY] == pytest.approx([buy])
    assert result[SELL] == pytest.approx([sell])


def test_without_drops_the_names_given_and_the_metric_name() -> None:
    assert aggregated("sum", SIX, "symbol", without=True) == {BUY: [6], SELL: [90]}


def test_groups_of_different_sizes_and_missing_values() -> None:
    source = vector([[1, None], [2, 2], [None, None], [5, None]])
    assert aggregated("sum", source, "side") == {BUY: [3, 2], SELL: [5, None]}
    assert aggregated("count", source, "side") == {BUY: [2, 1], SELL: [1, None]}
    assert aggregated("max", source, "side") == {BUY: [2, 2], SELL: [5, None]}


def test_min_and_max_prefer_numbers_to_nan() -> None:
    source = vector([[NAN, NAN], [1, NAN]])
    result = aggregated("max", source)[Labels()]
    assert result[0] == 1
    assert math.isnan(result[1])


def test_sums_keep_what_plain_addition_loses() -> None:
    source = vector([[1.0], [1e100], [1.0], [-1e100]])
    assert aggregated("sum", source) == {Labels(): [2]}
    assert aggregated("avg", source) == {Labels(): [0.5]}


def test_avg_of_numbers_whose_sum_overflows() -> None:
    source = vector([[1.7e308], [1.7e308], [1.7e308]])
    assert aggregated("avg", source)[Labels()] == pytest.approx([1.7e308])
    assert aggregated("sum", source) == {Labels(): [math.inf]}


def test_infinities_of_both_signs_give_nan() -> None:
    assert math.isnan(aggregated("sum", vector([[math.inf], [-math.inf]]))[Labels()][0])
    assert aggregated("sum", vector([[math.inf], [1]])) == {Labels(): [math.inf]}


def test_quantile_interpolates_and_sorts_nan_first() -> None:
    source = vector([[1, NAN], [2, 4], [4, 8]])
    result = reduce_groups(source, grouping_of(source, (), False), quantile_reducer(np.array([0.75, 0.75])))
    assert result.values.tolist() == [[3, 6]]


@pytest.mark.parametrize(("quantile", "expected"), [(-0.1, -math.inf), (1.1, math.inf), (0, 1), (1, 60)])
def test_quantile_at_and_beyond_its_bounds(quantile: float, expected: float) -> None:
    result = reduce_groups(SIX, grouping_of(SIX, (), False), quantile_reducer(np.array([quantile])))
    assert result.values.tolist() == [[expected]]


def test_topk_of_an_instant_comes_best_first_and_keeps_labels() -> None:
    result = selected(SIX, grouping_of(SIX, (), False), "topk", np.array([2.0]))
    assert result.values.tolist() == [[60], [20]]
    assert list(result.labels) == [ROWS[5], ROWS[4]]


def test_bottomk_by_group_puts_nan_last() -> None:
    source = vector([[NAN], [5.0], [3.0], [7.0]])
    result = selected(source, grouping_of(source, ("side",), False), "bottomk", np.array([2.0]))
    assert result.values.tolist() == [[3], [5], [7]]


def test_topk_chooses_at_each_step() -> None:
    source = vector([[1, 9, None], [2, 8, 4]])
    result = selected(source, grouping_of(source, (), False), "topk", np.array([1.0, 1.0, 1.0]))
    assert result.mask().tolist() == [[False, True, False], [True, False, True]]


def test_limitk_takes_the_first_that_are_there() -> None:
    source = vector([[None, 1], [2, 2], [3, 3]])
    result = selected(source, grouping_of(source, (), False), "limitk", np.array([1.0, 1.0]))
    assert dict(zip(result.labels, result.mask().tolist(), strict=True)) == {
        ROWS[0]: [False, True],
        ROWS[1]: [True, False],
    }


def test_limit_ratio_and_its_complement_share_the_series_out() -> None:
    rows = [labels("m", row=str(row)) for row in range(200)]
    source = Vector(rows, np.ones((200, 1)))
    grouping = grouping_of(source, (), False)
    some = set(selected(source, grouping, "limit_ratio", np.array([0.3])).labels)
    rest = set(selected(source, grouping, "limit_ratio", np.array([-0.7])).labels)
    assert some | rest == set(rows)
    assert not some & rest
    assert 30 < len(some) < 90


def test_xxh64_agrees_with_its_published_vectors() -> None:
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"a") == 0xD24EC4F1A98C6E5B
    assert xxh64(b"abc") == 0x44BC2CF5AD770999
    assert xxh64(b"Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1


def test_count_values_makes_a_label_of_each_value() -> None:
    source = vector([[1, 2.5], [1, None], [2.5, 2.5]])
    result = count_values(source, grouping_of(source, (), False), "version")
    found = dict(zip(result.labels, zip(result.values.tolist(), result.mask().tolist(), strict=True), strict=True))
    assert found == {labels(version="1"): ([2, 0], [True, False]), labels(version="2.5"): ([1, 2], [True, True])}


numbers = st.floats(min_value=-1e12, max_value=1e12)


@given(st.lists(numbers, min_size=1, max_size=60))
def test_compensated_sum_is_the_correctly_rounded_sum(values: list[float]) -> None:
    exact = math.fsum(values)
    assert compensated_sum(np.array(values)[:, np.newaxis])[0] == pytest.approx(exact, rel=1e-15, abs=1e-15)


@given(st.lists(numbers, min_size=1, max_size=40), st.data())
def test_window_sums_are_the_sums_of_their_windows(values: list[float], data: st.DataObject) -> None:
    edges = st.integers(0, len(values))
    windows = data.draw(st.lists(st.tuples(edges, edges).map(sorted), min_size=1, max_size=8))
    lo, hi = (np.array([[window[side] for window in windows]]) for side in (0, 1))
    found = window_sums(np.array([values, values[::-1]]), lo, hi)
    for place, (start, end) in enumerate(windows):
        assert found[0, place] == pytest.approx(math.fsum(values[start:end]), rel=1e-15, abs=1e-15)
        assert found[1, place] == pytest.approx(math.fsum(values[::-1][start:end]), rel=1e-15, abs=1e-15)


@given(st.lists(st.one_of(numbers, st.none()), min_size=6, max_size=6))
def test_sums_by_group_add_up_to_the_sum(column: list[float | None]) -> None:
    source = vector([[value] for value in column])
    whole = aggregated("sum", source)
    parts = [row[0] for row in aggregated("sum", source, "side").values()]
    if whole:
        assert math.fsum(parts) == pytest.approx(whole[Labels()][0], rel=1e-12, abs=1e-3)
    else:
        assert parts == []
