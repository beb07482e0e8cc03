"""One line per alert, to a logger or to any callable that takes a line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from algowatch.errors import DeliveryError
from algowatch.model.severity import severity_rank
from algowatch.senders.message import AlertInMessage, Message
from algowatch.senders.text import one_line, other_labels, summary

_LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Settings:
    """logger: name of the logger, used where `write` is not given."""

    logger: str = "algowatch.alerts"
    write: Callable[[str], None] | None = None


def payload(message: Message) -> Sequence[str]:
    """One line per alert, the firing ones first."""
    return [line(item) for item in (*message.firing, *message.resolved)]


def line(item: AlertInMessage) -> str:
    """`FIRING critical KillSwitchActive: Daily loss limit reached [instance=gamma-bot]`, never more than one line."""
    labels = other_labels(item.labels)
    severity = f" {item.alert.severity}" if item.alert.severity else ""
    text = f"{item.status.upper()}{severity} {item.alert.name or 'alert'}: {summary(item)}" + (f" [{labels}]" if labels else "")
    return one_line(text)


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError where the callable that takes the lines fails."""
    for item in (*message.firing, *message.resolved):
        if settings.write is None:
            level = logging.INFO if item.status == "resolved" else _LEVELS[severity_rank(item.alert.severity)]
            logging.getLogger(settings.logger).log(level, "%s", line(item))
            continue
        try:
            settings.write(line(item))
        except Exception as error:
            raise DeliveryError(f"log: {type(error).__name__}: {error}", retryable=True) from error
    return "written"
