"""The recorders as a bot sees them: `watch.orders.submitted(...)`, `watch.pnl.daily.set(...)`.

Written by tools/generate_groups.py from catalog/families.py; change the catalogue or the template, not this file.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Never, SupportsFloat

from algowatch.catalog.families import recorded_as
from algowatch.telemetry.recorders import MISSING, Counter, Gauge, Histogram, Timer
from algowatch.telemetry.registry import Registry
from algowatch.telemetry.template import Unexpected


class PlainGauge(Gauge):
    __slots__ = ()

    def set(self, value: SupportsFloat = MISSING, *extra: Never, **unknown: Never) -> None:
        try:
            if value.__class__ is float:
                self.only.v = value
            else:
                self.only.set(value)
            if unknown:
                raise Unexpected
        except Exception:
            self.repair("set", value, (), extra, unknown)

    def inc(self, amount: SupportsFloat = 1, *extra: Never, **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.only.add(amount)
        except Exception:
            self.repair("add", amount, (), extra, unknown)

    def dec(self, amount: SupportsFloat = 1, *extra: Never, **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.only.subtract(amount)
        except Exception:
            self.repair("subtract", amount, (), extra, unknown)


class GaugeByCurrency(Gauge):
    __slots__ = ()

    def set(self, value: SupportsFloat = MISSING, *extra: Never, currency: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[currency,].set(value)
        except Exception:
            self.repair("set", value, (currency,), extra, unknown)

    def inc(self, amount: SupportsFloat = 1, *extra: Never, currency: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[currency,].add(amount)
        except Exception:
            self.repair("add", amount, (currency,), extra, unknown)

    def dec(self, amount: SupportsFloat = 1, *extra: Never, currency: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[currency,].subtract(amount)
        except Exception:
            self.repair("subtract", amount, (currency,), extra, unknown)


class GaugeByStrategy(Gauge):
    __slots__ = ()

    def set(self, value: SupportsFloat = MISSING, *extra: Never, strategy: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy,].set(value)
        except Exception:
            self.repair("set", value, (strategy,), extra, unknown)

    def inc(self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy,].add(amount)
        except Exception:
            self.repair("add", amount, (strategy,), extra, unknown)

    def dec(self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy,].subtract(amount)
        except Exception:
            self.repair("subtract", amount, (strategy,), extra, unknown)


class GaugeByStrategyCurrency(Gauge):
    __slots__ = ()

    def set(
        self, value: SupportsFloat = MISSING, *extra: Never, strategy: str = "", currency: str = "", **unknown: Never
    ) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, currency].set(value)
        except Exception:
            self.repair("set", value, (strategy, currency), extra, unknown)

    def inc(self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", currency: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, currency].add(amount)
        except Exception:
            self.repair("add", amount, (strategy, currency), extra, unknown)

    def dec(self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", currency: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, currency].subtract(amount)
        except Exception:
            self.repair("subtract", amount, (strategy, currency), extra, unknown)


class GaugeByStrategySymbol(Gauge):
    __slots__ = ()

    def set(
        self, value: SupportsFloat = MISSING, *extra: Never, strategy: str = "", symbol: str = "", **unknown: Never
    ) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, symbol].set(value)
        except Exception:
            self.repair("set", value, (strategy, symbol), extra, unknown)

    def inc(self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", symbol: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, symbol].add(amount)
        except Exception:
            self.repair("add", amount, (strategy, symbol), extra, unknown)

    def dec(self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", symbol: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, symbol].subtract(amount)
        except Exception:
            self.repair("subtract", amount, (strategy, symbol), extra, unknown)


class GaugeByStrategySymbolCurrency(Gauge):
    __slots__ = ()

    def set(
        self,
        value: SupportsFloat = MISSING,
        *extra: Never,
        strategy: str = "",
        symbol: str = "",
        currency: str = "",
        **unknown: Never,
    ) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, symbol, currency].set(value)
        except Exception:
            self.repair("set", value, (strategy, symbol, currency), extra, unknown)

    def inc(
        self,
        amount: SupportsFloat = 1,
        *extra: Never,
        strategy: str = "",
        symbol: str = "",
        currency: str = "",
        **unknown: Never,
    ) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, symbol, currency].add(amount)
        except Exception:
            self.repair("add", amount, (strategy, symbol, currency), extra, unknown)

    def dec(
        self,
        amount: SupportsFloat = 1,
        *extra: Never,
        strategy: str = "",
        symbol: str = "",
        currency: str = "",
        **unknown: Never,
    ) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, symbol, currency].subtract(amount)
        except Exception:
            self.repair("subtract", amount, (strategy, symbol, currency), extra, unknown)


class GaugeBySwitch(Gauge):
    __slots__ = ()

    def set(self, value: SupportsFloat = MISSING, *extra: Never, switch: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[switch,].set(value)
        except Exception:
            self.repair("set", value, (switch,), extra, unknown)

    def inc(self, amount: SupportsFloat = 1, *extra: Never, switch: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[switch,].add(amount)
        except Exception:
            self.repair("add", amount, (switch,), extra, unknown)

    def dec(self, amount: SupportsFloat = 1, *extra: Never, switch: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[switch,].subtract(amount)
        except Exception:
            self.repair("subtract", amount, (switch,), extra, unknown)


class PlainHistogram(Histogram):
    __slots__ = ()

    def observe(self, value: SupportsFloat = MISSING, *extra: Never, **unknown: Never) -> None:
        try:
            if unknown:
                raise Unexpected
            cell = self.bare_only
            if value.__class__ is float and -1e999 < value < 1e999:
                index = bisect_left(cell.bounds, value)
                cell.sum += value
                cell.counts[index] += 1
            else:
                cell.observe(value)
        except Exception:
            self.repair("observe", value, (), extra, unknown)

    def time(self, *extra: Never, **unknown: Never) -> Timer:
        return Timer(self.observe, {**unknown})


class HistogramByBrokerMethod(Histogram):
    __slots__ = ()

    def observe(
        self, value: SupportsFloat = MISSING, *extra: Never, broker: str = "", method: str = "", **unknown: Never
    ) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[broker, method].observe(value)
        except Exception:
            self.repair("observe", value, (broker, method), extra, unknown)

    def time(self, *extra: Never, broker: str = "", method: str = "", **unknown: Never) -> Timer:
        return Timer(self.observe, {"broker": broker, "method": method, **unknown})


class HistogramByStrategy(Histogram):
    __slots__ = ()

    def observe(self, value: SupportsFloat = MISSING, *extra: Never, strategy: str = "", **unknown: Never) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy,].observe(value)
        except Exception:
            self.repair("observe", value, (strategy,), extra, unknown)

    def time(self, *extra: Never, strategy: str = "", **unknown: Never) -> Timer:
        return Timer(self.observe, {"strategy": strategy, **unknown})


class HistogramByStrategySide(Histogram):
    __slots__ = ()

    def observe(
        self, value: SupportsFloat = MISSING, *extra: Never, strategy: str = "", side: str = "", **unknown: Never
    ) -> None:
        try:
            if extra or unknown:
                raise Unexpected
            self.cells[strategy, side].observe(value)
        except Exception:
            self.repair("observe", value, (strategy, side), extra, unknown)

    def time(self, *extra: Never, strategy: str = "", side: str = "", **unknown: Never) -> Timer:
        return Timer(self.observe, {"strategy": strategy, "side": side, **unknown})


class OrdersGroup:
    """Orders, from submission to fill, rejection or cancellation."""

    def __init__(self, registry: Registry) -> None:
        self._submitted = registry.declare(recorded_as("orders.submitted"), Counter)
        self._filled = registry.declare(recorded_as("orders.filled"), Counter)
        self._rejected = registry.declare(recorded_as("orders.rejected"), Counter)
        self._cancelled = registry.declare(recorded_as("orders.cancelled"), Counter)
        self.working = registry.declare(recorded_as("orders.working"), GaugeByStrategy)
        """Orders at the venue now, not yet filled, cancelled or rejected."""
        self.fill_time = registry.declare(recorded_as("orders.fill_time"), HistogramByStrategy)
        """Time from sending an order to its last fill."""

    def submitted(
        self,
        amount: SupportsFloat = 1,
        *extra: Never,
        strategy: str = "",
        symbol: str = "",
        side: str = "",
        order_type: str = "",
        **unknown: Never,
    ) -> None:
        """Orders sent to the venue; a strategy that should trade and whose rate is 0 has stopped thinking or lost its link."""
        try:
            if extra or unknown:
                raise Unexpected
            self._submitted.cells[strategy, symbol, side, order_type].inc(amount)
        except Exception:
            self._submitted.repair("inc", amount, (strategy, symbol, side, order_type), extra, unknown)

    def filled(
        self,
        amount: SupportsFloat = 1,
        *extra: Never,
        strategy: str = "",
        symbol: str = "",
        side: str = "",
        order_type: str = "",
        **unknown: Never,
    ) -> None:
        """Orders filled completely; compare with submitted for the fill rate."""
        try:
            if extra or unknown:
                raise Unexpected
            self._filled.cells[strategy, symbol, side, order_type].inc(amount)
        except Exception:
            self._filled.repair("inc", amount, (strategy, symbol, side, order_type), extra, unknown)

    def rejected(
        self,
        amount: SupportsFloat = 1,
        *extra: Never,
        strategy: str = "",
        symbol: str = "",
        side: str = "",
        reason: str = "",
        **unknown: Never,
    ) -> None:
        """Orders that the venue or the broker refused, by reason; a burst usually means margin, limits or a bad symbol."""
        try:
            if extra or unknown:
                raise Unexpected
            self._rejected.cells[strategy, symbol, side, reason].inc(amount)
        except Exception:
            self._rejected.repair("inc", amount, (strategy, symbol, side, reason), extra, unknown)

    def cancelled(
        self,
        amount: SupportsFloat = 1,
        *extra: Never,
        strategy: str = "",
        symbol: str = "",
        side: str = "",
        reason: str = "",
        **unknown: Never,
    ) -> None:
        """Orders cancelled before they were filled, by reason."""
        try:
            if extra or unknown:
                raise Unexpected
            self._cancelled.cells[strategy, symbol, side, reason].inc(amount)
        except Exception:
            self._cancelled.repair("inc", amount, (strategy, symbol, side, reason), extra, unknown)


class FillsGroup:
    """Executions: how much, at what price against the expected one, for what commission."""

    def __init__(self, registry: Registry) -> None:
        self._executed = registry.declare(recorded_as("fills.executed"), Counter)
        self._quantity = registry.declare(recorded_as("fills.quantity"), Counter)
        self.slippage = registry.declare(recorded_as("fills.slippage"), HistogramByStrategySide)
        """Fill price against the expected price, as a ratio of it; above 0 costs money, below 0 is a better price."""
        self._commission = registry.declare(recorded_as("fills.commission"), Counter)

    def executed(
        self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", symbol: str = "", side: str = "", **unknown: Never
    ) -> None:
        """Executions, partial ones counted one by one."""
        try:
            if extra or unknown:
                raise Unexpected
            self._executed.cells[strategy, symbol, side].inc(amount)
        except Exception:
            self._executed.repair("inc", amount, (strategy, symbol, side), extra, unknown)

    def quantity(
        self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", symbol: str = "", side: str = "", **unknown: Never
    ) -> None:
        """Shares, contracts or coins executed."""
        try:
            if extra or unknown:
                raise Unexpected
            self._quantity.cells[strategy, symbol, side].inc(amount)
        except Exception:
            self._quantity.repair("inc", amount, (strategy, symbol, side), extra, unknown)

    def commission(
        self, amount: SupportsFloat = 1, *extra: Never, strategy: str = "", currency: str = "", **unknown: Never
    ) -> None:
        """Commission paid, in its own currency; never add two currencies."""
        try:
            if extra or unknown:
                raise Unexpected
            self._commission.cells[strategy, currency].inc(amount)
        except Exception:
            self._commission.repair("inc", amount, (strategy, currency), extra, unknown)


class PositionsGroup:
    """What is held."""

    def __init__(self, registry: Registry) -> None:
        self.open = registry.declare(recorded_as("positions.open"), GaugeByStrategySymbol)
        """1 where a position is held, 0 where it was closed; the sum is the number of open positions."""
        self.quantity = registry.declare(recorded_as("positions.quantity"), GaugeByStrategySymbol)
        """Signed size of the position: long above 0, short below."""


class PnlGroup:
    """Profit and loss, and the fall from the top."""

    def __init__(self, registry: Registry) -> None:
        self.daily = registry.declare(recorded_as("pnl.daily"), GaugeByStrategyCurrency)
        """Profit and loss since the trading day began."""
        self.realized = registry.declare(recorded_as("pnl.realized"), GaugeByStrategyCurrency)
        """Profit and loss of closed positions."""
        self.unrealized = registry.declare(recorded_as("pnl.unrealized"), GaugeByStrategySymbolCurrency)
        """Profit and loss of open positions at current prices."""
        self.daily_ratio = registry.declare(recorded_as("pnl.daily_ratio"), GaugeByStrategy)
        """Daily profit and loss over the equity at the start of the day; -0.02 is a loss of 2 %."""
        self.drawdown = registry.declare(recorded_as("pnl.drawdown"), GaugeByStrategy)
        """Fall from the highest equity so far, over that equity: 0 at the top, 0.1 is 10 % below it."""


class ExposureGroup:
    """Money at risk and money to spare."""

    def __init__(self, registry: Registry) -> None:
        self.gross = registry.declare(recorded_as("exposure.gross"), GaugeByStrategyCurrency)
        """Long plus short market value: what a gap can touch."""
        self.net = registry.declare(recorded_as("exposure.net"), GaugeByStrategyCurrency)
        """Long minus short market value: the bet on direction."""
        self.capital_total = registry.declare(recorded_as("exposure.capital_total"), GaugeByCurrency)
        """Equity of the account."""
        self.capital_used = registry.declare(recorded_as("exposure.capital_used"), GaugeByCurrency)
        """Capital bound in positions and margin."""
        self.buying_power = registry.declare(recorded_as("exposure.buying_power"), GaugeByCurrency)
        """What may still be bought before the broker refuses."""


class KillSwitchesGroup:
    """What stops trading, and whether it has."""

    def __init__(self, registry: Registry) -> None:
        self.active = registry.declare(recorded_as("kill_switches.active"), GaugeBySwitch)
        """1 while a kill switch holds trading stopped, 0 otherwise."""
        self._trips = registry.declare(recorded_as("kill_switches.trips"), Counter)

    def trips(self, amount: SupportsFloat = 1, *extra: Never, switch: str = "", **unknown: Never) -> None:
        """Times a kill switch has stopped trading."""
        try:
            if extra or unknown:
                raise Unexpected
            self._trips.cells[switch,].inc(amount)
        except Exception:
            self._trips.repair("inc", amount, (switch,), extra, unknown)


class BrokerGroup:
    """The link to the broker and its API."""

    def __init__(self, registry: Registry) -> None:
        self._requests = registry.declare(recorded_as("broker.requests"), Counter)
        self._errors = registry.declare(recorded_as("broker.errors"), Counter)
        self.api_latency = registry.declare(recorded_as("broker.api_latency"), HistogramByBrokerMethod)
        """Time from a request to the broker's answer."""

    def requests(self, amount: SupportsFloat = 1, *extra: Never, broker: str = "", method: str = "", **unknown: Never) -> None:
        """Requests to the broker, by method; compare with its pacing limits."""
        try:
            if extra or unknown:
                raise Unexpected
            self._requests.cells[broker, method].inc(amount)
        except Exception:
            self._requests.repair("inc", amount, (broker, method), extra, unknown)

    def errors(self, amount: SupportsFloat = 1, *extra: Never, broker: str = "", code: str = "", **unknown: Never) -> None:
        """Errors that the broker answered, by its code."""
        try:
            if extra or unknown:
                raise Unexpected
            self._errors.cells[broker, code].inc(amount)
        except Exception:
            self._errors.repair("inc", amount, (broker, code), extra, unknown)


class MarketDataGroup:
    """The feed: ticks, their age, gaps."""

    def __init__(self, registry: Registry) -> None:
        self.tick_latency = registry.declare(recorded_as("market_data.tick_latency"), PlainHistogram)
        """Age of a tick on arrival: local time minus the venue's time stamp."""
        self.subscriptions = registry.declare(recorded_as("market_data.subscriptions"), PlainGauge)
        """Market-data lines in use."""
        self._gaps = registry.declare(recorded_as("market_data.gaps"), Counter)

    def gaps(self, amount: SupportsFloat = 1, *extra: Never, symbol: str = "", **unknown: Never) -> None:
        """Holes found in the feed: skipped sequence numbers."""
        try:
            if extra or unknown:
                raise Unexpected
            self._gaps.cells[symbol,].inc(amount)
        except Exception:
            self._gaps.repair("inc", amount, (symbol,), extra, unknown)


class LatencyGroup:
    """Time that the bot's own thinking takes."""

    def __init__(self, registry: Registry) -> None:
        self.signal_generation = registry.declare(recorded_as("latency.signal_generation"), HistogramByStrategy)
        """Time from market data in to signal out."""
