"""When a group is due. Pure arithmetic on milliseconds, so that a test needs no sleeping."""

from __future__ import annotations

from dataclasses import dataclass

from algowatch.rules.options import RuleOptions

_FNV32_OFFSET = 0x811C9DC5
_FNV32_PRIME = 0x01000193


def slot_offset_ms(name: str, interval_ms: int) -> int:
    """Where in its interval a group runs: spread by its name, the same after each restart."""
    value = _FNV32_OFFSET
    for byte in name.encode():
        value = ((value ^ byte) * _FNV32_PRIME) & 0xFFFFFFFF
    return value % interval_ms


@dataclass(slots=True)
class IntervalSchedule:
    """Runs at offset + n * interval, never drifting; `next_ms` is the next such moment.

    A run that took longer than the interval leaves out the moments that passed meanwhile.
    """

    interval_ms: int
    offset_ms: int
    next_ms: int = 0

    def start(self, now_ms: int) -> None:
        """Set the next moment: the first one that is not over."""
        self.next_ms = now_ms + (self.offset_ms - now_ms) % self.interval_ms

    def take(self, now_ms: int) -> tuple[int, int] | None:
        """The moment to evaluate as of, and how many were left out before it; None if none is due.

        A wall clock set back by more than an interval starts the schedule anew.
        """
        if self.next_ms - now_ms > self.interval_ms:
            self.start(now_ms)
        if now_ms < self.next_ms:
            return None
        missed = (now_ms - self.next_ms) // self.interval_ms
        at_ms = self.next_ms + missed * self.interval_ms
        self.next_ms = at_ms + self.interval_ms
        return at_ms, missed


@dataclass(slots=True)
class LandingSchedule:
    """Runs when samples have landed: at once, but not sooner than the gap after the run before, and at least each idle gap.

    The gap grows with the cost of a run, so that rules never take more than a fifth of the time.
    """

    options: RuleOptions
    landed: bool = False
    last_ms: int | None = None
    cost_ms: int = 0

    def next_ms(self, now_ms: int) -> int:
        """The moment of the next run as far as is known now; it is over if a run is due."""
        if self.last_ms is None or now_ms < self.last_ms:
            return now_ms
        gap_ms = max(self.options.landing_gap_ms, 4 * self.cost_ms)
        return self.last_ms + (gap_ms if self.landed else max(gap_ms, self.options.idle_gap_ms))

    def take(self, now_ms: int) -> bool:
        """Whether to run now; a yes counts as the run."""
        if now_ms < self.next_ms(now_ms):
            return False
        self.landed, self.last_ms = False, now_ms
        return True
