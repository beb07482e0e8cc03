"""The guess of what a query will touch."""

import pytest

from algowatch.promql.cost import estimate_samples
from algowatch.promql.durations import QuerySpan
from algowatch.promql.parser import parse

INSTANT = QuerySpan(3_600_000, 3_600_000, 0)
HOUR = QuerySpan(0, 3_600_000, 60_000)


@pytest.mark.parametrize(
    ("expr", "span", "samples"),
    [
        ("1 + 1", HOUR, 122),
        ("x", INSTANT, 10 * (300 + 1)),
        ("x", HOUR, 10 * (3600 + 300 + 61)),
        ("sum by (a) (rate(x[5m]))", HOUR, 10 * (3600 + 300 + 61)),
        ("x / on () group_left y", INSTANT, 2 * 10 * 301),
        ("max_over_time(x[1h:1m])", INSTANT, 10 * (3600 + 300 + 61)),
        ("-(x)", INSTANT, 10 * 301),
    ],
)
def test_samples_of_ten_series_at_one_a_second(expr, span, samples):
    assert estimate_samples(parse(expr), span, lambda matchers: 10, 300_000) == samples


def test_a_chain_as_long_as_a_text_is_walked_without_recursion():
    expr = parse(" + ".join(["x"] * 3000))
    assert estimate_samples(expr, INSTANT, lambda matchers: 1, 300_000) == 3000 * 301
