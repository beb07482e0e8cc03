"""A clock that stands still until the test moves it."""

from __future__ import annotations


class FakeClock:
    """Fulfils `model.clock.Clock`; wall clock and monotonic clock move together unless `jump` is called."""

    def __init__(self, now_ms: int = 1_700_000_000_000, monotonic: float = 1000.0) -> None:
        self._now_ms = now_ms
        self._monotonic_ms = round(monotonic * 1000)

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic_ms / 1000

    def advance(self, seconds: float = 0.0, *, ms: int = 0) -> int:
        """Let time pass, to the millisecond; returns the new wall-clock time.

        Raises: ValueError for a negative span, since the monotonic clock would run backwards; `jump` sets the wall clock back.
        """
        span_ms = round(seconds * 1000) + ms
        if span_ms < 0:
            raise ValueError(f"time does not run backwards: {span_ms} ms; use jump() to set the wall clock back")
        self._now_ms += span_ms
        self._monotonic_ms += span_ms
        return self._now_ms

    def jump(self, ms: int) -> int:
        """Set the wall clock forwards or backwards, as NTP or a person would; the monotonic clock stays."""
        self._now_ms += ms
        return self._now_ms
