"""Alerts and groups as the API shows them: with what keeps each quiet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels, Matcher
from algowatch.model.timestamps import format_time
from algowatch.notify.groups import merged_order
from algowatch.notify.notified import fingerprint
from algowatch.notify.pipeline import Pipeline
from algowatch.notify.route import all_match


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """silenced_by: ids of silences; inhibited_by: fingerprints of alerts; receivers: every one that its routes name."""

    alert: Alert
    fingerprint: str
    receivers: tuple[str, ...]
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    updated_ms: int

    @property
    def state(self) -> Literal["active", "suppressed"]:
        return "suppressed" if self.silenced_by or self.inhibited_by else "active"

    def as_json(self) -> dict[str, Any]:
        """As Alertmanager's API v2 has it (a gettableAlert)."""
        found: dict[str, Any] = {
            "annotations": self.alert.annotations.as_dict(),
            "endsAt": format_time(self.alert.ends_at_ms),
            "fingerprint": self.fingerprint,
            "receivers": [{"name": name} for name in self.receivers],
            "startsAt": format_time(self.alert.starts_at_ms),
            "status": {
                "inhibitedBy": list(self.inhibited_by),
                "silencedBy": list(self.silenced_by),
                "state": self.state,
            },
            "updatedAt": format_time(self.updated_ms),
            "labels": self.alert.labels.as_dict(),
        }
        if self.alert.generator_url:
            found["generatorURL"] = self.alert.generator_url
        return found


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """muted: a time interval keeps the group's route quiet now."""

    labels: Labels
    receiver: str
    alerts: tuple[AlertStatus, ...]
    muted: bool = False

    def as_json(self) -> dict[str, Any]:
        """As Alertmanager's API v2 has it (an alertGroup)."""
        return {
            "labels": self.labels.as_dict(),
            "receiver": {"name": self.receiver},
            "alerts": [alert.as_json() for alert in self.alerts],
        }


def alert_statuses(pipeline: Pipeline, matchers: Sequence[Matcher], now_ms: int) -> list[AlertStatus]:
    found = [
        _status(pipeline, alert, now_ms)
        for alert in pipeline.alerts.values()
        if not alert.resolved(now_ms) and all_match(matchers, alert.labels)
    ]
    return sorted(found, key=lambda status: status.fingerprint)


def group_statuses(
    pipeline: Pipeline, matchers: Sequence[Matcher], now_ms: int, wanted: Callable[[AlertStatus], bool] = lambda _status: True
) -> list[GroupStatus]:
    """Groups without an alert that fits are left out."""
    found = []
    for group in merged_order(pipeline.groups()):
        alerts = [alert for alert in group.alerts.values() if not alert.resolved(now_ms) and all_match(matchers, alert.labels)]
        statuses = tuple(filter(wanted, (_status(pipeline, alert, now_ms) for alert in alerts)))
        if statuses:
            muted = pipeline.is_mute(group.route, now_ms)
            found.append(GroupStatus(group.labels, group.route.options.receiver, statuses, muted))
    return found


def _status(pipeline: Pipeline, alert: Alert, now_ms: int) -> AlertStatus:
    suppression = pipeline.suppression(alert.labels, now_ms)
    receivers = dict.fromkeys(route.options.receiver for route in pipeline.routing.route.match(alert.labels))
    return AlertStatus(
        alert=alert,
        fingerprint=fingerprint(alert.labels),
        receivers=tuple(receivers),
        silenced_by=suppression.silenced_by,
        inhibited_by=suppression.inhibited_by,
        updated_ms=pipeline.updated_ms[alert.labels],
    )
