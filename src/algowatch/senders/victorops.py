"""VictorOps (Splunk On-Call): an incident per group of alerts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from algowatch.model.severity import severity_rank
from algowatch.senders.http import post_json
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: str = field(repr=False)
    routing_key: str
    url: str = "https://alert.victorops.com/integrations/generic/20131114/alert"
    message_type: str = "CRITICAL"


def payload(message: Message, message_type: str = "CRITICAL") -> dict[str, Any]:
    """A warning opens no incident by itself. Source: Splunk On-Call, "REST endpoint"."""
    kind = message_type if severity_rank(message.severity) >= 2 else "WARNING"
    return {
        "message_type": "RECOVERY" if message.status == "resolved" else kind,
        "entity_id": hashlib.sha256(message.group_key.encode()).hexdigest(),
        "entity_display_name": shorten(title(message), 250),
        "state_message": shorten(body(message), 20_000),
        "monitoring_tool": "algowatch",
    }


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    url = f"{settings.url.rstrip('/')}/{settings.api_key}/{settings.routing_key}"
    return post_json(url, payload(message, settings.message_type), timeout_s).said(url)
