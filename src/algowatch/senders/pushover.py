"""Pushover: notifications to a phone; a critical one repeats each minute until somebody acknowledges it."""

from __future__ import annotations

from dataclasses import dataclass, field

from algowatch.model.severity import severity_rank
from algowatch.senders.http import post_form
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title

_PRIORITIES = (-1, 0, 1, 2)
_REPEAT_S = 60
_EXPIRE_S = 3600


@dataclass(frozen=True, slots=True)
class Settings:
    token: str = field(repr=False)
    user: str = field(repr=False)
    url: str = "https://api.pushover.net/1/messages.json"


def payload(message: Message) -> dict[str, str]:
    """Form fields, without the keys. Source: Pushover, "API" (title 250, message 1024 characters)."""
    priority = 0 if message.status == "resolved" else _PRIORITIES[severity_rank(message.severity)]
    found = {
        "title": shorten(title(message), 250),
        "message": shorten(body(message), 1024),
        "priority": str(priority),
    }
    if priority == 2:
        found |= {"retry": str(_REPEAT_S), "expire": str(_EXPIRE_S)}
    if message.external_url:
        found["url"] = message.external_url
    return found


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    return post_form(settings.url, {"token": settings.token, "user": settings.user, **payload(message)}, timeout_s).said(
        settings.url
    )
