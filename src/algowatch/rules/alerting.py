"""An alerting rule: inactive, pending, firing, as one state machine.

    expression gives the alert ──▶ pending ── held for `for` ──▶ firing ── gone (and not kept by keep_firing_for) ──▶ inactive
                                     │ gone: forgotten                       kept 15 minutes, so that "resolved" is sent again

Source: Prometheus, `rules/alerting.go`, whose order of steps is kept, since what an observer sees depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote_plus

from algowatch.errors import EvaluationError
from algowatch.model.alerts import Alert
from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.model.protocols import InstantQuery
from algowatch.rules.annotate import Annotator, without_name
from algowatch.rules.options import RuleOptions
from algowatch.rules.specs import AlertingSpec
from algowatch.rules.vector import samples_of

State = Literal["inactive", "pending", "firing"]
Samples = list[tuple[Labels, float]]

RESOLVED_RETENTION_MS = 15 * 60_000
"""How long a resolved alert is remembered and sent again, for receivers that were away when it ended."""


@dataclass(slots=True)
class ActiveAlert:
    """One alert of a rule. Times in ms since the epoch; 0 means "not yet"."""

    labels: Labels
    annotations: Labels
    value: float
    active_at_ms: int
    state: State = "pending"
    fired_at_ms: int = 0
    resolved_at_ms: int = 0
    last_sent_ms: int = 0
    sent_state: State | None = None
    valid_until_ms: int = 0
    keep_firing_since_ms: int = 0

    def needs_sending(self, at_ms: int, resend_delay_ms: int) -> bool:
        if self.state == "pending":
            return False
        if self.state != self.sent_state or at_ms < self.last_sent_ms:
            return True
        return self.last_sent_ms + resend_delay_ms < at_ms


class AlertingRule:
    """One `alert` of a rule file with the alerts that it now has."""

    def __init__(self, spec: AlertingSpec, query: InstantQuery, options: RuleOptions) -> None:
        self.spec = spec
        self._query = query
        self._annotator = Annotator(spec.alert, query, options.external_labels, options.external_url)
        self._generator_url = f"{options.external_url.rstrip('/')}/graph?g0.expr={quote_plus(spec.expr)}&g0.tab=1"
        self._active: dict[Labels, ActiveAlert] = {}
        self.template_faults: list[str] = []

    def active(self) -> list[ActiveAlert]:
        """Pending and firing alerts."""
        return [alert for alert in list(self._active.values()) if alert.state != "inactive"]

    def state(self) -> State:
        """The worst state of the rule's alerts."""
        states = {alert.state for alert in self.active()}
        return "firing" if "firing" in states else "pending" if "pending" in states else "inactive"

    def take_state(self, other: AlertingRule) -> None:
        """Go on from the alerts of the rule that this one replaces."""
        self._active = dict(other._active)

    def evaluate(self, at_ms: int, query_offset_ms: int = 0, limit: int = 0) -> Samples:
        """Ask the expression and move every alert one step; returns the samples of ALERTS and ALERTS_FOR_STATE.

        Raises: QueryError; EvaluationError where two series become one alert or there are more than `limit`.
        """
        result = self._query(self.spec.expr, at_ms - query_offset_ms)
        found = self._alerts(samples_of(result), at_ms)
        for labels, alert in found.items():
            known = self._active.get(labels)
            if known is not None and known.state != "inactive":
                known.value, known.annotations = alert.value, alert.annotations
            else:
                self._active[labels] = alert
        living = [alert for alert in list(self._active.values()) if self._step(alert, alert.labels in found, at_ms)]
        if limit > 0 and len(living) > limit:
            self._active.clear()
            raise EvaluationError(f"exceeded limit of {limit} with {len(living)} alerts")
        return [sample for alert in living for sample in self._samples(alert)]

    def _alerts(self, samples: Samples, at_ms: int) -> dict[Labels, ActiveAlert]:
        alerts: dict[Labels, ActiveAlert] = {}
        for series, value in samples:
            source = without_name(series)
            labels = source.with_labels({**self._expand(self.spec.labels, series, value, at_ms), "alertname": self.spec.alert})
            annotations = Labels.of(self._expand(self.spec.annotations, series, value, at_ms))
            if labels in alerts:
                self.template_faults = self._annotator.take_faults()
                raise EvaluationError("vector contains metrics with the same labelset after applying alert labels")
            alerts[labels] = ActiveAlert(labels, annotations, value, at_ms)
        self.template_faults = self._annotator.take_faults()
        return alerts

    def _expand(self, texts: Labels, labels: Labels, value: float, at_ms: int) -> Mapping[str, str]:
        return {name: self._annotator.expand(text, labels, value, at_ms) for name, text in texts}

    def _step(self, alert: ActiveAlert, held: bool, at_ms: int) -> bool:
        """Move one alert; returns whether it is pending or firing afterwards."""
        alert.active_at_ms = min(alert.active_at_ms, at_ms)  # a wall clock set back must not delay `for`
        if held:
            alert.keep_firing_since_ms = 0
        elif not self._kept_firing(alert, at_ms):
            self._end(alert, at_ms)
            return False
        if alert.state == "pending" and at_ms - alert.active_at_ms >= self.spec.hold_duration_ms:
            alert.state, alert.fired_at_ms = "firing", at_ms
        return True

    def _kept_firing(self, alert: ActiveAlert, at_ms: int) -> bool:
        if alert.state != "firing" or not self.spec.keep_firing_for_ms:
            return False
        if not alert.keep_firing_since_ms:
            alert.keep_firing_since_ms = at_ms
        return at_ms - alert.keep_firing_since_ms < self.spec.keep_firing_for_ms

    def _end(self, alert: ActiveAlert, at_ms: int) -> None:
        forgotten = alert.state == "inactive" and at_ms - alert.resolved_at_ms > RESOLVED_RETENTION_MS
        if alert.state == "pending" or forgotten:
            del self._active[alert.labels]
        if alert.state != "inactive":
            alert.state, alert.resolved_at_ms = "inactive", at_ms

    def _samples(self, alert: ActiveAlert) -> Samples:
        since = float(alert.active_at_ms // 1000)
        return [
            (alert.labels.with_labels({METRIC_NAME: "ALERTS", "alertstate": alert.state}), 1.0),
            (alert.labels.with_labels({METRIC_NAME: "ALERTS_FOR_STATE"}), since),
        ]

    def due_for_delivery(self, at_ms: int, resend_delay_ms: int, interval_ms: int) -> list[Alert]:
        """The alerts to hand over now; each counts as sent. A firing one stays valid for four deliveries' time."""
        due = [alert for alert in self._active.values() if alert.needs_sending(at_ms, resend_delay_ms)]
        for alert in due:
            alert.last_sent_ms, alert.sent_state = at_ms, alert.state
            alert.valid_until_ms = at_ms + 4 * max(resend_delay_ms, interval_ms)
        return [self._outgoing(alert) for alert in due]

    def _outgoing(self, alert: ActiveAlert) -> Alert:
        ends_at_ms = alert.resolved_at_ms or alert.valid_until_ms
        return Alert(alert.labels, alert.annotations, alert.fired_at_ms, ends_at_ms, self._generator_url, alert.active_at_ms)

    def take_back(self, alerts: Sequence[Alert]) -> None:
        """Count alerts as not sent after all, because nobody took them."""
        for alert in alerts:
            if alert.labels in self._active:
                self._active[alert.labels].sent_state = None

    def settle(self, at_ms: int) -> Samples:
        """Move alerts again whose beginning was set back after the evaluation; returns the samples of all."""
        living = [alert for alert in self.active() if self._step(alert, not alert.keep_firing_since_ms, at_ms)]
        return [sample for alert in living for sample in self._samples(alert)]
