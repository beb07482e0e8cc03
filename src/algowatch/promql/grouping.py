"""Which rows belong together: found once per query from the labels, never per step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.promql.vectors import IntArray

Key = Callable[[Labels], Labels]


def key_function(names: Sequence[str], *, keep: bool) -> Key:
    """What remains of a label set: only the names (keep), or all but the names and the metric name."""
    if keep:
        kept = frozenset(names)
        return lambda labels: Labels([pair for pair in labels if pair[0] in kept])
    gone = frozenset((*names, METRIC_NAME))
    return lambda labels: Labels([pair for pair in labels if pair[0] not in gone])


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Rows assigned to groups.

    keys: what the rows of each group have in common, in the order of first appearance; of_row: int64 [rows].
    """

    keys: list[Labels]
    of_row: IntArray

    def __len__(self) -> int:
        return len(self.keys)

    def by_size(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Groups of equal size together: (group numbers [groups], rows [size, groups]).

        So a reduction runs once for all groups of one size instead of once per group.
        """
        order = np.argsort(self.of_row, kind="stable")
        sizes = np.bincount(self.of_row, minlength=len(self.keys))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        for size in np.unique(sizes).tolist():
            groups = np.flatnonzero(sizes == size)
            if size:
                yield groups, order[starts[groups][np.newaxis, :] + np.arange(size)[:, np.newaxis]]

    def rows_by_group(self) -> list[list[int]]:
        rows: list[list[int]] = [[] for _ in self.keys]
        for row, group in enumerate(self.of_row.tolist()):
            rows[group].append(row)
        return rows


def group_rows(labels: Sequence[Labels], key: Key) -> Grouping:
    numbers: dict[Labels, int] = {}
    of_row = [numbers.setdefault(key(row), len(numbers)) for row in labels]
    return Grouping(list(numbers), np.asarray(of_row, np.int64))
