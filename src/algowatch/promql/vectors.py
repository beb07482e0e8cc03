"""What the evaluator hands from node to node: whole vectors, all series and all steps at once.

Every array is [series, steps]. A mask of None means that every value is there, which most data can keep up to the end and
which spares a pass in every function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from algowatch.errors import EvaluationError
from algowatch.model.labels import EMPTY, METRIC_NAME, Labels

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

SAME_LABELSET = "vector cannot contain metrics with the same labelset"
METADATA_LABELS = frozenset({METRIC_NAME, "__type__", "__unit__"})


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """One number per step: float64 [steps]."""

    values: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """Instant vectors of all steps.

    labels:  one per row. Two rows may carry the same labels only while they are never present at the same step.
    values:  float64 [series, steps]; a value that is not present means nothing.
    present: bool [series, steps] or None; where all rows have gaps at the same steps, a broadcast view of one row. Read only.
    unnamed: bool [series] or None: rows whose metric name goes when the query ends (delayed name removal only).
    ordered: whether the order of the rows is part of the answer (`sort`, `topk` of an instant query).
    """

    labels: Sequence[Labels]
    values: FloatArray
    present: BoolArray | None = None
    unnamed: BoolArray | None = None
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def steps(self) -> int:
        return int(self.values.shape[1])

    def mask(self) -> BoolArray:
        """The presence mask, made where there is none. Read only."""
        if self.present is not None:
            return self.present
        return np.broadcast_to(np.True_, self.values.shape)

    def row_unnamed(self) -> BoolArray:
        return self.unnamed if self.unnamed is not None else np.zeros(len(self.labels), bool)

    def rows(self, index: IntArray | list[int]) -> Vector:
        """Some of the rows, in the order of the index."""
        chosen = np.asarray(index, np.int64)
        alike = common_mask(self.present)
        if alike is not None:
            present: BoolArray | None = np.broadcast_to(alike, (len(chosen), len(alike)))
        else:
            present = None if self.present is None else self.present[chosen]
        return Vector(
            [self.labels[row] for row in chosen.tolist()],
            self.values[chosen],
            present,
            None if self.unnamed is None else self.unnamed[chosen],
            self.ordered,
        )

    def occupied(self) -> Vector:
        """Without the rows that are nowhere present."""
        if self.present is None:
            return self
        if common_mask(self.present) is not None:
            return self if self.present[0].any() else self.rows([])
        used = self.present.any(axis=1)
        return self if used.all() else self.rows(np.flatnonzero(used))

    def only_where(self, keep: BoolArray) -> Vector:
        """Present only where it was and `keep` is true."""
        return replace(self, present=keep if self.present is None else self.present & keep)


Value = Scalar | Vector | str


def common_mask(present: BoolArray | None) -> BoolArray | None:
    """bool [steps] of a mask that is one row shown for all series; None for a mask of any other kind."""
    if present is None or not len(present) or present.strides[0]:
        return None
    row: BoolArray = present[0]
    return row


def empty_vector(steps: int) -> Vector:
    return Vector([], np.empty((0, steps)), None)


def single(values: FloatArray, labels: Labels = EMPTY, present: BoolArray | None = None) -> Vector:
    """A vector of one row from one number per step."""
    return Vector([labels], values[np.newaxis, :], None if present is None else present[np.newaxis, :])


def without_name(labels: Labels) -> Labels:
    """The labels without the metric name and its type and unit; fast where the name stands first, as it mostly does."""
    if not labels:
        return labels
    if labels[0][0] == METRIC_NAME and not (len(labels) > 1 and labels[1][0] in METADATA_LABELS):
        return Labels(labels[1:])
    return labels.without(METADATA_LABELS)


def metric_names(rows: Sequence[Labels]) -> set[str]:
    """The different metric names; fast where the name stands first, as it mostly does."""
    firsts = {row[:1] for row in rows}
    if all(first and first[0][0] == METRIC_NAME for first in firsts):
        return {first[0][1] for first in firsts}
    return {row.metric_name for row in rows}


def drop_names(vector: Vector, delayed: bool) -> Vector:
    """Take the metric names off, or only mark the rows where removal is delayed to the end of the query."""
    if delayed:
        return replace(vector, unnamed=np.ones(len(vector), bool))
    return replace(vector, labels=[without_name(labels) for labels in vector.labels], unnamed=None)


def has_duplicates(labels: Sequence[Labels]) -> bool:
    return len(labels) > 1 and len(set(labels)) != len(labels)


def merge_same_labelsets(vector: Vector) -> Vector:
    """Join rows of the same labels into one.

    Raises: EvaluationError where two of them are present at the same step.
    """
    if not has_duplicates(vector.labels):
        return vector
    vector = vector.occupied()
    if not has_duplicates(vector.labels):
        return vector
    rows_of: dict[Labels, list[int]] = {}
    for row, labels in enumerate(vector.labels):
        rows_of.setdefault(labels, []).append(row)
    merged = vector.rows([rows[0] for rows in rows_of.values()])
    values, present = merged.values.copy(), merged.mask().copy()
    for target, rows in enumerate(rows_of.values()):
        for row in rows[1:]:
            here = vector.mask()[row]
            if (present[target] & here).any():
                raise EvaluationError(SAME_LABELSET)
            values[target, here] = vector.values[row, here]
            present[target] |= here
    return replace(merged, values=values, present=present)


def reject_same_labelsets(vector: Vector) -> Vector:
    """The vector itself. Raises: EvaluationError where two rows that are present anywhere carry the same labels."""
    if has_duplicates(vector.labels) and has_duplicates(vector.occupied().labels):
        raise EvaluationError(SAME_LABELSET)
    return vector


def concatenate(vectors: Sequence[Vector], steps: int) -> Vector:
    """All rows of all vectors, one below the other."""
    vectors = [vector for vector in vectors if len(vector)]
    if not vectors:
        return empty_vector(steps)
    if len(vectors) == 1:
        return vectors[0]
    present = None
    if any(vector.present is not None for vector in vectors):
        present = np.concatenate([vector.mask() for vector in vectors])
    unnamed = None
    if any(vector.unnamed is not None for vector in vectors):
        unnamed = np.concatenate([vector.row_unnamed() for vector in vectors])
    labels = [label for vector in vectors for label in vector.labels]
    return Vector(labels, np.concatenate([vector.values for vector in vectors]), present, unnamed)
