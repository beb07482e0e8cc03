"""The syntax tree of a PromQL expression: frozen, hashable, with the span of source text that each node came from.

Spans are offsets in characters, end exclusive; they do not count when two trees are compared.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    value: float
    span: Span = field(default=NO_SPAN, compare=False)
    is_duration: bool = field(default=False, compare=False)
    """Written as a duration (`5m`); matters only to the printer."""


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


@dataclass(frozen=True, slots=True)
class Binary:
    """op: + - * / % ^ atan2, == != < > <= >=, the trim operators </ >/, and or unless."""

    op: str
    lhs: Expr
    rhs: Expr
    return_bool: bool = False
    matching: VectorMatching | None = None
    """None where a side is a scalar."""
    span: Span = field(default=NO_SPAN, compare=False)
    op_span: Span = field(default=NO_SPAN, compare=False)


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
