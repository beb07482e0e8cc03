"""Telegram: a bot that writes to one chat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from algowatch.senders.http import post_json
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title


@dataclass(frozen=True, slots=True)
class Settings:
    """chat_id: a number, or `@name` of a public channel."""

    token: str = field(repr=False)
    chat_id: str
    url: str = "https://api.telegram.org"


def payload(message: Message, chat_id: str) -> dict[str, Any]:
    """Text without a parse mode, so that no label is read as markup; the headline is bold by its position.

    Source: Telegram, "Bot API", sendMessage (4096 characters), MessageEntity (lengths in UTF-16 units).
    """
    headline = shorten(title(message), 256)
    found: dict[str, Any] = {
        "chat_id": chat_id,
        "text": shorten(f"{headline}\n\n{body(message)}", 4096),
        "entities": [{"type": "bold", "offset": 0, "length": len(headline.encode("utf-16-le")) // 2}],
        "link_preview_options": {"is_disabled": True},
    }
    if message.status == "resolved" or message.severity == "info":
        found["disable_notification"] = True
    return found


def send(settings: Settings, message: Message, timeout_s: float) -> None:
    """Raises: DeliveryError; it never shows the token, which is part of the address."""
    post_json(f"{settings.url}/bot{settings.token}/sendMessage", payload(message, settings.chat_id), timeout_s)
