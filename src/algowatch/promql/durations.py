"""Durations that are expressions, such as `[step() * 4]`: found once the query's step and range are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from algowatch.errors import EvaluationError
from algowatch.promql.nodes import Duration, DurationExpr


@dataclass(frozen=True, slots=True)
class QuerySpan:
    """What a query asks for: both ends inclusive; an instant query has one moment and a step of 0."""

    start_ms: int
    end_ms: int
    step_ms: int


def positive_ms(duration: Duration, span: QuerySpan) -> int:
    """Milliseconds of a range or a subquery's step. Raises: EvaluationError unless it is greater than 0."""
    if isinstance(duration, int):
        return duration
    seconds = _seconds(duration, span)
    if seconds <= 0:
        raise EvaluationError("duration must be greater than 0")
    return _milliseconds(seconds)


def offset_ms(duration: Duration, span: QuerySpan) -> int:
    """Milliseconds of an offset, which may be negative."""
    return duration if isinstance(duration, int) else _milliseconds(_seconds(duration, span))


def _milliseconds(seconds: float) -> int:
    if not abs(seconds) < 2.0**63 / 1e9:
        raise EvaluationError("duration is out of range")
    return int(seconds * 1000)


def _seconds(duration: float | DurationExpr, span: QuerySpan) -> float:
    if not isinstance(duration, DurationExpr):
        return float(duration)
    operands = [_seconds(operand, span) for operand in duration.operands]
    match duration.op, operands:
        case "step", []:
            return span.step_ms / 1000
        case "range", []:
            return (span.end_ms - span.start_ms) / 1000
        case "+", [one, other]:
            return one + other
        case "-", [one, other]:
            return one - other
        case "+", [one]:
            return one
        case "-", [one]:
            return -one
        case "*", [one, other]:
            return one * other
        case "/", [one, other]:
            return one / _divisor(other, "division by zero")
        case "%", [one, other]:
            return math.fmod(one, _divisor(other, "modulo by zero"))
        case "^", [one, other]:
            return _power(one, other)
        case "min", [one, other]:
            return min(one, other)
        case "max", [one, other]:
            return max(one, other)
    raise EvaluationError(f"unexpected duration expression operator {duration.op!r}")


def _divisor(value: float, problem: str) -> float:
    if value == 0:
        raise EvaluationError(problem)
    return value


def _power(base: float, exponent: float) -> float:
    try:
        result = base**exponent
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return result if isinstance(result, float) else math.nan
