"""Parse PromQL, the language of Prometheus 3 with its experimental parts switched on.

Operators are worked off with a stack, so a chain of them costs linear time and no depth; only parentheses, arguments,
signs and powers nest, and that is bounded. Errors have Prometheus's wording; the first one is raised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from algowatch.errors import ParseError
from algowatch.model.labels import METRIC_NAME, Matcher, MatchOp, is_legacy_label_name
from algowatch.promql import check, modifiers
from algowatch.promql.durations_syntax import DurationParser
from algowatch.promql.lexer import AGGREGATORS_WITH_PARAM, SET_OPERATORS, Token, go_quote, tokenize
from algowatch.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Expr,
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
from algowatch.promql.signatures import RENAMED, SIGNATURES
from algowatch.promql.tokens import TokenReader, parse_number


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """max_length: of the text, in characters. max_depth: of what nests, such as parentheses."""

    max_length: int = 65_536
    max_depth: int = 100


DEFAULT_OPTIONS = ParseOptions()


def parse(text: str, options: ParseOptions = DEFAULT_OPTIONS) -> Expr:
    """The syntax tree of an expression, with types and matching checked.

    Raises: ParseError with the first fault in Prometheus's wording; also where the text is longer or nests deeper than
            `options` allow.
    """
    if len(text) > options.max_length:
        raise ParseError(f"the expression has {len(text)} characters, more than the {options.max_length} allowed", text, 0)
    parser = _Parser(text, options.max_depth)
    return parser.whole()


Typed = tuple[Expr, ValueType]

_PRECEDENCE = {
    "or": 1,
    **dict.fromkeys(("and", "unless"), 2),
    **dict.fromkeys(("==", "!=", "<", ">", "<=", ">=", "</", ">/"), 3),
    **dict.fromkeys("+-", 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_UNARY_PRECEDENCE = 5

NO_LABELS: tuple[str, ...] = ()
_NOT_METRIC_NAMES = frozenset({"bool", "on", "ignoring", "group_left", "group_right", "atan2"})
_QUERY_FUNCTIONS = frozenset({"start", "end", "step", "range", "min_of", "max_of"})
_MATCH_OPERATORS: dict[str, MatchOp] = {"=": "=", "!=": "!=", "=~": "=~", "!~": "!~"}


@dataclass(slots=True)
class _Pending:
    """An operator that waits for its right operand."""

    token: Token
    unary: bool
    precedence: int
    return_bool: bool = False
    matching: VectorMatching | None = None
    written_to: int = 0
    """Where the operator and its modifiers end."""


class _Parser(TokenReader):
    """One parse of one text. Faults of meaning wait until the syntax is known to be right."""

    def __init__(self, text: str, max_depth: int) -> None:
        super().__init__(text, tokenize(text), max_depth)
        self.problems: list[check.Problem] = []

    def whole(self) -> Expr:
        if self.at_end():
            raise ParseError("no expression found in input", self.text, 0, 0)
        expr, _ = self.expression()
        if not self.at_end():
            self.unexpected()
        if self.problems:
            problem, (start, end) = self.problems[0]
            raise ParseError(problem, self.text, start, end)
        return expr

    def note(self, problems: Iterable[check.Problem]) -> None:
        self.problems.extend(problems)

    # Operators

    def expression(self) -> Typed:
        """Operands and operators up to a token that is neither."""
        operands: list[Typed] = []
        pending: list[_Pending] = []
        depth = self.depth
        while True:
            while self.is_operator("+", "-"):
                token = self.take()
                pending.append(_Pending(token, True, _UNARY_PRECEDENCE))
                self.deepen(token)
            operands.append(self._operand())
            operator = self._binary_operator()
            if operator is None:
                break
            self._reduce(operands, pending, operator.precedence, right=operator.token.word == "^")
            pending.append(operator)
            self.depth = depth + len(pending)
            self.deepen(operator.token, 0)
        self._reduce(operands, pending, 0, right=False)
        self.depth = depth
        return operands.pop()

    def _reduce(self, operands: list[Typed], pending: list[_Pending], precedence: int, *, right: bool) -> None:
        while pending and (pending[-1].precedence > precedence or (pending[-1].precedence == precedence and not right)):
            operator = pending.pop()
            rhs = operands.pop()
            operands.append(self._unary(operator, rhs) if operator.unary else self._binary(operands.pop(), operator, rhs))

    def _unary(self, operator: _Pending, operand: Typed) -> Typed:
        expr, kind = operand
        span = (operator.token.start, expr.span[1])
        if isinstance(expr, NumberLiteral):
            value = -expr.value if operator.token.word == "-" else expr.value
            return replace(expr, value=value, span=span), kind
        node = Unary("-" if operator.token.word == "-" else "+", expr, span)
        self.note(check.unary_problems(node, kind))
        return node, kind

    def _binary(self, lhs: Typed, operator: _Pending, rhs: Typed) -> Typed:
        both_vectors = lhs[1] == rhs[1] == "vector"
        node = Binary(
            operator.token.word,
            lhs[0],
            rhs[0],
            operator.return_bool,
            operator.matching if both_vectors else None,
            (lhs[0].span[0], rhs[0].span[1]),
            (operator.token.start, operator.written_to),
        )
        self.note(check.binary_problems(node, operator.matching, lhs[1], rhs[1]))
        return node, "scalar" if lhs[1] == rhs[1] == "scalar" else "vector"

    def _binary_operator(self) -> _Pending | None:
        token = self.token
        if token.kind != "operator" or token.word not in _PRECEDENCE:
            return None
        self.take()
        operator = _Pending(token, False, _PRECEDENCE[token.word])
        operator.return_bool = self.accept_keyword("bool") is not None
        operator.matching = self._matching(token.word in SET_OPERATORS)
        operator.written_to = self.previous_end
        return operator

    def _matching(self, is_set_operator: bool) -> VectorMatching:
        card: Cardinality = "many-to-many" if is_set_operator else "one-to-one"
        on, labels, include = False, NO_LABELS, NO_LABELS
        if (keyword := self.accept_keyword("on", "ignoring")) is not None:
            on, labels = keyword.word == "on", self._grouping()
            if (group := self.accept_keyword("group_left", "group_right")) is not None:
                card = "many-to-one" if group.word == "group_left" else "one-to-many"
                include = self._grouping() if self.token.text == "(" else NO_LABELS
        fill_lhs, fill_rhs = self._fills()
        return VectorMatching(card, on, labels, include, fill_lhs, fill_rhs)

    def _fills(self) -> tuple[float | None, float | None]:
        found: dict[str, float] = {}
        while (keyword := self.accept_keyword("fill", "fill_left", "fill_right")) is not None:
            if found and ("fill" in (*found, keyword.word) or keyword.word in found):
                self.back()
                self.unexpected()
            found[keyword.word] = self._fill_value()
        both = found.get("fill")
        return found.get("fill_left", both), found.get("fill_right", both)

    def _fill_value(self) -> float:
        self.expect("(", "fill value")
        value = self.signed_number("fill value", "number")
        self.expect(")", "fill value")
        return value

    def _grouping(self) -> tuple[str, ...]:
        """`(a, "b.c", d)`: names of labels, a comma at the end is allowed."""
        labels: list[str] = []
        self.expect("(", "grouping opts")
        while self.token.text != ")":
            labels.append(self._grouping_label())
            if self.token.text != ")":
                self.expect(",", "grouping opts", '"," or ")"')
        self.take()
        return tuple(labels)

    def _grouping_label(self) -> str:
        token = self.token
        if token.kind == "string":
            self.take()
            if not token.word:
                raise self.error(f"invalid label name {go_quote(token.word)}", token)
            return token.word
        named = token.kind in ("identifier", "aggregator", "keyword", "word") or token.word in (*SET_OPERATORS, "atan2")
        if not named or not is_legacy_label_name(token.text):
            self.unexpected("grouping opts", "label")
        self.take()
        return token.text

    # Operands

    def _operand(self) -> Typed:
        operand = self._primary()
        first = True
        while True:
            if self.token.text == "[" and self.token.kind == "punctuation":
                operand = self._bracket(operand)
                if isinstance(operand[0], Subquery) and not first:
                    self.deepen(self.token)
                first = False
            elif self.accept_keyword("offset"):
                operand = modifiers.with_offset(self, operand[0]), operand[1]
            elif self.is_operator("@"):
                self.take()
                operand = modifiers.with_at(self, operand[0]), operand[1]
            elif (keyword := self.accept_keyword("anchored", "smoothed")) is not None:
                operand = modifiers.extended(self, operand[0], keyword.word), operand[1]
            else:
                return operand

    def _primary(self) -> Typed:
        token = self.token
        match token.kind:
            case "number" | "duration":
                self.take()
                value = parse_number(token, self.text)
                return NumberLiteral(value, (token.start, token.end), token.kind == "duration"), "scalar"
            case "string":
                self.take()
                return StringLiteral(token.word, (token.start, token.end)), "string"
            case "aggregator":
                return self._aggregate_or_metric()
            case "identifier" | "word":
                return self._call() if self._next_is("(") else self._selector()
            case "metric identifier":
                return self._selector()
            case "keyword" if token.word not in _NOT_METRIC_NAMES:
                return self._selector()
            case "operator" if token.word in SET_OPERATORS:
                return self._selector()
            case "punctuation" if token.text == "{":
                return self._selector()
            case "punctuation" if token.text == "(":
                return self._paren()
            case _:
                self.unexpected()

    def _next_is(self, text: str) -> bool:
        return self.peek().text == text and self.peek().kind == "punctuation"

    def _paren(self) -> Typed:
        opening = self.take()
        self.deepen(opening)
        expr, kind = self.expression()
        self.depth -= 1
        closing = self.expect(")", "")
        return Paren(expr, (opening.start, closing.end)), kind

    def _arguments(self) -> list[Typed]:
        """`(a, b)`; positions of aggregations and calls end at the closing parenthesis."""
        self.deepen(self.expect("(", ""))
        arguments: list[Typed] = []
        while self.token.text != ")":
            arguments.append(self.expression())
            if self.token.text == ")":
                break
            comma = self.expect(",", "")
            if self.token.text == ")":
                raise self.error("trailing commas not allowed in function call args", comma)
        self.take()
        self.depth -= 1
        return arguments

    def _call(self) -> Typed:
        token = self.take()
        func = RENAMED.get(token.text, token.word if token.kind == "word" else token.text)
        arguments = self._arguments()
        signature = SIGNATURES.get(func)
        if signature is None:
            raise self.error(f"unknown function with name {go_quote(token.text)}", token, _near(token.text))
        if func == "info" and len(arguments) > 1:
            self._allow_empty_matchers(arguments[1][0])
        node = Call(func, tuple(expr for expr, _ in arguments), (token.start, self.previous_end))
        self.note(check.call_problems(node, [kind for _, kind in arguments]))
        return node, signature.returns

    def _allow_empty_matchers(self, selector: Expr) -> None:
        """The second argument of `info` may match everything: it chooses labels, not series."""
        self.problems = [problem for problem in self.problems if problem != (check.NO_MATCHER, selector.span)]

    def _aggregate_or_metric(self) -> Typed:
        after = self.peek()
        if after.text == "(" or (after.kind == "keyword" and after.word in ("by", "without")):
            return self._aggregate()
        return self._selector()

    def _aggregate(self) -> Typed:
        token = self.take()
        modifier = self.accept_keyword("by", "without")
        grouping = self._grouping() if modifier else ()
        if self.token.text != "(":
            self.unexpected("aggregation")
        arguments = self._arguments()
        end = self.previous_end
        if modifier is None and (modifier := self.accept_keyword("by", "without")) is not None:
            grouping, end = self._grouping(), self.previous_end
        self._count_aggregate_arguments(token, len(arguments), (token.start, end))
        param = arguments[0] if len(arguments) > 1 else (None, None)
        expr, kind = arguments[-1]
        without = modifier is not None and modifier.word == "without"
        node = Aggregate(token.word, expr, param[0], grouping, without, (token.start, end))
        self.note(check.aggregate_problems(node, kind, param[1]))
        return node, "vector"

    def _count_aggregate_arguments(self, token: Token, got: int, span: Span) -> None:
        wanted = 2 if token.word in AGGREGATORS_WITH_PARAM else 1
        if got == 0:
            raise ParseError("no arguments for aggregate expression provided", self.text, *span)
        if got != wanted:
            problem = f"wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
            raise ParseError(problem, self.text, *span)

    # Selectors

    def _selector(self) -> Typed:
        start = self.token.start
        outer_name = "" if self.token.text == "{" else self.take().text
        matchers = self._matchers() if self.token.text == "{" and self.token.kind == "punctuation" else []
        names = [matcher for matcher, quoted in matchers if matcher.name == METRIC_NAME and quoted]
        every = [matcher for matcher, _ in matchers]
        name = outer_name
        if outer_name:
            every.insert(0, Matcher(METRIC_NAME, "=", outer_name))
        elif len(names) == 1 and sum(matcher.name == METRIC_NAME for matcher in every) == 1:
            name = names[0].value
            every.remove(names[0])
            every.insert(0, names[0])
        node = VectorSelector(name, tuple(every), span=(start, self.previous_end))
        self.note(check.selector_problems(node, outer_name))
        return node, "vector"

    def _matchers(self) -> list[tuple[Matcher, bool]]:
        """Between braces; the flag says that the name of a metric stood alone in quotes."""
        self.take()
        found: list[tuple[Matcher, bool]] = []
        while self.token.text != "}":
            found.append(self._matcher())
            if self.token.text != "}":
                self.expect(",", "label matching", '"," or "}"')
        self.take()
        return found

    def _matcher(self) -> tuple[Matcher, bool]:
        label = self.token
        if label.kind not in ("identifier", "string"):
            self.unexpected("label matching", 'identifier or "}"')
        self.take()
        op = _MATCH_OPERATORS.get(self.token.text) if self.token.kind in ("operator", "punctuation") else None
        if op is None:
            if label.kind == "string":
                return Matcher(METRIC_NAME, "=", label.word), True
            self.unexpected("label matching", "label matching operator")
        self.take()
        value = self.token
        if value.kind != "string":
            self.unexpected("label matching", "string")
        self.take()
        matcher = Matcher(label.word, op, value.word)
        if op in ("=~", "!~"):
            self._compile(matcher, (label.start, value.end))
        return matcher, False

    def _compile(self, matcher: Matcher, span: Span) -> None:
        try:
            matcher.matches("")
        except re.error as error:
            raise ParseError(f"error parsing regexp: {error}", self.text, *span) from None

    # What stands behind an operand

    def _bracket(self, operand: Typed) -> Typed:
        opening = self.take()
        durations = DurationParser(self)
        range_ = durations.positive()
        if self.token.text == ":":
            self.take()
            step = None if self.token.text == "]" else durations.positive()
            closing = self.expect("]", "subquery selector")
            subquery = Subquery(operand[0], range_, step, span=(operand[0].span[0], closing.end))
            self.note(check.subquery_problems(subquery, operand[1]))
            return subquery, "matrix"
        closing = self.expect("]", "subquery or range", '":" or "]"')
        return modifiers.with_range(self, operand[0], range_, (opening.start, closing.end)), "matrix"


def _near(name: str) -> str:
    """A question that names the function that was probably meant."""
    found = get_close_matches(name, SIGNATURES, n=1)
    return f"did you mean {found[0]}?" if found else ""
