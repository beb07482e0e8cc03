"""ntfy: a topic that the phone's app subscribes to, at ntfy.sh or on a server of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from algowatch.model.severity import severity_rank
from algowatch.senders.http import post_json
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title

_PRIORITIES = (2, 3, 4, 5)
_TAGS = ("information_source", "warning", "warning", "rotating_light")
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Settings:
    """topic: who knows it can read and write it, so it is a secret. token: of an account, where the server wants one."""

    topic: str = field(repr=False)
    url: str = "https://ntfy.sh"
    token: str = field(default="", repr=False)


def payload(message: Message, topic: str) -> dict[str, Any]:
    """Source: ntfy, "Publish as JSON"; a body past 4096 bytes would become an attachment, so it is cut."""
    rank = severity_rank(message.severity)
    resolved = message.status == "resolved"
    found: dict[str, Any] = {
        "topic": topic,
        "title": shorten(title(message), 250),
        "message": _cut_bytes(body(message), _MAX_BYTES),
        "priority": 3 if resolved else _PRIORITIES[rank],
        "tags": ["white_check_mark"] if resolved else [_TAGS[rank]],
    }
    if message.external_url:
        found["click"] = message.external_url
    return found


def _cut_bytes(text: str, limit: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[: limit - 3].decode("utf-8", "ignore") + "…"


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
    return post_json(settings.url, payload(message, settings.topic), timeout_s, headers).said(settings.url)
