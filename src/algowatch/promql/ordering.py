"""sort, sort_desc, sort_by_label, sort_by_label_desc: the order of an instant query's answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cmp_to_key
from typing import TYPE_CHECKING

import numpy as np

from algowatch.model.labels import Labels
from algowatch.promql.nodes import Call
from algowatch.promql.vectors import Value, Vector

if TYPE_CHECKING:
    from algowatch.promql.evaluate import Evaluator

_CHUNK = re.compile(r"\d+|\D+")


def _by_value(descending: bool) -> Callable[[Evaluator, Call], Value]:
    def implementation(evaluator: Evaluator, call: Call) -> Value:
        vector = evaluator.vector(call.args[0])
        if evaluator.query.is_range:
            evaluator.query.annotations.sort_in_range(call.span)
        if vector.steps != 1:
            return vector
        vector = vector.occupied()
        values = vector.values[:, 0]
        order = np.lexsort((-values if descending else values, np.isnan(values)))
        return replace(vector.rows(order), ordered=True)

    return implementation


def _by_label(descending: bool) -> Callable[[Evaluator, Call], Value]:
    def implementation(evaluator: Evaluator, call: Call) -> Value:
        vector = evaluator.vector(call.args[0])
        if evaluator.query.is_range:
            evaluator.query.annotations.sort_in_range(call.span)
        if vector.steps != 1:
            return vector
        return _sorted_by(vector.occupied(), [evaluator.text(arg) for arg in call.args[1:]], descending)

    return implementation


def _sorted_by(vector: Vector, names: list[str], descending: bool) -> Vector:
    def compare(one: int, other: int) -> int:
        return _compare(vector.labels[one], vector.labels[other], names)

    order = sorted(range(len(vector)), key=cmp_to_key(compare), reverse=descending)
    return replace(vector.rows(order), ordered=True)


def _compare(one: Labels, other: Labels, names: list[str]) -> int:
    for name in names:
        left, right = one.get(name), other.get(name)
        if left != right:
            return -1 if natural_less(left, right) else 1
    return (one > other) - (one < other)


def natural_less(one: str, other: str) -> bool:
    """Whether a text comes first where runs of digits count as numbers (`x2` before `x10`).

    Source: github.com/facette/natsort, which Prometheus uses.
    """
    left, right = _CHUNK.findall(one), _CHUNK.findall(other)
    for part, facing in zip(left, right, strict=False):
        if part.isdigit() and facing.isdigit():
            if int(part) != int(facing):
                return int(part) < int(facing)
        elif part != facing:
            return bool(part < facing)
    return len(left) <= len(right)


FUNCTIONS = {
    "sort": _by_value(descending=False),
    "sort_desc": _by_value(descending=True),
    "sort_by_label": _by_label(descending=False),
    "sort_by_label_desc": _by_label(descending=True),
}
