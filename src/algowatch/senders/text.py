"""How a message reads for a person where the receiver has no templates of its own; plain text, not escaped for anything."""

from __future__ import annotations

from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.senders.message import AlertInMessage, Message

_TITLE_ANNOTATIONS = ("summary", "title", "message")
_TEXT_ANNOTATIONS = ("description", "message")
_MAX_LISTED = 20
_NOTES = {"escalation": "Escalated: {}", "ack_url": "Acknowledge: {}"}


def title(message: Message) -> str:
    """One line: what happened, how bad, where.

    `CRITICAL: KillSwitchActive (gamma-bot)`, `RESOLVED: …`; `(3 alerts)` where there are more than one.
    """
    if message.title:
        return message.title
    head = "RESOLVED" if message.status == "resolved" else (message.severity or "alert").upper()
    name = message.common_labels.get("alertname") or message.group_labels.get("alertname") or "alerts"
    instance = message.common_labels.get("instance")
    count = f" ({len(message.alerts)} alerts)" if len(message.alerts) > 1 else ""
    return f"{head}: {name}" + (f" ({instance})" if instance else "") + count


def body(message: Message) -> str:
    """A paragraph per alert, the firing ones first; past twenty the rest is counted."""
    if message.text:
        return message.text
    ordered = [*message.firing, *message.resolved]
    parts = [paragraph(item, mark=bool(message.firing and message.resolved)) for item in ordered[:_MAX_LISTED]]
    if len(ordered) > _MAX_LISTED:
        parts.append(f"… and {len(ordered) - _MAX_LISTED} more")
    return "\n\n".join(parts)


def paragraph(item: AlertInMessage, *, mark: bool = False) -> str:
    """Summary, description and labels of one alert."""
    lines = [summary(item)]
    if mark and item.status == "resolved":
        lines[0] = "Resolved: " + lines[0]
    detail = next((item.alert.annotation(name) for name in _TEXT_ANNOTATIONS if item.alert.annotation(name)), "")
    if detail and detail != summary(item):
        lines.append(detail)
    if labels := other_labels(item.labels):
        lines.append(labels)
    lines += [
        word.format(text) for name, word in _NOTES.items() if item.status == "firing" and (text := item.alert.annotation(name))
    ]
    return "\n".join(lines)


def summary(item: AlertInMessage) -> str:
    found = (item.alert.annotation(name) for name in _TITLE_ANNOTATIONS)
    return next((text for text in found if text), item.alert.name or "alert")


def other_labels(labels: Labels) -> str:
    """`instance=gamma-bot, symbol=SPY`: every label but the alert's name and severity."""
    return ", ".join(f"{name}={value}" for name, value in labels if name not in ("alertname", "severity", METRIC_NAME))


def one_line(text: str) -> str:
    """Control characters, line ends included, as spaces: a label cannot forge a second line of a log."""
    return "".join(char if char.isprintable() else " " for char in text)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters; what is cut off is marked.

    >>> shorten("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"
