"""Slack: an incoming webhook, or `chat.postMessage` with a bot's token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from algowatch.errors import DeliveryError
from algowatch.model.severity import severity_rank
from algowatch.senders.http import Answer, post_json, shown
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title

_COLORS = ("#439fe0", "#daa038", "#e8710a", "#d00000")
_RESOLVED_COLOR = "#2eb67d"
_TRY_LATER = ("ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout")


@dataclass(frozen=True, slots=True)
class Settings:
    """url: the webhook's (a secret), or `https://slack.com/api/chat.postMessage` together with token and channel."""

    url: str = field(repr=False)
    channel: str = ""
    token: str = field(default="", repr=False)


def payload(message: Message, channel: str = "") -> dict[str, Any]:
    """Plain-text blocks within a coloured attachment; nothing in a label can mention people or form a link.

    The receiver's own title and text come with their values escaped already; the text is Slack's mrkdwn.
    Source: Slack, "Block Kit" (header 150, section text 3000 characters), "Formatting text" (escape &, < and >).
    """
    resolved = message.status == "resolved"
    color = _RESOLVED_COLOR if resolved else _COLORS[severity_rank(message.severity)]
    headline = shorten(message.title or escape(title(message)), 150)
    own = {"type": "mrkdwn", "text": shorten(message.text, 3000)}
    blocks = [
        {"type": "header", "text": _plain(headline)},
        {"type": "section", "text": own if message.text else _plain(_fitting(body(message), 3000))},
    ]
    found: dict[str, Any] = {
        "text": headline,
        "attachments": [{"color": color, "fallback": headline, "blocks": blocks}],
        "unfurl_links": False,
    }
    return {"channel": channel, **found} if channel else found


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text or " ", "emoji": False}


def _fitting(text: str, limit: int) -> str:
    """As much of a text as fits once it is escaped, escaped."""
    cut = shorten(text, limit)
    while len(escape(cut)) > limit:
        cut = shorten(cut, len(cut) - max(1, (len(escape(cut)) - limit) // 5))
    return escape(cut)


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError, also where Slack answers 200 and says in the body that it did not take the message."""
    headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
    answer = post_json(settings.url, payload(message, settings.channel), timeout_s, headers)
    _check(settings.url, answer)
    return answer.said(settings.url)


def _check(url: str, answer: Answer) -> None:
    said = answer.json()
    if isinstance(said, dict) and said.get("ok") is False:
        reason = str(said.get("error", "unknown error"))
        raise DeliveryError(f"{shown(url)}: Slack says {reason}", retryable=reason in _TRY_LATER, status=answer.status)
