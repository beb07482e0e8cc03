"""Any of the services that Apprise knows, named by an Apprise URL; the package is wanted when the first message goes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from algowatch.errors import DeliveryError
from algowatch.model.severity import severity_rank
from algowatch.senders.message import Message
from algowatch.senders.text import body, shorten, title

_KINDS = ("info", "warning", "failure", "failure")


@dataclass(frozen=True, slots=True)
class Settings:
    """url: `service://…`, a secret as a whole."""

    url: str = field(repr=False)


def payload(message: Message) -> dict[str, str]:
    """Arguments of `Apprise.notify`."""
    kind = "success" if message.status == "resolved" else _KINDS[severity_rank(message.severity)]
    return {"title": shorten(title(message), 250), "body": shorten(body(message), 10_000), "notify_type": kind}


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """The service's own time limits hold. Raises: DeliveryError; Apprise does not say why a service refused."""
    service = settings.url.partition("://")[0][:40]
    target = _library().Apprise()
    if not target.add(settings.url):
        raise DeliveryError(f"apprise: {service}:// is not a URL that Apprise knows; see its documentation", retryable=False)
    if not target.notify(**payload(message)):
        raise DeliveryError(f"apprise: {service}:// did not take the message", retryable=True)
    return f"taken by {service}"


def _library() -> Any:
    try:
        import apprise
    except ImportError:
        problem = 'apprise is not installed; install it with: pip install "algowatch[apprise]"'
        raise DeliveryError(problem, retryable=False) from None
    return apprise
