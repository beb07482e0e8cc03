"""The fast way from a target's body to its values.

Most scrapes bring the same lines as the scrape before, with some numbers changed. So the lines are compared with the previous
ones, and of those that differ only the number behind an unchanged series is read. Whatever differs in any other way goes
through the strict parser. Nothing is ever taken over unread: a line is either equal to one that the parser accepted, or equal
up to its value, and the value consists of the characters of a plain number.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from operator import ne

import numpy as np
from numpy.typing import NDArray

from algowatch.scrape.exposition import Exposition, Sample, parse_exposition

_NUMBER_BYTES = b"0123456789+-.eENaIinf "


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The last body that was read, line by line; `sample_at` is -1 where a line is not a plain sample."""

    openmetrics: bool
    lines: list[bytes]
    keys: list[bytes]
    cuts: list[int]
    sample_at: list[int]
    values: NDArray[np.float64]


class BodyReader:
    """Reads the bodies of one target; `exposition` is what the last strict reading found and stays the same object
    while the layout does."""

    def __init__(self) -> None:
        self.exposition = Exposition()
        self._known: _Known | None = None

    def read(self, body: bytes, *, openmetrics: bool) -> NDArray[np.float64]:
        """The values of `exposition.samples`, in their order; a fresh array each time.

        Raises: ExpositionError; the reader then still knows the last good body.
        """
        values = self.read_unchanged_layout(body, openmetrics=openmetrics)
        return values if values is not None else self.read_strictly(body, openmetrics=openmetrics)

    def read_unchanged_layout(self, body: bytes, *, openmetrics: bool) -> NDArray[np.float64] | None:
        """The values if nothing but plain numbers changed since the last body, else None."""
        known = self._known
        if known is None or known.openmetrics is not openmetrics:
            return None
        lines = body.split(b"\n")
        if len(lines) != len(known.lines):
            return None
        changed = list(compress(range(len(lines)), map(ne, lines, known.lines)))
        if not changed:
            return known.values.copy()
        numbers = _changed_numbers(known, lines, changed)
        if numbers is None:
            return None
        values = known.values.copy()
        values[[known.sample_at[index] for index in changed]] = numbers
        self._known = _Known(openmetrics, lines, known.keys, known.cuts, known.sample_at, values)
        return values.copy()

    def read_strictly(self, body: bytes, *, openmetrics: bool) -> NDArray[np.float64]:
        """Read with the strict parser and remember the layout. May run in a worker thread."""
        exposition = parse_exposition(body, openmetrics=openmetrics)
        values = np.fromiter((sample.value for sample in exposition.samples), np.float64, len(exposition.samples))
        self._known = _remember(body, openmetrics, exposition.samples, values)
        self.exposition = exposition
        return values.copy()


def _changed_numbers(known: _Known, lines: list[bytes], changed: list[int]) -> NDArray[np.float64] | None:
    keys, cuts, sample_at = known.keys, known.cuts, known.sample_at
    texts = []
    for index in changed:
        line = lines[index]
        if sample_at[index] < 0 or not line.startswith(keys[index]):
            return None
        texts.append(line[cuts[index] :])
    joined = b" ".join(texts)
    if joined.translate(None, _NUMBER_BYTES) or joined.count(b" ") != len(texts) - 1:
        return None
    try:
        numbers = np.array(list(map(float, texts)))
    except ValueError:
        return None
    return None if np.isinf(numbers).any() else numbers


def _remember(body: bytes, openmetrics: bool, samples: list[Sample], values: NDArray[np.float64]) -> _Known:
    lines = body.split(b"\n")
    keys, cuts, sample_at = [b""] * len(lines), [0] * len(lines), [-1] * len(lines)
    for position, sample in enumerate(samples):
        line = lines[sample.line].decode()
        key = line[: sample.value_start].encode()
        keys[sample.line], cuts[sample.line] = key, len(key)
        if sample.value_end == len(line):
            sample_at[sample.line] = position
    return _Known(openmetrics, lines, keys, cuts, sample_at, values)
