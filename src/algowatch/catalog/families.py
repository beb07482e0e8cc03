"""Every metric family of ours as data; the only place where such a name is spelled.

Recorders, documentation, dashboards and rules refer to what stands here. A label that an event does not give is the
empty string, and is then left out of the series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

FamilyType = Literal["counter", "gauge", "histogram"]

BASE = "base"
PROFILES = ("ibkr", "portfolio", "intents", "crypto", "options")

API_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a gateway on the same machine to a request that the broker has queued."""
FILL_TIME_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)
"""From a marketable order at a co-located venue to a limit order that rests for half an hour."""
TICK_LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""From exchange time stamp to the strategy's hands: a cross connect to a retail feed over the internet."""
SIGNAL_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
"""From an arithmetic rule to a model that has to be asked."""
SLIPPAGE_BUCKETS = (-0.01, -0.0025, -0.001, -0.0005, -0.0001, 0.0, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05)
"""Both sides of 0, a basis point next to it: negative is a better price than expected."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    name:     as exported, with `_total` where it is a counter.
    recorder: where a bot finds it, such as `orders.submitted`; empty: computed at scrape, nobody records it.
    buckets:  upper bounds of a histogram, inclusive, ascending, without +Inf.
    profiles: which systems have it; BASE is every system.
    view_of:  the canonical family whose values a published name repeats, because dashboards of a system ask for it.
    """

    name: str
    type: FamilyType
    help: str
    labels: tuple[str, ...] = ()
    recorder: str = ""
    buckets: tuple[float, ...] = ()
    profiles: tuple[str, ...] = (BASE,)
    view_of: str = ""

    @property
    def unit(self) -> str:
        """The base unit that the name ends in, or nothing."""
        stem = self.name.removesuffix("_total")
        return next((unit for unit in ("seconds", "bytes", "ratio") if stem.endswith("_" + unit)), "")

    @property
    def group(self) -> str:
        """The recorder's first half: `orders` of `orders.submitted`."""
        return self.recorder.partition(".")[0]


def _orders() -> Iterator[Family]:
    sent = ("strategy", "symbol", "side", "order_type")
    ended = ("strategy", "symbol", "side", "reason")
    yield Family(
        "trading_orders_submitted_total",
        "counter",
        "Orders sent to the venue; a strategy that should trade and whose rate is 0 has stopped thinking or lost its link",
        sent,
        "orders.submitted",
    )
    yield Family(
        "trading_orders_filled_total",
        "counter",
        "Orders filled completely; compare with submitted for the fill rate",
        sent,
        "orders.filled",
    )
    yield Family(
        "trading_orders_rejected_total",
        "counter",
        "Orders that the venue or the broker refused, by reason; a burst usually means margin, limits or a bad symbol",
        ended,
        "orders.rejected",
    )
    yield Family(
        "trading_orders_cancelled_total",
        "counter",
        "Orders cancelled before they were filled, by reason",
        ended,
        "orders.cancelled",
    )
    yield Family(
        "trading_orders_working",
        "gauge",
        "Orders at the venue now, not yet filled, cancelled or rejected",
        ("strategy",),
        "orders.working",
    )
    yield Family(
        "trading_order_fill_time_seconds",
        "histogram",
        "Time from sending an order to its last fill",
        ("strategy",),
        "orders.fill_time",
        FILL_TIME_BUCKETS,
    )


def _fills() -> Iterator[Family]:
    yield Family(
        "trading_fills_total",
        "counter",
        "Executions, partial ones counted one by one",
        ("strategy", "symbol", "side"),
        "fills.executed",
    )
    yield Family(
        "trading_fill_quantity_total",
        "counter",
        "Shares, contracts or coins executed",
        ("strategy", "symbol", "side"),
        "fills.quantity",
    )
    yield Family(
        "trading_slippage_ratio",
        "histogram",
        "Fill price against the expected price, as a ratio of it; above 0 costs money, below 0 is a better price",
        ("strategy", "side"),
        "fills.slippage",
        SLIPPAGE_BUCKETS,
    )
    yield Family(
        "trading_commission_total",
        "counter",
        "Commission paid, in its own currency; never add two currencies",
        ("strategy", "currency"),
        "fills.commission",
    )


def _positions() -> Iterator[Family]:
    yield Family(
        "trading_positions_open",
        "gauge",
        "1 where a position is held, 0 where it was closed; the sum is the number of open positions",
        ("strategy", "symbol"),
        "positions.open",
    )
    yield Family(
        "trading_position_quantity",
        "gauge",
        "Signed size of the position: long above 0, short below",
        ("strategy", "symbol"),
        "positions.quantity",
    )


def _pnl() -> Iterator[Family]:
    money = ("strategy", "currency")
    yield Family("trading_daily_pnl", "gauge", "Profit and loss since the trading day began", money, "pnl.daily")
    yield Family("trading_realized_pnl", "gauge", "Profit and loss of closed positions", money, "pnl.realized")
    yield Family(
        "trading_unrealized_pnl",
        "gauge",
        "Profit and loss of open positions at current prices",
        ("strategy", "symbol", "currency"),
        "pnl.unrealized",
    )
    yield Family(
        "trading_daily_pnl_ratio",
        "gauge",
        "Daily profit and loss over the equity at the start of the day; -0.02 is a loss of 2 %",
        ("strategy",),
        "pnl.daily_ratio",
    )
    yield Family(
        "trading_drawdown_ratio",
        "gauge",
        "Fall from the highest equity so far, over that equity: 0 at the top, 0.1 is 10 % below it",
        ("strategy",),
        "pnl.drawdown",
    )


def _exposure() -> Iterator[Family]:
    money = ("strategy", "currency")
    yield Family(
        "trading_gross_exposure", "gauge", "Long plus short market value: what a gap can touch", money, "exposure.gross"
    )
    yield Family("trading_net_exposure", "gauge", "Long minus short market value: the bet on direction", money, "exposure.net")
    yield Family("trading_capital", "gauge", "Equity of the account", ("currency",), "exposure.capital_total")
    yield Family(
        "trading_capital_total",
        "gauge",
        "Equity of the account, under the name that this system's dashboards use",
        ("currency",),
        profiles=("options",),
        view_of="trading_capital",
    )
    yield Family(
        "trading_capital_used", "gauge", "Capital bound in positions and margin", ("currency",), "exposure.capital_used"
    )
    yield Family(
        "trading_buying_power",
        "gauge",
        "What may still be bought before the broker refuses",
        ("currency",),
        "exposure.buying_power",
    )


def _kill_switches() -> Iterator[Family]:
    yield Family(
        "trading_kill_switch_active",
        "gauge",
        "1 while a kill switch holds trading stopped, 0 otherwise",
        ("switch",),
        "kill_switches.active",
    )
    yield Family(
        "trading_kill_switch_trips_total",
        "counter",
        "Times a kill switch has stopped trading",
        ("switch",),
        "kill_switches.trips",
    )


def _broker() -> Iterator[Family]:
    yield Family("broker_connection_status", "gauge", "1 while the link to the broker is up, 0 while it is down", ("broker",))
    yield Family(
        "broker_connection_uptime_seconds",
        "gauge",
        "How long the link to the broker has been up without a break; 0 while it is down",
        ("broker",),
    )
    yield Family(
        "broker_reconnections_total",
        "counter",
        "Times the link came back after it was lost; several an hour point at the network or a session opened twice",
        ("broker",),
    )
    yield Family(
        "broker_api_requests_total",
        "counter",
        "Requests to the broker, by method; compare with its pacing limits",
        ("broker", "method"),
        "broker.requests",
    )
    yield Family(
        "broker_api_errors_total",
        "counter",
        "Errors that the broker answered, by its code",
        ("broker", "code"),
        "broker.errors",
    )
    yield Family(
        "broker_api_latency_seconds",
        "histogram",
        "Time from a request to the broker's answer",
        ("broker", "method"),
        "broker.api_latency",
        API_LATENCY_BUCKETS,
    )


def _market_data() -> Iterator[Family]:
    yield Family(
        "market_data_ticks_received_total",
        "counter",
        "Ticks received, by kind of tick",
        ("symbol", "tick_type"),
    )
    yield Family(
        "market_data_stale_seconds",
        "gauge",
        "Time since the last tick of a symbol, computed when scraped; prices older than the strategy's horizon are fiction",
        ("symbol",),
    )
    yield Family(
        "market_data_tick_latency_seconds",
        "histogram",
        "Age of a tick on arrival: local time minus the venue's time stamp",
        (),
        "market_data.tick_latency",
        TICK_LATENCY_BUCKETS,
    )
    yield Family("market_data_subscriptions_active", "gauge", "Market-data lines in use", (), "market_data.subscriptions")
    yield Family(
        "market_data_gaps_total",
        "counter",
        "Holes found in the feed: skipped sequence numbers",
        ("symbol",),
        "market_data.gaps",
    )


def _latency() -> Iterator[Family]:
    yield Family(
        "trading_signal_generation_seconds",
        "histogram",
        "Time from market data in to signal out",
        ("strategy",),
        "latency.signal_generation",
        SIGNAL_BUCKETS,
    )


def _host() -> Iterator[Family]:
    yield Family("system_cpu_usage_ratio", "gauge", "Busy share of all cores between the last two scrapes, 0 to 1")
    yield Family("system_cpu_cores_available", "gauge", "Logical cores of the machine")
    yield Family("system_memory_used_bytes", "gauge", "Memory in use on the machine")
    yield Family("system_memory_available_bytes", "gauge", "Memory that programs can still get without swapping")
    yield Family("system_memory_usage_ratio", "gauge", "Share of memory that is not available, 0 to 1")
    yield Family(
        "system_disk_usage_ratio",
        "gauge",
        "Used share of a mounted file system, 0 to 1; a full disk stops journals first",
        ("mount",),
    )
    yield Family("system_network_sent_bytes_total", "counter", "Bytes sent by all network interfaces since the machine started")
    yield Family(
        "system_network_received_bytes_total", "counter", "Bytes received by all network interfaces since the machine started"
    )


def _process() -> Iterator[Family]:
    yield Family("process_cpu_seconds_total", "counter", "User and system CPU time that the bot has used")
    yield Family("process_resident_memory_bytes", "gauge", "Memory that the bot holds; growth over days is a leak")
    yield Family("process_open_fds", "gauge", "Open file descriptors of the bot; sockets that are not closed show here first")
    yield Family("process_threads", "gauge", "Threads of the bot")
    yield Family("process_start_time_seconds", "gauge", "When the bot started, in seconds since the epoch")


def _bot() -> Iterator[Family]:
    yield Family("algowatch_bot_info", "gauge", "Always 1; what the bot runs", ("profile", "version"))
    yield Family(
        "algowatch_telemetry_errors_total",
        "counter",
        "Recordings that could not be taken as they were given, by reason; the log names the first of each",
        ("reason",),
    )
    yield Family(
        "algowatch_alerts_dropped_total", "counter", "Alerts that the bot could not deliver and gave up, or had no room for"
    )


def _engine() -> Iterator[Family]:
    yield Family(
        "algowatch_bot_up",
        "gauge",
        "1 while a registered bot answers, 0 when it does not; written by the engine, not by the bot",
        ("instance",),
    )


FAMILIES: tuple[Family, ...] = (
    *_orders(),
    *_fills(),
    *_positions(),
    *_pnl(),
    *_exposure(),
    *_kill_switches(),
    *_broker(),
    *_market_data(),
    *_latency(),
    *_host(),
    *_process(),
    *_bot(),
    *_engine(),
)

GROUPS = {
    "orders": "Orders, from submission to fill, rejection or cancellation.",
    "fills": "Executions: how much, at what price against the expected one, for what commission.",
    "positions": "What is held.",
    "pnl": "Profit and loss, and the fall from the top.",
    "exposure": "Money at risk and money to spare.",
    "kill_switches": "What stops trading, and whether it has.",
    "broker": "The link to the broker and its API.",
    "market_data": "The feed: ticks, their age, gaps.",
    "latency": "Time that the bot's own thinking takes.",
}

_BY_NAME = {family.name: family for family in FAMILIES}
_BY_RECORDER = {family.recorder: family for family in FAMILIES if family.recorder}


def family(name: str) -> Family:
    """The family with an exported name. Raises: KeyError."""
    return _BY_NAME[name]


def find(name: str) -> Family | None:
    """The family with an exported name, or None."""
    return _BY_NAME.get(name)


def recorded_as(recorder: str) -> Family:
    """The family behind a recorder such as `orders.submitted`. Raises: KeyError."""
    return _BY_RECORDER[recorder]


def families_of(profile: str) -> tuple[Family, ...]:
    """What a profile's system exports: the base and its own."""
    return tuple(each for each in FAMILIES if BASE in each.profiles or profile in each.profiles)
