from __future__ import annotations

import numpy as np
import pytest

from algowatch.promql import rate
from algowatch.promql.vectors import Vector
from algowatch.promql.windows import make_windows, without_stale
from promql.series import NAN, labels, matrix

A, B = labels("a"), labels("b")


def windowed(series: dict, ends_s: list[float], range_s: float, interval_s: float = 10, start_s: float = 0):  # type: ignore[no-untyped-def]
    ends = (np.array(ends_s) * 1000).astype(np.int64)
    return make_windows(without_stale(matrix(interval_s, series, start_s)), ends - int(range_s * 1000), ends)


def rates(series: dict, ends_s: list[float], range_s: float, **more: float) -> Vector:  # type: ignore[type-arg]
    return rate.extrapolated(windowed(series, ends_s, range_s, **more), counter=True, per_second=True)


def increases(series: dict, ends_s: list[float], range_s: float, **more: float) -> Vector:  # type: ignore[type-arg]
    return rate.extrapolated(windowed(series, ends_s, range_s, **more), counter=True, per_second=False)


def test_a_window_from_edge_to_edge_is_extrapolated_by_one_interval() -> None:
    # (50, 100] holds the samples at 60 … 100: 4 intervals of growth 4, stretched to the start 10 s before the first one.
    assert increases({A: list(range(100, 200))}, [100], 50).values == pytest.approx(np.array([[4 * 50 / 40]]))


def test_the_start_is_extrapolated_by_half_an_interval_where_the_series_begins_late() -> None:
    # Samples at 100, 110, 120 in (0, 120]: 100 s to the start are more than 1.1 intervals, so 5 s count.
    assert increases({A: [50, 60, 70]}, [120], 120, start_s=100).values == pytest.approx(np.array([[20 * 25 / 20]]))


def test_a_counter_is_not_extrapolated_below_zero() -> None:
    # 1, 11, 21: the line meets zero 1 s before the first sample, nearer than half an interval.
    assert increases({A: [1, 11, 21]}, [120], 120, start_s=100).values == pytest.approx(np.array([[20 * 21 / 20]]))


def test_rate_is_increase_per_second_of_the_range() -> None:
    series = {A: [3, 5, 9, 20, 21, 40, 41]}
    ends = [20, 30, 45, 60]
    assert rates(series, ends, 35).values == pytest.approx(increases(series, ends, 35).values / 35)


def test_resets_add_what_the_counter_had() -> None:
    # 10, 20, 5, 8, 2: grows by 10, 5, 3, 2 = 20 over 40 s; stretched to 50 s.
    assert increases({A: [10, 20, 5, 8, 2]}, [40], 50).values == pytest.approx(np.array([[20 * 50 / 40]]))
    growth = increases({A: [1000, 1010, 5, 8, 2]}, [40], 50).values
    assert growth == pytest.approx(np.array([[(2 - 1000 + 1010 + 8) * 50 / 40]]))


def test_only_rows_with_a_reset_are_corrected() -> None:
    both = increases({A: [100, 110, 120, 130], B: [100, 110, 3, 13]}, [30], 40)
    assert both.values == pytest.approx(np.array([[30 * 40 / 30], [23 * 40 / 30]]))


def test_one_sample_gives_no_rate() -> None:
    result = rates({A: [1, 2, 3]}, [0, 5, 10, 20], 15)
    assert result.mask().tolist() == [[False, False, True, True]]


def test_series_with_gaps_have_windows_of_their_own() -> None:
    dense = increases({A: [1, None, 5, 9]}, [30], 40)
    alone = increases({A: [1, None, 5, 9], B: [4, 5, 6, 7]}, [30], 40)
    # Three samples over 30 s: the average distance is 15 s, so the start 10 s off is reached in full, but not below zero.
    assert dense.values[0, 0] == alone.values[0, 0] == pytest.approx(8 * (30 + 3.75) / 30)
    assert alone.values[1, 0] == pytest.approx(3 * 40 / 30)


def test_delta_knows_no_resets() -> None:
    result = rate.extrapolated(windowed({A: [10, 2]}, [10], 20), counter=False, per_second=False)
    assert result.values == pytest.approx(np.array([[-8 * 20 / 10]]))


def test_irate_and_idelta_take_the_last_two_samples() -> None:
    windows = windowed({A: [0, 100, 105], B: [7, 9, 4]}, [20], 60)
    assert rate.instant(windows, counter=True).values.tolist() == [[0.5], [0.4]]
    assert rate.instant(windows, counter=False).values.tolist() == [[5], [-5]]


def test_nan_is_no_reset() -> None:
    result = rate.instant(windowed({A: [5, NAN]}, [10], 60), counter=True)
    assert np.isnan(result.values).all()


def test_an_infinite_reset_does_not_touch_windows_that_lie_behind_it() -> None:
    values = [float("inf"), 1, 2, 3, 1, 2]
    result = increases({A: values}, [50], 30)
    # (20, 50] holds 3, 1, 2: growth 1 + 2 - 1 … = -1 + 3 over 20 s, stretched to 30 s.
    assert result.values == pytest.approx(np.array([[2 * 30 / 20]]))


def test_many_rows_give_the_same_as_one_by_one() -> None:
    generator = np.random.default_rng(7)
    growth = generator.integers(0, 5, (40, 200)) - (generator.random((40, 200)) < 0.02) * 50
    series = {labels("m", row=str(row)): np.cumsum(growth[row]) for row in range(40)}
    ends = list(range(100, 2000, 7))
    together = rates(series, ends, 120)
    for row, (name, values) in enumerate(series.items()):
        assert np.array_equal(rates({name: values}, ends, 120).values[0], together.values[row], equal_nan=True)


def test_few_and_many_resets_are_added_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    history = np.cumsum(generator.integers(0, 9, 400)) % 97 + 500.0
    gaps = [None if generator.random() < 0.1 else value for value in history.tolist()]
    for series in ({A: history.tolist()}, {A: gaps, B: history.tolist()}):
        ends = list(range(0, 4200, 13))
        one_by_one = increases(series, ends, 170)
        monkeypatch.setattr(rate, "_FEW_RESETS", 0)
        by_totals = increases(series, ends, 170)
        monkeypatch.undo()
        here = one_by_one.mask()
        assert here.any()
        assert one_by_one.values[here] == pytest.approx(by_totals.values[here], rel=1e-12)
