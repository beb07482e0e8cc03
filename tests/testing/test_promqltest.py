from __future__ import annotations

import pytest

from algowatch.promql.engine import QueryEngine
from algowatch.testing.promqltest import Case, ScriptError, SkipCase, read_script
from algowatch.testing.promqltest_compare import almost_equal

LOAD = """
load 1m
  orders{side="BUY"} 0+60x10
  orders{side="SELL"} 0+120x10
  histogram {{schema:0 sum:1 count:1}}x10
"""


def cases(script: str) -> list[Case]:
    return list(read_script(LOAD + script, "some.test"))


def run(script: str) -> None:
    (case,) = cases(script)
    case.run(QueryEngine)


def difference(script: str) -> str:
    with pytest.raises(AssertionError) as raised:
        run(script)
    return str(raised.value)


@pytest.mark.parametrize(
    "script",
    [
        'eval instant at 5m orders\n  orders{side="BUY"} 300\n  orders{side="SELL"} 600',
        'eval instant at 5m rate(orders[5m])\n  {side="BUY"} 1.0000001\n  {side="SELL"} 2',
        "eval instant at 5m 1 + 1\n  2",
        'eval instant at 5m "text"\n  expect string `text`',
        "eval instant at 5m nothing",
        'eval instant at 5m sort_desc(orders)\n  expect ordered\n  orders{side="SELL"} 600\n  orders{side="BUY"} 300',
        'eval_ordered instant at 5m sort(orders)\n  orders{side="BUY"} 300\n  orders{side="SELL"} 600',
        'eval range from 0 to 2m step 1m orders{side="BUY"}\n  orders{side="BUY"} 0 60 120',
        'eval range from 9m to 16m step 1m orders{side="BUY"}\n  orders{side="BUY"} 540 600 600 600 600 600 _ _',
        'eval instant at 2m orders{side="BUY"}[2m]\n  expect range vector from 1m to 2m step 1m\n  orders{side="BUY"} 60 120',
        'eval instant at 5m ceil({__name__=~"orders"} + on(side) group_left orders @ )\n  expect fail',
        "eval_fail instant at 5m orders + on() orders",
        "eval instant at 5m orders + on() orders\n  expect fail regex: many-to-many matching not allowed",
        "eval instant at 5m nonsense(\n  expect fail msg: 1:10: parse error: unclosed left parenthesis",
        "eval instant at 5m range()\n  0",
        "eval instant at 5m quantile(2, orders)\n  expect warn\n  expect no_info\n  {} +Inf",
    ],
)
def test_case_that_holds_passes(script: str) -> None:
    run(script)


def test_wrong_value_is_shown_beside_the_expected_one() -> None:
    assert difference('eval instant at 5m orders\n  orders{side="BUY"} 301\n  orders{side="SELL"} 600') == (
        'some.test:6: orders\norders{side="BUY"}: expected 301.0, got 300.0'
    )


def test_missing_and_unexpected_series_are_listed() -> None:
    text = difference('eval instant at 5m orders\n  orders{side="BUY"} 300\n  orders{side="HOLD"} 1')
    assert text.splitlines()[1:] == ['missing: orders{side="HOLD"} 1.0', 'unexpected: orders{side="SELL"} 600.0']


def test_wrong_order_is_a_difference_only_where_order_is_expected() -> None:
    body = '  orders{side="SELL"} 600\n  orders{side="BUY"} 300'
    run("eval instant at 5m sort(orders)\n" + body)
    assert "order: expected orders" in difference("eval instant at 5m sort(orders)\n  expect ordered\n" + body)


def test_range_query_is_compared_step_by_step() -> None:
    text = difference('eval range from 0 to 2m step 1m orders{side="BUY"}\n  orders{side="BUY"} 0 60 _')
    assert "expected {0: 0.0, 60000: 60.0}" in text
    assert "got      {0: 0.0, 60000: 60.0, 120000: 120.0}" in text


def test_success_where_failure_is_expected_is_a_difference() -> None:
    assert "expected the query to fail" in difference("eval instant at 5m orders\n  expect fail")


def test_another_failure_than_expected_is_a_difference() -> None:
    text = difference("eval instant at 5m orders(\n  expect fail msg: another text")
    assert "expected failure: another text" in text


def test_unexpected_failure_is_a_difference() -> None:
    assert 'the query failed: 1:1: parse error: unknown function with name "nonsense"' in difference(
        "eval instant at 5m nonsense()"
    )


@pytest.mark.parametrize(
    ("expect", "text"),
    [
        ("no_warn", "expected no_warn, got"),
        ("warn msg: another text", "expected warn annotation 'another text', got"),
        ("info", "expected info annotation '(any)', got []"),
    ],
)
def test_annotations_that_do_not_fit_are_a_difference(expect: str, text: str) -> None:
    assert text in difference(f"eval instant at 5m quantile(2, orders)\n  expect {expect}\n  {{}} +Inf")


def test_instant_query_must_give_the_same_amid_a_range() -> None:
    """An engine that answers range queries with nothing is found out by an instant case."""

    class Forgetful(QueryEngine):
        def range(self, expr_text: str, start_ms: int, end_ms: int, step_ms: int):  # type: ignore[no-untyped-def]
            return super().range("nothing", start_ms, end_ms, step_ms)

    (case,) = cases('eval instant at 5m orders{side="BUY"}\n  orders{side="BUY"} 300')
    with pytest.raises(AssertionError, match="as the middle of a range query"):
        case.run(Forgetful)


@pytest.mark.parametrize("script", ["eval instant at 5m histogram\n", "eval instant at 5m orders\n  orders {{count:1}}"])
def test_native_histograms_skip_the_case(script: str) -> None:
    with pytest.raises(SkipCase, match="uses native histograms"):
        run(script)


def test_clear_forgets_what_was_loaded_and_loads_add_up() -> None:
    first, second, third = cases(
        "eval instant at 0 count(orders)\n  {} 2\n\nload 1m\n  orders 1\n\neval instant at 0 count(orders)\n  {} 3\n"
        "clear\neval instant at 0 count(orders)\n"
    )
    for case in (first, second, third):
        case.run(QueryEngine)
    assert [case.id for case in (first, second, third)] == ["some.test:6", "some.test:12", "some.test:15"]


def test_script_that_is_not_in_the_language_names_the_line() -> None:
    with pytest.raises(ScriptError, match=r"some.test:6: not a command: 'eval sometimes up'"):
        cases("eval sometimes up")


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [(1.0, 1.000001, True), (1.0, 1.00001, False), (0.0, 1e-12, False), (float("nan"), float("nan"), True),
     (float("inf"), float("inf"), True), (float("inf"), 1e308, False), (-1.0, 1.0, False)],
)  # fmt: skip
def test_values_may_differ_by_a_millionth_of_their_sum(left: float, right: float, equal: bool) -> None:
    assert almost_equal(left, right) is equal
