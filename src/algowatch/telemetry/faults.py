"""What goes wrong while recording: counted by reason, logged once per reason and family, raised only in strict mode."""

from __future__ import annotations

import logging
from threading import Lock
from typing import Literal

from algowatch.errors import UsageError

logger = logging.getLogger("algowatch")

Reason = Literal[
    "bad_value",
    "unknown_label",
    "bad_label",
    "too_many_series",
    "bad_family",
    "foreign_registry",
    "collector",
    "start",
    "alert",
]

_MOST_LOGGED = 200


def shown(value: object) -> str:
    """At most 80 characters of a value for a message, whatever the value's own repr does."""
    try:
        return repr(value)[:80]
    except Exception:
        return f"a {type(value).__name__}"


class Misuse(Exception):  # noqa: N818 (never leaves the room as it is)
    """One recording that cannot be taken as it was given."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class Faults:
    """Counts by reason; `strict` turns every fault into a UsageError."""

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.counts: dict[str, int] = {}
        self._logged: set[tuple[str, str]] = set()
        self._lock = Lock()

    def note(self, reason: Reason, where: str, text: str) -> None:
        """Count a fault and log the first of its kind at its place. Raises: UsageError in strict mode, nothing otherwise."""
        with self._lock:
            self.counts[reason] = self.counts.get(reason, 0) + 1
            key = (reason, where)
            first = key not in self._logged and len(self._logged) < _MOST_LOGGED
            if first:
                self._logged.add(key)
        if self.strict:
            raise UsageError(f"{where}: {text}")
        if first:
            logger.warning("%s: %s (%s; further ones are only counted)", where, text, reason)

    def reset(self) -> None:
        """For a forked child: nothing counted, and no lock held by a thread that did not come along."""
        self._lock = Lock()
        self.counts.clear()
