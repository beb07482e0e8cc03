"""Unit tests of rule files, in promtool's format: load series, evaluate the rules over them, compare alerts and expressions.

Source: Prometheus, "Unit testing for rules".
"""

from __future__ import annotations

import glob
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from algowatch.config.read import Document, Duration, Location, Section, read_file
from algowatch.errors import AlgowatchError, ConfigError, Fault, StoreError
from algowatch.model.durations import format_duration
from algowatch.model.labels import METRIC_NAME, Labels, Matcher, quote
from algowatch.model.protocols import Layout, SeriesMatrix
from algowatch.promql.engine import QueryEngine, QueryOptions
from algowatch.promql.parser import parse
from algowatch.rules.files import Text, load_rule_files
from algowatch.rules.group import Group
from algowatch.rules.options import RuleOptions
from algowatch.rules.specs import GroupSpec
from algowatch.testing.clock import FakeClock
from algowatch.testing.series_notation import LoadedSeries, MemorySeries, parse_labels

if TYPE_CHECKING:
    from algowatch.model.protocols import FloatMatrix

AlertTexts = tuple[Labels, Labels]
"""Labels and annotations of a firing alert."""


class SeriesSection(Section):
    series: Text
    values: Text


class AlertSection(Section):
    exp_labels: dict[str, Text] | None = None
    exp_annotations: dict[str, Text] | None = None


class AlertTestSection(Section):
    eval_time: Duration = 0
    alertname: Text = ""
    exp_alerts: list[AlertSection] | None = None


class SampleSection(Section):
    not_supported: ClassVar[dict[str, str]] = {"histogram": "native histograms are not done; compare a float instead"}

    labels: Text = ""
    value: float = 0.0


class ExpressionTestSection(Section):
    expr: Text
    eval_time: Duration = 0
    exp_samples: list[SampleSection] | None = None


class TestSection(Section):
    not_supported: ClassVar[dict[str, str]] = {"start_timestamp": "series begin at the epoch; leave it out"}

    name: Text = ""
    interval: Duration = 0
    input_series: list[SeriesSection] | None = None
    alert_rule_test: list[AlertTestSection] | None = None
    promql_expr_test: list[ExpressionTestSection] | None = None
    external_labels: dict[str, Text] | None = None
    external_url: Text = ""

    def last_ms(self) -> int:
        return max((case.eval_time for case in (*(self.alert_rule_test or ()), *(self.promql_expr_test or ()))), default=0)


class TestFile(Section):
    rule_files: list[Text] = Field(default_factory=list)
    evaluation_interval: Duration = 60_000
    group_eval_order: list[Text] | None = None
    fuzzy_compare: bool = False
    tests: list[TestSection] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that came out otherwise than the file says. subject: "alert", "expression" or "rule" (it failed itself).

    error: why there is nothing to compare; else `expected` and `got` differ.
    """

    path: str
    line: int | None
    test: str
    subject: str
    name: str
    at_ms: int
    error: str = ""
    expected: tuple[str, ...] = ()
    got: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As promtool prints it."""
        head = f"    name: {self.test},\n" if self.test else ""
        time = format_duration(self.at_ms)
        if self.subject == "rule":
            return f"{head}    rule: {self.name}, time: {time}, err: {self.error}"
        if self.subject == "alert":
            both = f"        exp:{_numbered(self.expected)}, \n        got:{_numbered(self.got)}"
            return f"{head}    alertname: {self.name}, time: {time}, \n{both}"
        if self.error:
            return f"{head}    expr: {quote(self.name)}, time: {time}, err: {self.error}"
        wanted, got = (", ".join(side) or "nil" for side in (self.expected, self.got))
        return f"{head}    expr: {quote(self.name)}, time: {time},\n        exp: {wanted}\n        got: {got}"


def _numbered(alerts: Sequence[str]) -> str:
    entries = [f"            {at}:\n              " + text.replace("\n", "\n              ") for at, text in enumerate(alerts)]
    return "[\n" + ",\n".join(entries) + "\n            ]" if entries else "[]"


def run_file(path: Path) -> tuple[list[Failure], list[str]]:
    """Run every test of a file; what failed, and patterns of `rule_files` that match nothing.

    Raises: ConfigError where the file, or a rule file that it names, is wrong.
    """
    file, document = read_file(TestFile, path)
    faults = list(_faults(file, document))
    if faults:
        raise ConfigError(faults)
    patterns = [str(path.parent / pattern) for pattern in file.rule_files]
    unmatched = [pattern for pattern in patterns if not glob.glob(pattern)]
    groups = load_rule_files([pattern for pattern in patterns if pattern not in unmatched], parse)
    order = {name: place for place, name in enumerate(file.group_eval_order or ())}
    groups.sort(key=lambda group: order.get(group.name, 0))
    failures: list[Failure] = []
    for index, test in enumerate(file.tests or ()):
        failures += _Run(file, document, ("tests", index), test, groups).failures()
    return failures, unmatched


def _faults(file: TestFile, document: Document) -> Iterator[Fault]:
    order = file.group_eval_order or []
    for index, name in enumerate(order):
        if name in order[:index]:
            yield document.fault(("group_eval_order", index), f"group name repeated in evaluation order: {name}")
    if file.evaluation_interval <= 0:
        yield document.fault(("evaluation_interval",), "must be longer than 0", "write for example 1m")
    for index, test in enumerate(file.tests or ()):
        here: Location = ("tests", index)
        if test.input_series and test.interval <= 0:
            yield document.fault(here, "interval, the distance of the samples, is missing", "add interval: 1m")
        for number, case in enumerate(test.alert_rule_test or ()):
            if not case.alertname:
                problem = "an item under alert_rule_test misses required attribute alertname"
                yield document.fault((*here, "alert_rule_test", number), problem, "add alertname:")
        for number, series in enumerate(test.input_series or ()):
            yield from _series_faults(series, document, (*here, "input_series", number))


def _series_faults(series: SeriesSection, document: Document, here: Location) -> Iterator[Fault]:
    try:
        loaded = LoadedSeries.read(f"{series.series} {series.values}", 1)
    except (ValueError, AlgowatchError) as error:
        yield document.fault(here, str(error))
    else:
        if loaded.histogram_at:
            yield document.fault(here, "native histograms are not done", "write the classic buckets as series")


class _Results:
    """What rules give: an `Append` and a `Select` over it and over the input, both as of `now_ms`."""

    def __init__(self, loaded: Sequence[LoadedSeries]) -> None:
        self._input = MemorySeries(loaded)
        self._samples: dict[Labels, tuple[list[int], list[float]]] = {}
        self._names: dict[str, list[Labels]] = {}
        self.now_ms = 0

    def append(self, stream: str, timestamp_ms: int, layout: Layout, values: FloatMatrix) -> None:
        for labels, value in zip(layout.series, values, strict=True):
            if labels not in self._samples:
                self._samples[labels] = ([], [])
                self._names.setdefault(labels.metric_name, []).append(labels)
            times, found = self._samples[labels]
            if times and times[-1] == timestamp_ms:
                if np.float64(value).tobytes() != np.float64(found[-1]).tobytes():
                    raise StoreError(f"duplicate sample for timestamp: two rules give {labels}")
                continue
            times.append(timestamp_ms)
            found.append(value)  # numpy's float, since the staleness marker is a bit pattern

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[SeriesMatrix]:
        end_ms = min(end_ms, self.now_ms)
        name = next((matcher.value for matcher in matchers if matcher.name == METRIC_NAME and matcher.op == "="), None)
        candidates = list(self._samples) if name is None else self._names.get(name, [])
        found = [
            self._matrix(labels, start_ms, end_ms)
            for labels in candidates
            if all(matcher.matches(labels.get(matcher.name)) for matcher in matchers)
        ]
        return [*self._input.select(matchers, start_ms, end_ms), *(matrix for matrix in found if len(matrix.timestamps_ms))]

    def _matrix(self, labels: Labels, start_ms: int, end_ms: int) -> SeriesMatrix:
        times, values = self._samples[labels]
        moments = np.array(times, np.int64)
        low, high = np.searchsorted(moments, [start_ms, end_ms + 1])
        return SeriesMatrix([labels], moments[low:high], np.array([values[low:high]], np.float64))


@dataclass(slots=True)
class _Run:
    """One test of a file."""

    file: TestFile
    document: Document
    here: Location
    test: TestSection
    specs: Sequence[GroupSpec]
    results: _Results = field(init=False)
    queries: QueryEngine = field(init=False)
    groups: list[Group] = field(init=False)

    def __post_init__(self) -> None:
        series = self.test.input_series or ()
        self.results = _Results([LoadedSeries.read(f"{one.series} {one.values}", self.test.interval) for one in series])
        options = QueryOptions(subquery_step_ms=self.file.evaluation_interval)
        self.queries = QueryEngine(self.results.select, options, parse)
        rule_options = RuleOptions(
            evaluation_interval_ms=self.test.interval or self.file.evaluation_interval,
            external_labels=Labels.of(self.test.external_labels or {}),
            external_url=self.test.external_url,
        )
        clock, query, append = FakeClock(0), self.queries.instant, self.results.append
        self.groups = [Group(spec, rule_options, query, append, lambda alerts: None, clock) for spec in self.specs]

    def failures(self) -> list[Failure]:
        """Evaluate the rules at every interval, look at alerts on the way and at expressions in the end."""
        failures: list[Failure] = []
        step_ms = self.file.evaluation_interval
        cases = sorted(enumerate(self.test.alert_rule_test or ()), key=lambda numbered: numbered[1].eval_time)
        for at_ms in range(0, self.test.last_ms() + 1, step_ms):
            self.results.now_ms = at_ms
            broken = list(self._evaluate(at_ms))
            if broken:
                return failures + broken
            for number, case in cases:
                if at_ms <= case.eval_time < at_ms + step_ms:
                    failures += self._alerts(number, case)
        self.results.now_ms = self.test.last_ms()
        for number, expression in enumerate(self.test.promql_expr_test or ()):
            failures += self._expression(number, expression)
        return failures

    def _evaluate(self, at_ms: int) -> Iterator[Failure]:
        for group in self.groups:
            group.evaluate(at_ms)
            errors = [(slot.rule.spec.name, slot.last_error) for slot in group.slots()]
            errors.append((group.spec.name, group.status().append_error))
            for name, error in errors:
                if error:
                    line = self.document.line(self.here)
                    yield Failure(self.document.path, line, self.test.name, "rule", name, at_ms, error)

    def _alerts(self, number: int, case: AlertTestSection) -> Iterator[Failure]:
        expected = sorted(_expected_alert(case.alertname, alert) for alert in case.exp_alerts or ())
        got = sorted(
            (alert.labels, alert.annotations)
            for group in self.groups
            for rule in group.status().rules
            if rule.type == "alerting" and rule.name == case.alertname
            for alert in rule.alerts
            if alert.state == "firing"
        )
        if expected != got:
            wanted, found = (tuple(_shown_alert(alert) for alert in side) for side in (expected, got))
            yield self._failure("alert_rule_test", number, "alert", case.alertname, case.eval_time, "", wanted, found)

    def _expression(self, number: int, case: ExpressionTestSection) -> Iterator[Failure]:
        part = "promql_expr_test"
        try:
            expected = sorted((parse_labels(sample.labels)[0], sample.value) for sample in case.exp_samples or ())
            result = self.queries.instant(case.expr, case.eval_time)
            if result.type not in ("vector", "scalar"):
                raise ValueError("rule result is not a vector or scalar")
        except (AlgowatchError, ValueError) as error:
            yield self._failure(part, number, "expression", case.expr, case.eval_time, str(error))
            return
        got = sorted(result.samples())
        same = len(expected) == len(got) and all(
            one[0] == other[0] and self._same_value(one[1], other[1]) for one, other in zip(expected, got, strict=True)
        )
        if not same:
            wanted, found = (tuple(f"{_shown(labels)} {value:g}" for labels, value in side) for side in (expected, got))
            yield self._failure(part, number, "expression", case.expr, case.eval_time, "", wanted, found)

    def _same_value(self, expected: float, got: float) -> bool:
        """Exactly equal; with fuzzy_compare also the next number up or down. NaN is equal to nothing, as in promtool."""
        near = (math.nextafter(expected, math.inf), math.nextafter(expected, -math.inf))
        return expected == got or (self.file.fuzzy_compare and got in near)

    def _failure(
        self,
        part: str,
        number: int,
        subject: str,
        name: str,
        at_ms: int,
        error: str,
        expected: tuple[str, ...] = (),
        got: tuple[str, ...] = (),
    ) -> Failure:
        line = self.document.line((*self.here, part, number))
        return Failure(self.document.path, line, self.test.name, subject, name, at_ms, error, expected, got)


def _expected_alert(name: str, alert: AlertSection) -> AlertTexts:
    return Labels.of({**(alert.exp_labels or {}), "alertname": name}), Labels.of(alert.exp_annotations or {})


def _shown_alert(alert: AlertTexts) -> str:
    return f"Labels:{_shown(alert[0])}\nAnnotations:{_shown(alert[1])}"


def _shown(labels: Mapping[str, str] | Labels) -> str:
    """Every label in braces, the metric's name too, as promtool shows them."""
    pairs = labels if isinstance(labels, Labels) else Labels.of(labels)
    return "{" + ", ".join(str(Matcher(name, "=", value)) for name, value in pairs) + "}"
