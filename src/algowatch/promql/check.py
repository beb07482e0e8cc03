"""What is wrong with a node although its syntax is right: types, counts of arguments, matching.

Each function looks at one node whose children were looked at before, so a long chain costs linear time and no stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from algowatch.promql.lexer import SET_OPERATORS, go_quote
from algowatch.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    Span,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorMatching,
    VectorSelector,
)
from algowatch.promql.signatures import SIGNATURES, TYPE_NAMES, Signature

Problem = tuple[str, Span]

NO_MATCHER = "vector selector must contain at least one non-empty matcher"
COMPARISONS = frozenset({"==", "!=", "<", ">", "<=", ">="})


def value_type(expr: Expr) -> ValueType:
    """The type of what an expression gives."""
    stack: list[Expr] = [expr]
    while stack:
        found = _own_type(node := stack.pop())
        if found is None:
            stack.extend(_type_givers(node))
        elif found != "scalar":
            return found
    return "scalar"


def _own_type(node: Expr) -> ValueType | None:
    match node:
        case NumberLiteral():
            return "scalar"
        case StringLiteral():
            return "string"
        case MatrixSelector() | Subquery():
            return "matrix"
        case Call():
            return SIGNATURES[node.func].returns
        case VectorSelector() | Aggregate():
            return "vector"
        case Binary():
            return None if node.matching is None else "vector"
        case _:
            return None


def _type_givers(node: Expr) -> tuple[Expr, ...]:
    """The children that decide a node's type: a scalar only where all of them are."""
    if isinstance(node, Binary):
        return (node.rhs, node.lhs)
    return (node.expr,) if isinstance(node, (Paren, Unary)) else ()


def binary_problems(node: Binary, matching: VectorMatching | None, lhs: ValueType, rhs: ValueType) -> Iterator[Problem]:
    """matching: as written, before it is left out beside a scalar."""
    if node.return_bool and node.op not in COMPARISONS:
        yield "bool modifier can only be used on comparison operators", node.op_span
    if node.op in COMPARISONS and not node.return_bool and lhs == rhs == "scalar":
        yield "comparisons between scalars must use BOOL modifier", node.op_span
    if matching is not None and matching.on:
        for label in (label for label in matching.labels if label in matching.include):
            yield f"label {go_quote(label)} must not occur in ON and GROUP clause at once", node.op_span
    for side, kind in ((node.lhs, lhs), (node.rhs, rhs)):
        if kind not in ("scalar", "vector"):
            yield "binary expression must contain only scalar and instant vector types", side.span
    if matching is not None:
        yield from _matching_problems(node, matching, lhs == rhs == "vector")
    if node.op in SET_OPERATORS and "scalar" in (lhs, rhs):
        yield f"set operator {go_quote(node.op)} not allowed in binary scalar expression", node.span


def _matching_problems(node: Binary, matching: VectorMatching, both_vectors: bool) -> Iterator[Problem]:
    fills = matching.fill_lhs is not None or matching.fill_rhs is not None
    if not both_vectors:
        if matching.labels:
            yield "vector matching only allowed between instant vectors", node.span
        if fills:
            yield "filling in missing series only allowed between instant vectors", node.span
    elif node.op in SET_OPERATORS:
        if matching.card in ("one-to-many", "many-to-one"):
            yield f"no grouping allowed for {go_quote(node.op)} operation", node.span
        if fills:
            yield "filling in missing series not allowed for set operators", node.span


def call_problems(node: Call, types: Sequence[ValueType]) -> Iterator[Problem]:
    signature = SIGNATURES[node.func]
    if (problem := _count_problem(signature, len(node.args))) is not None:
        yield problem, node.span
    if node.func == "info" and len(node.args) > 1:
        yield from _info_problems(node, types[1])
    for index, (arg, kind) in enumerate(zip(node.args, types, strict=True)):
        if not signature.args or (index >= len(signature.args) and signature.variadic == 0):
            break
        wanted = signature.arg_type(index)
        if kind != wanted:
            expected = f"expected type {TYPE_NAMES[wanted]} in call to function {go_quote(node.func)}"
            yield f"{expected}, got {TYPE_NAMES[kind]}", arg.span


def _count_problem(signature: Signature, got: int) -> str | None:
    low, high, name = signature.min_args, signature.max_args, go_quote(signature.name)
    if signature.variadic == 0 and got != low:
        return f"expected {low} argument(s) in call to {name}, got {got}"
    if got < low:
        return f"expected at least {low} argument(s) in call to {name}, got {got}"
    if high is not None and got > high:
        return f"expected at most {high} argument(s) in call to {name}, got {got}"
    return None


def _info_problems(node: Call, kind: ValueType) -> Iterator[Problem]:
    selector = node.args[1]
    if not isinstance(selector, VectorSelector):
        yield "expected label selectors only", selector.span
    elif selector.name:
        yield "expected label selectors only, got vector selector instead", selector.span


def aggregate_problems(node: Aggregate, kind: ValueType, param: ValueType | None) -> Iterator[Problem]:
    if kind != "vector":
        yield f"expected type instant vector in aggregation expression, got {TYPE_NAMES[kind]}", node.expr.span
    if node.param is not None and param is not None:
        wanted: ValueType = "string" if node.op == "count_values" else "scalar"
        if param != wanted:
            expected = f"expected type {TYPE_NAMES[wanted]} in aggregation parameter"
            yield f"{expected}, got {TYPE_NAMES[param]}", node.param.span


def unary_problems(node: Unary, kind: ValueType) -> Iterator[Problem]:
    if kind not in ("scalar", "vector"):
        expected = "unary expression only allowed on expressions of type scalar or instant vector"
        yield f'{expected}, got "{TYPE_NAMES[kind]}"', node.span


def subquery_problems(node: Subquery, kind: ValueType) -> Iterator[Problem]:
    if kind != "vector":
        yield f"subquery is only allowed on instant vector, got {kind} instead", node.span


def selector_problems(node: VectorSelector, outer_name: str) -> Iterator[Problem]:
    """outer_name: the metric name in front of the braces, or nothing."""
    if outer_name:
        for matcher in node.matchers[1:]:
            if matcher.name == "__name__":
                yield f"metric name must not be set twice: {go_quote(outer_name)} or {go_quote(matcher.value)}", node.span
    elif all(matcher.matches_empty for matcher in node.matchers):
        yield NO_MATCHER, node.span
