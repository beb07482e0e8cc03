"""Recording: quick, and never raising."""

from __future__ import annotations

import sys
import threading
from decimal import Decimal
from enum import Enum

import numpy as np
import pytest

from algowatch.errors import UsageError
from algowatch.telemetry.cells import BARE, LOCKED, CounterCell, GaugeCell, HistogramCell, adds_without_a_switch, cell_types
from algowatch.telemetry.groups import PlainHistogram
from algowatch.telemetry.watch import Watch, WatchOptions


class Side(str, Enum):  # noqa: UP042 (what bots written before StrEnum have)
    BUY = "BUY"


@pytest.fixture
def watch() -> Watch:
    return Watch(WatchOptions("a", discover=False))


def counted(watch: Watch, name: str) -> dict[tuple[str, ...], float]:
    return {values: cell.v for values, cell in watch.recorder(name)}


def test_labels_not_given_are_absent(watch):
    watch.orders.submitted(strategy="s", side=Side.BUY)
    watch.orders.submitted(2, strategy="s", side="BUY", symbol=None)
    assert counted(watch, "trading_orders_submitted_total") == {("s", "", "BUY", ""): 3.0}
    assert watch.faults.counts == {}


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "3", None, [1], object(), 1 + 2j, 10**400])
def test_a_bad_amount_is_counted_and_changes_nothing(watch, amount):
    watch.orders.submitted(strategy="s")
    watch.orders.submitted(amount, strategy="s")
    assert counted(watch, "trading_orders_submitted_total") == {("s", "", "", ""): 1.0}
    assert watch.faults.counts == {"bad_value": 1}


def test_numbers_of_every_library_are_numbers(watch):
    for amount in (Decimal("1.5"), np.float64(1.5), np.int64(1), True, np.float32(2.0)):
        watch.fills.quantity(amount, symbol="ES")
    assert counted(watch, "trading_fill_quantity_total") == {("", "ES", ""): 7.0}
    assert watch.faults.counts == {}


def test_whole_numbers_are_values_of_gauges(watch):
    watch.positions.quantity.set(-200, symbol="SPY")
    watch.market_data.subscriptions.set(1.0)
    watch.market_data.subscriptions.set(4)
    watch.market_data.subscriptions.set(10**400)
    assert counted(watch, "trading_position_quantity") == {("", "SPY"): -200.0}
    assert counted(watch, "market_data_subscriptions_active") == {(): 4.0}
    assert watch.faults.counts == {"bad_value": 1}


def test_a_recorder_found_by_its_name_records(watch):
    watch.recorder("trading_orders_submitted_total").inc(2, side="BUY")
    assert counted(watch, "trading_orders_submitted_total") == {("", "", "BUY", ""): 2.0}


def test_a_kept_series_is_the_same_series(watch):
    kept = watch.pnl.daily.bind(strategy="s", currency="USD")
    kept.set(1.5)
    kept.inc(2)
    kept.dec(1)
    assert counted(watch, "trading_daily_pnl") == {("s", "USD"): 2.5}
    span = watch.latency.signal_generation.bind(strategy="s")
    with span.time():
        pass
    assert sum(watch.recorder("trading_signal_generation_seconds").cell(("s",)).counts) == 1


def test_a_timer_observes_blocks_that_raise_and_functions(watch):
    @watch.latency.signal_generation.time(strategy="s")
    def think(x: int) -> int:
        return x + 1

    with pytest.raises(ZeroDivisionError), watch.latency.signal_generation.time(strategy="s"):
        _ = 1 / 0
    assert think(1) == 2
    assert sum(watch.recorder("trading_signal_generation_seconds").cell(("s",)).counts) == 2


def test_an_unknown_label_is_counted_and_the_event_still_counts(watch):
    watch.orders.submitted(strategy="s", colour="red")
    assert counted(watch, "trading_orders_submitted_total") == {("s", "", "", ""): 1.0}
    assert watch.faults.counts == {"unknown_label": 1}


def test_series_past_the_bound_are_counted_and_not_kept(caplog):
    watch = Watch(WatchOptions("a", discover=False, max_series=3))
    for number in range(10):
        watch.orders.submitted(symbol=f"order-{number}")
    assert len(counted(watch, "trading_orders_submitted_total")) == 3
    assert watch.faults.counts == {"too_many_series": 7}
    assert caplog.text.count("more than 3 series") == 1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda w: w.orders.submitted(-1), "finite number that is not negative"),
        (lambda w: w.pnl.daily.set("x"), "is text; give a number"),
        (lambda w: w.pnl.daily.set(1.0, colour="red"), "unknown label colour; labels: strategy, currency"),
        (lambda w: w.market_data.subscriptions.set(), "no value was given"),
        (lambda w: w.market_data.subscriptions.set(1.0, "ES"), "labels go by keyword"),
        (lambda w: w.counter("9lives"), "cannot be a metric's name"),
    ],
)
def test_strict_raises_what_is_otherwise_counted(call, text):
    with pytest.raises(UsageError, match=text):
        call(Watch(WatchOptions("a", discover=False, strict=True)))
    call(Watch(WatchOptions("a", discover=False)))


def test_additions_are_not_torn_in_this_interpreter():
    def torn(cell) -> None:
        cell.v += len("a call between load and store")

    methods = (CounterCell.inc, GaugeCell.add, HistogramCell.observe, PlainHistogram.observe)
    assert [adds_without_a_switch(method.__code__) for method in methods] == [True] * 4
    assert not adds_without_a_switch(torn.__code__)
    assert cell_types() is BARE


@pytest.mark.parametrize("types", [BARE, LOCKED], ids=["bare", "locked"])
def test_eight_threads_lose_nothing(types):
    watch = Watch(WatchOptions("a", discover=False))
    watch.registry.types = types
    hits = watch.counter("hits", "x", labels=["side"])
    level = watch.gauge("level", "x")
    spans = watch.histogram("spans", "x", buckets=[1, 2])
    rounds = 20_000

    def work() -> None:
        for _ in range(rounds):
            hits.inc(side="BUY")
            level.inc(2)
            spans.observe(1.5)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert hits.cell(("BUY",)).v == 8 * rounds
    assert level.cell(()).v == 16 * rounds
    assert (spans.cell(()).counts, spans.cell(()).sum) == ([0, 8 * rounds, 0], 12.0 * rounds)
