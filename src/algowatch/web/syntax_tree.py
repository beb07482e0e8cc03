"""A PromQL syntax tree as `/api/v1/parse_query` shows it. Source: Prometheus, `web/api/v1/translate_ast.go`."""

from __future__ import annotations

import math

import numpy as np

from algowatch.model.labels import METRIC_NAME, Matcher
from algowatch.promql.nodes import (
    Aggregate,
    At,
    Binary,
    Call,
    Duration,
    Expr,
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
from algowatch.promql.signatures import RENAMED, SIGNATURES

Shown = dict[str, object]


def syntax_tree(expr: Expr) -> Shown:
    """Nested objects, each with its `type`; durations and times in milliseconds, 0 for a duration that is an expression."""
    first, chain = left_spine(expr)
    shown = _operand(first)
    for node in chain:
        shown = _binary(node, shown)
    return shown


def _operand(expr: Expr) -> Shown:
    match expr:
        case NumberLiteral(value=value):
            return {"type": "numberLiteral", "val": _plain(value)}
        case StringLiteral(value=text):
            return {"type": "stringLiteral", "val": text}
        case Paren(expr=inner):
            return {"type": "parenExpr", "expr": syntax_tree(inner)}
        case Unary(op=op, expr=inner):
            return {"type": "unaryExpr", "op": op, "expr": syntax_tree(inner)}
        case VectorSelector():
            return {"type": "vectorSelector", **_selector(expr)}
        case MatrixSelector(selector=selector, range=length):
            return {"type": "matrixSelector", "range": _ms(length), **_selector(selector)}
        case Subquery():
            return _subquery(expr)
        case Aggregate():
            return _aggregate(expr)
        case Call():
            return _call(expr)
        case Binary():
            return syntax_tree(expr)


def _binary(node: Binary, lhs: Shown) -> Shown:
    return {
        "type": "binaryExpr",
        "op": node.op,
        "lhs": lhs,
        "rhs": syntax_tree(node.rhs),
        "matching": None if node.matching is None else _matching(node.matching),
        "bool": node.return_bool,
    }


def _matching(matching: VectorMatching) -> Shown:
    return {
        "card": matching.card,
        "labels": list(matching.labels),
        "on": matching.on,
        "include": list(matching.include),
        "fillValues": {"lhs": matching.fill_lhs, "rhs": matching.fill_rhs},
    }


def _selector(selector: VectorSelector) -> Shown:
    named = [matcher for matcher in selector.matchers if matcher.name == METRIC_NAME]
    others = [matcher for matcher in selector.matchers if matcher.name != METRIC_NAME]
    return {
        "name": selector.name,
        "offset": _ms(selector.offset),
        "matchers": [_matcher(matcher) for matcher in [*others, *named]],
        **_at(selector.at),
        "anchored": selector.anchored,
        "smoothed": selector.smoothed,
    }


def _matcher(matcher: Matcher) -> Shown:
    return {"name": matcher.name, "value": matcher.value, "type": matcher.op}


def _at(at: At | None) -> Shown:
    return {"timestamp": at if isinstance(at, int) else None, "startOrEnd": at if isinstance(at, str) else None}


def _subquery(expr: Subquery) -> Shown:
    return {
        "type": "subquery",
        "expr": syntax_tree(expr.expr),
        "range": _ms(expr.range),
        "offset": _ms(expr.offset),
        "step": 0 if expr.step is None else _ms(expr.step),
        **_at(expr.at),
    }


def _aggregate(expr: Aggregate) -> Shown:
    return {
        "type": "aggregation",
        "op": expr.op,
        "expr": syntax_tree(expr.expr),
        "param": None if expr.param is None else syntax_tree(expr.param),
        "grouping": list(expr.grouping),
        "without": expr.without,
    }


def _call(expr: Call) -> Shown:
    signature = SIGNATURES[RENAMED.get(expr.func, expr.func)]
    return {
        "type": "call",
        "func": {
            "name": expr.func,
            "argTypes": list(signature.args),
            "variadic": signature.variadic,
            "returnType": signature.returns,
        },
        "args": [syntax_tree(argument) for argument in expr.args],
    }


def _ms(duration: Duration) -> int:
    return duration if isinstance(duration, int) else 0


def _plain(value: float) -> str:
    """All digits, never an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, unique=True, trim="-")
