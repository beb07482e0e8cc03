"""A simulated venue: prices with an intraday rhythm, orders that fill in parts or are refused, a link that can drop.

Nothing here is measured or sent anywhere; it only makes events. Time is an argument, so a week passes in seconds and a test
can hold it. Times are seconds since the epoch.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["BUY", "SELL"]

_SECONDS_PER_DAY = 86_400.0
# Volatility of a price over one day, and how it is spread over the day: calm nights, a lively open and close.
_DAILY_VOLATILITY = 0.011
_NIGHT_FACTOR = 0.6
_OPEN_HOUR, _CLOSE_HOUR = 13.5, 20.0
_REVERSION_PER_DAY = 2.0
_TREND_SIZE, _TREND_DAYS = 0.006, 0.4


@dataclass(slots=True)
class Order:
    """One order on its way through the venue."""

    order_id: int
    strategy: str
    symbol: str
    side: Side
    quantity: int
    order_type: Literal["LMT", "MKT"]
    sent_at: float
    arrival_price: float
    filled: int = 0

    @property
    def sign(self) -> int:
        return 1 if self.side == "BUY" else -1


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution, whole or in part; `complete` says that nothing is left of the order."""

    order: Order
    quantity: int
    price: float
    commission: float
    at: float
    complete: bool


@dataclass(frozen=True, slots=True)
class Rejection:
    order: Order
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Cancellation:
    order: Order
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Tick:
    symbol: str
    price: float
    latency_s: float
    at: float


Event = Fill | Rejection | Cancellation | Tick


def activity(at: float) -> float:
    """How lively trading is at a time of day: 1 on average over the session, higher at its ends, low at night."""
    hour = (at % _SECONDS_PER_DAY) / 3600
    if not _OPEN_HOUR <= hour <= _CLOSE_HOUR:
        return _NIGHT_FACTOR
    through = (hour - _OPEN_HOUR) / (_CLOSE_HOUR - _OPEN_HOUR)
    return 0.7 + 1.1 * (2 * through - 1) ** 2


class PriceWalk:
    """A price that wanders around an anchor which itself follows a trend; trends last some hours."""

    def __init__(self, start: float, rng: random.Random) -> None:
        self.price = start
        self.trend_per_day = 0.0
        self._anchor = start
        self._rng = rng

    @property
    def mispricing(self) -> float:
        """Log distance of the anchor above the price."""
        return math.log(self._anchor / self.price)

    def advance(self, elapsed_s: float, at: float) -> None:
        days = elapsed_s / _SECONDS_PER_DAY
        noise = self._rng.gauss(0.0, 1.0) * _DAILY_VOLATILITY * math.sqrt(days) * activity(at)
        pull = self.mispricing * min(1.0, _REVERSION_PER_DAY * days)
        self.trend_per_day *= math.exp(-days / _TREND_DAYS)
        self.trend_per_day += self._rng.gauss(0.0, 1.0) * _TREND_SIZE * math.sqrt(2 * days / _TREND_DAYS)
        self.price *= math.exp(noise + pull + self.trend_per_day * days)
        self._anchor *= math.exp(self.trend_per_day * days)

    def shock(self, ratio: float) -> None:
        """Move the price and its anchor at once, as news does."""
        self.price *= 1 + ratio
        self._anchor *= 1 + ratio


_COMMISSION_PER_SHARE = 0.0035
_REJECT_SHARE = 0.02
_CANCEL_SHARE = 0.06
_REJECT_REASONS = ("price_band", "insufficient_margin", "duplicate_id", "outside_hours")
_LIMIT_OFFSET_RATIO = 0.00012


@dataclass
class Venue:
    """Takes orders and gives back events in the order of their time."""

    prices: dict[str, PriceWalk]
    rng: random.Random
    connected: bool = True
    feed_frozen: bool = False
    _due: list[tuple[float, int, Event]] = field(default_factory=list)
    _sequence: Iterator[int] = field(default_factory=itertools.count)

    def submit(self, order: Order) -> bool:
        """Accept an order, or refuse it at once because the link is down."""
        if not self.connected:
            return False
        answered_at = order.sent_at + 0.004 + self.rng.expovariate(1 / 0.018)
        chance = self.rng.random()
        if chance < _REJECT_SHARE:
            self._schedule(Rejection(order, self.rng.choice(_REJECT_REASONS), answered_at))
        elif chance < _REJECT_SHARE + _CANCEL_SHARE and order.order_type == "LMT":
            self._schedule(Cancellation(order, "not_filled_in_time", answered_at + self.rng.uniform(5, 30)))
        else:
            self._schedule_fills(order, answered_at)
        return True

    def _schedule_fills(self, order: Order, first_at: float) -> None:
        parts = 1 if order.order_type == "MKT" else self.rng.choice((1, 1, 2, 3))
        patience_s = 0.05 if order.order_type == "MKT" else 1.8
        left, at = order.quantity, first_at
        for part in range(parts, 0, -1):
            quantity = left if part == 1 else max(1, round(left * self.rng.uniform(0.25, 0.7)))
            quantity = min(quantity, left)
            at += self.rng.expovariate(1 / patience_s)
            left -= quantity
            commission = quantity * _COMMISSION_PER_SHARE
            self._schedule(Fill(order, quantity, self._execution_price(order), commission, at, left == 0))
            if left == 0:
                return

    def _execution_price(self, order: Order) -> float:
        """Limit orders save a little of the spread, market orders pay it, both with some luck."""
        paid = _LIMIT_OFFSET_RATIO * (1.4 if order.order_type == "MKT" else -0.6) + self.rng.gauss(0, 0.00010)
        return round(order.arrival_price * (1 + order.sign * paid), 4)

    def _schedule(self, event: Event) -> None:
        heapq.heappush(self._due, (event.at, next(self._sequence), event))

    def advance(self, now: float, elapsed_s: float) -> list[Event]:
        """Let time pass; returns what happened. While the link is down nothing reaches the client."""
        for walk in self.prices.values():
            walk.advance(elapsed_s, now)
        if not self.connected:
            return []
        events: list[Event] = list(self._ticks(now, elapsed_s))
        while self._due and self._due[0][0] <= now:
            events.append(heapq.heappop(self._due)[2])
        return events

    def cancel_all(self, now: float, reason: str) -> None:
        """Cancel every order that still works; what an order has filled so far stays filled."""
        working = {event.order.order_id: event.order for _, _, event in self._due if not isinstance(event, (Tick, Rejection))}
        self._due = [entry for entry in self._due if isinstance(entry[2], Rejection)]
        heapq.heapify(self._due)
        for order in working.values():
            self._schedule(Cancellation(order, reason, now))

    def _ticks(self, now: float, elapsed_s: float) -> Iterator[Tick]:
        if self.feed_frozen:
            return
        for symbol, walk in self.prices.items():
            if self.rng.random() < min(1.0, 3.0 * elapsed_s * activity(now) + 0.02):
                yield Tick(symbol, walk.price, 0.0008 + self.rng.expovariate(1 / 0.0015), now)
