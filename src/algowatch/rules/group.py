"""One group: its rules evaluated in order, alerts delivered, results and the ends of series stored."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from algowatch.errors import AlgowatchError
from algowatch.model.clock import Clock
from algowatch.model.labels import Labels
from algowatch.model.protocols import Append, Deliver, InstantQuery, Layout
from algowatch.model.staleness import STALE_NAN
from algowatch.rules.alerting import AlertingRule
from algowatch.rules.options import RuleOptions
from algowatch.rules.recording import RecordingRule
from algowatch.rules.restore import Restorer
from algowatch.rules.specs import AlertingSpec, GroupSpec, RuleSpec
from algowatch.rules.status import ActiveAlertStatus, GroupStatus, Health, RuleStatus

_log = logging.getLogger(__name__)
_IDENTIFIER = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NAMELESS_SELECTOR = re.compile(r"(?<![a-zA-Z0-9_:\s])\s*\{|\b__name__\b")
_ALERT_FAMILIES = frozenset({"ALERTS", "ALERTS_FOR_STATE"})
Samples = list[tuple[Labels, float]]


@dataclass(slots=True)
class _Slot:
    """A rule's place in its group, with what its last evaluation left behind."""

    rule: AlertingRule | RecordingRule
    series: frozenset[Labels] = frozenset()
    health: Health = "unknown"
    last_error: str = ""
    last_evaluation_ms: int = 0
    evaluation_s: float = 0.0


@dataclass(slots=True)
class _Segment:
    """Neighbouring rules of which none reads what another one gives: their results are stored together, as one stream.

    ended: series of rules that a reload took away, to be marked as ended with the next row.
    """

    stream: str
    slots: list[_Slot] = field(default_factory=list)
    ended: set[Labels] = field(default_factory=set)
    layout: Layout = field(default_factory=lambda: Layout(()))


class Group:
    """The rules of one group with all their state. Used by one thread at a time; `status` may be asked from any."""

    def __init__(
        self, spec: GroupSpec, options: RuleOptions, query: InstantQuery, append: Append, deliver: Deliver, clock: Clock
    ) -> None:
        self.spec = spec
        self.options = options
        self.interval_ms = spec.interval_ms or options.evaluation_interval_ms
        self.missed = 0
        self.last_evaluation_ms = 0
        self.last_duration_s = 0.0
        self._query, self._append, self._deliver, self._clock = query, append, deliver, clock
        self._offset_ms = spec.query_offset_ms if spec.query_offset_ms is not None else options.query_offset_ms
        self._append_error = ""
        self._restorer = Restorer(query, options)
        self._segments = self._segment([self._slot(rule) for rule in spec.rules])

    def _slot(self, spec: RuleSpec) -> _Slot:
        if isinstance(spec, AlertingSpec):
            return _Slot(AlertingRule(spec, self._query, self.options))
        return _Slot(RecordingRule(spec, self._query))

    def _segment(self, slots: Sequence[_Slot]) -> list[_Segment]:
        """Cut where a rule may read what the rules since the last cut give, so that it sees their results of this very run."""
        segments: list[_Segment] = []
        given: set[str] = set()
        for slot in slots:
            if not segments or _may_read(slot.rule.spec, given):
                segments.append(_Segment(f"rules/{self.spec.file}/{self.spec.name}/{len(segments)}"))
                given = set()
            segments[-1].slots.append(slot)
            given |= _ALERT_FAMILIES if isinstance(slot.rule, AlertingRule) else {slot.rule.spec.record}
        return segments

    def slots(self) -> list[_Slot]:
        return [slot for segment in self._segments for slot in segment.slots]

    def take_state(self, other: Group) -> None:
        """Go on from a group that this one replaces: alerts of rules with the same name and labels live on.

        Series of rules without a successor are marked as ended with the next evaluation.
        """
        self.last_evaluation_ms = other.last_evaluation_ms
        self._restorer = other._restorer
        waiting = other.slots()
        for slot in self.slots():
            before = next((old for old in waiting if _succeeds(slot, old)), None)
            if before is None:
                continue
            waiting.remove(before)
            slot.series, slot.health, slot.last_error = before.series, before.health, before.last_error
            slot.last_evaluation_ms, slot.evaluation_s = before.last_evaluation_ms, before.evaluation_s
            if isinstance(slot.rule, AlertingRule) and isinstance(before.rule, AlertingRule):
                slot.rule.take_state(before.rule)
        if self._segments:
            self._segments[0].ended |= {series for slot in waiting for series in slot.series}

    def evaluate(self, at_ms: int) -> None:
        """Evaluate all rules as of a moment; a rule that fails says so in its status and does not keep the others."""
        started = self._clock.monotonic()
        for segment in self._segments:
            results = [(slot, self._evaluate(slot, at_ms)) for slot in segment.slots]
            self._store(segment, [(slot, samples) for slot, samples in results if samples is not None], at_ms)
        self.last_evaluation_ms = at_ms
        self.last_duration_s = self._clock.monotonic() - started

    def _evaluate(self, slot: _Slot, at_ms: int) -> Samples | None:
        """The samples that a rule gives; None where it failed: then its series neither go on nor end."""
        started = self._clock.monotonic()
        try:
            samples = slot.rule.evaluate(at_ms, self._offset_ms, self.spec.limit)
            if isinstance(slot.rule, AlertingRule):
                samples = self._restorer.restore(slot.rule, samples, at_ms)
            slot.health, slot.last_error = "ok", ""
        except AlgowatchError as error:
            slot.health, slot.last_error = "err", str(error)
            return None
        except Exception as error:  # noqa: BLE001 - a defect in one rule's evaluation must not silence all the others
            _log.exception("rule %s of group %s failed", slot.rule.spec.name, self.spec.name)
            slot.health, slot.last_error = "err", f"{type(error).__name__}: {error}"
            return None
        finally:
            slot.last_evaluation_ms = at_ms
            slot.evaluation_s = self._clock.monotonic() - started
        if isinstance(slot.rule, AlertingRule):
            self._send(slot.rule, at_ms)
        return samples

    def _send(self, rule: AlertingRule, at_ms: int) -> None:
        alerts = rule.due_for_delivery(at_ms, self.options.resend_delay_ms, self.interval_ms or self.options.idle_gap_ms)
        if not alerts:
            return
        try:
            self._deliver(alerts)
        except Exception:  # noqa: BLE001 - what the receiving side raises must not keep the other rules
            rule.take_back(alerts)
            _log.exception("alerts of rule %s could not be handed over; they are sent again", rule.spec.alert)

    def _store(self, segment: _Segment, results: Iterable[tuple[_Slot, Samples]], at_ms: int) -> None:
        """Append one row: what the rules gave, and the staleness marker for what they gave before and not now."""
        row: dict[Labels, float] = {}
        ended = set(segment.ended)
        after: list[tuple[_Slot, frozenset[Labels]]] = []
        for slot, samples in results:
            for labels, value in samples:
                row.setdefault(labels, value)
            now = frozenset(labels for labels, _ in samples)
            ended |= slot.series - now
            after.append((slot, now))
        row.update({labels: STALE_NAN for labels in ended if labels not in row})
        if row and not self._append_row(segment, row, at_ms - self._offset_ms):
            return
        segment.ended.clear()
        for slot, series in after:
            slot.series = series

    def _append_row(self, segment: _Segment, row: dict[Labels, float], at_ms: int) -> bool:
        series = tuple(row)
        if series != segment.layout.series:
            segment.layout = Layout(series)
        try:
            self._append(segment.stream, at_ms, segment.layout, np.fromiter(row.values(), np.float64, len(row)))
        except Exception as error:  # noqa: BLE001 - alerts matter more than their history: go on
            if not self._append_error:
                _log.warning("results of rule group %s could not be stored: %s", self.spec.name, error)
            self._append_error = str(error) or type(error).__name__
            return False
        self._append_error = ""
        return True

    def end_series(self, at_ms: int) -> None:
        """Mark everything that the group ever gave and still lasts as ended: the group is gone from the files."""
        for segment in self._segments:
            self._store(segment, [(slot, []) for slot in segment.slots], at_ms)

    def status(self) -> GroupStatus:
        return GroupStatus(
            name=self.spec.name,
            file=self.spec.file,
            interval_ms=self.interval_ms,
            limit=self.spec.limit,
            last_evaluation_ms=self.last_evaluation_ms,
            evaluation_s=self.last_duration_s,
            missed=self.missed,
            append_error=self._append_error,
            rules=tuple(_rule_status(slot) for slot in self.slots()),
        )


def _may_read(spec: RuleSpec, given: set[str]) -> bool:
    """Whether a rule's texts mention one of some series names, or select without a name; better once too often."""
    texts = [spec.expr]
    if isinstance(spec, AlertingSpec):
        texts += [text for _, text in (*spec.labels, *spec.annotations) if "query" in text]
    if not given:
        return False
    return any(given & set(_IDENTIFIER.findall(text)) or _NAMELESS_SELECTOR.search(text) for text in texts)


def _succeeds(slot: _Slot, before: _Slot) -> bool:
    new, old = slot.rule.spec, before.rule.spec
    return type(new) is type(old) and new.name == old.name and new.labels == old.labels


def _rule_status(slot: _Slot) -> RuleStatus:
    spec = slot.rule.spec
    common = (spec.name, spec.expr, spec.labels, slot.health, slot.last_error, slot.last_evaluation_ms, slot.evaluation_s)
    if not isinstance(slot.rule, AlertingRule):
        return RuleStatus("recording", *common)
    rule = slot.rule
    alerts = tuple(
        ActiveAlertStatus(a.labels, a.annotations, a.state, a.active_at_ms, a.value, a.keep_firing_since_ms)
        for a in rule.active()
        if a.state != "inactive"
    )
    state, faults = rule.state(), tuple(rule.template_faults)
    hold, keep = rule.spec.hold_duration_ms, rule.spec.keep_firing_for_ms
    return RuleStatus("alerting", *common, state, hold, keep, rule.spec.annotations, alerts, faults)
