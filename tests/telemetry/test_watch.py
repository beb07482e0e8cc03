"""A bot's watch from start to stop."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from algowatch.errors import UsageError
from algowatch.telemetry.watch import VERSION

ROOT = Path(__file__).parents[2]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def test_three_lines_give_metrics_that_can_be_fetched(start_bot):
    watch = start_bot("gamma-bot", profile="options")
    watch.orders.submitted(strategy="gamma_scalping", side="BUY", order_type="LMT")
    watch.pnl.daily.set(-125.5)
    with watch.latency.signal_generation.time():
        pass
    body = get(watch.url + "/metrics")
    assert 'trading_orders_submitted_total{strategy="gamma_scalping",side="BUY",order_type="LMT"} 1.0\n' in body
    assert "\ntrading_daily_pnl -125.5\n" in body
    assert "\ntrading_signal_generation_seconds_count 1.0\n" in body
    assert f'algowatch_bot_info{{profile="options",version="{VERSION}"}} 1.0\n' in body


def test_the_same_name_gives_the_same_watch(start_bot):
    assert start_bot("a") is start_bot("a")
    assert start_bot("a") is not start_bot("b")


def test_healthz_and_readyz_answer(start_bot):
    watch = start_bot("gamma-bot")
    health = json.loads(get(watch.url + "/healthz"))
    assert (health["status"], health["name"]) == ("ok", "gamma-bot")
    assert json.loads(get(watch.url + "/readyz"))["checks"] == {}


def test_a_port_that_is_taken_costs_a_warning_and_gives_a_free_one(start_bot, caplog):
    first = start_bot("a")
    second = start_bot("b", port=first.port)
    assert second.port not in (0, first.port)
    assert f"port {first.port} is not to be had" in caplog.text


def test_a_state_directory_that_cannot_be_written_leaves_metrics_that_are_not_discoverable(start_bot, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    watch = start_bot("a", state_directory=tmp_path / "file" / "state")
    watch.pnl.daily.set(1.0)
    assert "trading_daily_pnl 1.0" in get(watch.url + "/metrics")
    assert watch.registration is None
    assert "the registration file could not be set up" in caplog.text


def test_an_unknown_profile_is_named_with_the_known_ones_and_base_is_used(start_bot, caplog):
    watch = start_bot("a", profile="optoins")
    assert watch.options.profile == "base"
    assert "unknown profile 'optoins'; known are base, ibkr, portfolio, intents, crypto, options" in caplog.text
    with pytest.raises(UsageError, match="unknown profile 'optoins'"):
        start_bot("b", profile="optoins", strict=True)


def test_a_wish_that_start_does_not_know_is_counted(start_bot):
    watch = start_bot("a", colour="red")
    assert watch.faults.counts == {"start": 1}


def test_import_and_start_stay_light(tmp_path):
    heavy = ("numpy", "sqlite3", "prometheus_client", "starlette", "uvicorn", "pydantic", "yaml", "httpx2", "click", "orjson")
    code = f"""
import sys, algowatch
assert not set({heavy!r}) & set(sys.modules), set({heavy!r}) & set(sys.modules)
assert not [name for name in sys.modules if name.startswith("algowatch.")]
watch = algowatch.start("light", state_directory={str(tmp_path)!r})
watch.exposition()
assert not set({heavy!r}) & set(sys.modules), set({heavy!r}) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=30)
