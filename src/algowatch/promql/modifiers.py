"""What stands behind a selector: a range, `offset`, `@`, `anchored` and `smoothed`."""

from __future__ import annotations

from dataclasses import replace

from algowatch.errors import ParseError
from algowatch.promql.durations_syntax import DurationParser
from algowatch.promql.nodes import At, Duration, Expr, MatrixSelector, Span, Subquery, VectorSelector
from algowatch.promql.tokens import TokenReader

_Modified = VectorSelector | MatrixSelector | Subquery


def with_range(reader: TokenReader, selector: Expr, range_: Duration, brackets: Span) -> MatrixSelector:
    """brackets: where they stand, for an error."""
    if not isinstance(selector, VectorSelector):
        raise ParseError("ranges only allowed for vector selectors", reader.text, *brackets)
    if selector.offset != 0:
        raise ParseError("no offset modifiers allowed before range", reader.text, *brackets)
    if selector.at is not None:
        raise ParseError("no @ modifiers allowed before range", reader.text, *brackets)
    return MatrixSelector(selector, range_, (selector.span[0], brackets[1]))


def with_offset(reader: TokenReader, expr: Expr) -> _Modified:
    """The expression with the offset that is read now; `offset` itself was taken."""
    offset = DurationParser(reader).offset()
    target = _modifiable(reader, expr, "offset modifier")
    if target.offset != 0:
        raise ParseError("offset may not be set multiple times", reader.text, *expr.span)
    span = (expr.span[0], reader.previous_end)
    if isinstance(expr, MatrixSelector):
        return replace(expr, selector=replace(expr.selector, offset=offset), span=span)
    return replace(target, offset=offset, span=span)


def with_at(reader: TokenReader, expr: Expr) -> _Modified:
    """The expression with the moment that is read now; the `@` itself was taken."""
    at = _timestamp(reader, expr)
    target = _modifiable(reader, expr, "@ modifier")
    if target.at is not None:
        raise ParseError("@ <timestamp> may not be set multiple times", reader.text, *expr.span)
    span = (expr.span[0], reader.previous_end)
    if isinstance(expr, MatrixSelector):
        return replace(expr, selector=replace(expr.selector, at=at), span=span)
    return replace(target, at=at, span=span)


def extended(reader: TokenReader, expr: Expr, word: str) -> _Modified:
    """word: "anchored" or "smoothed"."""
    if isinstance(expr, Subquery):
        raise ParseError(f"{word} modifier is not supported for subqueries", reader.text, *expr.span)
    if not isinstance(expr, (VectorSelector, MatrixSelector)):
        raise ParseError(f"{word} modifier not implemented", reader.text, *expr.span)
    selector = expr.selector if isinstance(expr, MatrixSelector) else expr
    anchored, smoothed = selector.anchored or word == "anchored", selector.smoothed or word == "smoothed"
    if anchored and smoothed:
        raise ParseError("anchored and smoothed modifiers cannot be used together", reader.text, *expr.span)
    span = (expr.span[0], reader.previous_end)
    if isinstance(expr, MatrixSelector):
        return replace(expr, selector=replace(selector, anchored=anchored, smoothed=smoothed), span=span)
    return replace(selector, anchored=anchored, smoothed=smoothed, span=span)


def _modifiable(reader: TokenReader, expr: Expr, what: str) -> VectorSelector | Subquery:
    """The node that carries offset and @."""
    if isinstance(expr, MatrixSelector):
        return expr.selector
    if isinstance(expr, (VectorSelector, Subquery)):
        return expr
    must = "must be preceded by an instant vector selector or range vector selector or a subquery"
    raise ParseError(f"{what} {must}", reader.text, *expr.span)


def _timestamp(reader: TokenReader, expr: Expr) -> At:
    if reader.token.kind == "word" and reader.token.word in ("start", "end"):
        word = reader.take().word
        reader.expect("(", "")
        reader.expect(")", "")
        return "start" if word == "start" else "end"
    seconds = reader.signed_number("@", "timestamp")
    if not abs(seconds) < 2.0**63:
        raise ParseError(f"timestamp out of bounds for @ modifier: {_fixed(seconds)}", reader.text, *expr.span)
    return _round_away(seconds * 1000)


def _round_away(value: float) -> int:
    """To the nearest integer, halves away from zero, as Go rounds."""
    whole = int(abs(value) + 0.5)
    return -whole if value < 0 else whole


def _fixed(value: float) -> str:
    """As Go's %f writes a number."""
    if value != value:
        return "NaN"
    return f"{value:f}" if abs(value) != float("inf") else ("+Inf" if value > 0 else "-Inf")
