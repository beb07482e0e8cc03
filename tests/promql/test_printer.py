from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algowatch.errors import ParseError
from algowatch.promql.parser import parse
from algowatch.promql.printer import pretty, to_text


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("SUM(a)By(b,c)", "sum by (b, c) (a)"),
        ("sum(a)without()", "sum without () (a)"),
        ("topk(3,a)", "topk(3, a)"),
        ('a{ b = "c",d=~`e\\d`, }', 'a{b="c",d=~"e\\\\d"}'),
        ('{"my.metric","a b"="c"}', '{"my.metric","a b"="c"}'),
        ('{"plain"}', "plain"),
        ('{"on"}', '{"on"}'),
        ("a[300]offset 1m@10", "a[5m] @ 10.000 offset 1m"),
        ("a[5m:]", "a[5m:]"),
        ("a[5m+step():1m]", "a[300 + step():1m]"),
        ("a offset -(1m*2)", "a offset (-(60 * 2))"),
        ("a[5m]smoothed", "a[5m] smoothed"),
        ("a>bool on(b)group_left c", "a > bool on (b) group_left () c"),
        ("a+fill_left(1)fill_right(-2)b", "a + fill_left (1) fill_right (-2) b"),
        ("12.34e6", "1.234e+07"),
        ("1e-7+100000+5m", "1e-07 + 100000 + 5m"),
        ("5.960464477539063e-08", "5.960464477539063e-08"),
        ("inf", "+Inf"),
        ("inf^2", "Inf ^ 2"),
        ("((1))", "((1))"),
        ("'it\\'s'", '"it\'s"'),
    ],
)
def test_expression_is_written_as_prometheus_writes_it(text: str, printed: str) -> None:
    assert to_text(parse(text)) == printed
    assert parse(printed) == parse(text)


def test_short_expression_stays_on_one_line_with_sorted_matchers() -> None:
    assert pretty(parse('rate(a{z="1",b="2"}[5m])>1')) == 'rate(a{b="2",z="1"}[5m]) > 1'


def test_long_expression_is_split_as_format_query_splits_it() -> None:
    # What `/api/v1/format_query` of Prometheus 2.42 answers.
    text = (
        'histogram_quantile(0.99, sum by (le, broker) (rate(broker_api_latency_seconds_bucket{broker="ib"}[5m]))) > 0.5'
        ' and on (broker) -(broker_connection_status{broker=~"ib|paper"} + '
        'broker_connection_status{broker="simulated_number_one"}) == 1'
    )
    assert pretty(parse(text)) == (
        "    histogram_quantile(\n"
        "      0.99,\n"
        '      sum by (le, broker) (rate(broker_api_latency_seconds_bucket{broker="ib"}[5m]))\n'
        "    )\n"
        "  >\n"
        "    0.5\n"
        "and on (broker)\n"
        "    -(\n"
        '        broker_connection_status{broker=~"ib|paper"}\n'
        "      +\n"
        '        broker_connection_status{broker="simulated_number_one"}\n'
        "    )\n"
        "  ==\n"
        "    1"
    )


def test_long_chain_prints_without_recursion() -> None:
    tree = parse("a" + " + a" * 5000)
    assert parse(to_text(tree)) == tree
    assert pretty(tree).count("\n") > 9000


NAMES = st.sampled_from(["a", "up", "sum", "by", "offset", "fill", "start", "a:b"])
LABELS = st.sampled_from(["x", "le", "on", '"my.label"'])
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
)
NUMBERS = st.one_of(
    st.floats(min_value=0, allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["Inf", "NaN", "5m", "1h30m", "0x10", "1_000", "0", "-0"]),
)
DURATIONS = st.recursive(
    st.sampled_from(["5m", "300", "1h30m", "step()", "range()", "1.5", "-2"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*^"), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
        st.tuples(st.sampled_from(["min", "max_of"]), inner, inner).map(lambda found: f"{found[0]}({found[1]}, {found[2]})"),
    ),
    max_leaves=5,
)
MATCHERS = st.tuples(LABELS, st.sampled_from(["=", "!="]), STRINGS).map("".join)
MODIFIERS = st.one_of(
    st.just(""),
    DURATIONS.map(lambda text: f" offset ({text})"),
    st.sampled_from([" offset -5m", " @ 12.345", " @ -0.5 offset 1", " @ start()", " @ end() offset step()", " anchored"]),
)
SELECTORS = st.one_of(
    st.tuples(NAMES, st.lists(MATCHERS, max_size=2), MODIFIERS).map(
        lambda found: f"{found[0]}{{{','.join(found[1])}}}{found[2]}"
    ),
    st.tuples(st.sampled_from(['"my.metric"', '"on"', '"é"']), MODIFIERS).map(lambda found: f"{{{found[0]}}}{found[1]}"),
)
RANGES = st.tuples(NAMES, DURATIONS, MODIFIERS).map(lambda found: f"{found[0]}[{found[1]}]{found[2]}")
GROUPS = st.sampled_from(
    ["", "on (x)", "ignoring (x)", "on (x) group_left (le)", "on () group_right", "fill (1)", "fill_left (-2)"]
)


def expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "%", "^", "atan2", "==", ">", "</", ">/", "and", "or", "unless"])
    return st.one_of(
        st.tuples(inner, operators, GROUPS, inner).map(" ".join),
        st.tuples(st.sampled_from("+-"), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"abs({text})"),
        RANGES.map(lambda text: f"rate({text})"),
        st.tuples(st.sampled_from(["sum", "sum by (x)", "max without ()"]), inner).map(
            lambda found: f"{found[0]} ({found[1]})"
        ),
        st.tuples(inner, DURATIONS).map(lambda found: f"max_over_time(({found[0]})[{found[1]}:])"),
        st.tuples(NUMBERS, inner).map(lambda found: f"topk({found[0]}, {found[1]})"),
    )


@settings(max_examples=400, deadline=None)
@given(st.recursive(st.one_of(NUMBERS, SELECTORS, STRINGS), expressions, max_leaves=8))
def test_printed_expression_parses_to_the_same_tree(text: str) -> None:
    try:
        tree = parse(text)
    except ParseError:
        return
    assert parse(to_text(tree)) == tree
    again = pretty(tree)
    assert pretty(parse(again)) == again
