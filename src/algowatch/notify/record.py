"""The delivery record: one element per alert in a notification, newest first, as `/api/notifications` shows it."""

from __future__ import annotations

from typing import Any

from algowatch.model.timestamps import format_time
from algowatch.notify.lanes import Item
from algowatch.notify.notified import fingerprint
from algowatch.senders.message import AlertInMessage

Record = dict[str, Any]


def records_of(item: Item, integration: str, at_ms: int, error: str) -> list[Record]:
    """What is known once a message is delivered or given up (then `error` says why and `deliveredAt` is null)."""
    delivered = not error
    return [
        {
            "id": f"{item.pending.id}-{number}",
            "status": alert.status,
            "labels": alert.labels.as_dict(),
            "annotations": alert.annotations.as_dict(),
            "fingerprint": fingerprint(alert.labels),
            "receiver": item.message.receiver,
            "integration": integration,
            "activeAt": format_time(_active_ms(alert)),
            "startsAt": format_time(alert.alert.starts_at_ms),
            "endsAt": format_time(alert.alert.ends_at_ms) if alert.status == "resolved" else None,
            "deliveredAt": format_time(at_ms) if delivered else None,
            "delaySeconds": round((at_ms - _began_ms(alert)) / 1000, 3) if delivered else None,
            "attempts": item.pending.attempts,
            "tries": [{"at": format_time(moment_ms), "answered": said} for moment_ms, said in item.pending.tries],
            "error": error,
        }
        for number, alert in enumerate(item.message.alerts)
    ]


def _active_ms(alert: AlertInMessage) -> int:
    return alert.alert.active_at_ms or alert.alert.starts_at_ms


def _began_ms(alert: AlertInMessage) -> int:
    """What the delay is counted from: for a resolved alert its end, since that is what is told."""
    return alert.alert.ends_at_ms if alert.status == "resolved" else _active_ms(alert)
