"""One JSON object per alert and line, appended to a file that other programs may read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from algowatch.errors import DeliveryError
from algowatch.model.timestamps import format_time
from algowatch.senders.message import Message


@dataclass(frozen=True, slots=True)
class Settings:
    path: Path


def payload(message: Message) -> Sequence[str]:
    """One line of JSON per alert: status, labels, annotations, startsAt, endsAt (null while it fires), groupKey."""
    return [
        json.dumps(
            {
                "status": item.status,
                "labels": item.labels.as_dict(),
                "annotations": item.annotations.as_dict(),
                "startsAt": format_time(item.alert.starts_at_ms),
                "endsAt": format_time(item.alert.ends_at_ms) if item.status == "resolved" else None,
                "receiver": message.receiver,
                "groupKey": message.group_key,
            }
        )
        for item in message.alerts
    ]


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Append in one write and wait until the lines are on disk. Raises: DeliveryError."""
    text = "".join(line + "\n" for line in payload(message)).encode()
    try:
        descriptor = os.open(settings.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, text)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DeliveryError(f"{settings.path}: {error.strerror or type(error).__name__}", retryable=True) from None
    return "written"
