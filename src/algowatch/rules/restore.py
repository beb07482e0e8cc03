"""Going on after a restart: since when an alert is active is read back from ALERTS_FOR_STATE.

Source: Prometheus, `rules/manager.go`, RestoreForState. Unlike there, each alert is restored when it first appears, not all
of them at the second evaluation: right after a start the targets are not scraped yet, and an alert that
shows up a moment later would begin anew.
"""

from __future__ import annotations

import logging

from algowatch.errors import AlgowatchError
from algowatch.model.labels import METRIC_NAME, Labels, quote
from algowatch.model.protocols import InstantQuery, SeriesMatrix
from algowatch.model.staleness import is_stale
from algowatch.rules.alerting import ActiveAlert, AlertingRule, Samples
from algowatch.rules.options import RuleOptions

_log = logging.getLogger(__name__)

RESTORE_WINDOW_MS = 2 * 60_000
"""How long after a group's first evaluation a new alert may be the continuation of one from before the restart."""


class Restorer:
    """Restores one group's alerts; after the window it does nothing."""

    def __init__(self, query: InstantQuery, options: RuleOptions) -> None:
        self._query = query
        self._options = options
        self._first_ms = 0
        self._seen: set[tuple[str, Labels]] = set()

    def restore(self, rule: AlertingRule, samples: Samples, at_ms: int) -> Samples:
        """Set back alerts that were active before the restart; returns the rule's samples, anew where something changed."""
        self._first_ms = self._first_ms or at_ms
        if at_ms - self._first_ms > RESTORE_WINDOW_MS:
            self._seen.clear()
            return samples
        new = [alert for alert in rule.active() if (rule.spec.alert, alert.labels) not in self._seen]
        self._seen |= {(rule.spec.alert, alert.labels) for alert in new}
        hold_ms = rule.spec.hold_duration_ms
        fresh = [alert for alert in new if alert.active_at_ms == at_ms]
        if not fresh or hold_ms == 0 or hold_ms < self._options.for_grace_period_ms:
            return samples
        try:
            stored = self._stored(rule.spec.alert, at_ms)
        except AlgowatchError as error:
            _log.warning("alert %s begins anew: its state could not be read: %s", rule.spec.alert, error)
            return samples
        changed = [alert for alert in fresh if self._restore(alert, stored, hold_ms, at_ms)]
        return rule.settle(at_ms) if changed else samples

    def _restore(self, alert: ActiveAlert, stored: dict[Labels, tuple[int, float]], hold_ms: int, at_ms: int) -> bool:
        """Set one alert's beginning; what was left of `for` when we went down is left now, at least the grace period."""
        found = stored.get(alert.labels)
        if found is None:
            return False
        down_at_ms, since = found[0], round(found[1] * 1000)
        remaining_ms = hold_ms - (down_at_ms - since)
        if 0 < remaining_ms < self._options.for_grace_period_ms:
            since = at_ms + self._options.for_grace_period_ms - hold_ms
        elif remaining_ms > 0:
            since += at_ms - down_at_ms
        alert.active_at_ms = min(since, at_ms)
        return True

    def _stored(self, alert: str, at_ms: int) -> dict[Labels, tuple[int, float]]:
        """Time and value of the last sample of each series of the rule that had not ended, by the alert's labels."""
        selector = f"ALERTS_FOR_STATE{{alertname={quote(alert)}}}"
        result = self._query(f"{selector}[{self._options.outage_tolerance_ms}ms]", at_ms - 1)
        last = {labels: sample for matrix in result.matrices for labels, sample in _last_samples(matrix)}
        for time_ms in {time_ms for time_ms, _ in last.values()}:
            later_ms = min(at_ms - 1, time_ms + self._options.lookback_delta_ms - 1)
            living = {labels.without((METRIC_NAME,)) for labels, _ in self._query(selector, later_ms).samples()}
            last = {labels: found for labels, found in last.items() if found[0] != time_ms or labels in living}
        return last


def _last_samples(matrix: SeriesMatrix) -> list[tuple[Labels, tuple[int, float]]]:
    found: list[tuple[Labels, tuple[int, float]]] = []
    for row, labels in enumerate(matrix.labels):
        columns = range(len(matrix.timestamps_ms)) if matrix.present is None else matrix.present[row].nonzero()[0]
        if len(columns) and not is_stale(float(matrix.values[row, columns[-1]])):
            sample = (int(matrix.timestamps_ms[columns[-1]]), float(matrix.values[row, columns[-1]]))
            found.append((labels.without((METRIC_NAME,)), sample))
    return found
