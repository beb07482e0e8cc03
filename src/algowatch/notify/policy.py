"""What algowatch does beyond Alertmanager: a second channel, a cap on floods, escalation until somebody acknowledges."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from algowatch.model.labels import Matcher

PEOPLE = (
    "apprise", "discord", "email", "msteams", "ntfy", "pushover", "slack", "sns", "telegram", "twilio", "twilio_call",
)  # fmt: skip
"""Services whose messages people read one by one; the others (webhook, pagerduty …) tell repeats from news by themselves."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """A message that its channel refused, or could not take for `after_ms`, also goes to these receivers' channels.

    receivers: `name` or `name/integration`. lowest_severity: messages below it are not worth a second channel.
    """

    receivers: tuple[str, ...]
    after_ms: int = 30_000
    lowest_severity: str = "warning"


@dataclass(frozen=True, slots=True)
class Flood:
    """At most `messages` (2 or more) in any span of `per_ms` through one channel; what is too much comes together in one."""

    messages: int = 60
    per_ms: int = 60_000
    integrations: tuple[str, ...] = PEOPLE


@dataclass(frozen=True, slots=True)
class Step:
    """after_ms: counted from the alert's start."""

    after_ms: int
    receiver: str


@dataclass(frozen=True, slots=True)
class Escalation:
    """While an alert that fulfils all matchers fires and nobody has acknowledged it, the steps are taken one by one."""

    matchers: tuple[Matcher, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """ack_url: where the pages for acknowledging are, without the alert's fingerprint; empty where no link can be given."""

    fallback: Fallback | None = None
    flood: Flood | None = None
    escalations: tuple[Escalation, ...] = ()
    ack_url: str = ""


class Budget:
    """How many messages a channel may still send: a token bucket that never lets more than the cap through in its span.

    Half of the cap may come at once, the other half comes back evenly over the span. The last third of the bucket is kept for
    critical messages. Channels that are one to people share one budget, so it may be used from several threads.
    """

    def __init__(self, flood: Flood, now_ms: int) -> None:
        self._burst = max(1, flood.messages // 2)
        self._per_token_ms = flood.per_ms / max(1, flood.messages - self._burst)
        self._reserve = self._burst // 3
        self._tokens = float(self._burst)
        self._at_ms = now_ms
        self._lock = threading.Lock()

    def take(self, now_ms: int, *, critical: bool) -> bool:
        with self._lock:
            if self._left(now_ms, critical=critical) < 1:
                return False
            self._tokens -= 1
            return True

    def available(self, now_ms: int, *, critical: bool) -> float:
        with self._lock:
            return self._left(now_ms, critical=critical)

    def _left(self, now_ms: int, *, critical: bool) -> float:
        self._tokens = min(self._burst, self._tokens + max(0, now_ms - self._at_ms) / self._per_token_ms)
        self._at_ms = max(now_ms, self._at_ms)
        return self._tokens - (0 if critical else self._reserve)

    def wait_ms(self, now_ms: int, *, critical: bool) -> int:
        """How long until `take` would say yes."""
        return int(max(0.0, 1 - self.available(now_ms, critical=critical)) * self._per_token_ms) + 1
