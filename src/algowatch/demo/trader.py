"""A simulated trader: two strategies that trade at the simulated venue, keep books, and stop when they lose too much.

It knows nothing of metrics: what happens is told to a `Journal`, which the demo bot turns into recorder calls.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal, Protocol

from algowatch.demo.venue import Cancellation, Event, Fill, Order, PriceWalk, Rejection, Side, Tick, Venue, activity

START_PRICES = {"SPY": 684.0, "AAPL": 268.0, "MSFT": 501.0, "NVDA": 187.0, "TSLA": 422.0}
STRATEGIES = ("mean_reversion", "momentum")
CAPITAL = 250_000.0
CURRENCY = "USD"
_TARGET_GROSS_RATIO = 1.2
_ORDERS_PER_SECOND = 0.09
DAILY_LOSS_LIMIT_RATIO = -0.02


@dataclass(slots=True)
class Position:
    """One strategy's holding of one symbol, at its average price."""

    quantity: int = 0
    average_price: float = 0.0

    def apply(self, sign: int, quantity: int, price: float) -> float:
        """Book a fill; returns the profit that it realises."""
        change = sign * quantity
        if self.quantity * change >= 0:
            total = self.quantity + change
            self.average_price = (self.average_price * self.quantity + price * change) / total if total else 0.0
            self.quantity = total
            return 0.0
        closed = min(abs(change), abs(self.quantity))
        realized = closed * (price - self.average_price) * (1 if self.quantity > 0 else -1)
        self.quantity += change
        if self.quantity * change > 0:
            self.average_price = price
        elif self.quantity == 0:
            self.average_price = 0.0
        return realized

    def unrealized(self, price: float) -> float:
        return self.quantity * (price - self.average_price)


@dataclass(slots=True)
class Book:
    """What one strategy holds and has earned; the day's figures start anew at midnight UTC, when this market's day begins."""

    positions: dict[str, Position]
    realized: float = 0.0
    commission: float = 0.0
    day_start_value: float = 0.0
    peak_value: float = 0.0
    working: int = 0

    def value(self, prices: dict[str, PriceWalk]) -> float:
        """Profit since the beginning, realised and not, after commissions."""
        return self.realized - self.commission + self.unrealized(prices)

    def unrealized(self, prices: dict[str, PriceWalk]) -> float:
        return sum(position.unrealized(prices[symbol].price) for symbol, position in self.positions.items())

    def gross(self, prices: dict[str, PriceWalk]) -> float:
        return sum(abs(held.quantity) * prices[symbol].price for symbol, held in self.positions.items())

    def net(self, prices: dict[str, PriceWalk]) -> float:
        return sum(held.quantity * prices[symbol].price for symbol, held in self.positions.items())


class Journal(Protocol):
    """Is told what happens, as it happens."""

    def submitted(self, order: Order, decision_s: float) -> None: ...
    def filled(self, fill: Fill) -> None: ...
    def rejected(self, order: Order, reason: str) -> None: ...
    def cancelled(self, order: Order, reason: str) -> None: ...
    def ticked(self, tick: Tick) -> None: ...
    def link(self, connected: bool) -> None: ...
    def kill_switch(self, active: bool, reason: str) -> None: ...
    def broker_error(self, code: str) -> None: ...


@dataclass
class Trader:
    """Trades, step by step; `step` is all that a caller needs."""

    journal: Journal
    rng: random.Random
    venue: Venue = field(init=False)
    books: dict[str, Book] = field(init=False)
    halted: bool = False
    now: float = 0.0
    _day: int = -1
    _order_id: int = 0

    def __post_init__(self) -> None:
        self.venue = Venue({symbol: PriceWalk(price, self.rng) for symbol, price in START_PRICES.items()}, self.rng)
        self.books = {name: Book({symbol: Position() for symbol in START_PRICES}) for name in STRATEGIES}

    def step(self, now: float) -> None:
        """Let everything happen until `now` (seconds since the epoch, never going back)."""
        elapsed_s = max(0.0, now - self.now) if self.now else 1.0
        self.now = now
        self._roll_day()
        for event in self.venue.advance(now, elapsed_s):
            self._handle(event)
        if not self.halted:
            self._trade(elapsed_s)
            self._check_limits()

    def daily_pnl(self, strategy: str) -> float:
        book = self.books[strategy]
        return book.value(self.venue.prices) - book.day_start_value

    def drawdown_ratio(self, strategy: str) -> float:
        """How far the strategy is below its best, as a share of the capital that it has; 0 at the best."""
        book = self.books[strategy]
        value = book.value(self.venue.prices)
        book.peak_value = max(book.peak_value, value)
        return (book.peak_value - value) / (CAPITAL / len(STRATEGIES))

    def drop_link(self) -> None:
        self.venue.connected = False
        self.journal.link(False)
        self.journal.broker_error("1100")

    def restore_link(self, feed_returns: bool) -> None:
        """The link is back; without the feed until somebody subscribes again, as TWS's code 1101 says."""
        self.venue.connected = True
        self.venue.feed_frozen = not feed_returns
        self.journal.link(True)

    def resubscribe(self) -> None:
        self.venue.feed_frozen = False

    def shock_against_positions(self, loss_ratio: float) -> None:
        """A gap in the market that costs a given share of the capital."""
        held = {symbol: sum(book.positions[symbol].quantity for book in self.books.values()) for symbol in START_PRICES}
        gross = sum(abs(quantity) * self.venue.prices[symbol].price for symbol, quantity in held.items())
        if gross <= 0:
            return
        for symbol, quantity in held.items():
            if quantity:
                self.venue.prices[symbol].shock(-loss_ratio * CAPITAL / gross * (1 if quantity > 0 else -1))

    def release_kill_switch(self) -> None:
        """Trading may go on; the day's loss so far counts no longer."""
        self.halted = False
        for book in self.books.values():
            book.day_start_value = book.value(self.venue.prices)
            book.peak_value = max(0.0, book.day_start_value)
        self.journal.kill_switch(False, "")

    def _roll_day(self) -> None:
        day = int(self.now // 86_400)
        if day != self._day:
            self._day = day
            for book in self.books.values():
                book.day_start_value = book.value(self.venue.prices)

    def _check_limits(self) -> None:
        loss_ratio = sum(self.daily_pnl(name) for name in STRATEGIES) / CAPITAL
        if loss_ratio < DAILY_LOSS_LIMIT_RATIO:
            self.halted = True
            self.journal.kill_switch(True, f"daily P&L is {loss_ratio:.1%} of capital")
            self.venue.cancel_all(self.now, "kill_switch")
            self._flatten()

    def _flatten(self) -> None:
        for strategy, book in self.books.items():
            for symbol, position in book.positions.items():
                if position.quantity:
                    side: Side = "SELL" if position.quantity > 0 else "BUY"
                    self._send(strategy, symbol, side, abs(position.quantity), "MKT")

    def _trade(self, elapsed_s: float) -> None:
        for strategy in STRATEGIES:
            expected = _ORDERS_PER_SECOND * elapsed_s * activity(self.now)
            for _ in range(_poisson(expected, self.rng)):
                self._decide(strategy)

    def _decide(self, strategy: str) -> None:
        """Mean reversion buys what is below its anchor, momentum what is in a rising trend; both see it only dimly."""
        symbol = self.rng.choice(tuple(START_PRICES))
        walk = self.venue.prices[symbol]
        price = walk.price
        signal = walk.mispricing / 0.006 if strategy == "mean_reversion" else walk.trend_per_day / 0.006
        position = self.books[strategy].positions[symbol]
        target = CAPITAL * _TARGET_GROSS_RATIO / len(STRATEGIES) / len(START_PRICES) / price
        lean = position.quantity / target if target else 0.0
        buy = self.rng.gauss(0.0, 1.0) < 0.22 * signal - 0.9 * lean
        quantity = max(1, round(target * self.rng.uniform(0.15, 0.6)))
        self._send(strategy, symbol, "BUY" if buy else "SELL", quantity, "LMT" if self.rng.random() < 0.75 else "MKT")

    def _send(self, strategy: str, symbol: str, side: Side, quantity: int, kind: Literal["LMT", "MKT"]) -> None:
        self._order_id += 1
        price = self.venue.prices[symbol].price
        order = Order(self._order_id, strategy, symbol, side, quantity, kind, self.now, price)
        self.journal.submitted(order, 0.0006 + self.rng.expovariate(1 / 0.0012))
        if self.venue.submit(order):
            self.books[strategy].working += 1
        else:
            self.journal.rejected(order, "not_connected")

    def _handle(self, event: Event) -> None:
        match event:
            case Tick():
                self.journal.ticked(event)
            case Fill():
                self._book(event)
            case Rejection():
                self.books[event.order.strategy].working -= 1
                self.journal.rejected(event.order, event.reason)
                self.journal.broker_error("201")
            case Cancellation():
                self.books[event.order.strategy].working -= 1
                self.journal.cancelled(event.order, event.reason)

    def _book(self, fill: Fill) -> None:
        order, book = fill.order, self.books[fill.order.strategy]
        order.filled += fill.quantity
        book.realized += book.positions[order.symbol].apply(order.sign, fill.quantity, fill.price)
        book.commission += fill.commission
        if fill.complete:
            book.working -= 1
        self.journal.filled(fill)


def _poisson(expected: float, rng: random.Random) -> int:
    """How many events fall into a step when `expected` fall into it on average (Knuth's method; small means only)."""
    if expected <= 0:
        return 0
    count, product, floor = 0, rng.random(), 2.718281828459045 ** -min(expected, 30.0)
    while product > floor:
        count += 1
        product *= rng.random()
    return count
