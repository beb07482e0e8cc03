"""Durations in brackets and behind `offset`: a literal, or arithmetic whose value the query decides."""

from __future__ import annotations

from typing import NoReturn

from algowatch.errors import ParseError
from algowatch.promql.lexer import Token
from algowatch.promql.nodes import Duration, DurationExpr, Span
from algowatch.promql.tokens import MAX_DURATION_S, TokenReader, parse_number

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_UNARY_PRECEDENCE = 2
_EXPECTED = "number, duration, step(), or range()"

Operand = float | DurationExpr


class DurationParser:
    """Reads durations from the tokens of the parser that it is given."""

    def __init__(self, reader: TokenReader) -> None:
        self._reader = reader
        self._context = ""

    def positive(self) -> Duration:
        """Inside brackets: arithmetic, and more than nothing where that is known."""
        self._context = "subquery or range selector"
        first = self._reader.token
        value = self._arithmetic(0)
        span = (first.start, self._reader.previous_end)
        if not isinstance(value, DurationExpr) and value <= 0:
            raise ParseError("duration must be greater than 0", self._reader.text, *span)
        return self._duration(value, span)

    def offset(self) -> Duration:
        """Behind `offset`: one operand, maybe with a sign; arithmetic only in parentheses."""
        self._context = "offset"
        first = self._reader.token
        signs = [self._reader.take()] if self._reader.is_operator("+", "-") else []
        value = self._operand()
        if signs:
            value = self._signed(signs[0], value)
        return self._duration(value, (first.start, self._reader.previous_end))

    def _duration(self, value: Operand, span: Span) -> Duration:
        if isinstance(value, DurationExpr):
            return value
        if not abs(value) < MAX_DURATION_S:
            raise ParseError("duration out of range", self._reader.text, *span)
        nanoseconds = round(abs(value) * 1e9)
        return nanoseconds // 1_000_000 * (1 if value >= 0 else -1)

    def _arithmetic(self, minimum: int) -> Operand:
        """Operators that bind tighter than `minimum`, by precedence climbing; it nests as deep as operators do."""
        reader = self._reader
        if reader.is_operator("+", "-"):
            sign = reader.take()
            reader.deepen(sign)
            lhs = self._signed(sign, self._arithmetic(_UNARY_PRECEDENCE))
            reader.depth -= 1
        else:
            lhs = self._operand()
        while reader.token.kind == "operator" and _PRECEDENCE.get(reader.token.word, 0) > minimum:
            operator = reader.take()
            precedence = _PRECEDENCE[operator.word]
            reader.deepen(operator)
            rhs = self._arithmetic(precedence - (operator.word == "^"))
            reader.depth -= 1
            lhs = self._applied(operator, lhs, rhs)
        return lhs

    def _applied(self, operator: Token, lhs: Operand, rhs: Operand) -> DurationExpr:
        if rhs == 0.0 and operator.word in ("/", "%"):
            problem = "division by zero" if operator.word == "/" else "modulo by zero"
            raise self._reader.error(problem, operator)
        start = lhs.span[0] if isinstance(lhs, DurationExpr) else operator.start
        node = DurationExpr(operator.word, (lhs, rhs), (start, self._reader.previous_end))
        self._bounded(node, operator)
        return node

    def _bounded(self, node: DurationExpr, operator: Token) -> None:
        """A chain leans left here too, and those who walk it recurse; so it may not be longer than nesting may be deep."""
        length, at = 0, node
        while at.operands and isinstance(at.operands[0], DurationExpr):
            length, at = length + 1, at.operands[0]
        self._reader.deepen(operator, length)
        self._reader.depth -= length

    def _signed(self, sign: Token, value: Operand) -> Operand:
        if sign.word == "+":
            return value
        if isinstance(value, DurationExpr):
            return DurationExpr("-", (value,), (sign.start, value.span[1]))
        return -value

    def _operand(self) -> Operand:
        reader = self._reader
        token = reader.token
        if token.kind in ("number", "duration"):
            return parse_number(reader.take(), reader.text)
        if token.text == "(" and token.kind == "punctuation":
            reader.deepen(reader.take())
            value = self._arithmetic(0)
            reader.depth -= 1
            reader.expect(")", "")
            return value
        if token.kind == "word" and token.word in ("step", "range"):
            reader.take()
            reader.expect("(", "")
            closing = reader.expect(")", "")
            return DurationExpr(token.word, (), (token.start, closing.end))
        if token.word in ("min", "max", "min_of", "max_of") and token.kind in ("aggregator", "word"):
            return self._smaller_or_larger()
        self._unexpected()

    def _smaller_or_larger(self) -> DurationExpr:
        reader = self._reader
        token = reader.take()
        reader.deepen(reader.expect("(", ""))
        first = self._arithmetic(0)
        reader.expect(",", "")
        second = self._arithmetic(0)
        reader.depth -= 1
        closing = reader.expect(")", "")
        return DurationExpr(token.word.removesuffix("_of"), (first, second), (token.start, closing.end))

    def _unexpected(self) -> NoReturn:
        self._reader.unexpected(self._context, _EXPECTED)
