"""Long queries are evaluated some steps at a time, so that a month of samples need not be in memory at once.

Every step of a query stands for itself, so the answers of pieces laid end to end are the answer of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from algowatch.errors import QueryLimitError
from algowatch.model.labels import Labels
from algowatch.promql.vectors import FloatArray, IntArray, Scalar, Value, Vector

_FEWEST_STEPS = 16
_SHRINK = 4


def in_pieces(steps_ms: IntArray, span_ms: int, evaluate: Callable[[IntArray], Value]) -> Value:
    """The value at all steps, evaluated for at most a span of them at a time; less where a piece holds too many samples.

    Raises: QueryLimitError where even few steps need more samples than the query may read.
    """
    found: list[Value] = []
    start = 0
    while start < len(steps_ms):
        stop = int(np.searchsorted(steps_ms, steps_ms[start] + span_ms, side="right"))
        stop = max(stop, min(start + _FEWEST_STEPS, len(steps_ms)))
        try:
            found.append(evaluate(steps_ms[start:stop]))
        except QueryLimitError:
            if stop - start <= _FEWEST_STEPS:
                raise
            span_ms = int(steps_ms[stop - 1] - steps_ms[start]) // _SHRINK
        else:
            start = stop
    return _end_to_end(found)


def _end_to_end(pieces: Sequence[Value]) -> Value:
    if len(pieces) == 1:
        return pieces[0]
    numbers = [piece.values for piece in pieces if isinstance(piece, Scalar)]
    if numbers:
        return Scalar(np.concatenate(numbers))
    vectors = [piece for piece in pieces if isinstance(piece, Vector)]
    return _joined(vectors) if vectors else pieces[0]


_Identity = tuple[Labels, bool, int]
"""What makes two rows of different pieces one: labels, whether the name goes, and which one of several such rows it is."""


def _joined(vectors: Sequence[Vector]) -> Vector:
    """Rows of one identity become one row; where a piece lacks it, it is not present."""
    rows: dict[_Identity, int] = {}
    places = [[rows.setdefault(identity, len(rows)) for identity in _identities(vector)] for vector in vectors]
    steps = sum(vector.steps for vector in vectors)
    values: FloatArray = np.zeros((len(rows), steps))
    present = np.zeros((len(rows), steps), bool)
    start = 0
    for vector, place in zip(vectors, places, strict=True):
        stop = start + vector.steps
        values[place, start:stop] = vector.values
        present[place, start:stop] = vector.mask()
        start = stop
    unnamed = np.array([unnamed for _, unnamed, _ in rows], bool)
    labels = [labels for labels, _, _ in rows]
    return Vector(labels, values, None if present.all() else present, unnamed if unnamed.any() else None)


def _identities(vector: Vector) -> Iterator[_Identity]:
    seen: Counter[tuple[Labels, bool]] = Counter()
    for pair in zip(vector.labels, vector.row_unnamed().tolist(), strict=True):
        yield (*pair, seen[pair])
        seen[pair] += 1
