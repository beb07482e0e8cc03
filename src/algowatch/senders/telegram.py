"""Telegram: a bot that writes to one chat."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from algowatch.senders.http import post_json
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title


@dataclass(frozen=True, slots=True)
class Settings:
    """chat_id: a number, or `@name` of a public channel. parse_mode: of the receiver's own text, where it has one."""

    token: str = field(repr=False)
    chat_id: str
    url: str = "https://api.telegram.org"
    parse_mode: Literal["", "HTML", "MarkdownV2"] = ""


_MAX_TEXT = 4096
_MARKDOWN = re.compile(r"([_*\[\]()~`>#+\-=|{}.!\\])")


def payload(message: Message, chat_id: str, parse_mode: str = "") -> dict[str, Any]:
    """Text without a parse mode, so that no label is read as markup; the headline is bold by its position.

    The receiver's own text goes as it is, in its parse mode; one that is too long gives way to ours, since a cut in the
    middle of markup would be refused.
    Source: Telegram, "Bot API", sendMessage (4096 characters), MessageEntity (lengths in UTF-16 units).
    """
    found: dict[str, Any] = {"chat_id": chat_id, "link_preview_options": {"is_disabled": True}}
    if message.status == "resolved" or message.severity == "info":
        found["disable_notification"] = True
    if message.text and len(message.text) <= _MAX_TEXT:
        return {**found, "text": message.text, **({"parse_mode": parse_mode} if parse_mode else {})}
    plain = replace(message, text="")
    headline = shorten(title(plain), 256)
    found["text"] = shorten(f"{headline}\n\n{body(plain)}", _MAX_TEXT)
    found["entities"] = [{"type": "bold", "offset": 0, "length": len(headline.encode("utf-16-le")) // 2}]
    return found


def escape_html(text: str) -> str:
    return html.escape(text)


def escape_markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError; it never shows the token, which is part of the address."""
    return post_json(
        f"{settings.url}/bot{settings.token}/sendMessage", payload(message, settings.chat_id, settings.parse_mode), timeout_s
    ).said()
