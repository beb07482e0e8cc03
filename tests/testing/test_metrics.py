"""Captured metrics, as a bot's own tests use them."""

from __future__ import annotations

import pytest

import algowatch
from algowatch.errors import UsageError


def place_order(watch) -> None:
    watch.orders.submitted(strategy="s", side="BUY")
    watch.orders.submitted(strategy="s", side="SELL")
    watch.broker.api_latency.observe(0.25, broker="IB")


def test_values_can_be_asked_for_by_any_labels():
    with algowatch.testing.capture() as watch:
        place_order(watch)
        assert watch.value("trading_orders_submitted_total", side="BUY") == 1
        assert watch.value("trading_orders_submitted_total") == 2
        assert watch.value("trading_orders_submitted_total", side="HOLD") == 0
        assert watch.series("trading_orders_submitted_total") == [{"strategy": "s", "side": s} for s in ("BUY", "SELL")]
        assert (watch.count("broker_api_latency_seconds"), watch.total("broker_api_latency_seconds")) == (1, 0.25)


def test_a_misspelled_name_or_label_is_an_error_in_the_test():
    with algowatch.testing.capture() as watch:
        with pytest.raises(KeyError):
            watch.value("trading_orders_submited_total")
        with pytest.raises(KeyError, match="has no label sid; labels: strategy, symbol, side, order_type"):
            watch.value("trading_orders_submitted_total", sid="BUY")
        with pytest.raises(UsageError, match="unknown label sid"):
            watch.orders.submitted(sid="BUY")


def test_code_that_starts_its_own_watch_gets_the_captured_one():
    with algowatch.testing.capture("gamma-bot") as watch:
        algowatch.start("gamma-bot").pnl.daily.set(1.5)
        assert watch.value("trading_daily_pnl") == 1.5
        assert watch.port == 0


def test_alerts_are_kept_and_go_nowhere():
    with algowatch.testing.capture() as watch:
        watch.alerts.critical("Kill switch activated", "P&L -5 %", component="risk")
        (alert,) = watch.sent_alerts
    assert alert.labels["alertname"] == "KillSwitchActivated"
    assert alert.annotations["description"] == "P&L -5 %"
