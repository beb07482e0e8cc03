"""The syntax tree of a PromQL expression: frozen, hashable, with the span of source text that each node came from.

Spans are offsets in characters, end exclusive; they do not count when two trees are compared.

A tree nests at most as deep as the parser allows, except along `Binary.lhs`: `a + a + …` leans left as far as the text is
long. Whoever walks a tree follows `lhs` with a loop (`left_spine`), not by recursion.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from algowatch.model.labels import Matcher

Span = tuple[int, int]
ValueType = Literal["scalar", "vector", "matrix", "string"]
NO_SPAN: Span = (0, 0)


@dataclass(frozen=True, slots=True)
class DurationExpr:
    """Arithmetic on durations, such as `5m + step()`; its value may need the query's step and range, so it is found late.

    op: "+", "-", "*", "/", "%", "^" with two operands ("-" also with one); "min", "max" with two; "step", "range" with none.
    Operands are seconds (float) or DurationExpr.
    """

    op: str
    operands: tuple[float | DurationExpr, ...] = ()
    span: Span = field(default=NO_SPAN, compare=False)


Duration = int | DurationExpr
"""Milliseconds, or an expression that gives seconds once the query is known."""

At = int | Literal["start", "end"]
"""The `@` modifier: milliseconds, or the start or end of the query."""


@dataclass(frozen=True, slots=True, eq=False)
class NumberLiteral:
    """Two are equal if they are the same number: NaN equals NaN, and 0 is not -0."""

    value: float
    span: Span = field(default=NO_SPAN, compare=False)
    is_duration: bool = field(default=False, compare=False)
    """Written as a duration (`5m`); matters only to the printer."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NumberLiteral) and repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash(repr(self.value))


@dataclass(frozen=True, slots=True)
class StringLiteral:
    value: str
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class VectorSelector:
    """`name{matchers} offset 5m @ 1700000000`; the name, where one is given, is also the first matcher."""

    name: str
    matchers: tuple[Matcher, ...]
    offset: Duration = 0
    at: At | None = None
    anchored: bool = False
    smoothed: bool = False
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class MatrixSelector:
    """`selector[range]`; offset and @ stand on the selector."""

    selector: VectorSelector
    range: Duration
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Subquery:
    """`expr[range:step]`; a step of None is the default resolution."""

    expr: Expr
    range: Duration
    step: Duration | None
    offset: Duration = 0
    at: At | None = None
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Paren:
    expr: Expr
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    op: Literal["+", "-"]
    expr: Expr
    span: Span = field(default=NO_SPAN, compare=False)


Cardinality = Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"]


@dataclass(frozen=True, slots=True)
class VectorMatching:
    """How the two sides of a binary operator find each other.

    labels with on=True: `on(labels)`; with on=False: `ignoring(labels)`. include: labels of group_left / group_right.
    group_left is many-to-one; set operators are many-to-many. fill_*: the value that stands in where a side lacks a match.
    """

    card: Cardinality = "one-to-one"
    on: bool = False
    labels: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    fill_lhs: float | None = None
    fill_rhs: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Binary:
    """op: + - * / % ^ atan2, == != < > <= >=, the trim operators </ >/, and or unless.

    Comparing and hashing follow the left operands with a loop, so that a long chain does not exhaust the stack.
    """

    op: str
    lhs: Expr
    rhs: Expr
    return_bool: bool = False
    matching: VectorMatching | None = None
    """None where a side is a scalar."""
    span: Span = field(default=NO_SPAN, compare=False)
    op_span: Span = field(default=NO_SPAN, compare=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Binary) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Hashable, ...]:
        first, chain = left_spine(self)
        return (first, *((node.op, node.rhs, node.return_bool, node.matching) for node in chain))


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`op by (grouping) (param, expr)`; without=True reads the grouping as `without`."""

    op: str
    expr: Expr
    param: Expr | None = None
    grouping: tuple[str, ...] = ()
    without: bool = False
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """func: the name as Prometheus now spells it (`holt_winters` arrives as `double_exponential_smoothing`)."""

    func: str
    args: tuple[Expr, ...]
    span: Span = field(default=NO_SPAN, compare=False)


Expr = NumberLiteral | StringLiteral | VectorSelector | MatrixSelector | Subquery | Paren | Unary | Binary | Aggregate | Call


def left_spine(expr: Expr) -> tuple[Expr, list[Binary]]:
    """The leftmost operand of a chain of binary operators, and the operators from the innermost to `expr` itself.

    An expression that is not a Binary is its own leftmost operand, with no operators.
    """
    chain: list[Binary] = []
    while isinstance(expr, Binary):
        chain.append(expr)
        expr = expr.lhs
    chain.reverse()
    return expr, chain
