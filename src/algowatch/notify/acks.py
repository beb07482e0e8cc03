"""Acknowledgements: somebody has seen an alert and takes care of it, so nobody else has to be called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from algowatch.model.timestamps import format_time


@dataclass(frozen=True, slots=True)
class Ack:
    """Holds for the alert that began at starts_at_ms; when it ends and begins anew it must be acknowledged anew."""

    fingerprint: str
    starts_at_ms: int
    by: str
    comment: str
    at_ms: int

    def as_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "startsAt": format_time(self.starts_at_ms),
            "by": self.by,
            "comment": self.comment,
            "at": format_time(self.at_ms),
        }


class Acks:
    """The acknowledgements in memory, one for each alert; `forget` is told of those that are over."""

    def __init__(self, acks: Iterable[Ack], forget: Callable[[str], None]) -> None:
        self._acks = {ack.fingerprint: ack for ack in acks}
        self._forget = forget

    def all(self) -> list[Ack]:
        return sorted(self._acks.values(), key=lambda ack: ack.at_ms, reverse=True)

    def put(self, ack: Ack) -> None:
        self._acks[ack.fingerprint] = ack

    def holds(self, fingerprint: str, starts_at_ms: int) -> bool:
        ack = self._acks.get(fingerprint)
        return ack is not None and ack.starts_at_ms >= starts_at_ms

    def keep_only(self, fingerprints: set[str]) -> None:
        """Forget those whose alerts are gone."""
        for fingerprint in self._acks.keys() - fingerprints:
            del self._acks[fingerprint]
            self._forget(fingerprint)
