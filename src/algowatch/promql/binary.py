"""Binary operators: arithmetic, comparison and set operators, and how the series of two sides find each other.

Pairs of rows are found once from the labels; each pair is then calculated for all steps. Whether a pairing is allowed can
depend on what is present at a step, so the rules are checked on the masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from algowatch.errors import EvaluationError
from algowatch.model.labels import Labels, quote, quote_label_name
from algowatch.promql.grouping import group_rows, key_function
from algowatch.promql.nodes import VectorMatching
from algowatch.promql.vectors import (
    BoolArray,
    FloatArray,
    IntArray,
    Vector,
    concatenate,
    drop_names,
    merge_same_labelsets,
)

COMPARISONS = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
ARITHMETIC: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
SET_OPERATORS = frozenset({"and", "or", "unless"})
TRIM_OPERATORS = frozenset({"</", ">/"})


def calculate(op: str, one: FloatArray, other: FloatArray) -> FloatArray:
    """An arithmetic operator, or a comparison as 1 and 0."""
    with np.errstate(all="ignore"):
        if op in COMPARISONS:
            return COMPARISONS[op](one, other).astype(np.float64)
        return ARITHMETIC[op](one, other)


def with_scalar(op: str, vector: Vector, scalar: FloatArray, *, scalar_first: bool, return_bool: bool, delayed: bool) -> Vector:
    """A vector and a scalar; a comparison without `bool` filters and gives the vector's value, whichever side it is on."""
    one, other = (scalar, vector.values) if scalar_first else (vector.values, scalar)
    if op in COMPARISONS and not return_bool:
        with np.errstate(invalid="ignore"):
            return vector.only_where(COMPARISONS[op](one, other))
    return drop_names(replace(vector, values=calculate(op, one, other), ordered=False), delayed)


def set_operation(op: str, lhs: Vector, rhs: Vector, matching: VectorMatching) -> Vector:
    """and, or, unless: which rows are there depends on whether the other side has any row of the same match group."""
    grouping = group_rows([*lhs.labels, *rhs.labels], key_function(matching.labels, keep=matching.on))
    left, right = grouping.of_row[: len(lhs)], grouping.of_row[len(lhs) :]
    if op == "or":
        taken = _any_present(lhs, left, len(grouping))[right]
        return merge_same_labelsets(concatenate([lhs, rhs.only_where(~taken)], lhs.steps))
    matched = _any_present(rhs, right, len(grouping))[left]
    return lhs.only_where(matched if op == "and" else ~matched).occupied()


def _any_present(vector: Vector, groups: IntArray, count: int) -> BoolArray:
    """bool [groups, steps]: whether any row of the group is present."""
    result = np.zeros((count, vector.steps), bool)
    if vector.present is None:
        result[groups] = True
    else:
        np.logical_or.at(result, groups, vector.present)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Rows of both sides that stand in one match group, every combination of them; `groups` is the group of each pair."""

    left: IntArray
    right: IntArray
    groups: IntArray


def vector_operation(op: str, lhs: Vector, rhs: Vector, matching: VectorMatching, return_bool: bool, delayed: bool) -> Vector:
    """Arithmetic or comparison of two vectors.

    Raises: EvaluationError where a match is not unique, in Prometheus's words.
    """
    swapped = matching.card == "one-to-many"
    many, one = (rhs, lhs) if swapped else (lhs, rhs)
    key = key_function(matching.labels, keep=matching.on)
    grouping = group_rows([*many.labels, *one.labels], key)
    many_groups, one_groups = grouping.of_row[: len(many)], grouping.of_row[len(many) :]
    pairs = _pair(many_groups, one_groups, len(grouping))
    _check_one_side(many, one, one_groups, matching, swapped)
    rule = _ResultRule(op, matching, return_bool, delayed, swapped)
    present = _both_present(many, one, pairs)
    parts = [rule.result(many.rows(pairs.left), one.rows(pairs.right), present, pairs.groups)]
    parts += _filled_parts(many, one, many_groups, one_groups, len(grouping), rule)
    _check_many_side(parts, matching)
    vectors = [part.vector for part in parts]
    return merge_same_labelsets(concatenate(vectors, lhs.steps)).occupied()


def _pair(many: IntArray, one: IntArray, count: int) -> _Pairs:
    sizes = np.bincount(one, minlength=count)
    order = np.argsort(one, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    if sizes.max(initial=0) <= 1:
        left = np.flatnonzero(sizes[many] == 1)
        return _Pairs(left, order[starts[many[left]]], many[left])
    repeats = sizes[many]
    left = np.repeat(np.arange(len(many)), repeats)
    within = np.arange(len(left)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return _Pairs(left, order[starts[many[left]] + within], many[left])


def _both_present(many: Vector, one: Vector, pairs: _Pairs) -> BoolArray | None:
    if many.present is None and one.present is None:
        return None
    return many.mask()[pairs.left] & one.mask()[pairs.right]


def _check_one_side(many: Vector, one: Vector, one_groups: IntArray, matching: VectorMatching, swapped: bool) -> None:
    """On the one side a match group may hold at most one series at a step, if the other side has anything at that step."""
    if len(np.unique(one_groups)) == len(one_groups) or not len(many):
        return
    mask = one.mask() & many.mask().any(axis=0)
    members: dict[int, list[int]] = {}
    for row, group in enumerate(one_groups.tolist()):
        for earlier in members.setdefault(group, []):
            if (mask[earlier] & mask[row]).any():
                _raise_duplicate(one.labels[row], one.labels[earlier], matching, swapped)
        members[group].append(row)


def _raise_duplicate(one: Labels, other: Labels, matching: VectorMatching, swapped: bool) -> None:
    group = key_function(matching.labels, keep=matching.on)(one)
    first, second = sorted((one, other))
    side = "left" if swapped else "right"
    raise EvaluationError(
        f"found duplicate series for the match group {braced(group)} on the {side} hand-side of the operation: "
        f"[{braced(first)}, {braced(second)}];many-to-many matching not allowed: "
        "matching labels must be unique on one side"
    )


def braced(labels: Labels) -> str:
    """All labels in braces, the metric name among them, as Prometheus prints them in errors."""
    return "{" + ", ".join(f"{quote_label_name(name)}={quote(value)}" for name, value in labels) + "}"


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some rows of the result and the match group of each; `matched` is their presence before a comparison filters."""

    vector: Vector
    groups: IntArray
    matched: BoolArray | None


@dataclass(frozen=True, slots=True, eq=False)
class _ResultRule:
    op: str
    matching: VectorMatching
    return_bool: bool
    delayed: bool
    swapped: bool

    def result(self, many: Vector, one: Vector, present: BoolArray | None, groups: IntArray) -> _Part:
        left, right = (one, many) if self.swapped else (many, one)
        filtering = self.op in COMPARISONS and not self.return_bool
        matched = present
        if filtering:
            with np.errstate(invalid="ignore"):
                keep = COMPARISONS[self.op](left.values, right.values)
            present = keep if present is None else present & keep
            values = left.values
        else:
            values = calculate(self.op, left.values, right.values)
        labels, unnamed = self._labels(many, one, drop=not filtering)
        return _Part(Vector(labels, values, present, unnamed), groups, matched)

    def _labels(self, many: Vector, one: Vector, drop: bool) -> tuple[list[Labels], BoolArray | None]:
        labels = list(many.labels)
        unnamed = many.unnamed
        if drop:
            dropped = drop_names(many, self.delayed)
            labels, unnamed = list(dropped.labels), dropped.unnamed
        if self.matching.card == "one-to-one":
            if self.matching.on:
                kept = frozenset(self.matching.labels)
                labels = [Labels([pair for pair in row if pair[0] in kept]) for row in labels]
            elif self.matching.labels:
                labels = [row.without(self.matching.labels) for row in labels]
        if self.matching.include:
            labels = [
                row.with_labels({name: source.get(name) for name in self.matching.include})
                for row, source in zip(labels, one.labels, strict=True)
            ]
        return labels, unnamed


def _filled_parts(
    many: Vector, one: Vector, many_groups: IntArray, one_groups: IntArray, count: int, rule: _ResultRule
) -> list[_Part]:
    """What `fill` adds: rows of one side at steps where the other side has nothing in their match group."""
    matching, parts = rule.matching, []
    fill_many, fill_one = matching.fill_lhs, matching.fill_rhs
    if rule.swapped:
        fill_many, fill_one = fill_one, fill_many
    key = key_function(matching.labels, keep=matching.on)
    if fill_one is not None and len(many):
        missing = ~_any_present(one, one_groups, count)[many_groups]
        stand_in = Vector([key(row) for row in many.labels], np.full(many.values.shape, fill_one))
        parts.append(rule.result(many, stand_in, many.mask() & missing, many_groups))
    if fill_many is not None and len(one):
        missing = ~_any_present(many, many_groups, count)[one_groups]
        stand_in = Vector([key(row) for row in one.labels], np.full(one.values.shape, fill_many))
        parts.append(rule.result(stand_in, one, one.mask() & missing, one_groups))
    return parts


def _check_many_side(parts: list[_Part], matching: VectorMatching) -> None:
    """One-to-one: a group matches once per step. Otherwise the result's labels tell the matches of a group apart."""
    one_to_one = matching.card == "one-to-one"
    if len(parts) == 1 and len(np.unique(parts[0].groups)) == len(parts[0].groups):
        return
    seen: dict[tuple[int, Labels | None], BoolArray] = {}
    problem = (
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        if one_to_one
        else "multiple matches for labels: grouping labels must ensure unique matches"
    )
    for part in parts:
        mask = part.matched if part.matched is not None else np.broadcast_to(np.True_, part.vector.values.shape)
        for row, group in enumerate(part.groups.tolist()):
            key = (group, None if one_to_one else part.vector.labels[row])
            before = seen.get(key)
            if before is None:
                seen[key] = mask[row]
            elif (before & mask[row]).any():
                raise EvaluationError(problem)
            else:
                seen[key] = before | mask[row]
