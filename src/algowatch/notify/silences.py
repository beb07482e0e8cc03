"""Silences: for a while, alerts that match are not told. The silence, not the alert, holds the decision."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from algowatch.model.labels import Labels, Matcher, MatchOp
from algowatch.model.timestamps import format_time
from algowatch.notify.route import all_match

SilenceState = Literal["pending", "active", "expired"]
_KEEP_EXPIRED_MS = 5 * 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Silence:
    """Active in [starts_at_ms, ends_at_ms)."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at_ms: int
    ends_at_ms: int
    created_by: str
    comment: str
    updated_at_ms: int = 0

    def state(self, now_ms: int) -> SilenceState:
        if now_ms < self.starts_at_ms:
            return "pending"
        return "active" if now_ms < self.ends_at_ms else "expired"

    def as_json(self, now_ms: int) -> dict[str, Any]:
        """As Alertmanager's API v2 has it."""
        return {
            "id": self.id,
            "status": {"state": self.state(now_ms)},
            "matchers": [matcher_to_json(matcher) for matcher in self.matchers],
            "startsAt": format_time(self.starts_at_ms),
            "endsAt": format_time(self.ends_at_ms),
            "createdBy": self.created_by,
            "comment": self.comment,
            "updatedAt": format_time(self.updated_at_ms),
        }


def matcher_to_json(matcher: Matcher) -> dict[str, Any]:
    return {
        "name": matcher.name,
        "value": matcher.value,
        "isRegex": matcher.op in ("=~", "!~"),
        "isEqual": matcher.op in ("=", "=~"),
    }


def matcher_from_json(data: Mapping[str, Any]) -> Matcher:
    """Raises: KeyError where name, value or isRegex is missing; isEqual is true where it is not given."""
    ops: dict[tuple[bool, bool], MatchOp] = {
        (False, True): "=",
        (False, False): "!=",
        (True, True): "=~",
        (True, False): "!~",
    }
    return Matcher(str(data["name"]), ops[bool(data["isRegex"]), bool(data.get("isEqual", True))], str(data["value"]))


class Silences:
    """The silences in memory; `save` is told of each change so that it survives."""

    def __init__(self, silences: Iterable[Silence], save: Callable[[Silence], None], forget: Callable[[str], None]) -> None:
        self._silences = {silence.id: silence for silence in silences}
        self._save = save
        self._forget = forget

    def all(self) -> list[Silence]:
        return list(self._silences.values())

    def get(self, silence_id: str) -> Silence | None:
        return self._silences.get(silence_id)

    def put(self, silence: Silence, now_ms: int) -> Silence:
        """Create or change a silence; an id that is empty gets a new one.

        A change that would rewrite the past (other matchers, another start of one that is active, one that is over) ends the
        old silence and makes a new one, as in Alertmanager.
        Raises: ValueError where it is not a silence that can ever hold, KeyError where the id is unknown.
        """
        check(silence, now_ms)
        old = self._silences[silence.id] if silence.id else None
        if old is not None and not _may_change(old, silence, now_ms):
            if old.state(now_ms) != "expired":
                self.expire(old.id, now_ms)
            old = None
        starts_at_ms = silence.starts_at_ms if old is not None else max(silence.starts_at_ms, now_ms)
        kept_id = old.id if old is not None else str(uuid.uuid4())
        return self._store(replace(silence, id=kept_id, starts_at_ms=starts_at_ms, updated_at_ms=now_ms))

    def expire(self, silence_id: str, now_ms: int) -> Silence:
        """End a silence now; one that has not begun never will.

        Raises: KeyError where the id is unknown, ValueError where it is over already.
        """
        silence = self._silences[silence_id]
        if silence.state(now_ms) == "expired":
            raise ValueError(f"silence {silence_id} already expired")
        begin = min(silence.starts_at_ms, now_ms)
        return self._store(replace(silence, starts_at_ms=begin, ends_at_ms=now_ms, updated_at_ms=now_ms))

    def silencing(self, labels: Labels, now_ms: int) -> list[str]:
        """Ids of the active silences that an alert fulfils, sorted."""
        return sorted(
            silence.id
            for silence in self._silences.values()
            if silence.state(now_ms) == "active" and all_match(silence.matchers, labels)
        )

    def sweep(self, now_ms: int) -> None:
        """Forget silences that have been over for five days."""
        for silence in self.all():
            if silence.ends_at_ms < now_ms - _KEEP_EXPIRED_MS:
                del self._silences[silence.id]
                self._forget(silence.id)

    def _store(self, silence: Silence) -> Silence:
        self._silences[silence.id] = silence
        self._save(silence)
        return silence


def check(silence: Silence, now_ms: int) -> None:
    """Raises: ValueError that says what is wrong, in Alertmanager's words where it has some."""
    if silence.ends_at_ms <= silence.starts_at_ms:
        raise ValueError("Failed to create silence: start time must be before end time")
    if silence.ends_at_ms < now_ms:
        raise ValueError("Failed to create silence: end time can't be in the past")
    if not silence.matchers:
        raise ValueError("silence invalid: at least one matcher required")
    if all(matcher.matches_empty for matcher in silence.matchers):
        raise ValueError("silence invalid: at least one matcher must not match the empty string")


def _may_change(old: Silence, new: Silence, now_ms: int) -> bool:
    if _sorted(old.matchers) != _sorted(new.matchers):
        return False
    state = old.state(now_ms)
    if state == "active":
        return new.starts_at_ms == old.starts_at_ms and new.ends_at_ms >= now_ms
    return state == "pending" and new.starts_at_ms >= now_ms


def _sorted(matchers: Sequence[Matcher]) -> list[tuple[str, str, str]]:
    return sorted((matcher.name, matcher.op, matcher.value) for matcher in matchers)
