"""The notation of series in Prometheus's test scripts, and an in-memory `Select` over series that were written so.

`1 2+3x2 _ stale` is 1, then 2, 5, 8, then nothing, then a staleness marker, one step apart from time zero on.
Source: Prometheus, "Unit testing for rules", Series.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algowatch.model.labels import METRIC_NAME, Labels, Matcher
from algowatch.model.protocols import SeriesMatrix
from algowatch.model.staleness import STALE_NAN
from algowatch.promql.lexer import Token, tokenize

_STRING = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`"""
_METRIC = re.compile(rf"""(?P<name>[a-zA-Z_:][\w:]*)?\s*(?P<labels>\{{(?:{_STRING}|[^"'`}}])*\}})?(?:\s+|\Z)(?P<points>.*)""")
_NUM = r"(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf|nan)"
_POINT = re.compile(rf"(?P<first>[+-]?{_NUM}|stale|_)(?P<add>[+-]{_NUM})?(?:x(?P<times>\d+))?\Z", re.IGNORECASE)
_HISTOGRAM = re.compile(r"\{\{.*?\}\}(?:[+-]\{\{.*?\}\})?(?:x(?P<times>\d+))?\Z")
_WORDS = re.compile(r"(?:\{\{.*?\}\}|\S)+")

Point = float | None


def parse_labels(line: str) -> tuple[Labels, str]:
    """The label set at the start of a line such as `orders{side="BUY"} 1 2`, and the rest of the line.

    Raises: ValueError.
    """
    found = _METRIC.match(line)
    if found is None or not (found["name"] or found["labels"]):
        raise ValueError(f'not a series: {line!r}; write for example orders{{side="BUY"}} 1 2')
    pairs = _pairs(found["labels"], line) if found["labels"] else {}
    if found["name"]:
        pairs[METRIC_NAME] = found["name"]
    return Labels.of(pairs), found["points"]


def _pairs(text: str, line: str) -> dict[str, str]:
    tokens = [token for token in tokenize(text) if token.text not in ("{", "}", ",") and token.kind != "end"]
    pairs: dict[str, str] = {}
    while tokens:
        match tokens[:3]:
            case [Token() as name, Token(text="="), Token(kind="string") as value]:
                pairs[name.word] = value.word
                tokens = tokens[3:]
            case [Token(kind="string") as metric, *_]:
                pairs[METRIC_NAME] = metric.word
                tokens = tokens[1:]
            case _:
                raise ValueError(f"not a label set: {line!r}")
    return pairs


def parse_points(text: str) -> list[Point]:
    """Numbers, None where a sample is missing, and staleness markers.

    Raises: ValueError, also for native histograms.
    """
    return [point for word in text.split() for point in _expand(word)]


def _expand(word: str) -> list[Point]:
    found = _POINT.match(word)
    if found is None:
        raise ValueError(f"not a series of points: {word!r}; write for example 1, 2+3x4, _ or stale")
    times = int(found["times"]) if found["times"] else 0
    if found["first"] == "_":
        return [None] * (times or 1)
    if found["first"].lower() == "stale":
        return [STALE_NAN] * (times + 1)
    value, add = float(found["first"]), float(found["add"] or 0)
    points: list[Point] = []
    for _ in range(times + 1):
        points.append(value)
        value += add
    return points


@dataclass(frozen=True, slots=True)
class LoadedSeries:
    """One line of a `load`. histogram_at: which points are native histograms; they have no number."""

    labels: Labels
    step_ms: int
    points: tuple[Point, ...]
    histogram_at: frozenset[int] = frozenset()
    with_nhcb: bool = False

    @classmethod
    def read(cls, line: str, step_ms: int, *, with_nhcb: bool = False) -> LoadedSeries:
        """Raises: ValueError."""
        labels, rest = parse_labels(line)
        points: list[Point] = []
        histogram_at: set[int] = set()
        for word in _WORDS.findall(rest):
            if (found := _HISTOGRAM.match(word)) is not None:
                count = int(found["times"]) + 1 if found["times"] else 1
                histogram_at.update(range(len(points), len(points) + count))
                points.extend([None] * count)
            else:
                points.extend(_expand(word))
        return cls(labels, step_ms, tuple(points), frozenset(histogram_at), with_nhcb)

    def histogram_times(self) -> list[tuple[Labels, int]]:
        """Where native histograms stand; `load_with_nhcb` makes one of each classic histogram, without the suffix."""
        found = [(self.labels, at * self.step_ms) for at in self.histogram_at]
        base = re.sub(r"_(?:bucket|sum|count)\Z", "", self.labels.metric_name)
        if self.with_nhcb and base != self.labels.metric_name:
            native = self.labels.without({"le"}).with_labels({METRIC_NAME: base})
            found += [(native, at * self.step_ms) for at, point in enumerate(self.points) if point is not None]
        return found


class MemorySeries:
    """Loaded series behind `Select`; those of one `load` share their timestamps. Remembers reads of native histograms."""

    def __init__(self, loaded: Sequence[LoadedSeries]) -> None:
        self._matrices = _matrices(loaded)
        self._histograms = [found for series in loaded for found in series.histogram_times()]
        self._histograms_read = False

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Sequence[SeriesMatrix]:
        """A `Select`: both ends inclusive."""
        for labels, at_ms in self._histograms:
            if start_ms <= at_ms <= end_ms and _fulfils(labels, matchers):
                self._histograms_read = True
        chosen = (_chosen(matrix, matchers, start_ms, end_ms) for matrix in self._matrices)
        return [matrix for matrix in chosen if matrix is not None]

    def histograms_read(self) -> bool:
        return self._histograms_read

    def forget_reads(self) -> None:
        self._histograms_read = False


def _fulfils(labels: Labels, matchers: Sequence[Matcher]) -> bool:
    return all(matcher.matches(labels.get(matcher.name)) for matcher in matchers)


def _chosen(matrix: SeriesMatrix, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SeriesMatrix | None:
    first, last = np.searchsorted(matrix.timestamps_ms, [start_ms, end_ms + 1])
    assert matrix.present is not None, "matrices are built with a mask"
    present = matrix.present[:, first:last]
    rows = [row for row, labels in enumerate(matrix.labels) if present[row].any() and _fulfils(labels, matchers)]
    if not rows:
        return None
    labels = [matrix.labels[row] for row in rows]
    return SeriesMatrix(labels, matrix.timestamps_ms[first:last], matrix.values[rows, first:last], present[rows])


def _matrices(loaded: Sequence[LoadedSeries]) -> list[SeriesMatrix]:
    """One matrix per step and number of loads: a series that several loads continue stands in one matrix only."""
    samples: dict[Labels, dict[int, float]] = {}
    steps: dict[Labels, set[int]] = {}
    for series in loaded:
        steps.setdefault(series.labels, set()).add(series.step_ms)
        points = samples.setdefault(series.labels, {})
        points.update({at * series.step_ms: value for at, value in enumerate(series.points) if value is not None})
    groups: dict[frozenset[int], dict[Labels, dict[int, float]]] = {}
    for labels, points in samples.items():
        groups.setdefault(frozenset(steps[labels]), {})[labels] = points
    return [_matrix(group) for group in groups.values()]


def _matrix(group: dict[Labels, dict[int, float]]) -> SeriesMatrix:
    timestamps = np.array(sorted({at for points in group.values() for at in points}), np.int64)
    column = {at: index for index, at in enumerate(timestamps.tolist())}
    values = np.full((len(group), len(timestamps)), np.nan)
    present = np.zeros(values.shape, np.bool_)
    for row, points in enumerate(group.values()):
        for at, value in points.items():
            values[row, column[at]], present[row, column[at]] = value, True
    return SeriesMatrix(list(group), timestamps, values, present)
