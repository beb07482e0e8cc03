"""Where a bot's alerts go: the engine's Alertmanager API first, and straight to a person's channel where no engine answers.

What sending needs is imported in the thread that starts the watch: a fork while another thread imports leaves the child
with a module's lock that nobody will ever let go.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 (the look-up of a host's name wants it)
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from algowatch.errors import DeliveryError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.model.severity import severity_rank
from algowatch.model.timestamps import format_time
from algowatch.senders.http import post_json
from algowatch.telemetry.spool import OwedAlert

if TYPE_CHECKING:
    from algowatch.senders.channels import Channel as SenderChannel

_REFUSED_FOR_GOOD = (400, 413, 422)
"""Any other answer may come from another server that got the engine's old port."""


class Channel(Protocol):
    """A person's channel."""

    def __call__(self, alert: OwedAlert, timeout_s: float) -> bool:
        """Send one alert. Returns: False where it is none of this channel's. Raises: DeliveryError."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def postable_alert(alert: OwedAlert, at_ms: int) -> dict[str, Any]:
    """An alert as Alertmanager's API v2 takes it.

    The end is counted from the moment of sending: an alert that waited for the engine still fires when it gets there.
    """
    return {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": format_time(min(alert.starts_at_ms, at_ms)),
        "endsAt": format_time(at_ms if alert.resolved else at_ms + alert.lasts_ms),
    }


def post_to_engine(url: str, alerts: Sequence[OwedAlert], timeout_s: float, clock: Callable[[], int] = now_ms) -> None:
    """Hand alerts to an Alertmanager API. Raises: DeliveryError."""
    at_ms = clock()
    try:
        post_json(url.rstrip("/") + "/api/v2/alerts", [postable_alert(alert, at_ms) for alert in alerts], timeout_s)
    except DeliveryError as error:
        raise DeliveryError(str(error), retryable=error.status not in _REFUSED_FOR_GOOD, status=error.status) from error


def configured_channels(wanted: object, environ: Mapping[str, str]) -> list[Channel]:
    """Channels from an argument (addresses of webhooks, callables, a mixture; None: whatever the environment names).

    A callable gets one OwedAlert per call, in the alerts' thread.
    Raises: ValueError for anything else; ConfigError where the environment cannot be read.
    """
    from algowatch.senders.channels import from_environment, webhook_channel

    if wanted is None:
        return [_through(channel) for channel in from_environment(environ)]
    channels: list[Channel] = []
    for item in wanted if isinstance(wanted, (list, tuple)) else [wanted]:
        if callable(item):
            channels.append(_calling(item))
        elif isinstance(item, str) and item.startswith(("http://", "https://")):
            channels.append(_through(webhook_channel(item)))
        else:
            raise ValueError("alerts go to an http(s) address or a callable, or to a list of them")
    return channels


def _through(channel: SenderChannel) -> Channel:
    """One of the named services, for alerts that are severe enough for it."""
    from algowatch.senders.message import Message

    def send(alert: OwedAlert, timeout_s: float) -> bool:
        severe_enough = severity_rank(alert.labels.get("severity", "")) >= severity_rank(channel.lowest_severity)
        if not severe_enough or (alert.resolved and not channel.send_resolved):
            return False
        at_ms = now_ms()
        ends_at_ms = at_ms if alert.resolved else at_ms + alert.lasts_ms
        told = Alert(Labels.of(alert.labels), Labels.of(alert.annotations), alert.starts_at_ms, ends_at_ms)
        channel.deliver(Message.single(told, "direct", at_ms), timeout_s)
        return True

    return send


def _calling(function: Callable[[OwedAlert], object]) -> Channel:
    def send(alert: OwedAlert, timeout_s: float) -> bool:
        function(alert)
        return True

    return send
