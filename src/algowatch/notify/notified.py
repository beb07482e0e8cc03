"""What each receiver was told last, and whether there is something new to tell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from algowatch.model.labels import Labels


@dataclass(frozen=True, slots=True)
class Told:
    """What one channel knows of one group: fingerprints of firing and resolved alerts, and when it was told.

    again_after_ms: not 0 after the channel refused the message for good: from then on the group is told anew.
    """

    firing: frozenset[str]
    resolved: frozenset[str]
    at_ms: int
    again_after_ms: int = 0


def worth_telling(told: Told | None, now: Told, repeat_interval_ms: int, *, send_resolved: bool) -> bool:
    """Whether a channel is to hear of a group's present state.

    Source: Alertmanager, `notify.DedupStage`.
    """
    if told is None:
        return bool(now.firing)
    if not now.firing <= told.firing:
        return True
    if not now.firing:
        return bool(told.firing)
    if send_resolved and not now.resolved <= told.resolved:
        return True
    if told.again_after_ms:
        return now.at_ms >= told.again_after_ms
    return told.at_ms < now.at_ms - repeat_interval_ms


@lru_cache(maxsize=20_000)
def fingerprint(labels: Labels) -> str:
    """Sixteen hexadecimal digits, as the API and the webhook show them."""
    return f"{labels.fingerprint():016x}"
