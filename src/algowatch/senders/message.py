"""What every sender is handed: one notification about one group of alerts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Literal

from algowatch.model.alerts import Alert
from algowatch.model.labels import EMPTY, Labels
from algowatch.model.severity import severity_rank

Status = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True)
class AlertInMessage:
    """One alert as it was when the message was made; later time does not resolve it."""

    alert: Alert
    status: Status

    @property
    def labels(self) -> Labels:
        return self.alert.labels

    @property
    def annotations(self) -> Labels:
        return self.alert.annotations


@dataclass(frozen=True)
class Message:
    """One notification: some alerts of one group, for one receiver.

    status:    "firing" while at least one alert fires.
    group_key: stable identity of the group; services that know deduplication keys get it.
    title, text: the receiver's own, in the service's markup, values in them escaped; empty: as the sender words it.
    """

    status: Status
    receiver: str
    group_key: str
    group_labels: Labels
    alerts: tuple[AlertInMessage, ...]
    common_labels: Labels = EMPTY
    common_annotations: Labels = EMPTY
    external_url: str = ""
    title: str = ""
    text: str = ""

    @classmethod
    def of(
        cls,
        receiver: str,
        group_key: str,
        group_labels: Labels,
        alerts: Iterable[AlertInMessage],
        *,
        external_url: str = "",
        title: str = "",
        text: str = "",
    ) -> Message:
        """A message with its status and what its alerts have in common worked out. `alerts` must not be empty."""
        listed = tuple(alerts)
        return cls(
            status="firing" if any(item.status == "firing" for item in listed) else "resolved",
            receiver=receiver,
            group_key=group_key,
            group_labels=group_labels,
            alerts=listed,
            common_labels=_common([item.labels for item in listed]),
            common_annotations=_common([item.annotations for item in listed]),
            external_url=external_url,
            title=title,
            text=text,
        )

    @classmethod
    def single(cls, alert: Alert, receiver: str, now_ms: int) -> Message:
        """One alert on its own, as a bot sends it when no engine answers."""
        status: Status = "resolved" if alert.resolved(now_ms) else "firing"
        return cls.of(receiver, f"{{}}:{alert.labels}", alert.labels, [AlertInMessage(alert, status)])

    @property
    def firing(self) -> tuple[AlertInMessage, ...]:
        return tuple(item for item in self.alerts if item.status == "firing")

    @property
    def resolved(self) -> tuple[AlertInMessage, ...]:
        return tuple(item for item in self.alerts if item.status == "resolved")

    @cached_property
    def severity(self) -> str:
        """The highest severity among the alerts, in their own spelling; empty where none has one."""
        found = [item.alert.severity for item in self.alerts if item.alert.severity]
        return max(found, key=severity_rank, default="")


def _common(sets: Sequence[Labels]) -> Labels:
    """The pairs that stand in every set."""
    shared = reduce(lambda kept, labels: kept & set(labels), sets[1:], set(sets[0]))
    return Labels(sorted(shared))


def to_json(message: Message) -> str:
    """A message as the outbox keeps it; `from_json` gives an equal one back."""
    return json.dumps(
        {
            "status": message.status,
            "receiver": message.receiver,
            "group_key": message.group_key,
            "group_labels": message.group_labels.as_dict(),
            "alerts": [{"status": item.status, **alert_to_dict(item.alert)} for item in message.alerts],
            "external_url": message.external_url,
            "title": message.title,
            "text": message.text,
        }
    )


def from_json(text: str) -> Message:
    """Raises: KeyError, TypeError or ValueError where the text is not what `to_json` wrote."""
    data = json.loads(text)
    return Message.of(
        data["receiver"],
        data["group_key"],
        Labels.of(data["group_labels"]),
        [AlertInMessage(alert_from_dict(item), item["status"]) for item in data["alerts"]],
        external_url=data["external_url"],
        title=data["title"],
        text=data["text"],
    )


def alert_to_dict(alert: Alert) -> dict[str, Any]:
    return {
        "labels": alert.labels.as_dict(),
        "annotations": alert.annotations.as_dict(),
        "starts_at_ms": alert.starts_at_ms,
        "ends_at_ms": alert.ends_at_ms,
        "generator_url": alert.generator_url,
        "active_at_ms": alert.active_at_ms,
    }


def alert_from_dict(data: dict[str, Any]) -> Alert:
    return Alert(
        labels=Labels.of(data["labels"]),
        annotations=Labels.of(data["annotations"]),
        starts_at_ms=data["starts_at_ms"],
        ends_at_ms=data["ends_at_ms"],
        generator_url=data["generator_url"],
        active_at_ms=data["active_at_ms"],
    )
