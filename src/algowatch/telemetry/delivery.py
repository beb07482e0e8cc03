"""Where a bot's alerts go: the engine's Alertmanager API first, and straight to a person's channel where no engine answers.

What sending needs is imported here, in the thread that starts the watch: a fork while another thread imports leaves the
child with a module's lock that nobody will ever let go.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from algowatch.errors import DeliveryError
from algowatch.model.timestamps import format_time
from algowatch.telemetry.spool import OwedAlert


class Channel(Protocol):
    """A person's channel."""

    def __call__(self, alerts: Sequence[OwedAlert], timeout_s: float) -> None:
        """Raises: DeliveryError."""


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
    post_json(url.rstrip("/") + "/api/v2/alerts", [postable_alert(alert, at_ms) for alert in alerts], timeout_s)


def configured_channels(wanted: object, environ: Mapping[str, str]) -> list[Channel]:
    """Channels from an argument (addresses, callables, a mixture; None: whatever ALGOWATCH_WEBHOOK_URL names).

    Raises: ValueError for anything else.
    """
    if wanted is None:
        wanted = environ.get("ALGOWATCH_WEBHOOK_URL", "").replace(",", " ").split()
    items = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    channels: list[Channel] = []
    for item in items:
        if callable(item):
            channels.append(item)
        elif isinstance(item, str) and item.startswith(("http://", "https://")):
            channels.append(webhook(item))
        else:
            raise ValueError("alerts go to an http(s) address or a callable, or to a list of them")
    return channels


def webhook(url: str) -> Channel:
    """A channel that gets Alertmanager's webhook JSON, one message per alert."""

    def send(alerts: Sequence[OwedAlert], timeout_s: float) -> None:
        for alert in alerts:
            post_json(url, webhook_payload(alert, now_ms()), timeout_s)

    return send


def webhook_payload(alert: OwedAlert, at_ms: int) -> dict[str, Any]:
    """Source: Prometheus, "Alerting configuration", webhook_config."""
    status = "resolved" if alert.resolved else "firing"
    ends = format_time(at_ms) if alert.resolved else "0001-01-01T00:00:00Z"
    return {
        "version": "4",
        "status": status,
        "receiver": "direct",
        "groupKey": f"{{}}:{json.dumps(alert.labels, sort_keys=True)}",
        "truncatedAlerts": 0,
        "groupLabels": alert.labels,
        "commonLabels": alert.labels,
        "commonAnnotations": alert.annotations,
        "externalURL": "",
        "alerts": [
            {
                "status": status,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": format_time(alert.starts_at_ms),
                "endsAt": ends,
                "generatorURL": "",
            }
        ],
    }


def post_json(url: str, body: object, timeout_s: float) -> None:
    """POST an object. `timeout_s` is for each step on the wire. Raises: DeliveryError unless the answer is 2xx."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    where = f"{parts.scheme}://{parts.hostname}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = make(parts.hostname or "", parts.port, timeout=timeout_s)
        try:
            connection.request("POST", target, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read(4096).decode("utf-8", "replace")
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DeliveryError(f"{where}: {error!r}", retryable=True) from error
    if not 200 <= answer.status < 300:
        retryable = answer.status not in (400, 413, 422)  # anything else may be another server on the engine's old port
        raise DeliveryError(f"{where} answered {answer.status}: {text[:200]}", retryable=retryable, status=answer.status)
