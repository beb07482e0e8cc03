from __future__ import annotations

import pytest

from algowatch.model.labels import Labels, Matcher
from algowatch.model.staleness import is_stale
from algowatch.testing.series_notation import LoadedSeries, MemorySeries, parse_labels, parse_points

ALL = [Matcher("__name__", "=~", ".+")]


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1 2.5 -3", [1, 2.5, -3]),
        ("1x3", [1, 1, 1, 1]),
        ("0+10x2", [0, 10, 20]),
        ("5-2x2", [5, 3, 1]),
        ("-1e1+.5x1", [-10, -9.5]),
        ("_ 1 _x2", [None, 1, None, None]),
        ("Inf -inf", [float("inf"), float("-inf")]),
    ],
)
def test_points_expand_as_prometheus_documents(text: str, points: list[float | None]) -> None:
    assert parse_points(text) == points


def test_stale_is_the_staleness_marker() -> None:
    first, last = parse_points("stale NaN")
    assert first is not None
    assert last is not None
    assert (is_stale(first), is_stale(last)) == (True, False)


@pytest.mark.parametrize("text", ["1+", "x", "{{count:1}}", "1x-2"])
def test_wrong_points_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a series of points"):
        parse_points(text)


def test_labels_are_read_with_quoted_names_and_any_quotes() -> None:
    labels, rest = parse_labels('a:b{x="1 }", "my.label"=\'2\'}  1 2')
    assert labels == Labels.of({"__name__": "a:b", "x": "1 }", "my.label": "2"})
    assert rest == "1 2"
    assert parse_labels('{"my.metric"} 1')[0] == Labels.of(__name__="my.metric")
    assert parse_labels("{} 1")[0] == Labels.of()


def test_line_that_is_no_series_is_refused() -> None:
    with pytest.raises(ValueError, match="not a series"):
        parse_labels("= 1")
    with pytest.raises(ValueError, match="not a label set"):
        parse_labels('a{x!="1"} 1')


def test_series_of_one_load_share_their_timestamps() -> None:
    memory = MemorySeries([LoadedSeries.read("a 1 _ 3", 1000), LoadedSeries.read("b 4", 1000)])
    (matrix,) = memory.select(ALL, 0, 10_000)
    assert matrix.timestamps_ms.tolist() == [0, 2000]
    assert matrix.present is not None
    assert matrix.present.tolist() == [[True, True], [True, False]]
    assert matrix.values[0].tolist() == [1, 3]


def test_series_continued_by_another_load_stands_in_one_matrix() -> None:
    memory = MemorySeries(
        [LoadedSeries.read("a 1 2", 1000), LoadedSeries.read("a _ _ _ 9", 2000), LoadedSeries.read("b 1", 1000)]
    )
    found = memory.select([Matcher("__name__", "=", "a")], 0, 10_000)
    assert [matrix.timestamps_ms.tolist() for matrix in found] == [[0, 1000, 6000]]


def test_select_includes_both_ends_and_leaves_out_series_without_samples() -> None:
    memory = MemorySeries([LoadedSeries.read("a 1 2 3", 1000), LoadedSeries.read("b 1 _ _", 1000)])
    (matrix,) = memory.select(ALL, 1000, 2000)
    assert [labels.metric_name for labels in matrix.labels] == ["a"]
    assert matrix.timestamps_ms.tolist() == [1000, 2000]
    assert memory.select(ALL, 2001, 5000) == []


def test_reading_a_native_histogram_is_noticed_in_its_span_only() -> None:
    memory = MemorySeries([LoadedSeries.read("a 1 {{schema:0 sum:1 count:1}}x1 4", 1000)])
    memory.select(ALL, 0, 999)
    assert not memory.histograms_read()
    memory.select(ALL, 2000, 2000)
    assert memory.histograms_read()
    (matrix,) = memory.select(ALL, 0, 9000)
    assert matrix.timestamps_ms.tolist() == [0, 3000]


def test_load_with_nhcb_also_makes_a_native_histogram_without_the_suffix() -> None:
    memory = MemorySeries([LoadedSeries.read('a_bucket{le="1"} 1', 1000, with_nhcb=True)])
    memory.select([Matcher("__name__", "=", "a_bucket")], 0, 0)
    assert not memory.histograms_read()
    memory.select([Matcher("__name__", "=", "a")], 0, 0)
    assert memory.histograms_read()
