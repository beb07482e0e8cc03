"""Syntax trees back into text: on one line, or split over lines as Prometheus's `format_query` does."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from algowatch.model.durations import format_duration
from algowatch.model.labels import METRIC_NAME, Matcher, is_legacy_label_name, is_legacy_metric_name
from algowatch.promql.lexer import go_quote
from algowatch.promql.nodes import (
    Aggregate,
    At,
    Binary,
    Call,
    Duration,
    DurationExpr,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
    left_spine,
)

MAX_LINE = 100
_INDENT = "  "
_DEEPEST_INDENT = 100
"""So that a chain of thousands of operators is not drowned in blanks."""
_SMALL, _LARGE = 1e-4, 1e6
"""Numbers outside are written with an exponent."""


def to_text(expr: Expr) -> str:
    """One line that parses to the same tree."""
    return _text(expr, False)


def _text(expr: Expr, sort: bool) -> str:
    """sort: matchers by name, as Prometheus prints them."""
    match expr:
        case NumberLiteral():
            return _number(expr)
        case StringLiteral():
            return go_quote(expr.value)
        case VectorSelector():
            return _selector(expr, sort) + _modifiers(expr.offset, expr.at) + _extension(expr)
        case MatrixSelector():
            selector = expr.selector
            brackets = f"[{_duration(expr.range)}]"
            return _selector(selector, sort) + brackets + _modifiers(selector.offset, selector.at) + _extension(selector)
        case Subquery():
            return _text(expr.expr, sort) + _subquery_suffix(expr)
        case Paren():
            return f"({_text(expr.expr, sort)})"
        case Unary():
            return f"{expr.op}{_text(expr.expr, sort)}"
        case Binary():
            return "".join(_binary_parts(expr, sort))
        case Aggregate():
            inner = [expr.expr] if expr.param is None else [expr.param, expr.expr]
            return f"{_aggregate_head(expr)}({', '.join(_text(each, sort) for each in inner)})"
        case Call():
            return f"{expr.func}({', '.join(_text(each, sort) for each in expr.args)})"


def _binary_parts(expr: Binary, sort: bool) -> Iterator[str]:
    first, chain = left_spine(expr)
    text = _text(first, sort)
    if chain[0].op == "^":
        text = text.removeprefix("+")
    yield text
    for node in chain:
        yield f" {_operator(node)} {_text(node.rhs, sort)}"


def pretty(expr: Expr) -> str:
    """Split wherever a line would be longer than 100 characters; two blanks more for each level; matchers sorted."""
    return "\n".join(_lines(expr, 0))


def _lines(expr: Expr, level: int) -> list[str]:
    indent = _INDENT * min(level, _DEEPEST_INDENT)
    if isinstance(expr, Binary):
        return _binary_lines(expr, level)
    text = _text(expr, True)
    if len(text) <= MAX_LINE:
        return [indent + text]
    match expr:
        case Paren():
            return [f"{indent}(", *_lines(expr.expr, level + 1), f"{indent})"]
        case Unary():
            first, *rest = _lines(expr.expr, level)
            return [indent + expr.op + first.lstrip(), *rest]
        case Aggregate():
            inner = [expr.expr] if expr.param is None else [expr.param, expr.expr]
            return [f"{indent}{_aggregate_head(expr)}(", *_listed(inner, level + 1), f"{indent})"]
        case Call() if expr.args:
            return [f"{indent}{expr.func}(", *_listed(list(expr.args), level + 1), f"{indent})"]
        case Subquery():
            *rest, last = _lines(expr.expr, level)
            return [*rest, last + _subquery_suffix(expr)]
        case _:
            return [indent + text]


def _listed(exprs: list[Expr], level: int) -> list[str]:
    """One below the other, with commas."""
    lines: list[str] = []
    for index, expr in enumerate(exprs):
        if index:
            lines[-1] += ","
        lines += _lines(expr, level)
    return lines


def _binary_lines(expr: Binary, level: int) -> list[str]:
    """A chain from its leftmost operand on: as many operators as fit into a line, then each on a line of its own."""
    first, chain = left_spine(expr)
    parts = list(_binary_parts(expr, True))
    fitting, text = 0, parts[0]
    while fitting < len(chain) and len(text) + len(parts[fitting + 1]) <= MAX_LINE:
        fitting += 1
        text += parts[fitting]
    depth = level + len(chain) - fitting
    lines = [_INDENT * min(depth, _DEEPEST_INDENT) + text] if fitting else _lines(first, depth)
    for node in chain[fitting:]:
        depth -= 1
        lines.append(_INDENT * min(depth, _DEEPEST_INDENT) + _operator(node))
        lines += _lines(node.rhs, depth + 1)
    return lines


def _operator(node: Binary) -> str:
    """The operator with `bool`, matching and fill values."""
    words = [node.op]
    if node.return_bool:
        words.append("bool")
    matching = node.matching
    if matching is None:
        return " ".join(words)
    grouped = matching.card in ("many-to-one", "one-to-many")
    if matching.on or matching.labels or grouped:
        words.append(f"{'on' if matching.on else 'ignoring'} ({_labels(matching.labels)})")
    if grouped:
        side = "left" if matching.card == "many-to-one" else "right"
        words.append(f"group_{side} ({_labels(matching.include)})")
    fills = {"fill_left": matching.fill_lhs, "fill_right": matching.fill_rhs}
    if matching.fill_lhs is not None and repr(matching.fill_lhs) == repr(matching.fill_rhs):
        fills = {"fill": matching.fill_lhs}
    words += [f"{word} ({_float(value)})" for word, value in fills.items() if value is not None]
    return " ".join(words)


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(_label(name) for name in names)


def _label(name: str) -> str:
    return name if is_legacy_label_name(name) else go_quote(name)


def _aggregate_head(expr: Aggregate) -> str:
    if expr.without:
        return f"{expr.op} without ({_labels(expr.grouping)}) "
    return f"{expr.op} by ({_labels(expr.grouping)}) " if expr.grouping else expr.op


def _selector(expr: VectorSelector, sort: bool) -> str:
    outside = bool(expr.name) and is_legacy_metric_name(expr.name) and not _reserved(expr.name)
    inner = [_matcher(matcher) for matcher in expr.matchers[1 if expr.name else 0 :]]
    inner = sorted(inner) if sort else inner
    if expr.name and not outside:
        inner.insert(0, go_quote(expr.name))
    name = expr.name if outside else ""
    return name + ("{" + ",".join(inner) + "}" if inner or not name else "")


def _reserved(name: str) -> bool:
    """Whether a name is a word that cannot stand for a metric outside of braces."""
    return name.lower() in ("bool", "on", "ignoring", "group_left", "group_right", "atan2", "inf", "nan")


def _matcher(matcher: Matcher) -> str:
    name = METRIC_NAME if matcher.name == METRIC_NAME else _label(matcher.name)
    return f"{name}{matcher.op}{go_quote(matcher.value)}"


def _modifiers(offset: Duration, at: At | None) -> str:
    text = ""
    if at is not None:
        text += f" @ {at}()" if isinstance(at, str) else f" @ {'-' if at < 0 else ''}{abs(at) // 1000}.{abs(at) % 1000:03d}"
    if offset != 0:
        text += f" offset {_offset(offset)}"
    return text


def _extension(selector: VectorSelector) -> str:
    return " anchored" if selector.anchored else " smoothed" if selector.smoothed else ""


def _subquery_suffix(expr: Subquery) -> str:
    step = "" if expr.step is None else _duration(expr.step)
    return f"[{_duration(expr.range)}:{step}]" + _modifiers(expr.offset, expr.at)


# Durations

_DURATION_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_SIGN_PRECEDENCE = 2


def _duration(duration: Duration) -> str:
    return format_duration(duration) if isinstance(duration, int) else _duration_expr(duration, 0)


def _offset(offset: Duration) -> str:
    if isinstance(offset, int):
        return format_duration(offset)
    text = _duration_expr(offset, 0)
    return f"({text})" if offset.op in _DURATION_PRECEDENCE else text


def _duration_expr(operand: float | DurationExpr, minimum: int) -> str:
    """In parentheses where it binds looser than its surroundings need."""
    if not isinstance(operand, DurationExpr):
        text = _float(operand).removeprefix("+")
        return f"({text})" if operand < 0 and minimum else text
    if operand.op in ("step", "range"):
        return f"{operand.op}()"
    if operand.op in ("min", "max"):
        return f"{operand.op}({', '.join(_duration_expr(each, 0) for each in operand.operands)})"
    if len(operand.operands) == 1:
        text = "-" + _duration_expr(operand.operands[0], _SIGN_PRECEDENCE + 1)
        return f"({text})" if minimum else text
    precedence = _DURATION_PRECEDENCE[operand.op]
    right = operand.op == "^"
    lhs = _duration_expr(operand.operands[0], precedence + right)
    rhs = _duration_expr(operand.operands[1], precedence + (not right))
    text = f"{lhs} {operand.op} {rhs}"
    return f"({text})" if precedence < minimum else text


# Numbers


def _number(expr: NumberLiteral) -> str:
    milliseconds = expr.value * 1000
    if expr.is_duration and milliseconds == int(milliseconds):
        return format_duration(int(milliseconds))
    return _float(expr.value)


def _float(value: float) -> str:
    """The shortest text that gives the same number, as Go's %v writes it."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    exact = Decimal(repr(value)).normalize()
    if value == 0 or _SMALL <= abs(value) < _LARGE:
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    sign, digits, _ = exact.as_tuple()
    first, *rest = map(str, digits)
    mantissa = f"{first}.{''.join(rest)}" if rest else first
    return f"{'-' if sign else ''}{mantissa}e{exact.adjusted():+03d}"
