"""An alert as it travels from a rule or a bot to the receivers."""

from __future__ import annotations

from dataclasses import dataclass

from algowatch.model.labels import Labels


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: its labels are its identity, everything else may change while it lasts.

    starts_at_ms: when the condition began to hold (for a rule with `for`: when it began to fire).
    ends_at_ms:   when it ended or is to be taken as ended; an end in the future keeps it firing until then.
    active_at_ms: when the rule's expression first gave this alert, before any `for`; 0 where nobody knows.
    """

    labels: Labels
    annotations: Labels
    starts_at_ms: int
    ends_at_ms: int
    generator_url: str = ""
    active_at_ms: int = 0

    @property
    def name(self) -> str:
        return self.labels.get("alertname")

    @property
    def severity(self) -> str:
        return self.labels.get("severity")

    def resolved(self, now_ms: int) -> bool:
        return self.ends_at_ms <= now_ms

    def annotation(self, name: str) -> str:
        return self.annotations.get(name)
