"""label_replace and label_join: they look at labels only and leave the values alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from algowatch.errors import EvaluationError
from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.model.regex import Match, compile_anchored
from algowatch.promql.nodes import Call
from algowatch.promql.vectors import Value, Vector, merge_same_labelsets

if TYPE_CHECKING:
    from algowatch.promql.evaluate import Evaluator

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\})")


def label_replace(evaluator: Evaluator, call: Call) -> Value:
    target, replacement, source, pattern_text = (evaluator.text(arg) for arg in call.args[1:5])
    try:
        pattern = compile_anchored(pattern_text)
    except re.error as error:
        raise EvaluationError(f"invalid regular expression in label_replace(): {pattern_text}") from error
    _check_name(target, "destination", "label_replace")

    def new_value(labels: Labels) -> str | None:
        match = pattern.fullmatch(labels.get(source))
        return None if match is None else _expanded(replacement, match, pattern.groups)

    return _relabelled(evaluator, evaluator.vector(call.args[0]), target, new_value)


def label_join(evaluator: Evaluator, call: Call) -> Value:
    target, separator, *sources = (evaluator.text(arg) for arg in call.args[1:])
    for source in sources:
        _check_name(source, "source", "label_join")
    _check_name(target, "destination", "label_join")
    vector = evaluator.vector(call.args[0])
    return _relabelled(evaluator, vector, target, lambda labels: separator.join(labels.get(source) for source in sources))


def _relabelled(evaluator: Evaluator, vector: Vector, target: str, new_value: Callable[[Labels], str | None]) -> Vector:
    labels = list(vector.labels)
    unnamed = vector.row_unnamed().copy()
    for row, before in enumerate(labels):
        value = new_value(before)
        if value is None:
            continue
        labels[row] = before.with_labels({target: value})
        if target == METRIC_NAME:
            unnamed[row] = False
    kept = unnamed if evaluator.delayed and np.any(unnamed) else None
    return merge_same_labelsets(replace(vector, labels=labels, unnamed=kept))


def _check_name(name: str, role: str, function: str) -> None:
    if not name or not _is_utf8(name):
        raise EvaluationError(f"invalid {role} label name in {function}(): {name}")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _expanded(template: str, match: Match, groups: int) -> str:
    """The template with $1, ${1}, $name and ${name} replaced; a group that does not exist is empty (Go's `Regexp.Expand`)."""

    def part(reference: re.Match[str]) -> str:
        if reference["dollar"]:
            return "$"
        name = reference["bare"] or reference["braced"]
        if name.isdigit():
            return (match.group(int(name)) or "") if int(name) <= groups else ""
        try:
            return match.group(name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(part, template)
