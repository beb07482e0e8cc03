"""Inhibition: while one alert fires, others that it explains stay quiet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels, Matcher
from algowatch.notify.route import all_match


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """An alert that fulfils target_matchers is quiet while one that fulfils source_matchers fires and has the same values
    of the labels in `equal`; a label missing on both sides counts as the same.
    """

    source_matchers: tuple[Matcher, ...]
    target_matchers: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()

    def equal_values(self, labels: Labels) -> tuple[str, ...]:
        return tuple(labels.get(name) for name in self.equal)


class Inhibitor:
    """Knows the alerts that can inhibit, by rule and by the values that have to be equal."""

    def __init__(self, rules: Sequence[InhibitRule]) -> None:
        self._rules = tuple(rules)
        self._sources: list[dict[tuple[str, ...], dict[Labels, Alert]]] = [{} for _ in rules]

    def observe(self, alert: Alert) -> None:
        for rule, sources in zip(self._rules, self._sources, strict=True):
            if all_match(rule.source_matchers, alert.labels):
                sources.setdefault(rule.equal_values(alert.labels), {})[alert.labels] = alert

    def forget(self, labels: Labels) -> None:
        for rule, sources in zip(self._rules, self._sources, strict=True):
            values = rule.equal_values(labels)
            if (found := sources.get(values)) and found.pop(labels, None) and not found:
                del sources[values]

    def inhibitors(self, labels: Labels, now_ms: int) -> list[Labels]:
        """The alert that keeps this one quiet, for the first rule that says so; empty where none does.

        An alert that fulfils both sides of a rule is not inhibited by another that does, itself included.
        Source: Prometheus, "Alerting configuration", inhibit_rule.
        """
        for rule, sources in zip(self._rules, self._sources, strict=True):
            candidates = sources.get(rule.equal_values(labels))
            if not candidates or not all_match(rule.target_matchers, labels):
                continue
            both_sides = all_match(rule.source_matchers, labels)
            for source in candidates.values():
                if source.resolved(now_ms) or (both_sides and all_match(rule.target_matchers, source.labels)):
                    continue
                return [source.labels]
        return []
