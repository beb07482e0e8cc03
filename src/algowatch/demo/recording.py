"""From what happens in the simulation to recorder calls: the lines that a real bot would have in its own handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algowatch.demo.story import Say
from algowatch.demo.trader import CAPITAL, CURRENCY, STRATEGIES, Trader
from algowatch.demo.venue import Fill, Order, Tick

if TYPE_CHECKING:
    from algowatch.telemetry.watch import Watch

_BROKER = "simulated"
_SWITCH = "daily_loss"


class Recording:
    """A `Journal` that records on a watch; with `say` it also alerts and tells when the kill switch trips."""

    def __init__(self, watch: Watch, say: Say | None = None) -> None:
        self._watch = watch
        self._say = say

    def submitted(self, order: Order, decision_s: float) -> None:
        self._watch.latency.signal_generation.observe(decision_s, strategy=order.strategy)
        self._watch.broker.requests(broker=_BROKER, method="placeOrder")
        self._watch.broker.api_latency.observe(decision_s * 3 + 0.002, broker=_BROKER, method="placeOrder")
        self._watch.orders.submitted(strategy=order.strategy, symbol=order.symbol, side=order.side, order_type=order.order_type)

    def filled(self, fill: Fill) -> None:
        order, fills = fill.order, self._watch.fills
        fills.executed(strategy=order.strategy, symbol=order.symbol, side=order.side)
        fills.quantity(fill.quantity, strategy=order.strategy, symbol=order.symbol, side=order.side)
        fills.commission(fill.commission, strategy=order.strategy, currency=CURRENCY)
        paid = order.sign * (fill.price - order.arrival_price) / order.arrival_price
        fills.slippage.observe(paid, strategy=order.strategy, side=order.side)
        if fill.complete:
            self._watch.orders.filled(
                strategy=order.strategy, symbol=order.symbol, side=order.side, order_type=order.order_type
            )
            self._watch.orders.fill_time.observe(fill.at - order.sent_at, strategy=order.strategy)

    def rejected(self, order: Order, reason: str) -> None:
        self._watch.orders.rejected(strategy=order.strategy, symbol=order.symbol, side=order.side, reason=reason)

    def cancelled(self, order: Order, reason: str) -> None:
        self._watch.orders.cancelled(strategy=order.strategy, symbol=order.symbol, side=order.side, reason=reason)

    def ticked(self, tick: Tick) -> None:
        self._watch.market_data.tick(symbol=tick.symbol, tick_type="last")
        self._watch.market_data.tick_latency.observe(tick.latency_s)

    def link(self, connected: bool) -> None:
        if connected:
            self._watch.broker.connected(broker=_BROKER)
        else:
            self._watch.broker.disconnected(broker=_BROKER)

    def kill_switch(self, active: bool, reason: str) -> None:
        if active:
            self._watch.kill_switches.trip(switch=_SWITCH)
        else:
            self._watch.kill_switches.release(switch=_SWITCH)
        if active and self._say is not None:
            self._say(f"{reason}: the kill switch trips", "KillSwitchActivated")
            self._watch.alerts.critical("Kill switch activated", f"Trading stopped: {reason}", component="risk")

    def broker_error(self, code: str) -> None:
        self._watch.broker.errors(broker=_BROKER, code=code)

    def update(self, trader: Trader) -> None:
        """What is a state and not an event: positions, P&L, exposure."""
        prices, watch = trader.venue.prices, self._watch
        gross = net = 0.0
        for strategy in STRATEGIES:
            book = trader.books[strategy]
            for symbol, position in book.positions.items():
                watch.positions.open.set(int(position.quantity != 0), strategy=strategy, symbol=symbol)
                watch.positions.quantity.set(position.quantity, strategy=strategy, symbol=symbol)
                unrealized = position.unrealized(prices[symbol].price)
                watch.pnl.unrealized.set(unrealized, strategy=strategy, symbol=symbol, currency=CURRENCY)
            daily = trader.daily_pnl(strategy)
            watch.pnl.daily.set(daily, strategy=strategy, currency=CURRENCY)
            watch.pnl.daily_ratio.set(daily / (CAPITAL / len(STRATEGIES)), strategy=strategy)
            watch.pnl.realized.set(book.realized - book.commission, strategy=strategy, currency=CURRENCY)
            watch.pnl.drawdown.set(trader.drawdown_ratio(strategy), strategy=strategy)
            watch.exposure.gross.set(book.gross(prices), strategy=strategy, currency=CURRENCY)
            watch.exposure.net.set(book.net(prices), strategy=strategy, currency=CURRENCY)
            watch.orders.working.set(book.working, strategy=strategy)
            gross += book.gross(prices)
            net += book.net(prices)
        watch.exposure.capital_total.set(CAPITAL, currency=CURRENCY)
        watch.exposure.capital_used.set(gross, currency=CURRENCY)
        watch.exposure.buying_power.set(max(0.0, 2 * CAPITAL - gross), currency=CURRENCY)
        watch.market_data.subscriptions.set(0 if trader.venue.feed_frozen else len(prices))
