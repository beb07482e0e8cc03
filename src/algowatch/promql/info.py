"""info(v, {labels}): adds labels of info metrics, such as target_info, to the series of the same instance and job.

Source: Prometheus, `evalInfo`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from algowatch.errors import EvaluationError
from algowatch.model.labels import METRIC_NAME, Labels, Matcher
from algowatch.promql.nodes import Call, Expr, Paren, VectorSelector
from algowatch.promql.vectors import BoolArray, FloatArray, Value, Vector, concatenate, merge_same_labelsets

if TYPE_CHECKING:
    from algowatch.promql.evaluate import Evaluator

_IDENTIFYING = ("instance", "job")
_DEFAULT = Matcher(METRIC_NAME, "=", "target_info")


def info(evaluator: Evaluator, call: Call) -> Value:
    base = evaluator.vector(call.args[0]).occupied()
    asked = _asked_for(call)
    names = tuple(matcher for matcher in asked if matcher.name == METRIC_NAME)
    data = tuple(matcher for matcher in asked if matcher.name != METRIC_NAME)
    plain = [_is_info(labels, names if len(call.args) > 1 else (_DEFAULT,)) for labels in base.labels]
    found, times = _info_series(evaluator, base, plain, names or (_DEFAULT,), data, call.args[0])
    parts = [_enriched(base, row, found, times, data) for row in range(len(base)) if not plain[row]]
    parts.append(base.rows([row for row in range(len(base)) if plain[row]]))
    return merge_same_labelsets(concatenate(parts, base.steps))


def _asked_for(call: Call) -> tuple[Matcher, ...]:
    if len(call.args) < 2:
        return ()
    selector = call.args[1]
    assert isinstance(selector, VectorSelector)
    return selector.matchers


def _is_info(labels: Labels, names: tuple[Matcher, ...]) -> bool:
    return bool(names) and all(matcher.matches(labels.metric_name) for matcher in names)


def _info_series(
    evaluator: Evaluator,
    base: Vector,
    plain: list[bool],
    names: tuple[Matcher, ...],
    data: tuple[Matcher, ...],
    expr: Expr,
) -> tuple[Vector, FloatArray]:
    """The info series that may belong to the base series, and when each was sampled; seen from where the base looks."""
    narrowing = []
    for name in _IDENTIFYING:
        values = {labels.get(name) for labels, skip in zip(base.labels, plain, strict=True) if not skip} - {""}
        if values:
            narrowing.append(Matcher(name, "=~", "|".join(re.escape(value) for value in sorted(values))))
    if not narrowing:
        return base.rows([]), np.empty((0, base.steps))
    seen_from = _first_selector(expr)
    offset, at = (seen_from.offset, seen_from.at) if seen_from is not None else (0, None)
    return evaluator.instant(VectorSelector("", (*names, *narrowing, *data), offset, at))


def _first_selector(expr: object) -> VectorSelector | None:
    """The selector whose offset and @ tell where the first argument looks from."""
    if isinstance(expr, VectorSelector):
        return expr
    if isinstance(expr, Paren):
        return _first_selector(expr.expr)
    parts = [getattr(expr, name, None) for name in ("selector", "expr", "lhs", "rhs")]
    for part in (*parts, *getattr(expr, "args", ())):
        found = _first_selector(part) if part is not None else None
        if found is not None:
            return found
    return None


def _enriched(base: Vector, row: int, found: Vector, times: FloatArray, data: tuple[Matcher, ...]) -> Vector:
    """One base series with the labels of the info series that match it; these may change from step to step."""
    labels = base.labels[row]
    identity = labels.only(_IDENTIFYING)
    matching = [at for at, other in enumerate(found.labels) if other.only(_IDENTIFYING) == identity]
    newest = _newest(found, times, matching)
    mask = found.mask()[matching] & newest if matching else np.zeros((0, base.steps), bool)
    patterns, which = np.unique(mask, axis=1, return_inverse=True)
    parts = []
    for number in range(patterns.shape[1]):
        chosen = [matching[place] for place in np.flatnonzero(patterns[:, number]).tolist()]
        added = _added_labels(labels, [found.labels[at] for at in chosen], {matcher.name for matcher in data})
        if not chosen and not all(matcher.matches_empty for matcher in data):
            continue
        here = np.asarray(which.ravel() == number)[np.newaxis, :]
        part = base.rows([row]).only_where(here)
        parts.append(replace(part, labels=[labels.with_labels(added)]))
    return concatenate(parts, base.steps)


def _newest(found: Vector, times: FloatArray, rows: list[int]) -> BoolArray:
    """Of several series of one info metric only the one sampled last counts.

    Raises: EvaluationError where two were sampled at the same time.
    """
    result = np.ones((len(rows), found.steps), bool)
    mask = found.mask()
    for place, row in enumerate(rows):
        for other in rows:
            if other == row or found.labels[other].metric_name != found.labels[row].metric_name:
                continue
            both = mask[row] & mask[other]
            if (both & (times[row] == times[other])).any():
                raise EvaluationError(
                    f"found duplicate series for info metric: existing {found.labels[row]}, new {found.labels[other]}"
                )
            result[place] &= ~(both & (times[other] > times[row]))
    return result


def _added_labels(base: Labels, sources: list[Labels], wanted: set[str]) -> dict[str, str]:
    present = {name for name, _ in base}
    added: dict[str, str] = {}
    for source in sources:
        for name, value in source:
            if name == METRIC_NAME or (wanted and name not in wanted):
                continue
            if added.get(name, value) != value:
                raise EvaluationError(f"conflicting label: {name}")
            if name not in present:
                added[name] = value
    return added
