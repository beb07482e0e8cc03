"""Alerts on their way, in a small append-only file, so that a bot's death does not take them along.

One line when an alert is taken, one when it is through. What has no second line is still owed: the bot's next life
sends it, and whoever else reads the directory can see it. When nothing is owed the file goes.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

_REWRITE_FROM_BYTES = 1_000_000


@dataclass(slots=True)
class OwedAlert:
    """An alert that has to reach somebody; `labels` are its identity. A resolved one says that it is over."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at_ms: int
    resolved: bool = False
    lasts_ms: int = 300_000
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(self.labels.items()))


def spool_directory(state: Path) -> Path:
    return state / "spool"


def owed_alerts(path: Path) -> dict[str, OwedAlert]:
    """What a spool still owes, by its number there, oldest first; torn or foreign lines are passed over."""
    owed: dict[str, OwedAlert] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return owed
    for line in lines:
        try:
            entry = json.loads(line)
            if "done" in entry:
                owed.pop(entry["done"], None)
            else:
                owed[entry["id"]] = OwedAlert(**entry["alert"])
        except (ValueError, TypeError, KeyError):
            continue
    return owed


class Spool:
    """Written by one bot, from any of its threads. Every method that writes may raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = 0
        self._owed: dict[str, OwedAlert] = {}
        self._lock = Lock()

    def recover(self) -> dict[str, OwedAlert]:
        """What the life before left, kept under its numbers."""
        with self._lock:
            left = {number: alert for number, alert in owed_alerts(self.path).items() if number not in self._owed}
            self._owed = {**left, **self._owed}
            return left

    def take(self, alert: OwedAlert) -> str:
        """Write an alert down. Returns: its number."""
        with self._lock:
            self._number += 1
            number = f"{os.getpid()}-{alert.starts_at_ms}-{self._number}"
            self._owed[number] = alert
            self._append({"id": number, "alert": asdict(alert)})
            return number

    def done(self, numbers: list[str]) -> None:
        """These are through, or given up."""
        with self._lock:
            for number in numbers:
                self._owed.pop(number, None)
            if not self._owed:
                self.path.unlink(missing_ok=True)
                return
            for number in numbers:
                self._append({"done": number})
            if self.path.stat().st_size > _REWRITE_FROM_BYTES:
                self._rewrite()

    def _append(self, entry: dict[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, json.dumps(entry).encode() + b"\n")
        finally:
            os.close(handle)

    def _rewrite(self) -> None:
        temporary = self.path.with_suffix(".tmp")
        lines = [json.dumps({"id": number, "alert": asdict(alert)}) + "\n" for number, alert in self._owed.items()]
        temporary.write_text("".join(lines), encoding="utf-8")
        temporary.chmod(0o600)
        os.replace(temporary, self.path)
