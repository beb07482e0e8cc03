"""Microsoft Teams: a workflow's webhook (or an old connector's), which takes an adaptive card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from algowatch.model.severity import severity_rank
from algowatch.senders.http import post_json
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title

_COLORS = ("accent", "warning", "warning", "attention")
_MAX_TEXT = 15_000


@dataclass(frozen=True, slots=True)
class Settings:
    url: str = field(repr=False)


def payload(message: Message) -> dict[str, Any]:
    """One adaptive card. Texts of ours are runs of a RichTextBlock, in which nothing is markup; the receiver's own text is
    Markdown.

    Source: Microsoft, "Create incoming webhooks with Workflows", "Adaptive Cards schema" (28 KB for one message).
    """
    color = "good" if message.status == "resolved" else _COLORS[severity_rank(message.severity)]
    headline = {"type": "TextRun", "text": shorten(title(message), 250), "weight": "bolder", "size": "large", "color": color}
    text = shorten(body(message), _MAX_TEXT)
    content: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "msteams": {"width": "Full"},
        "body": [
            {"type": "RichTextBlock", "inlines": [headline]},
            {"type": "TextBlock", "text": text, "wrap": True}
            if message.text
            else {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text}]},
        ],
    }
    if message.external_url:
        content["actions"] = [{"type": "Action.OpenUrl", "title": "Open algowatch", "url": message.external_url}]
    card = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [card]}


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    return post_json(settings.url, payload(message), timeout_s).said(settings.url)
