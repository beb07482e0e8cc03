"""Recorders that know more than one number: the broker's link, the age of market data, positions, kill switches."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from time import monotonic
from typing import Any, Never, SupportsFloat

from algowatch.catalog.families import Family, family
from algowatch.telemetry.faults import Misuse
from algowatch.telemetry.groups import BrokerGroup, KillSwitchesGroup, MarketDataGroup, PositionsGroup
from algowatch.telemetry.recorders import MISSING, Counter, Gauge, as_label_value, as_number
from algowatch.telemetry.registry import Registry, Samples
from algowatch.telemetry.template import Unexpected


class Broker(BrokerGroup):
    """The link to the broker and its API."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._status = registry.declare(family("broker_connection_status"), Gauge)
        self._reconnections = registry.declare(family("broker_reconnections_total"), Counter)
        self._since: dict[str, float] = {}
        self._lost: set[str] = set()
        self._link_lock = Lock()
        registry.collectors.append(self._uptimes)

    def connected(self, *extra: Never, broker: str = "", **unknown: Never) -> None:
        """The link is up. Coming back after `disconnected` counts as a reconnection; saying it twice changes nothing."""
        self._link(True, broker, extra, unknown)

    def disconnected(self, *extra: Never, broker: str = "", **unknown: Never) -> None:
        """The link is down; saying it twice changes nothing."""
        self._link(False, broker, extra, unknown)

    def _link(self, up: bool, broker: object, extra: Any, unknown: Any) -> None:
        self._status.repair("set", 1.0 if up else 0.0, (broker,), extra, unknown)
        try:
            name = as_label_value(broker)
        except Misuse:
            return  # counted by the recorder
        with self._link_lock:
            back = up and name in self._lost
            if up:
                self._lost.discard(name)
                self._since.setdefault(name, monotonic())
            elif self._since.pop(name, None) is not None:
                self._lost.add(name)
        if up:
            self._reconnections.repair("inc", 1 if back else 0, (name,))

    def _uptimes(self) -> Iterator[tuple[Family, Samples]]:
        now = monotonic()
        known = [values for values, _ in self._status.snapshot()]
        yield (
            family("broker_connection_uptime_seconds"),
            [(values, now - self._since[values[0]] if values[0] in self._since else 0.0) for values in known],
        )

    def reset(self) -> None:
        self._link_lock = Lock()
        self._since.clear()
        self._lost.clear()


class MarketData(MarketDataGroup):
    """The feed: ticks, their age, gaps."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._ticks = registry.declare(family("market_data_ticks_received_total"), Counter)
        self._last: dict[str, float] = {}
        registry.collectors.append(self._ages)

    def tick(self, symbol: str = "", tick_type: str = "", *extra: Never, **unknown: Never) -> None:
        """A tick arrived: counts it, and makes its symbol fresh."""
        try:
            if extra or unknown:
                raise Unexpected
            self._ticks.cells[symbol, tick_type].inc(1)
            self._last[symbol] = monotonic()
        except Exception:
            self._first_tick(symbol, tick_type, extra, unknown)

    def _first_tick(self, symbol: object, tick_type: object, extra: Any, unknown: Any) -> None:
        self._ticks.repair("inc", 1, (symbol, tick_type), extra, unknown)
        try:
            name = as_label_value(symbol)
        except Misuse:
            return  # counted by the recorder
        if name in self._last or len(self._last) < self._ticks.max_series:
            self._last[name] = monotonic()

    def unsubscribe(self, symbol: str = "", *extra: Never, **unknown: Never) -> None:
        """The symbol is not wanted any more: its silence is not staleness."""
        try:
            self._last.pop(as_label_value(symbol), None)
            if extra or unknown:
                raise Misuse("unknown_label", "unsubscribe takes a symbol and nothing else")
        except Misuse as misuse:
            self._ticks.faults.note(misuse.reason, "market_data.unsubscribe", str(misuse))

    def _ages(self) -> Iterator[tuple[Family, Samples]]:
        now = monotonic()
        ages: Samples = [((symbol,), max(0.0, now - at)) for symbol, at in list(self._last.items())]
        yield family("market_data_stale_seconds"), ages

    def reset(self) -> None:
        self._last.clear()


class Positions(PositionsGroup):
    """What is held."""

    def hold(
        self, quantity: SupportsFloat = MISSING, *extra: Never, strategy: str = "", symbol: str = "", **unknown: Never
    ) -> None:
        """The signed size that is held now; 0 closes the position."""
        self.quantity.repair("set", quantity, (strategy, symbol), extra, unknown)
        try:
            held = 1.0 if as_number(quantity) else 0.0
        except Misuse:
            return  # counted by the recorder
        self.open.repair("set", held, (strategy, symbol))


class KillSwitches(KillSwitchesGroup):
    """What stops trading, and whether it has."""

    def trip(self, *extra: Never, switch: str = "", **unknown: Never) -> None:
        """The switch stops trading now; a switch that is tripped already is not counted again."""
        try:
            cell = self.active.cell((as_label_value(switch),))
            already = cell.v == 1.0
        except Misuse:
            already = False  # counted by the recorder
        self.active.repair("set", 1.0, (switch,), extra, unknown)
        if not already:
            self._trips.repair("inc", 1, (switch,))

    def release(self, *extra: Never, switch: str = "", **unknown: Never) -> None:
        """Trading may go on; also says, at a start, that the switch exists and is not tripped."""
        self.active.repair("set", 0.0, (switch,), extra, unknown)
        self._trips.repair("inc", 0, (switch,))
