"""Any HTTP address: Alertmanager's webhook JSON, version 4."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from algowatch.senders.http import post_json
from algowatch.senders.message import AlertInMessage, Message

_ZERO_TIME = "0001-01-01T00:00:00Z"
_REGEX_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclass(frozen=True, slots=True)
class Settings:
    """url is a secret. max_alerts: alerts beyond this many are left out and counted; 0 sends all."""

    url: str = field(repr=False)
    max_alerts: int = 0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def payload(message: Message, max_alerts: int = 0) -> dict[str, Any]:
    """The body that Alertmanager sends.

    Source: Prometheus, "Alerting configuration", webhook_config; Alertmanager, `template.Data`.
    """
    kept = message.alerts[:max_alerts] if max_alerts else message.alerts
    return {
        "receiver": _REGEX_SPECIAL.sub(lambda found: "\\" + found.group(), message.receiver),
        "status": message.status,
        "alerts": [_alert(item) for item in kept],
        "groupLabels": message.group_labels.as_dict(),
        "commonLabels": message.common_labels.as_dict(),
        "commonAnnotations": message.common_annotations.as_dict(),
        "externalURL": message.external_url,
        "version": "4",
        "groupKey": message.group_key,
        "truncatedAlerts": len(message.alerts) - len(kept),
    }


def _alert(item: AlertInMessage) -> dict[str, Any]:
    alert = item.alert
    return {
        "status": item.status,
        "labels": alert.labels.as_dict(),
        "annotations": alert.annotations.as_dict(),
        "startsAt": go_time(alert.starts_at_ms),
        "endsAt": go_time(alert.ends_at_ms) if item.status == "resolved" else _ZERO_TIME,
        "generatorURL": alert.generator_url,
        "fingerprint": f"{alert.labels.fingerprint():016x}",
    }


def go_time(time_ms: int) -> str:
    """RFC 3339 in UTC as Go prints it: no more decimals than are needed.

    >>> go_time(1_700_000_000_120), go_time(1_700_000_000_000)
    ('2023-11-14T22:13:20.12Z', '2023-11-14T22:13:20Z')
    """
    text = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{time_ms % 1000:03d}".rstrip("0").rstrip(".")
    return f"{text}{fraction}Z"


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    return post_json(settings.url, payload(message, settings.max_alerts), timeout_s, settings.headers).said(settings.url)
