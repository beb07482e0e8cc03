"""The fast way from a target's body to its values.

Most scrapes bring the same lines as the scrape before, with some numbers changed. So the lines are compared with the previous
ones, and of those that differ only what stands behind an unchanged series is read: plain numbers all at once, anything else
(timestamps, exemplars) line by line. Whatever differs in any other way goes through the strict parser as a whole. Nothing is
ever taken over unread: a line is either equal to one that the parser accepted, or equal up to its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from operator import ne

import numpy as np
import orjson
from numpy.typing import NDArray

from algowatch.scrape.exposition import Exposition, Sample, parse_exposition, parse_float, parse_rest

_NUMBER_BYTES = b"0123456789+-.eE,"
_NO_SAMPLE = b"\n"
"""The key of a line without a sample: no line begins with it."""

Floats = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class _Known:
    """The last body that was read, line by line.

    keys:      what stands before the value on each line, blanks included; `_NO_SAMPLE` where it is not a sample.
    cuts:      the lengths of the keys.
    sample_at: the place of the line's sample in the exposition, -1 where it has none.
    plain:     whether nothing but a number follows the key.
    """

    openmetrics: bool
    lines: list[bytes]
    keys: list[bytes]
    cuts: list[int]
    series_ends: list[int]
    sample_at: list[int]
    plain: list[bool]
    values: Floats


class BodyReader:
    """Reads the bodies of one target.

    `exposition` is what the last strict reading found; it stays the same object while the layout does, and its samples with a
    timestamp or an exemplar are replaced in place. Their values are in what `read` returns.
    """

    def __init__(self) -> None:
        self.exposition = Exposition()
        self.has_exemplars = False
        """Whether a sample may have one; looking at each of them every time would cost more than the reading."""
        self._known: _Known | None = None

    def read(self, body: bytes, *, openmetrics: bool) -> Floats:
        """The values of `exposition.samples`, in their order; a fresh array each time.

        Raises: ExpositionError; the reader then still knows the last good body.
        """
        values = self.read_unchanged_layout(body, openmetrics=openmetrics)
        return values if values is not None else self.read_strictly(body, openmetrics=openmetrics)

    def read_unchanged_layout(self, body: bytes, *, openmetrics: bool) -> Floats | None:
        """The values if nothing changed but what stands behind the series, else None.

        Raises: ExpositionError.
        """
        known = self._known
        if known is None or known.openmetrics is not openmetrics:
            return None
        lines = body.split(b"\n")
        if len(lines) != len(known.lines):
            return None
        changed = list(compress(range(len(lines)), map(ne, lines, known.lines)))
        if not changed:
            return known.values.copy()
        if not all(map(bytes.startswith, [lines[index] for index in changed], [known.keys[index] for index in changed])):
            return None
        numbers = _plain_numbers(known, lines, changed)
        if numbers is None:
            numbers = self._numbers_one_by_one(known, lines, changed)
        if numbers is None:
            return None
        known.values[[known.sample_at[index] for index in changed]] = numbers
        known.lines = lines
        return known.values.copy()

    def read_strictly(self, body: bytes, *, openmetrics: bool) -> Floats:
        """Read with the strict parser and remember the layout. May run in a worker thread."""
        exposition = parse_exposition(body, openmetrics=openmetrics)
        values = np.fromiter((sample.value for sample in exposition.samples), np.float64, len(exposition.samples))
        self._known = _remember(body, openmetrics, exposition.samples, values)
        self.exposition = exposition
        self.has_exemplars = any(sample.exemplar for sample in exposition.samples)
        return values.copy()

    def _numbers_one_by_one(self, known: _Known, lines: list[bytes], changed: list[int]) -> Floats | None:
        """None where a sample that had no timestamp of its own has one now, or the other way round: that is another layout."""
        samples = self.exposition.samples
        numbers: list[float] = []
        found: dict[int, Sample] = {}
        for index in changed:
            value = _number(lines[index][known.cuts[index] :]) if known.plain[index] else None
            if value is None:
                before = samples[known.sample_at[index]]
                sample = parse_rest(lines[index], known.series_ends[index], before, openmetrics=known.openmetrics)
                if (sample.timestamp_ms is None) != (before.timestamp_ms is None):
                    return None
                value, found[index] = sample.value, sample
            numbers.append(value)
        self.has_exemplars = self.has_exemplars or any(sample.exemplar for sample in found.values())
        for index, sample in found.items():
            samples[known.sample_at[index]] = sample
            known.plain[index] = sample.timestamp_ms is None and sample.exemplar is None
        return np.array(numbers)


def _number(text: bytes) -> float | None:
    """A value alone, None where anything stands beside it."""
    try:
        return parse_float(text.decode("ascii"))
    except ValueError:
        return None


def _plain_numbers(known: _Known, lines: list[bytes], changed: list[int]) -> Floats | None:
    """All numbers at once; None where something else than a number in JSON's spelling follows, or did before.

    A JSON reader is the quickest that there is, and it rounds correctly. A zero with a sign would come back as an integer
    without one, so it is left to the careful way.
    """
    cuts, plain = known.cuts, known.plain
    texts = [lines[index][cuts[index] :] for index in changed]
    joined = b",".join(texts)
    if joined.translate(None, _NUMBER_BYTES) or joined.count(b",") != len(texts) - 1 or b"-0" in texts:
        return None
    if not all(plain[index] for index in changed):
        return None
    try:
        numbers = np.array(orjson.loads(b"[" + joined + b"]"), dtype=np.float64)
    except ValueError:
        return None
    return numbers if len(numbers) == len(texts) else None


def _remember(body: bytes, openmetrics: bool, samples: list[Sample], values: Floats) -> _Known:
    lines = body.split(b"\n")
    count = len(lines)
    known = _Known(openmetrics, lines, [_NO_SAMPLE] * count, [0] * count, [0] * count, [-1] * count, [False] * count, values)
    for position, sample in enumerate(samples):
        line = lines[sample.line].decode()
        key = line[: sample.value_start].encode()
        known.keys[sample.line], known.cuts[sample.line] = key, len(key)
        known.series_ends[sample.line] = len(key.rstrip(b" \t"))
        known.sample_at[sample.line] = position
        known.plain[sample.line] = sample.value_end == len(line)
    return known
