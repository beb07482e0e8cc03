"""A channel is one way to one receiver: a service with its settings filled in. The environment can name some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from algowatch.senders import log, webhook
from algowatch.senders.message import Message


class Send(Protocol):
    """Hands one message to a service; when it returns, the service has accepted it."""

    def __call__(self, settings: Any, message: Message, timeout_s: float) -> None:
        """Raises: DeliveryError."""


@dataclass(frozen=True, slots=True)
class Channel:
    """integration:       the service's name, as Alertmanager's metrics spell it ("webhook", "slack" …).
    settings:          the sender's own settings; their repr shows no secret.
    lowest_severity:   with the built-in routing, alerts below this severity do not go here.
    send_resolved:     whether the end of an alert is told too.
    """

    integration: str
    settings: Any
    send: Send
    lowest_severity: str = "info"
    send_resolved: bool = True

    def deliver(self, message: Message, timeout_s: float) -> None:
        """Raises: DeliveryError."""
        self.send(self.settings, message, timeout_s)


def log_channel(write: Callable[[str], None] | None = None) -> Channel:
    return Channel("log", log.Settings(write=write), log.send)


def webhook_channel(url: str) -> Channel:
    return Channel("webhook", webhook.Settings(url), webhook.send)


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]


def _webhooks(environ: Mapping[str, str]) -> list[Channel]:
    return [webhook_channel(url) for url in _words(environ.get("ALGOWATCH_WEBHOOK_URL", ""))]


_READERS: tuple[Callable[[Mapping[str, str]], list[Channel]], ...] = (_webhooks,)


def from_environment(environ: Mapping[str, str]) -> list[Channel]:
    """Every channel that the environment describes; variables of one service that belong together but are not all set
    describe none.

    ALGOWATCH_WEBHOOK_URL: one or more addresses, separated by spaces or commas.
    """
    return [channel for read in _READERS for channel in read(environ)]
