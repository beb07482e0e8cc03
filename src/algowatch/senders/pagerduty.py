"""PagerDuty: Events API v2. One incident per group of alerts, found again by its deduplication key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from algowatch.model.severity import SEVERITIES, severity_rank
from algowatch.senders.http import post_json
from algowatch.senders.message import Message
from algowatch.senders.text import paragraph, shorten, title
from algowatch.senders.webhook import go_time

_MAX_DETAILS = 50


@dataclass(frozen=True, slots=True)
class Settings:
    routing_key: str = field(repr=False)
    url: str = "https://events.pagerduty.com/v2/enqueue"


def payload(message: Message, routing_key: str) -> dict[str, Any]:
    """A trigger event while the group fires, a resolve event once all of it is over.

    Source: PagerDuty, "Events API v2" (summary at most 1024 characters, deduplication key 255).
    """
    key = hashlib.sha256(f"{message.receiver} {message.group_key}".encode()).hexdigest()
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "trigger" if message.status == "firing" else "resolve",
        "dedup_key": key,
    }
    if message.status == "resolved":
        return event
    labels = message.common_labels
    event["payload"] = {
        "summary": shorten(title(message), 1024),
        "source": labels.get("instance") or "algowatch",
        "severity": SEVERITIES[severity_rank(message.severity)],
        "timestamp": go_time(min(item.alert.starts_at_ms for item in message.firing)),
        "component": labels.get("component") or labels.get("job") or "trading",
        "group": labels.get("job") or "algowatch",
        "class": labels.get("alertname") or "alert",
        "custom_details": {
            "firing": [shorten(paragraph(item), 1000) for item in message.firing[:_MAX_DETAILS]],
            "num_firing": len(message.firing),
            "num_resolved": len(message.resolved),
        },
    }
    event["client"] = "algowatch"
    if message.external_url:
        event["client_url"] = message.external_url
    return event


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    return post_json(settings.url, payload(message, settings.routing_key), timeout_s).said(settings.url)
