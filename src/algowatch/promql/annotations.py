"""Warnings and infos that accompany an answer, in Prometheus's words and with the place in the query that they speak of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from algowatch.model.labels import quote
from algowatch.promql.nodes import Span

_MONOTONICITY = (
    "input to histogram_quantile needed to be fixed for monotonicity "
    "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


@dataclass(frozen=True, slots=True)
class MendedCounts:
    """Counts of classic histograms that fell from bucket to bucket: when, in which buckets, by how much at most, how often."""

    first_ms: int
    last_ms: int
    least: float
    most: float
    difference: float
    samples: int

    def merged(self, other: MendedCounts) -> MendedCounts:
        return MendedCounts(
            min(self.first_ms, other.first_ms),
            max(self.last_ms, other.last_ms),
            min(self.least, other.least),
            max(self.most, other.most),
            max(self.difference, other.difference),
            self.samples + other.samples,
        )

    def __str__(self) -> str:
        return (
            f", from buckets {format_g(self.least)} to {format_g(self.most)}, with a max diff of {self.difference:.2g}, "
            f"over {self.samples} samples from {_moment(self.first_ms)} to {_moment(self.last_ms)}"
        )


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Annotations:
    """Collects what is to be said about one query, each text once, in the order of its first occurrence."""

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._warnings: dict[str, None] = {}
        self._infos: dict[str, None] = {}
        self._mended: dict[tuple[str, Span], MendedCounts] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    @property
    def infos(self) -> tuple[str, ...]:
        mended = [
            f"PromQL info: {_MONOTONICITY}{_for_metric(name)}{counts} ({self._place(span)})"
            for (name, span), counts in self._mended.items()
        ]
        return (*self._infos, *mended)

    def warn(self, problem: str, span: Span) -> None:
        self._warnings[f"PromQL warning: {problem} ({self._place(span)})"] = None

    def inform(self, problem: str, span: Span) -> None:
        self._infos[f"PromQL info: {problem} ({self._place(span)})"] = None

    def invalid_quantile(self, quantile: float, span: Span) -> None:
        self.warn(f"quantile value should be between 0 and 1, got {format_g(quantile)}", span)

    def invalid_ratio(self, ratio: float, used: float, span: Span) -> None:
        self.warn(f"ratio value should be between -1 and 1, got {format_g(ratio)}, capping to {format_g(used)}", span)

    def bad_bucket(self, metric: str, le: str, span: Span) -> None:
        self.warn(f'bucket label "le" is missing or has a malformed value of {quote(le)}{_for_metric(metric)}', span)

    def sort_in_range(self, span: Span) -> None:
        self.warn("sort is ineffective for range queries since results are always ordered by labels", span)

    def possible_non_counter(self, metric: str, span: Span) -> None:
        self.inform(f"metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {quote(metric)}", span)

    def forced_monotonicity(self, metric: str, counts: MendedCounts, span: Span) -> None:
        """Said once per metric and place, of everything that was mended there."""
        before = self._mended.get((metric, span))
        self._mended[metric, span] = counts if before is None else before.merged(counts)

    def incompatible_types(self, left: str, op: str, right: str, span: Span) -> None:
        self.inform(f"incompatible sample types encountered for binary operator {quote(op)}: {left} {op} {right}", span)

    def _place(self, span: Span) -> str:
        start = min(span[0], len(self._text))
        line = self._text.count("\n", 0, start) + 1
        return f"{line}:{start - self._text.rfind(chr(10), 0, start)}"


def _for_metric(metric: str) -> str:
    return f" for metric name {quote(metric)}" if metric else ""


def format_g(value: float) -> str:
    """A number as Go's %g writes it: the shortest digits that read back, an exponent from 21 digits on or below 1e-4."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    digits, _, exponent = text.partition("e")
    power = math.floor(math.log10(abs(value))) if value else 0
    if -4 <= power < 21:
        return format_f(value)
    if not exponent:
        digits, _, exponent = f"{value:.16e}".partition("e")
        digits = _shortest_mantissa(value, int(exponent))
    sign = "-" if exponent.startswith("-") else "+"
    return f"{digits.removesuffix('.0')}e{sign}{exponent.lstrip('+-').zfill(2)}"


def _shortest_mantissa(value: float, exponent: int) -> str:
    for precision in range(17):
        text = f"{value:.{precision}e}"
        if float(text) == value:
            return text.partition("e")[0]
    return f"{value:.16e}".partition("e")[0]


def format_f(value: float) -> str:
    """The shortest decimal without an exponent that reads back as the same number (Go's FormatFloat(v, 'f', -1, 64))."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    if "e" in text:
        from decimal import Decimal

        text = format(Decimal(text), "f")
    return text.removesuffix(".0")
