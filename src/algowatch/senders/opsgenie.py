"""Opsgenie: an alert per group, found again by its alias and closed when all of it is over."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from algowatch.model.severity import severity_rank
from algowatch.senders.http import post_json
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title

_PRIORITIES = ("P5", "P3", "P2", "P1")


@dataclass(frozen=True, slots=True)
class Settings:
    """url: `https://api.eu.opsgenie.com` for accounts in Europe. priority, tags: over what the severity says."""

    api_key: str = field(repr=False)
    url: str = "https://api.opsgenie.com"
    priority: str = ""
    tags: tuple[str, ...] = ()


def alias(message: Message) -> str:
    return hashlib.sha256(message.group_key.encode()).hexdigest()


def payload(message: Message, priority: str = "", tags: tuple[str, ...] = ()) -> dict[str, Any]:
    """Source: Opsgenie, "Alert API" (message 130, description 15000, tag 50 characters, 20 tags)."""
    if message.status == "resolved":
        return {"source": "algowatch"}
    labels = message.common_labels.as_dict()
    return {
        "alias": alias(message),
        "message": shorten(title(message), 130),
        "description": shorten(body(message), 15_000),
        "source": shorten(message.external_url or "algowatch", 100),
        "priority": priority or _PRIORITIES[severity_rank(message.severity)],
        "details": {name: shorten(value, 1_000) for name, value in labels.items()},
        "tags": [shorten(tag, 50) for tag in tags][:20],
    }


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    base = f"{settings.url.rstrip('/')}/v2/alerts"
    url = base if message.status == "firing" else f"{base}/{alias(message)}/close?identifierType=alias"
    headers = {"Authorization": f"GenieKey {settings.api_key}"}
    return post_json(url, payload(message, settings.priority, settings.tags), timeout_s, headers).said()
