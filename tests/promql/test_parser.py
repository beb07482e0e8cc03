from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from algowatch.errors import ParseError
from algowatch.model.labels import Matcher
from algowatch.promql.check import value_type
from algowatch.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    DurationExpr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorMatching,
    VectorSelector,
    left_spine,
)
from algowatch.promql.parser import ParseOptions, parse
from algowatch.promql.signatures import SIGNATURES
from algowatch.testing.promqltest import read_folder

SCRIPTS = os.environ.get("ALGOWATCH_PROMQLTEST", "")


def metric(name: str, *matchers: Matcher, **more: object) -> VectorSelector:
    return VectorSelector(name, (Matcher("__name__", "=", name), *matchers), **more)  # type: ignore[arg-type]


def fault(text: str) -> str:
    with pytest.raises(ParseError) as raised:
        parse(text)
    return str(raised.value)


A, B, C = metric("a"), metric("b"), metric("c")
ONE_TO_ONE = VectorMatching()


def vectors(op: str, lhs: object, rhs: object) -> Binary:
    return Binary(op, lhs, rhs, matching=ONE_TO_ONE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", vectors("+", A, vectors("*", B, C))),
        ("a - b - c", vectors("-", vectors("-", A, B), C)),
        ("a ^ b ^ c", vectors("^", A, vectors("^", B, C))),
        ("a atan2 b + c", vectors("+", vectors("atan2", A, B), C)),
        ("a > b </ c", vectors("</", vectors(">", A, B), C)),
        ("-a ^ b", Unary("-", vectors("^", A, B))),
        ("-a * b", vectors("*", Unary("-", A), B)),
        ("a ^ -b * c", vectors("*", vectors("^", A, Unary("-", B)), C)),
        ("(a + b) * c", vectors("*", Paren(vectors("+", A, B)), C)),
    ],
)
def test_operators_bind_as_in_prometheus(text: str, tree: object) -> None:
    assert parse(text) == tree


def test_set_operators_bind_loosest_and_match_many_to_many() -> None:
    many = VectorMatching("many-to-many")
    inner = Binary("and", B, C, matching=many)
    assert parse("a or b and c") == Binary("or", A, inner, matching=many)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000_000", 1e6), ("0x1F", 31), ("010", 8), ("09", 9), (".5", 0.5), ("1e-3", 1e-3), ("5m", 300), ("-5m", -300),
        ("--1", 1), ("+Inf", math.inf), ("NaN", math.nan), ("-0", -0.0), ("1h30m", 5400),
    ],
)  # fmt: skip
def test_numbers_and_durations_are_literals_with_their_sign(text: str, value: float) -> None:
    assert parse(text) == NumberLiteral(float(value))


def test_zero_and_minus_zero_are_different_expressions() -> None:
    assert parse("1 / -0") != parse("1 / 0")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('{"my.metric"}', metric("my.metric")),
        ('{"my.metric", "a b"=~"c"}', metric("my.metric", Matcher("a b", "=~", "c"))),
        ('{a="b", "my.metric",}', metric("my.metric", Matcher("a", "=", "b"))),
        ('{__name__="a"}', VectorSelector("", (Matcher("__name__", "=", "a"),))),
        ("a:b{c!~'d'}", metric("a:b", Matcher("c", "!~", "d"))),
        ("a offset 5m", metric("a", offset=300_000)),
        ("a offset -1.5", metric("a", offset=-1500)),
        ("a @ 1.234", metric("a", at=1234)),
        ("a @ -1m40s", metric("a", at=-100_000)),
        ("a @ end() offset 50", metric("a", at="end", offset=50_000)),
        ("a anchored", metric("a", anchored=True)),
        ("a[5m] smoothed", MatrixSelector(metric("a", smoothed=True), 300_000)),
        ("a[300] offset 1m @ start()", MatrixSelector(metric("a", offset=60_000, at="start"), 300_000)),
        ("a[5m:]", Subquery(A, 300_000, None)),
        ("a[5m:1m] offset 1h @ 3", Subquery(A, 300_000, 60_000, 3_600_000, 3000)),
    ],
)
def test_selectors_of_every_form(text: str, tree: object) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    "name", ["sum", "by", "and", "offset", "start", "step", "min_of", "anchored", "fill", "limitk", "without"]
)
def test_keywords_name_metrics_and_labels_where_prometheus_allows(name: str) -> None:
    assert parse(f"{name} + 1") == Binary("+", metric(name), NumberLiteral(1.0))
    assert parse(f'sum by ({name}) (a{{{name}="b"}})') == Aggregate(
        "sum", metric("a", Matcher(name, "=", "b")), grouping=(name,)
    )


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("sum(a)", Aggregate("sum", A)),
        ("sum by (x, y,) (a)", Aggregate("sum", A, grouping=("x", "y"))),
        ("SUM(a) BY (x)", Aggregate("sum", A, grouping=("x",))),
        ('sum without ("my.label") (a)', Aggregate("sum", A, grouping=("my.label",), without=True)),
        ("topk(2, a)", Aggregate("topk", A, NumberLiteral(2.0))),
        ("limit_ratio(-0.5, a)", Aggregate("limit_ratio", A, NumberLiteral(-0.5))),
        ('count_values("v", a)', Aggregate("count_values", A, StringLiteral("v"))),
    ],
)
def test_aggregations(text: str, tree: object) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("a + on(x) b", VectorMatching(on=True, labels=("x",))),
        ("a + on() b", VectorMatching(on=True)),
        ("a + ignoring(x) group_left b", VectorMatching("many-to-one", labels=("x",))),
        ("a + on(x) group_right(y) b", VectorMatching("one-to-many", True, ("x",), ("y",))),
        ("a + fill(0) b", VectorMatching(fill_lhs=0.0, fill_rhs=0.0)),
        ("a + on(x) fill_right(-1) fill_left(2) b", VectorMatching(on=True, labels=("x",), fill_lhs=2.0, fill_rhs=-1.0)),
    ],
)
def test_vector_matching(text: str, matching: VectorMatching) -> None:
    assert parse(text) == Binary("+", A, B, matching=matching)


def test_matching_is_left_out_beside_a_scalar() -> None:
    assert parse("a > bool 1") == Binary(">", A, NumberLiteral(1.0), return_bool=True)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("[5m+1m]", DurationExpr("+", (300.0, 60.0))),
        ("[step()]", DurationExpr("step")),
        ("[1+2*3]", DurationExpr("+", (1.0, DurationExpr("*", (2.0, 3.0))))),
        ("[2^3^2]", DurationExpr("^", (2.0, DurationExpr("^", (3.0, 2.0))))),
        ("[-step()+1m]", DurationExpr("+", (DurationExpr("-", (DurationExpr("step"),)), 60.0))),
        ("[min(step(), 1m)]", DurationExpr("min", (DurationExpr("step"), 60.0))),
        ("[max_of(range(), 1m)]", DurationExpr("max", (DurationExpr("range"), 60.0))),
        ("[(5m)]", 300_000),
    ],
)
def test_durations_may_be_calculated(text: str, duration: object) -> None:
    assert parse("a" + text) == MatrixSelector(A, duration)  # type: ignore[arg-type]


def test_offset_takes_one_operand_unless_in_parentheses() -> None:
    shifted = metric("a", offset=DurationExpr("step"))
    assert parse("a offset step() * 2") == Binary("*", shifted, NumberLiteral(2.0))
    assert parse("a offset (1m*2)") == metric("a", offset=DurationExpr("*", (60.0, 2.0)))
    assert parse("a offset -(1m*2)") == metric("a", offset=DurationExpr("-", (DurationExpr("*", (60.0, 2.0)),)))
    assert parse("a offset -2 ^ 2") == Binary("^", metric("a", offset=-2000), NumberLiteral(2.0))


def test_spans_point_at_the_source() -> None:
    text = 'sum by (x) (rate(a{b="c"}[5m] offset 1m)) > 2'
    tree = parse(text)
    assert isinstance(tree, Binary)
    aggregate = tree.lhs
    assert isinstance(aggregate, Aggregate)
    call = aggregate.expr
    assert isinstance(call, Call)
    cut = [text[slice(*node.span)] for node in (aggregate, call, call.args[0], tree.rhs)]
    assert cut == [text[:-4], 'rate(a{b="c"}[5m] offset 1m)', 'a{b="c"}[5m] offset 1m', "2"]
    assert text[slice(*tree.op_span)] == ">"


def test_holt_winters_arrives_under_its_new_name() -> None:
    tree = parse("holt_winters(a[5m], 0.5, 0.5)")
    assert isinstance(tree, Call)
    assert tree.func == "double_exponential_smoothing"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1 + 2", "scalar"),
        ("a + 1", "vector"),
        ("(time())", "scalar"),
        ("-a", "vector"),
        ("a[1m]", "matrix"),
        ("'x'", "string"),
    ],
)  # fmt: skip
def test_value_type(text: str, kind: str) -> None:
    assert value_type(parse(text)) == kind


# Faults, in Prometheus's words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: parse error: no expression found in input"),
        ("# only a comment", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("* 1", "1:1: parse error: unexpected <op:*>"),
        ("a b", '1:3: parse error: unexpected identifier "b"'),
        ('a "some text"', '1:3: parse error: unexpected string "\\"some text"...'),
        ("a\n + bool", "2:8: parse error: unexpected end of input"),
        ("sum x by (y)", '1:5: parse error: unexpected identifier "x"'),
        ("sum by (y) x", '1:12: parse error: unexpected identifier "x" in aggregation'),
        ("sum(a) by x", '1:11: parse error: unexpected identifier "x" in grouping opts, expected "("'),
        ("sum by (a:b) (x)", '1:9: parse error: unexpected metric identifier "a:b" in grouping opts, expected label'),
        ("sum without (==) (x)", "1:14: parse error: unexpected <op:==> in grouping opts, expected label"),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        ("topk(a)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"),
        ("topk(a, b)", "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"),
        ("sum(a[5m])", "1:5: parse error: expected type instant vector in aggregation expression, got range vector"),
        ("ratee(a[5m])", '1:1: parse error: unknown function with name "ratee"'),
        ("ratee(a", "1:8: parse error: unclosed left parenthesis"),
        ("rate(a)", '1:6: parse error: expected type range vector in call to function "rate", got instant vector'),
        ("abs()", '1:1: parse error: expected 1 argument(s) in call to "abs", got 0'),
        ("round(a, 1, 2)", '1:1: parse error: expected at most 2 argument(s) in call to "round", got 3'),
        ("label_join(a)", '1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 1'),
        ("abs(a,)", "1:6: parse error: trailing commas not allowed in function call args"),
        ("info(a, b)", "1:9: parse error: expected label selectors only, got vector selector instead"),
        ("info(a, 1 + b)", "1:9: parse error: expected label selectors only"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ('{x=~".*"}', "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ('info(sum({x=~".*"}))', "1:10: parse error: vector selector must contain at least one non-empty matcher"),
        ('a{__name__="b"}', '1:1: parse error: metric name must not be set twice: "a" or "b"'),
        ("a{b}", '1:4: parse error: unexpected "}" in label matching, expected label matching operator'),
        ("a{b=c}", '1:5: parse error: unexpected identifier "c" in label matching, expected string'),
        ('a{b="c" d="e"}', '1:9: parse error: unexpected identifier "d" in label matching, expected "," or "}"'),
        ("a{,}", '1:3: parse error: unexpected "," in label matching, expected identifier or "}"'),
        ("a[]", '1:3: parse error: unexpected "]" in subquery or range selector, '
         "expected number, duration, step(), or range()"),
        ("a[0m]", "1:3: parse error: duration must be greater than 0"),
        ("a[-1m]", "1:3: parse error: duration must be greater than 0"),
        ("a[5m1m]", '1:3: parse error: not a valid duration string: "5m1m"'),
        ("a[1m/0]", "1:5: parse error: division by zero"),
        ("a[1m][1m]", "1:6: parse error: ranges only allowed for vector selectors"),
        ("a offset 1m[5m]", "1:12: parse error: no offset modifiers allowed before range"),
        ("a @ 1 [5m]", "1:7: parse error: no @ modifiers allowed before range"),
        ("a[5m] offset", "1:13: parse error: unexpected end of input in offset, expected number, duration, step(), or range()"),
        ("a offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        ("a @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("a @ b", '1:5: parse error: unexpected identifier "b" in @, expected timestamp'),
        ("a @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        ("a anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        ("a[5m:] smoothed", "1:1: parse error: smoothed modifier is not supported for subqueries"),
        ("a[5m][1m:]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("a and 1", '1:1: parse error: set operator "and" not allowed in binary scalar expression'),
        ("a + on(b) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
        ("a + fill(1) 1", "1:1: parse error: filling in missing series only allowed between instant vectors"),
        ("a or fill(1) b", "1:1: parse error: filling in missing series not allowed for set operators"),
        ("a or on(b) group_left(c) d", '1:1: parse error: no grouping allowed for "or" operation'),
        ("a + group_left b", "1:5: parse error: unexpected <group_left>"),
        ("a + on(b) ignoring(c) d", "1:11: parse error: unexpected <ignoring>"),
        ("a + on(b) group_left(b) c", '1:3: parse error: label "b" must not occur in ON and GROUP clause at once'),
        ("a[5m] + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types"),
        (
            "-'a'",
            '1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string"',
        ),
        ("1 offset 1m", "1:1: parse error: offset modifier must be preceded by an instant vector selector "
         "or range vector selector or a subquery"),
    ],
)  # fmt: skip
def test_fault_is_told_in_prometheus_words_and_place(text: str, message: str) -> None:
    assert fault(text) == message


def test_syntax_comes_before_types_and_left_before_right() -> None:
    assert fault("rate(a) + $") == "1:11: parse error: unexpected character: '$'"
    assert fault("rate(a) + rate(b)").startswith("1:6:")


def test_caret_points_at_the_fault() -> None:
    with pytest.raises(ParseError) as raised:
        parse("sum(ratee(x[5m]))")
    assert raised.value.caret() == (
        '1:5: parse error: unknown function with name "ratee"\n    sum(ratee(x[5m]))\n        ^^^^^'
    )


def test_wrong_regular_expression_is_a_fault_of_the_matcher() -> None:
    assert fault('a{b=~"("}').startswith("1:3: parse error: error parsing regexp: missing")


# Hostile input


def in_small_thread(work: Callable[[], object]) -> object:
    """Run on a stack as small as macOS gives to threads."""
    found: list[object] = []

    def call() -> None:
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    return found[0]


@pytest.mark.parametrize(
    "text",
    ["(" * 5000 + "1" + ")" * 5000, "-" * 5000 + "a", "2" + "^2" * 5000, "abs(" * 5000 + "a" + ")" * 5000, "a" + "[1m:]" * 5000,
     "a[" + "1+" * 5000 + "1]", "a[" + "(" * 5000 + "1" + ")" * 5000 + "]", "a[" + "-" * 5000 + "1]", "a[" + "2^" * 5000 + "1]",
     "(-" * 5000 + "1" + ")" * 5000],
)  # fmt: skip
def test_deep_nesting_is_a_clear_fault_on_a_small_stack(text: str) -> None:
    error = in_small_thread(lambda: parse(text))
    assert str(error).endswith("the expression nests more than 100 levels deep")


def test_nesting_up_to_the_limit_parses_on_a_small_stack() -> None:
    tree = in_small_thread(lambda: parse("abs(" * 100 + "a" + ")" * 100))
    assert isinstance(tree, Call)


def test_text_longer_than_allowed_is_refused() -> None:
    with pytest.raises(ParseError, match="the expression has 12 characters, more than the 10 allowed"):
        parse("a + b + c + d"[:12], ParseOptions(max_length=10))


def test_long_chain_parses_compares_and_hashes_on_a_small_stack() -> None:
    text = "a" + " + a" * 1999

    def work() -> tuple[int, bool, int, str]:
        tree = parse(text)
        return len(left_spine(tree)[1]), tree == parse(text), hash(tree) - hash(parse(text)), value_type(tree)

    assert in_small_thread(work) == (1999, True, 0, "vector")


def test_time_grows_with_the_length_of_a_chain_not_with_its_square() -> None:
    started = time.process_time()
    tree = in_small_thread(lambda: parse("a" + "+a" * 30_000))
    assert isinstance(tree, Binary)
    assert time.process_time() - started < 10, "a parser in quadratic time needs minutes"


# Other people's opinions


AGREED = [
    "a", "a{b='c'}", "a{b=~'c|d',e!='f'}", "rate(a[5m])", "a offset -5m", "a @ start()", "sum by (a) (b)", "sum(b) without (a)",
    "topk(3, a)", "a + on(b) group_left(c) d", "a > bool 1", "a and b or c unless d", "max_over_time(rate(a[1m])[10m:1m])",
    "histogram_quantile(0.9, rate(a[5m]))", "-a", "1 + 2 * 3", "2 ^ 3 ^ 4", "time()", "absent(a{b='c'})",
    "label_replace(a,'b','c','d','e')",
    "quantile_over_time(0.5, a[5m])", "{__name__=~'a.+'}", "a[5m] offset 1h", "count_values('x', a)", "vector(1)",
    "a atan2 b", "", "a +", "(a", "a)", "a{", "a{}b", "a{b}", "rate(a)", "abs(a[5m])", "sum()", "a[0m]", "{}", "foo(a)",
    "1 == 1", "a and 1",
    "a + bool b", "a + on(b) group_left(b) c", "a offset", "a @", "a or on(b) group_left(c) d", "topk(a)", "a[5m] + 1",
    "'a' + 1",
    "a{b=~'('}", "a[5m][5m]", "'unterminated",
]  # fmt: skip


def test_acceptance_agrees_with_promql_parser() -> None:
    oracle = pytest.importorskip("promql_parser")

    def accepts(function: Callable[[str], object], text: str) -> bool:
        try:
            function(text)
        except (ValueError, ParseError):
            return False
        return True

    verdicts: list[tuple[str, bool]] = []
    before = threading.stack_size(16 * 1024 * 1024)
    try:
        work = threading.Thread(target=lambda: verdicts.extend((text, accepts(oracle.parse, text)) for text in AGREED))
        work.start()
        work.join()
    finally:
        threading.stack_size(before)
    assert verdicts == [(text, accepts(parse, text)) for text in AGREED]


def test_functions_are_those_of_promql_parser_or_newer() -> None:
    oracle = pytest.importorskip("promql_parser")
    newer = {"integral", "min_of", "max_of", "holt_winters"}

    def known(name: str) -> bool:
        try:
            oracle.parse(f"{name}()")
        except ValueError as error:
            return "unknown function" not in str(error)
        return True

    assert {name for name in SIGNATURES if not known(name)} <= newer


@pytest.mark.skipif(not SCRIPTS, reason="ALGOWATCH_PROMQLTEST does not name a folder of promqltest scripts")
def test_every_expression_of_prometheus_scripts_parses_or_may_fail() -> None:
    refused = []
    for case in read_folder(Path(SCRIPTS)):
        try:
            parse(case.expression)
        except ParseError as error:
            wanted = [found for found in case.expectations if found.subject == "fail"]
            if not wanted or not all(found.accepts(str(error)) for found in wanted):
                refused.append(f"{case.id}: {error}")
    assert refused == []
