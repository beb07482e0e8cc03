"""One message through every channel, to see what each service answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from algowatch.errors import DeliveryError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.senders.channels import Channel
from algowatch.senders.message import AlertInMessage, Message


@dataclass(frozen=True, slots=True)
class Trial:
    """What one channel did with the message. receivers: every receiver that has this channel."""

    receivers: tuple[str, ...]
    integration: str
    taken: bool
    answered: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def trial_alert(now_ms: int) -> Alert:
    labels = Labels.of(alertname="AlgowatchTest", severity="info", instance="algowatch")
    words = Labels.of(summary="This is a test: alerts arrive here", description="Sent by algowatch alerts test")
    return Alert(labels, words, now_ms, now_ms + 300_000)


def try_channels(receivers: Mapping[str, Sequence[Channel]], now_ms: int, timeout_s: float) -> list[Trial]:
    """Send one through every channel, all at the same time; a channel that several receivers share is tried once."""
    shared: dict[int, tuple[list[str], Channel]] = {}
    for name, channels in receivers.items():
        for channel in channels:
            shared.setdefault(id(channel), ([], channel))[0].append(name)
    if not shared:
        return []
    with ThreadPoolExecutor(max_workers=min(16, len(shared))) as pool:
        return list(pool.map(lambda entry: _try(tuple(entry[0]), entry[1], now_ms, timeout_s), shared.values()))


def _try(receivers: tuple[str, ...], channel: Channel, now_ms: int, timeout_s: float) -> Trial:
    alert = trial_alert(now_ms)
    message = Message.of(receivers[0], f"test:{now_ms}", alert.labels, [AlertInMessage(alert, "firing")])
    began = time.monotonic()
    taken, answered = True, ""
    try:
        answered = channel.deliver(message, timeout_s)
    except DeliveryError as error:
        taken, answered = False, str(error)
    except Exception as error:  # noqa: BLE001 - a sender's fault is a result; its text may hold a secret
        taken, answered = False, f"{type(error).__name__} in the sender"
    return Trial(receivers, channel.integration, taken, answered, round(time.monotonic() - began, 3))
