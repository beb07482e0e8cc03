"""What goes wrong in the demo, and when: one full incident soon after the start, small ones now and then."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from algowatch.demo.trader import CAPITAL, DAILY_LOSS_LIMIT_RATIO, STRATEGIES, Trader


class Say(Protocol):
    """Tells the person in front of the demo what the simulation is doing.

    breach: the alert that must follow, where one must; its delay is counted from here.
    """

    def __call__(self, text: str, breach: str = "") -> None: ...


@dataclass
class Story:
    """The script. `advance` is called as time passes and does what has fallen due.

    The first incident: the link drops; it returns without the feed, so prices stand still; when they come back they have moved
    against the positions, the daily loss limit is broken and the kill switch trips; somebody looks and releases it.
    """

    trader: Trader
    rng: random.Random
    say: Say
    started_at: float
    _due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._due = [
            (self.started_at + after_s, act)
            for after_s, act in (
                (12.0, self._drop_link),
                (20.0, self._link_without_feed),
                (36.0, self._feed_returns_lower),
                (62.0, self._release),
                (240.0, self._blip),
            )
        ]

    def advance(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            self._due.pop(0)[1]()

    def _later(self, after_s: float, act: Callable[[], None]) -> None:
        self._due.append((self.trader.now + after_s, act))
        self._due.sort(key=lambda entry: entry[0])

    def _drop_link(self) -> None:
        self.say("the broker link drops", "BrokerLinkDown")
        self.trader.drop_link()

    def _link_without_feed(self) -> None:
        self.say("the link is back, but without market data: prices stand still")
        self.trader.restore_link(feed_returns=False)

    def _feed_returns_lower(self) -> None:
        """Prices return with a gap that takes today's P&L past the limit, wherever it stands."""
        self.say("market data is back; the market has moved against the positions")
        today = sum(self.trader.daily_pnl(name) for name in STRATEGIES) / CAPITAL
        self.trader.shock_against_positions(today - DAILY_LOSS_LIMIT_RATIO + 0.004)
        self.trader.resubscribe()

    def _release(self) -> None:
        self.say("somebody looked, and releases the kill switch: trading goes on")
        self.trader.release_kill_switch()

    def _blip(self) -> None:
        """A short break of the link, and the next one some minutes later."""
        self.say("the broker link drops for a moment", "BrokerLinkDown")
        self.trader.drop_link()
        self._later(self.rng.uniform(3, 9), lambda: self.trader.restore_link(feed_returns=True))
        self._later(self.rng.uniform(240, 600), self._blip)
