"""From alerts to notifications: group, inhibit, mute, silence, deduplicate. A state machine; time is an argument."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.notify.groups import Group, merge
from algowatch.notify.inhibition import Inhibitor
from algowatch.notify.notified import Told, fingerprint, worth_telling
from algowatch.notify.route import Route
from algowatch.notify.routing import Routing
from algowatch.notify.silences import Silences
from algowatch.senders.channels import Channel
from algowatch.senders.message import AlertInMessage, Message

_SWEEP_MS = 60_000
_KEEP_RESOLVED_MS = 900_000


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """One channel of one receiver: its place in the receiver tells two of the same service apart."""

    receiver: str
    integration: str
    index: int

    def __str__(self) -> str:
        return f"{self.receiver}/{self.integration}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Notification:
    """What is to be sent to one channel. message is None where only the memory of what it was told changes."""

    channel: ChannelKey
    group_key: str
    told: Told
    message: Message | None


@dataclass(frozen=True, slots=True)
class Suppression:
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.silenced_by or self.inhibited_by)


class Pipeline:
    """Holds the alerts, their groups and what every channel was told.

    `receive` takes alerts, `advance` does what is due, `next_due_ms` says when that is the case next.
    """

    def __init__(
        self,
        routing: Routing,
        silences: Silences,
        told: Mapping[tuple[str, ChannelKey], Told] | None = None,
        external_url: str = "",
    ) -> None:
        self.routing = routing
        self.silences = silences
        self.external_url = external_url
        self.alerts: dict[Labels, Alert] = {}
        self.updated_ms: dict[Labels, int] = {}
        self.told = dict(told or {})
        self._inhibitor = Inhibitor(routing.inhibit_rules)
        self._groups: dict[tuple[int, Labels], Group] = {}
        self._queue: list[tuple[int, int, Group]] = []
        self._sequence = count()
        self._swept_ms = 0

    def receive(self, alerts: Sequence[Alert], now_ms: int) -> None:
        """Take new, refreshed and resolved alerts. What they cause comes out of the next `advance`."""
        for given in alerts:
            alert = merge(self.alerts.get(given.labels), given)
            self.alerts[alert.labels] = alert
            self.updated_ms[alert.labels] = now_ms
            self._inhibitor.observe(alert)
            for route in self.routing.route.match(alert.labels):
                self._group(route, alert, now_ms)

    def advance(self, now_ms: int) -> list[Notification]:
        """Flush every group that is due; what comes out is to be sent, and counts as told."""
        due: list[Group] = []
        while self._queue and self._queue[0][0] <= now_ms:
            due_ms, _, group = heapq.heappop(self._queue)
            if due_ms == group.due_ms and self._groups.get(_place(group)) is group:
                due.append(group)
        notifications = [notification for group in due for notification in self._flush(group, now_ms)]
        if now_ms - self._swept_ms >= _SWEEP_MS:
            self._sweep(now_ms)
        return notifications

    def next_due_ms(self) -> int | None:
        """When `advance` has something to do next; None while there is no group."""
        while self._queue:
            due_ms, _, group = self._queue[0]
            if due_ms == group.due_ms and self._groups.get(_place(group)) is group:
                return due_ms
            heapq.heappop(self._queue)
        return None

    def suppression(self, labels: Labels, now_ms: int) -> Suppression:
        """What keeps an alert quiet now."""
        inhibited = tuple(fingerprint(source) for source in self._inhibitor.inhibitors(labels, now_ms))
        return Suppression(tuple(self.silences.silencing(labels, now_ms)), inhibited)

    def groups(self) -> list[Group]:
        return list(self._groups.values())

    def refused(self, group: str, channel: ChannelKey, again_after_ms: int) -> None:
        """A channel refused a group's message for good: it is told anew from a moment on, if it still fires by then."""
        if (told := self.told.get((group, channel))) is not None:
            self.told[group, channel] = Told(told.firing, told.resolved, told.at_ms, again_after_ms)

    def _group(self, route: Route, alert: Alert, now_ms: int) -> None:
        labels = route.group_labels(alert.labels)
        group = self._groups.get((id(route), labels))
        if group is None:
            group = self._groups[id(route), labels] = Group(route, labels, now_ms)
            due_before = -1
        else:
            due_before = group.due_ms
        group.insert(alert, now_ms)
        if group.due_ms != due_before:
            self._schedule(group)

    def _schedule(self, group: Group) -> None:
        heapq.heappush(self._queue, (group.due_ms, next(self._sequence), group))

    def _flush(self, group: Group, now_ms: int) -> list[Notification]:
        notifications = self._to_tell(group, group.flush(now_ms), now_ms)
        if group.alerts:
            group.plan(now_ms, told=bool(notifications))
            self._schedule(group)
        else:
            del self._groups[_place(group)]
        return notifications

    def _to_tell(self, group: Group, items: Sequence[AlertInMessage], now_ms: int) -> list[Notification]:
        if self.is_mute(group.route, now_ms):
            return []
        audible = [item for item in items if not self.suppression(item.labels, now_ms)]
        if not audible:
            return []
        receiver = group.route.options.receiver
        channels = self.routing.receivers.get(receiver, ())
        found = (
            self._tell(group, ChannelKey(receiver, channel.integration, index), channel, audible, now_ms)
            for index, channel in enumerate(channels)
        )
        return [notification for notification in found if notification is not None]

    def _tell(
        self, group: Group, key: ChannelKey, channel: Channel, items: Sequence[AlertInMessage], now_ms: int
    ) -> Notification | None:
        now = Told(_fingerprints(items, "firing"), _fingerprints(items, "resolved"), now_ms)
        options = group.route.options
        told = self.told.get((group.key, key))
        if not worth_telling(told, now, options.repeat_interval_ms, send_resolved=channel.send_resolved):
            return None
        self.told[group.key, key] = now
        kept = [item for item in items if channel.send_resolved or item.status == "firing"]
        message = None
        if kept:
            message = Message.of(key.receiver, group.key, group.labels, kept, external_url=self.external_url)
        return Notification(key, group.key, now, message)

    def is_mute(self, route: Route, now_ms: int) -> bool:
        """Whether a time interval keeps a route quiet now."""
        options = route.options
        if options.active_time_intervals and not self._in_any(options.active_time_intervals, now_ms):
            return True
        return self._in_any(options.mute_time_intervals, now_ms)

    def _in_any(self, names: Sequence[str], now_ms: int) -> bool:
        return any(interval.contains(now_ms) for name in names for interval in self.routing.time_intervals[name])

    def _sweep(self, now_ms: int) -> None:
        """Forget what is long over: resolved alerts, expired silences, what channels were told of groups gone quiet."""
        self._swept_ms = now_ms
        for labels in [key for key, alert in self.alerts.items() if alert.ends_at_ms < now_ms - _KEEP_RESOLVED_MS]:
            del self.alerts[labels], self.updated_ms[labels]
            self._inhibitor.forget(labels)
        alive = {group.key for group in self._groups.values()}
        for key in [key for key, told in self.told.items() if not told.firing and key[0] not in alive]:
            del self.told[key]
        self.silences.sweep(now_ms)


def _place(group: Group) -> tuple[int, Labels]:
    return id(group.route), group.labels


def _fingerprints(items: Sequence[AlertInMessage], status: str) -> frozenset[str]:
    return frozenset(fingerprint(item.labels) for item in items if item.status == status)
