"""History as CSV: one line per sample, the columns that a spreadsheet or pandas wants."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

import numpy as np

from algowatch.model.labels import METRIC_NAME, Labels, Matcher
from algowatch.model.staleness import STALE_NAN_BITS
from algowatch.model.timestamps import format_time
from algowatch.store.blocks import BLOCK_MS

if TYPE_CHECKING:
    from algowatch.model.protocols import SeriesMatrix
    from algowatch.store.readonly import StoreReader


def export_csv(reader: StoreReader, matchers: Sequence[Matcher], start_ms: int, end_ms: int, out: TextIO) -> int:
    """Write the samples in [start_ms, end_ms] of the series that fulfil all matchers; returns how many there were.

    Columns: time (RFC 3339, UTC), name, every label that one of the series has, value. Two hours at a time, by series within,
    so that memory holds no more than that. Staleness markers, which say where a series ended, are left out.
    Raises: StoreError; re.error where a matcher's regular expression is wrong.
    """
    span = reader.span()
    names = sorted({name for labels in reader.series([matchers], start_ms, end_ms) for name, _ in labels} - {METRIC_NAME})
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["time", "name", *names, "value"])
    count = 0
    if span is None:
        return count
    for first_ms, last_ms in _windows(max(start_ms, span[0]), min(end_ms, span[1])):
        found = [line for matrix in reader.select(matchers, first_ms, last_ms) for line in _series(matrix)]
        for labels, times, values in sorted(found, key=lambda line: line[0]):
            about = [labels.metric_name, *map(labels.get, names)]
            lines.writerows([format_time(time), *about, _number(value)] for time, value in zip(times, values, strict=True))
            count += len(times)
    return count


def _windows(start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    while start_ms <= end_ms:
        last_ms = min(end_ms, start_ms // BLOCK_MS * BLOCK_MS + BLOCK_MS - 1)
        yield start_ms, last_ms
        start_ms = last_ms + 1


def _series(matrix: SeriesMatrix) -> Iterator[tuple[Labels, list[int], list[float]]]:
    """Labels, times and values of each series, without staleness markers."""
    there = np.ascontiguousarray(matrix.values).view(np.uint64) != STALE_NAN_BITS
    if matrix.present is not None:
        there &= matrix.present
    for row, labels in enumerate(matrix.labels):
        yield labels, matrix.timestamps_ms[there[row]].tolist(), matrix.values[row][there[row]].tolist()


def _number(value: float) -> str:
    """The shortest text that reads back as the same number, as Prometheus spells those that are none."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")
