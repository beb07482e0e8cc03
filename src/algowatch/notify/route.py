"""The routing tree: which receivers an alert goes to, and how it is grouped on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from algowatch.model.labels import Labels, Matcher

GROUP_BY_ALL = "..."


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """What a route says, what it inherits included; children start from their parent's.

    group_by:  label names; `GROUP_BY_ALL` alone makes each label set a group of its own.
    prompt:    a quiet group tells of a change at once instead of at its next tick (built-in routing only: Alertmanager
               flushes on a fixed beat of group_interval).
    """

    receiver: str
    group_by: frozenset[str] = frozenset()
    group_wait_ms: int = 30_000
    group_interval_ms: int = 300_000
    repeat_interval_ms: int = 14_400_000
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    prompt: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One node. key: as in Alertmanager's group keys, `{}/{severity="critical"}`."""

    options: RouteOptions
    key: str = "{}"
    matchers: tuple[Matcher, ...] = ()
    continue_matching: bool = False
    routes: tuple[Route, ...] = ()

    def match(self, labels: Labels) -> list[Route]:
        """The deepest routes that take an alert; a route without `continue` ends the search among its siblings.

        Source: Prometheus, "Alerting configuration", route.
        """
        if not all_match(self.matchers, labels):
            return []
        found: list[Route] = []
        for child in self.routes:
            matched = child.match(labels)
            found += matched
            if matched and not child.continue_matching:
                break
        return found or [self]

    def walk(self) -> Iterator[Route]:
        """This route and all below it, parents first."""
        yield self
        for child in self.routes:
            yield from child.walk()

    def group_labels(self, labels: Labels) -> Labels:
        if GROUP_BY_ALL in self.options.group_by:
            return labels
        return labels.only(self.options.group_by)


def all_match(matchers: Sequence[Matcher], labels: Labels) -> bool:
    return all(matcher.matches(labels.get(matcher.name)) for matcher in matchers)


def route_key(parent: str | None, matchers: Sequence[Matcher]) -> str:
    """As Alertmanager spells it; matchers sorted by name, then value.

    >>> route_key("{}", [Matcher("severity", "=", "critical")])
    '{}/{severity="critical"}'
    """
    own = "{" + ",".join(str(matcher) for matcher in matchers) + "}"
    return own if parent is None else f"{parent}/{own}"


def group_key(route: Route, group_labels: Labels) -> str:
    return f"{route.key}:{spell_labels(group_labels)}"


def spell_labels(labels: Labels) -> str:
    """`{a="b", c="d"}`, the way Go's `%q` quotes, since group keys leave the house."""
    return "{" + ", ".join(f"{name}={_go_quote(value)}" for name, value in labels) + "}"


def _go_quote(text: str) -> str:
    return '"' + "".join(_GO_ESCAPES.get(char) or (char if char.isprintable() else _go_escape(char)) for char in text) + '"'


_GO_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _go_escape(char: str) -> str:
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
