"""The strict parsers of what a target answers: Prometheus's text format 0.0.4 and OpenMetrics 1.0.

They accept what Prometheus 3 accepts, UTF-8 names in quotes and exemplars included, and refuse the rest with the line. They are
the slow and careful way in; `body.py` stands in front of them for a target whose layout did not change.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from algowatch.errors import ExpositionError
from algowatch.model.labels import METRIC_NAME, Labels

MAX_LINE_LENGTH = 1 << 20
MAX_LABELS = 1000

METRIC_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped", "unknown"})
OPENMETRICS_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "unknown", "info", "stateset", "gaugehistogram"})

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"')
_PLAIN_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"(?=[,}])')
"""Nearly every label looks like this; reading it in one go makes the parser a third quicker."""
_BLANKS = (" ", "\t")
_TOKEN = re.compile(r"[^ \t]+")
_FLOAT = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z|[+-]?inf(?:inity)?\Z|nan\Z", re.IGNORECASE | re.ASCII
)
_INTEGER = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)
_ESCAPE = re.compile(r'\\([\\"n])')
_HELP_ESCAPE = re.compile(r"\\([\\n])")


@dataclass(slots=True)
class Metadata:
    """What a body says about one metric family; empty where it says nothing."""

    type: str = "unknown"
    help: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One traced event behind a sample; `timestamp_ms` is None where the body gives none."""

    labels: Labels
    value: float
    timestamp_ms: int | None


class Sample(NamedTuple):
    """One sample line. `line` counts from 0; `value_start` and `value_end` cut its value out of the line, in characters."""

    labels: Labels
    value: float
    timestamp_ms: int | None
    exemplar: Exemplar | None
    line: int
    value_start: int
    value_end: int


@dataclass(slots=True)
class Exposition:
    """A whole body: its samples in the body's order, and its families' metadata."""

    samples: list[Sample] = field(default_factory=list)
    metadata: dict[str, Metadata] = field(default_factory=dict)


def parse_exposition(body: bytes, *, openmetrics: bool = False) -> Exposition:
    """Read a whole body.

    Raises: ExpositionError for the first thing that is not the format; nothing of such a body may be used.
    """
    text = _decode(body)
    lines = text.split("\n")
    reader = _OpenMetricsReader() if openmetrics else _TextReader()
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines):
        reader.number = number
        if len(line) > MAX_LINE_LENGTH:
            raise reader.error(f"the line is longer than {MAX_LINE_LENGTH} characters", line)
        reader.read_line(line)
    reader.finish(len(lines))
    return reader.exposition


def parse_rest(line: bytes, series_end: int, like: Sample, *, openmetrics: bool) -> Sample:
    """Read what stands behind a known series on one line: `line[:series_end]`, in bytes, is as it was for `like`.

    Raises: ExpositionError.
    """
    reader = _OpenMetricsReader() if openmetrics else _TextReader()
    reader.number = like.line
    if len(line) > MAX_LINE_LENGTH:
        raise reader.error(f"the line is longer than {MAX_LINE_LENGTH} characters")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise reader.error("invalid UTF-8") from None
    if "\0" in text:
        raise reader.error("a NUL character")
    return reader.read_rest(like.labels, text, len(line[:series_end].decode("utf-8")))


def parse_float(text: str) -> float:
    """A sample's value as Go's ParseFloat reads it, without hexadecimal digits and underscores.

    Raises: ValueError if it is not a number, or one that does not fit into a float64.
    """
    if not _FLOAT.match(text):
        raise ValueError(f"not a number: {text[:60]!r}")
    value = float(text)
    if math.isinf(value) and "n" not in text.lower():
        raise ValueError(f"number out of range: {text[:60]!r}")
    return value


def format_openmetrics_float(value: float) -> str:
    """The spelling that OpenMetrics demands for `le` and `quantile`: the shortest, and always recognisable as a float.

    >>> format_openmetrics_float(1), format_openmetrics_float(0.005), format_openmetrics_float(1e6)
    ('1.0', '0.005', '1e+06')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    exact = Decimal(repr(value)).normalize()
    sign, digits, exponent = exact.as_tuple()
    power = len(digits) - 1 + int(exponent)
    if value == 0 or -4 <= power < 6:
        fixed = format(exact, "f")
        return fixed if "." in fixed else fixed + ".0"
    mantissa = "".join(map(str, digits))
    mantissa = mantissa[0] + ("." + mantissa[1:] if len(mantissa) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _decode(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ExpositionError(f"invalid UTF-8 at byte {error.start}", body.count(b"\n", 0, error.start) + 1) from None
    nul = text.find("\0")
    if nul >= 0:
        raise ExpositionError("a NUL character", text.count("\n", 0, nul) + 1)
    return text


class _TextReader:
    """Text format 0.0.4: blanks between tokens are free, unknown comments and empty lines are skipped."""

    def __init__(self) -> None:
        self.exposition = Exposition()
        self.number = 0
        self.family_type = ""

    def error(self, problem: str, line: str = "") -> ExpositionError:
        return ExpositionError(problem, self.number + 1, line[:120])

    def finish(self, _lines: int) -> None:
        """Called after the last line."""

    def read_line(self, line: str) -> None:
        at = self.skip(line, 0)
        if at == len(line):
            return
        if line[at] == "#":
            self.read_comment(line, at + 1)
            return
        labels, at = self.read_series(line, at)
        self.exposition.samples.append(self.read_rest(labels, line, at))

    def read_rest(self, labels: Labels, line: str, at: int) -> Sample:
        """What stands behind a series: its value and what may follow, up to the end of the line."""
        value, start, end = self.read_value(line, at)
        timestamp_ms, at = self.read_timestamp(line, end)
        if at != len(line):
            raise self.error("unexpected text after the sample", line)
        return Sample(labels, value, timestamp_ms, None, self.number, start, end)

    def skip(self, line: str, at: int) -> int:
        while line[at : at + 1] in _BLANKS:
            at += 1
        return at

    def token(self, line: str, at: int) -> tuple[str, int]:
        found = _TOKEN.match(line, at)
        return (found[0], found.end()) if found else ("", at)

    # Comments

    def read_comment(self, line: str, at: int) -> None:
        keyword, at = self.token(line, self.skip(line, at))
        if keyword in ("HELP", "TYPE"):
            name, at = self.read_family_name(line, at)
            self.describe(keyword, name, line[self.skip(line, at) :], line)

    def read_family_name(self, line: str, at: int) -> tuple[str, int]:
        start = self.skip(line, at)
        if start == at:
            raise self.error("expected a metric name", line)
        name, end = self.read_name(line, start)
        if not name or line[end : end + 1] not in ("", " ", "\t"):
            raise self.error("expected a metric name", line)
        return name, end

    def describe(self, keyword: str, name: str, text: str, line: str) -> None:
        entry = self.exposition.metadata.setdefault(name, Metadata())
        if keyword == "HELP":
            entry.help = _HELP_ESCAPE.sub(_unescaped, text) if "\\" in text else text
            return
        kind = text.rstrip(" \t")
        if kind not in METRIC_TYPES:
            raise self.error(f"invalid metric type {kind[:60]!r}", line)
        entry.type = "unknown" if kind == "untyped" else kind
        self.family_type = kind

    # Samples

    def read_name(self, line: str, at: int) -> tuple[str, int]:
        if line[at : at + 1] == '"':
            return self.read_quoted(line, at)
        found = _NAME.match(line, at)
        return (found[0], found.end()) if found else ("", at)

    def read_quoted(self, line: str, at: int) -> tuple[str, int]:
        found = _QUOTED.match(line, at)
        if found is None:
            raise self.error("a quoted text does not end", line)
        text = found[1]
        return (_ESCAPE.sub(_unescaped, text) if "\\" in text else text), found.end()

    def read_series(self, line: str, at: int) -> tuple[Labels, int]:
        pairs: list[tuple[str, str]] = []
        found = _NAME.match(line, at)
        if found is not None:
            pairs.append((METRIC_NAME, found[0]))
            at = found.end()
        after = self.skip(line, at)
        if line[after : after + 1] == "{":
            at = self.read_labels(line, after + 1, pairs, may_name=found is None)
        if not pairs or not any(name == METRIC_NAME for name, _ in pairs):
            raise self.error("expected a metric name", line)
        return self.labels_of(pairs, line), at

    def read_labels(self, line: str, at: int, pairs: list[tuple[str, str]], *, may_name: bool) -> int:
        """Read up to and with the closing brace; `{"name", a="b"}` also gives the metric's name."""
        while True:
            at = self.skip(line, at)
            if line[at : at + 1] == "}":
                return at + 1
            at = self.read_label(line, at, pairs, may_name=may_name)
            if len(pairs) > MAX_LABELS:
                raise self.error(f"more than {MAX_LABELS} labels", line)
            at = self.skip(line, at)
            sign = line[at : at + 1]
            if sign == ",":
                at = self.after_comma(line, at + 1)
            elif sign != "}":
                raise self.error("expected a comma or a closing brace", line)

    def after_comma(self, line: str, at: int) -> int:
        return at

    def read_label(self, line: str, at: int, pairs: list[tuple[str, str]], *, may_name: bool) -> int:
        plain = _PLAIN_LABEL.match(line, at)
        if plain is not None:
            pairs.append((plain[1], plain[2]))
            return plain.end()
        quoted = line[at : at + 1] == '"'
        if quoted:
            name, at = self.read_quoted(line, at)
        else:
            found = _LABEL_NAME.match(line, at)
            name, at = (found[0], found.end()) if found else ("", at)
        if not name:
            raise self.error("expected a label name", line)
        at = self.skip(line, at)
        if line[at : at + 1] != "=":
            if quoted and may_name and not any(key == METRIC_NAME for key, _ in pairs):
                pairs.append((METRIC_NAME, name))
                return at
            raise self.error(f"expected '=' after label name {name[:60]!r}", line)
        at = self.skip(line, at + 1)
        if line[at : at + 1] != '"':
            raise self.error(f"expected a value in double quotes for label {name[:60]!r}", line)
        value, at = self.read_quoted(line, at)
        pairs.append((name, value))
        return at

    def labels_of(self, pairs: list[tuple[str, str]], line: str) -> Labels:
        if self.family_type in ("histogram", "gaugehistogram", "summary"):
            pairs = [self.normalized(name, value) for name, value in pairs]
        pairs.sort()
        for (name, _), (following, _) in pairwise(pairs):
            if name == following:
                raise self.error(f"label name {name[:60]!r} is not unique", line)
        return Labels(pair for pair in pairs if pair[1])

    def normalized(self, name: str, value: str) -> tuple[str, str]:
        """`le="1"` is stored as `le="1.0"`, as Prometheus 3 does, so that both formats give the same series."""
        wanted = "quantile" if self.family_type == "summary" else "le"
        if name != wanted:
            return name, value
        try:
            return name, format_openmetrics_float(parse_float(value))
        except ValueError:
            return name, value

    def read_value(self, line: str, at: int) -> tuple[float, int, int]:
        start = self.skip(line, at)
        text, end = self.token(line, start)
        if not text:
            raise self.error("expected a value", line)
        try:
            return parse_float(text), start, end
        except ValueError as error:
            raise self.error(str(error), line) from None

    def read_timestamp(self, line: str, at: int) -> tuple[int | None, int]:
        start = self.skip(line, at)
        text, end = self.token(line, start)
        if not text:
            return None, start
        if not _INTEGER.match(text) or len(text) > 19:
            raise self.error(f"expected a timestamp in milliseconds, got {text[:60]!r}", line)
        return int(text), self.skip(line, end)


class _OpenMetricsReader(_TextReader):
    """OpenMetrics 1.0: single blanks, no empty lines, times in seconds, exemplars, and `# EOF` at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = False

    def skip(self, line: str, at: int) -> int:
        return at

    def finish(self, lines: int) -> None:
        if not self.ended:
            self.number = max(lines - 1, 0)
            raise self.error("the body does not end with # EOF; it may have been cut off")

    def read_line(self, line: str) -> None:
        if self.ended:
            raise self.error("text after # EOF", line)
        if not line:
            raise self.error("an empty line, which OpenMetrics does not have")
        if line[0] == "#":
            self.read_directive(line)
            return
        labels, at = self.read_series(line, 0)
        self.exposition.samples.append(self.read_rest(labels, line, at))

    def read_rest(self, labels: Labels, line: str, at: int) -> Sample:
        value, start, end = self.read_value(line, self.blank(line, at, "a value"))
        timestamp_ms, at = self.read_seconds(line, end)
        exemplar, at = self.read_exemplar(line, at)
        if at != len(line):
            raise self.error("unexpected text after the sample", line)
        return Sample(labels, value, timestamp_ms, exemplar, self.number, start, end)

    def blank(self, line: str, at: int, before: str) -> int:
        if line[at : at + 1] != " ":
            raise self.error(f"expected one blank before {before}", line)
        return at + 1

    def read_directive(self, line: str) -> None:
        if line == "# EOF":
            self.ended = True
            return
        keyword = line[2:7]
        if not line.startswith("# ") or keyword not in ("HELP ", "TYPE ", "UNIT "):
            raise self.error("expected # HELP, # TYPE, # UNIT or # EOF", line)
        name, at = self.read_name(line, 7)
        if not name:
            raise self.error("expected a metric name", line)
        self.describe(keyword[:4], name, line[self.blank(line, at, "the text") :] if at < len(line) else "", line)

    def describe(self, keyword: str, name: str, text: str, line: str) -> None:
        entry = self.exposition.metadata.setdefault(name, Metadata())
        if keyword == "HELP":
            entry.help = _ESCAPE.sub(_unescaped, text) if "\\" in text else text
        elif keyword == "UNIT":
            if text and not name.endswith("_" + text):
                raise self.error(f"unit {text[:60]!r} is not a suffix of metric {name[:60]!r}", line)
            entry.unit = text
        elif text not in OPENMETRICS_TYPES:
            raise self.error(f"invalid metric type {text[:60]!r}", line)
        else:
            entry.type = self.family_type = text

    def after_comma(self, line: str, at: int) -> int:
        if line[at : at + 1] == "}":
            raise self.error("a comma before the closing brace", line)
        return at

    def read_seconds(self, line: str, at: int) -> tuple[int | None, int]:
        """A time in seconds where one follows; milliseconds are cut off, not rounded, as Prometheus does."""
        if line[at : at + 1] != " " or line[at + 1 : at + 2] == "#":
            return None, at
        text, end = self.token(line, at + 1)
        try:
            seconds = parse_float(text)
            if not math.isfinite(seconds):
                raise ValueError(f"not a time: {text[:60]!r}")
            return int(seconds * 1000), end
        except ValueError as error:
            raise self.error(f"expected a timestamp in seconds; {error}", line) from None

    def read_exemplar(self, line: str, at: int) -> tuple[Exemplar | None, int]:
        if not line.startswith(" # {", at):
            return None, at
        pairs: list[tuple[str, str]] = []
        at = self.read_labels(line, at + 4, pairs, may_name=False)
        value, _, end = self.read_value(line, self.blank(line, at, "an exemplar's value"))
        timestamp_ms, at = self.read_seconds(line, end)
        return Exemplar(Labels.of(pairs), value, timestamp_ms), at


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]
