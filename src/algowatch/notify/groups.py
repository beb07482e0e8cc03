"""Groups of alerts: which are told together, and when the next telling is due."""

from __future__ import annotations

from collections.abc import Sequence

from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.notify.route import Route, group_key
from algowatch.senders.message import AlertInMessage

_QUIET_BEAT_MS = 10_000


class Group:
    """The alerts of one route that have the same group labels.

    due_ms:     when it is flushed next. A group is flushed first after group_wait, then every group_interval.
    flushed_ms: when it was flushed last; None before the first time.
    told_ms:    when a flush last had something to tell somebody; counts for prompt routes only.
    """

    __slots__ = ("alerts", "due_ms", "flushed_ms", "key", "labels", "route", "seen", "told_ms")

    def __init__(self, route: Route, labels: Labels, now_ms: int) -> None:
        self.route = route
        self.labels = labels
        self.key = group_key(route, labels)
        self.alerts: dict[Labels, Alert] = {}
        self.seen: dict[Labels, bool] = {}
        self.flushed_ms: int | None = None
        self.told_ms = -(10**15)
        self.due_ms = now_ms + route.options.group_wait_ms

    def insert(self, alert: Alert, now_ms: int) -> None:
        """Add or refresh an alert; may bring the next flush forward, never push it back."""
        self.alerts[alert.labels] = alert
        options = self.route.options
        if self.flushed_ms is None:
            if alert.starts_at_ms + options.group_wait_ms < now_ms:
                self.due_ms = min(self.due_ms, now_ms)
        elif options.prompt:
            self.due_ms = min(self.due_ms, self._prompt_due_ms(now_ms))

    def flush(self, now_ms: int) -> list[AlertInMessage]:
        """What there is to tell now, in Alertmanager's order; resolved alerts leave the group. `plan` comes next."""
        items = [
            AlertInMessage(alert, "resolved" if alert.resolved(now_ms) else "firing")
            for alert in sorted(self.alerts.values(), key=telling_order)
        ]
        self.seen = {item.labels: True for item in items if item.status == "firing"}
        self.alerts = {item.labels: item.alert for item in items if item.status == "firing"}
        self.flushed_ms = now_ms
        return items

    def plan(self, now_ms: int, *, told: bool) -> None:
        """Set the next flush. told: the last one had something to tell."""
        if told:
            self.told_ms = now_ms
        options = self.route.options
        self.due_ms = self._prompt_due_ms(now_ms) if options.prompt else now_ms + max(1, options.group_interval_ms)

    def _prompt_due_ms(self, now_ms: int) -> int:
        """The next change that is known of, else a slow beat for silences, inhibition and repeats; never within the
        group_interval of the last telling.
        """
        news = [
            now_ms if (labels in self.seen) == alert.resolved(now_ms) else max(now_ms, alert.ends_at_ms)
            for labels, alert in self.alerts.items()
        ]
        soonest = min(news, default=now_ms + _QUIET_BEAT_MS)
        return max(min(soonest, now_ms + _QUIET_BEAT_MS), self.told_ms + max(1, self.route.options.group_interval_ms))


def telling_order(alert: Alert) -> tuple[object, ...]:
    """By job, then instance (alerts without one come last), then the number of labels, then the labels.

    Source: Alertmanager, `types.AlertSlice` and `model.LabelSet.Before`.
    """
    job, instance = alert.labels.get("job"), alert.labels.get("instance")
    return (not job, job, not instance, instance, len(alert.labels), alert.labels)


def merge(old: Alert | None, new: Alert) -> Alert:
    """The alert after an update: while the two overlap, the earliest start counts.

    Source: Alertmanager, `types.Alert.Merge`.
    """
    if old is None:
        return new
    overlap = (old.starts_at_ms < new.ends_at_ms < old.ends_at_ms) or (old.starts_at_ms < new.starts_at_ms < old.ends_at_ms)
    if not overlap or new.starts_at_ms <= old.starts_at_ms:
        return new
    return Alert(
        labels=new.labels,
        annotations=new.annotations,
        starts_at_ms=old.starts_at_ms,
        ends_at_ms=new.ends_at_ms,
        generator_url=new.generator_url,
        active_at_ms=old.active_at_ms or new.active_at_ms,
    )


def merged_order(groups: Sequence[Group]) -> list[Group]:
    """Groups as the API lists them: by labels, then receiver."""
    return sorted(groups, key=lambda group: (group.labels, group.route.options.receiver))
