"""Escalation: an alert that fires and that nobody acknowledges is told to more and more people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from algowatch.model.alerts import Alert
from algowatch.model.durations import format_duration
from algowatch.notify.acks import Acks
from algowatch.notify.notified import Told, fingerprint
from algowatch.notify.pipeline import ChannelKey, Notification, Pipeline
from algowatch.notify.policy import Escalation, Step
from algowatch.notify.route import all_match
from algowatch.senders.message import AlertInMessage, Message

ANNOTATION = "escalation"


def escalated(
    pipeline: Pipeline, escalations: Sequence[Escalation], acks: Acks, now_ms: int
) -> tuple[list[Notification], int | None]:
    """What is to be sent now, and when something is due next. What comes out counts as told.

    Whoever was called for an alert is also told when it is over. Silenced and inhibited alerts call nobody.
    """
    found: list[Notification] = []
    due_ms: list[int] = []
    for alert in pipeline.alerts.values() if escalations else ():
        for number, escalation in enumerate(escalations):
            if not all_match(escalation.matchers, alert.labels):
                continue
            for index, step in enumerate(escalation.steps):
                at_ms = alert.starts_at_ms + step.after_ms
                if at_ms > now_ms and not alert.resolved(now_ms):
                    due_ms.append(at_ms)
                else:
                    found += _step(pipeline, alert, f"escalation {number}.{index}", step, acks, now_ms)
    return found, min(due_ms, default=None)


def _step(pipeline: Pipeline, alert: Alert, name: str, step: Step, acks: Acks, now_ms: int) -> Iterator[Notification]:
    mark = fingerprint(alert.labels)
    group_key = f"{name}:{mark}:{alert.starts_at_ms}"
    resolved = alert.resolved(now_ms)
    for index, channel in enumerate(pipeline.routing.receivers.get(step.receiver, ())):
        key = ChannelKey(step.receiver, channel.integration, index)
        told = pipeline.told.get((group_key, key))
        if resolved:
            if told is None or not told.firing:
                continue
        elif told is not None or acks.holds(mark, alert.starts_at_ms) or pipeline.suppression(alert.labels, now_ms):
            continue
        now = Told(frozenset() if resolved else frozenset({mark}), frozenset({mark}) if resolved else frozenset(), now_ms)
        pipeline.told[group_key, key] = now
        message = None
        if not resolved or channel.send_resolved:
            item = AlertInMessage(_explained(alert, step), "resolved" if resolved else "firing")
            message = Message.of(step.receiver, group_key, alert.labels, [item], external_url=pipeline.external_url)
        yield Notification(key, group_key, now, message)


def _explained(alert: Alert, step: Step) -> Alert:
    words = f"nobody acknowledged this within {format_duration(step.after_ms)}"
    return replace(alert, annotations=alert.annotations.with_labels({ANNOTATION: words}))
