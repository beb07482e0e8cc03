"""Compare what a query gave with what a script expects, with the tolerance of Prometheus's own runner."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from algowatch.model.labels import Labels

_EPSILON = 1e-6
_SMALLEST_NORMAL = sys.float_info.min

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Expected:
    """One series that must come; None where no sample is expected."""

    labels: Labels
    points: list[float | None]


def almost_equal(left: float, right: float) -> bool:
    """Equal within a millionth of their sum; NaN equals NaN.

    Source: Prometheus, `util/almost`.
    """
    if left == right or (math.isnan(left) and math.isnan(right)):
        return True
    if math.isnan(left) or math.isnan(right) or math.isinf(left) or math.isinf(right):
        return False
    total, difference = abs(left) + abs(right), abs(left - right)
    if left == 0 or right == 0 or total < _SMALLEST_NORMAL:
        return difference < _EPSILON * _SMALLEST_NORMAL
    return difference / min(total, sys.float_info.max) < _EPSILON


def compare_scalar(expected: float, actual: float) -> None:
    """Raises: AssertionError."""
    assert almost_equal(expected, actual), f"expected {expected!r}, got {actual!r}"


def compare_vector(expected: Sequence[Expected], actual: Sequence[tuple[Labels, float]], *, ordered: bool) -> None:
    """Raises: AssertionError that lists every difference."""
    wanted = {series.labels: series.points[0] for series in expected if series.points and series.points[0] is not None}
    got = dict(actual)
    problems = [] if len(got) == len(actual) else ["a labelset came twice"]
    for labels, value in wanted.items():
        if value is not None and labels not in got:
            problems.append(f"missing: {labels} {value!r}")
        elif value is not None and not almost_equal(value, got[labels]):
            problems.append(f"{labels}: expected {value!r}, got {got[labels]!r}")
    problems += [f"unexpected: {labels} {value!r}" for labels, value in got.items() if labels not in wanted]
    if ordered and not problems and list(wanted) != [labels for labels, _ in actual]:
        problems.append("order: expected " + ", ".join(map(str, wanted)) + "; got " + ", ".join(map(str, got)))
    assert not problems, "\n".join(problems)


def compare_matrix(expected: Sequence[Expected], actual: Sequence[tuple[Labels, Points]], start_ms: int, step_ms: int) -> None:
    """The points of an expected series stand at start, start + step, ….

    Raises: AssertionError that lists every difference.
    """
    got = {labels: dict(points) for labels, points in actual}
    problems = [] if len(got) == len(actual) else ["a labelset came twice"]
    wanted = {}
    for series in expected:
        points = {start_ms + at * step_ms: value for at, value in enumerate(series.points) if value is not None}
        wanted[series.labels] = points
        if series.labels not in got:
            problems.append(f"missing: {series.labels} {points}")
            continue
        here = got[series.labels]
        same = points.keys() == here.keys() and all(almost_equal(value, here[at]) for at, value in points.items())
        if not same:
            problems.append(f"{series.labels}:\n  expected {points}\n  got      {here}")
    problems += [f"unexpected: {labels} {points}" for labels, points in got.items() if labels not in wanted]
    assert not problems, "\n".join(problems)
