"""Stored samples for tests of the evaluator: a `select` over series written down in the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import SeriesMatrix

NAN = float("nan")


def labels(name: str = "", **more: str) -> Labels:
    return Labels.of({"__name__": name, **more})


class Memory:
    """Holds matrices and answers `select` the way the store promises to."""

    def __init__(self, *matrices: SeriesMatrix) -> None:
        self.matrices = matrices
        self.reads: list[tuple[int, int]] = []

    def __call__(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Sequence[SeriesMatrix]:
        self.reads.append((start_ms, end_ms))
        found = []
        for matrix in self.matrices:
            times = matrix.timestamps_ms
            inside = (times >= start_ms) & (times <= end_ms)
            rows = [
                row
                for row, series in enumerate(matrix.labels)
                if all(matcher.matches(series.get(matcher.name)) for matcher in matchers)
                and (inside if matrix.present is None else inside & matrix.present[row]).any()
            ]
            if rows:
                present = None if matrix.present is None else matrix.present[rows]
                found.append(SeriesMatrix([matrix.labels[row] for row in rows], times, matrix.values[rows], present))
        return found


def matrix(interval_s: float, series: Mapping[Labels, Sequence[float | None]], start_s: float = 0.0) -> SeriesMatrix:
    """Series that share their timestamps; None is a missing sample."""
    width = max(len(values) for values in series.values())
    times = ((start_s + interval_s * np.arange(width)) * 1000).astype(np.int64)
    padded = [[*values, *[None] * (width - len(values))] for values in series.values()]
    present = np.array([[value is not None for value in row] for row in padded])
    values = np.array([[0.0 if value is None else value for value in row] for row in padded], np.float64)
    return SeriesMatrix(list(series), times, values, None if present.all() else present)
