"""Recorders that know more than one number."""

from __future__ import annotations

import pytest

from algowatch.telemetry import trading
from algowatch.telemetry.watch import Watch, WatchOptions


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(trading, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watch(clock) -> Watch:
    return Watch(WatchOptions("a", discover=False, host_metrics=False))


def line(watch: Watch, series: str) -> str:
    """The value of a series as exported, empty where it is not."""
    found = [text for text in watch.exposition().decode().splitlines() if text.startswith(series + " ")]
    return found[0].rpartition(" ")[2] if found else ""


def test_staleness_is_counted_from_the_last_tick(watch, clock):
    assert line(watch, 'market_data_stale_seconds{symbol="ES"}') == ""
    watch.market_data.tick("ES", "bid")
    clock[0] += 7
    watch.market_data.tick("NQ", "bid")
    assert line(watch, 'market_data_stale_seconds{symbol="ES"}') == "7.0"
    assert line(watch, 'market_data_stale_seconds{symbol="NQ"}') == "0.0"
    watch.market_data.tick("ES", "ask")
    assert line(watch, 'market_data_stale_seconds{symbol="ES"}') == "0.0"
    watch.market_data.unsubscribe("ES")
    assert line(watch, 'market_data_stale_seconds{symbol="ES"}') == ""
    assert line(watch, 'market_data_ticks_received_total{symbol="ES",tick_type="bid"}') == "1.0"


def test_uptime_runs_while_the_link_is_up_and_coming_back_is_a_reconnection(watch, clock):
    watch.broker.connected(broker="IB")
    clock[0] += 30
    watch.broker.connected(broker="IB")
    uptime = 'broker_connection_uptime_seconds{broker="IB"}'
    assert line(watch, uptime) == "30.0"
    watch.broker.disconnected(broker="IB")
    watch.broker.disconnected(broker="IB")
    clock[0] += 5
    assert (line(watch, uptime), line(watch, 'broker_connection_status{broker="IB"}')) == ("0.0", "0.0")
    assert line(watch, 'broker_reconnections_total{broker="IB"}') == "0.0"
    watch.broker.connected(broker="IB")
    clock[0] += 2
    assert line(watch, uptime) == "2.0"
    assert line(watch, 'broker_reconnections_total{broker="IB"}') == "1.0"


def test_a_first_connection_after_being_down_is_no_reconnection(watch):
    watch.broker.disconnected(broker="IB")
    watch.broker.connected(broker="IB")
    assert line(watch, 'broker_reconnections_total{broker="IB"}') == "0.0"


def test_holding_sets_quantity_and_openness(watch):
    watch.positions.hold(-3, strategy="s", symbol="ES")
    watch.positions.hold(2, strategy="s", symbol="NQ")
    watch.positions.hold(0, strategy="s", symbol="NQ")
    assert line(watch, 'trading_position_quantity{strategy="s",symbol="ES"}') == "-3.0"
    assert line(watch, 'trading_positions_open{strategy="s",symbol="ES"}') == "1.0"
    assert line(watch, 'trading_positions_open{strategy="s",symbol="NQ"}') == "0.0"
    watch.positions.quantity.remove(strategy="s", symbol="NQ")
    assert line(watch, 'trading_position_quantity{strategy="s",symbol="NQ"}') == ""


def test_a_tripped_switch_is_counted_once_until_it_is_released(watch):
    watch.kill_switches.release(switch="daily_loss")
    trips = 'trading_kill_switch_trips_total{switch="daily_loss"}'
    assert line(watch, trips) == "0.0"
    watch.kill_switches.trip(switch="daily_loss")
    watch.kill_switches.trip(switch="daily_loss")
    assert (line(watch, trips), line(watch, 'trading_kill_switch_active{switch="daily_loss"}')) == ("1.0", "1.0")
    watch.kill_switches.release(switch="daily_loss")
    watch.kill_switches.trip(switch="daily_loss")
    assert line(watch, trips) == "2.0"


def test_a_removed_series_can_come_back(watch):
    watch.market_data.subscriptions.set(4.0)
    watch.market_data.subscriptions.remove()
    assert line(watch, "market_data_subscriptions_active") == ""
    watch.market_data.subscriptions.set(5.0)
    assert line(watch, "market_data_subscriptions_active") == "5.0"
