"""What a scraper reads, judged by other people's parsers."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from algowatch.catalog.families import BASE, FAMILIES
from algowatch.telemetry.exposition import negotiate, render
from algowatch.telemetry.watch import Watch, WatchOptions

PARSERS = {"text": parse_text, "openmetrics": parse_openmetrics}


def bare(**options: object) -> Watch:
    return Watch(WatchOptions("a", discover=False, **options))  # type: ignore[arg-type]


def samples(watch: Watch, form: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample as prometheus_client's parser understands it."""
    text = watch.exposition(form).decode()  # type: ignore[arg-type]
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in PARSERS[form](text)
        for sample in family.samples
    }


def everything() -> Watch:
    """A watch with every family of ours in use."""
    import psutil

    from algowatch.telemetry.host import HostCollector

    watch = bare()
    watch.registry.collectors.append(HostCollector(psutil))
    record_everything(watch)
    return watch


def record_everything(watch: Watch) -> None:
    for recorder in list(watch.registry.recorders.values()):
        values = [f"{name}-value" for name in recorder.family.labels]
        method = {"counter": "inc", "gauge": "set", "histogram": "observe"}[recorder.family.type]
        recorder.repair(method, 0.25, tuple(values))
    watch.market_data.tick("ES", "bid")
    watch.broker.connected(broker="IB")
    watch.orders.submitted(-1)


@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_prometheus_clients_parser_sees_the_same_values(form):
    watch = bare()
    watch.orders.submitted(3, strategy="s", side="BUY")
    watch.pnl.daily.set(-125.5, currency="USD")
    watch.pnl.realized.set(math.inf)
    for value in (0.002, 0.0025, 7000.0):
        watch.broker.api_latency.observe(value, broker="IB", method="placeOrder")
    seen = samples(watch, form)
    labels = {("broker", "IB"), ("method", "placeOrder")}
    assert seen["trading_orders_submitted_total", frozenset({("strategy", "s"), ("side", "BUY")})] == 3
    assert seen["trading_daily_pnl", frozenset({("currency", "USD")})] == -125.5
    assert seen["trading_realized_pnl", frozenset()] == math.inf
    assert seen["broker_api_latency_seconds_bucket", frozenset({*labels, ("le", "0.0025")})] == 2
    assert seen["broker_api_latency_seconds_bucket", frozenset({*labels, ("le", "+Inf")})] == 3
    assert seen["broker_api_latency_seconds_sum", frozenset(labels)] == 7000.0045
    assert seen["broker_api_latency_seconds_count", frozenset(labels)] == 3


@pytest.mark.parametrize("form", ["text", "openmetrics"])
@given(values=st.lists(st.text(max_size=12), min_size=1, max_size=5, unique=True), numbers=st.floats())
@settings(max_examples=60, deadline=None)
def test_hostile_label_values_come_back_as_they_were(form, values, numbers):
    watch = bare()
    gauge = watch.gauge("hostile", 'help with \\ and "\n', labels=["x"])
    for value in values:
        gauge.set(numbers, x=value)
    kept = {value.encode("utf-8", "replace").decode() for value in values}
    seen = {dict(labels).get("x", ""): value for (name, labels), value in samples(watch, form).items() if name == "hostile"}
    assert {text.replace("\ufffd", "?") for text in seen} == {text.replace("\ufffd", "?") for text in kept}
    assert all(value == numbers or (value != value and numbers != numbers) for value in seen.values())


def test_both_formats_carry_the_same_samples():
    watch = everything()
    fixed = {"trading", "market", "broker", "algowatch"}
    moving = ("broker_connection_uptime_seconds", "market_data_stale_seconds")
    pick = [
        {key: value for key, value in samples(watch, form).items() if key[0].split("_")[0] in fixed and key[0] not in moving}
        for form in ("text", "openmetrics")
    ]
    assert pick[0] == pick[1] != {}


def test_every_family_of_the_catalogue_is_exported_except_the_engines_own():
    text = everything().exposition().decode()
    base = [family.name for family in FAMILIES if BASE in family.profiles]
    assert [name for name in base if f"# TYPE {name} " not in text] == ["algowatch_bot_up"]


def test_a_published_name_repeats_its_canonical_family():
    watch = bare(profile="options")
    watch.exposure.capital_total.set(5.0, currency="USD")
    assert b'\ntrading_capital_total{currency="USD"} 5.0\n' in watch.exposition()
    assert b"trading_capital_total" not in bare().exposition()


@pytest.mark.peer("promtool")
def test_promtool_finds_nothing_to_say():
    done = subprocess.run(["promtool", "check", "metrics"], input=everything().exposition(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "text"),
        ("*/*", "text"),
        ("text/plain", "text"),
        ("application/openmetrics-text", "openmetrics"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;q=0.3",
            "openmetrics",
        ),
        ("application/openmetrics-text; version=2.0.0, text/plain;q=0.1", "text"),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.9", "text"),
        ("application/openmetrics-text;q=0", "text"),
        (";;q=x,,", "text"),
    ],
)
def test_the_format_follows_the_accept_header(accept, form):
    assert negotiate(accept) == form


@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_what_the_user_exports_with_prometheus_client_comes_along_once(form):
    import prometheus_client

    theirs = prometheus_client.Counter("their_signals", "x", ["kind"])
    clash = prometheus_client.Gauge("trading_daily_pnl", "theirs")
    try:
        theirs.labels("a").inc(4)
        watch = everything()
        seen = samples(watch, form)
        assert seen["their_signals_total", frozenset({("kind", "a")})] == 4
        assert watch.exposition(form).count(b"# TYPE process_cpu_seconds") == 1
        assert watch.exposition(form).count(b"# TYPE trading_daily_pnl ") == 1
        assert watch.exposition(form).count(b"# EOF\n") == (form == "openmetrics")
    finally:
        prometheus_client.REGISTRY.unregister(theirs)
        prometheus_client.REGISTRY.unregister(clash)


def test_a_registry_of_the_users_that_fails_costs_only_itself():
    import prometheus_client

    class Broken:
        def collect(self) -> Iterator[object]:
            raise RuntimeError("no")

        def describe(self) -> list[object]:
            return []

    broken = Broken()
    prometheus_client.REGISTRY.register(broken)  # type: ignore[arg-type]
    try:
        watch = bare()
        watch.pnl.daily.set(1.0)
        assert b"trading_daily_pnl 1.0" in watch.exposition()
        assert watch.faults.counts == {"foreign_registry": 1}
    finally:
        prometheus_client.REGISTRY.unregister(broken)  # type: ignore[arg-type]


def test_the_lock_is_handed_over_between_slices():
    watch = bare(max_series=20_000)
    gauge = watch.gauge("many", "x", labels=["n"])
    for number in range(10_000):
        gauge.set(1.0, n=str(number))
    pauses: list[int] = []
    render(watch.registry, pause=lambda: pauses.append(os.getpid()))
    assert len(pauses) == 5
