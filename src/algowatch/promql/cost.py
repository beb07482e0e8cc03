"""How much an expression will read and make, guessed before it is evaluated: enough to tell a glance from a day's work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from algowatch.model.labels import Matcher
from algowatch.promql.durations import QuerySpan, positive_ms
from algowatch.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
    left_spine,
)

_SAMPLE_EVERY_MS = 1000
"""The engine's own scrape interval. Where samples are further apart the guess is too high, which does no harm."""

CountSeries = Callable[[Sequence[Matcher]], int]


def estimate_samples(
    expr: Expr, span: QuerySpan, count_series: CountSeries, lookback_ms: int, subquery_step_ms: int = 60_000
) -> int:
    """Samples that are read plus values that are made at all steps, as if every series had one sample a second.

    Raises: EvaluationError where a duration of the expression has no value; re.error for a bad regular expression.
    """
    guess = _Guess(span, count_series, lookback_ms, subquery_step_ms)
    steps = 1 if span.step_ms <= 0 else (span.end_ms - span.start_ms) // span.step_ms + 1
    return guess.samples(expr, steps, span.end_ms - span.start_ms)


class _Guess:
    def __init__(self, span: QuerySpan, count_series: CountSeries, lookback_ms: int, subquery_step_ms: int) -> None:
        self._span = span
        self._count_series = count_series
        self._lookback_ms = lookback_ms
        self._subquery_step_ms = subquery_step_ms

    def samples(self, expr: Expr, steps: int, length_ms: int) -> int:
        """Of one node and all below it, evaluated at some steps that lie in a stretch of time."""
        match expr:
            case VectorSelector():
                return self._selected(expr, self._lookback_ms + length_ms, steps)
            case MatrixSelector():
                return self._selected(expr.selector, positive_ms(expr.range, self._span) + length_ms, steps)
            case Subquery():
                step_ms = self._subquery_step_ms if expr.step is None else positive_ms(expr.step, self._span)
                inner_ms = positive_ms(expr.range, self._span) + length_ms
                return self.samples(expr.expr, inner_ms // step_ms + 1, inner_ms)
            case Paren() | Unary():
                return self.samples(expr.expr, steps, length_ms)
            case Aggregate():
                parameter = 0 if expr.param is None else self.samples(expr.param, steps, length_ms)
                return parameter + self.samples(expr.expr, steps, length_ms)
            case Call():
                return sum(self.samples(argument, steps, length_ms) for argument in expr.args)
            case Binary():
                first, chain = left_spine(expr)
                return self.samples(first, steps, length_ms) + sum(self.samples(node.rhs, steps, length_ms) for node in chain)
        return steps

    def _selected(self, selector: VectorSelector, length_ms: int, steps: int) -> int:
        return self._count_series(selector.matchers) * (length_ms // _SAMPLE_EVERY_MS + steps)
