"""Discord: a webhook of one channel."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from algowatch.model.severity import severity_rank
from algowatch.senders.http import post_json
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title

_COLORS = (0x439FE0, 0xDAA038, 0xE8710A, 0xD00000)
_RESOLVED_COLOR = 0x2EB67D
_MARKUP = re.compile(r"([\\*_~`|>#\[\]()<@:-])")


@dataclass(frozen=True, slots=True)
class Settings:
    url: str = field(repr=False)


def payload(message: Message) -> dict[str, Any]:
    """One embed. Markup in labels is escaped (the receiver's own title and text come so) and nobody can be mentioned.

    Source: Discord, "Webhook resource", "Embed limits" (title 256, description 4096 characters).
    """
    color = _RESOLVED_COLOR if message.status == "resolved" else _COLORS[severity_rank(message.severity)]
    embed: dict[str, Any] = {
        "title": shorten(message.title or escape(title(message)), 256),
        "description": shorten(message.text or escape(body(message)), 4096),
        "color": color,
    }
    if message.external_url:
        embed["url"] = message.external_url
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def escape(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    return post_json(settings.url, payload(message), timeout_s).said(settings.url)
