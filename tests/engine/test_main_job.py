"""A bot, its history and an alert, through real processes."""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request

import pytest


def test_a_bot_is_found_scraped_and_kept(start_engine, start_bot):
    engine = start_engine()
    bot = start_bot()
    bot.run("watch.pnl.daily.set(-125.5, strategy='gamma_scalping', currency='USD')")
    target = {"job": "bots", "instance": "gamma-bot"}
    assert engine.wait_for_query("trading_daily_pnl") == [
        ({"__name__": "trading_daily_pnl", "strategy": "gamma_scalping", "currency": "USD", **target}, -125.5)
    ]
    assert engine.query("up") == [({"__name__": "up", **target}, 1.0)]


def test_a_killed_bot_is_told_within_three_seconds_and_resolves_when_it_is_back(start_engine, start_bot, receiver):
    engine = start_engine("--webhook", receiver.url)
    bot = start_bot()
    engine.wait_for_query("up == 1")
    killed_at = time.time()
    bot.kill()
    at, alert = receiver.wait_for("BotDown")
    assert at - killed_at < 3
    assert alert["labels"]["instance"] == "gamma-bot"
    assert alert["labels"]["severity"] == "critical"
    start_bot()
    receiver.wait_for("BotDown", status="resolved")


def test_a_bot_that_ends_cleanly_alarms_nobody(start_engine, start_bot, receiver):
    engine = start_engine("--webhook", receiver.url)
    bot = start_bot()
    engine.wait_for_query("up == 1")
    bot.end()
    deadline = time.monotonic() + 5
    while engine.query("up") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert engine.query("up") == []
    time.sleep(1.5)
    assert receiver.received() == []


def test_a_bot_that_dies_of_an_exception_is_told(start_engine, start_bot, receiver):
    engine = start_engine("--webhook", receiver.url)
    bot = start_bot()
    engine.wait_for_query("up == 1")
    bot.die("raise RuntimeError('no more margin')")
    receiver.wait_for("BotDown")


@pytest.mark.parametrize("way", ["sys.exit(3)", "raise KeyboardInterrupt", "os.kill(os.getpid(), 15)"])
def test_a_bot_that_is_stopped_on_purpose_alarms_nobody(start_engine, start_bot, receiver, way):
    engine = start_engine("--webhook", receiver.url)
    bot = start_bot()
    engine.wait_for_query("up == 1")
    bot.die(way)
    deadline = time.monotonic() + 5
    while engine.query("up") and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.5)
    assert receiver.received() == []


def test_a_living_bot_cannot_be_forgotten_and_a_dead_one_can(start_engine, start_bot, receiver):
    engine = start_engine("--webhook", receiver.url)
    bot = start_bot()
    engine.wait_for_query("up == 1")
    refused = forget(engine)
    assert refused.returncode == 2
    assert "lives" in refused.stderr
    bot.kill()
    receiver.wait_for("BotDown")
    assert forget(engine).returncode == 0
    receiver.wait_for("BotDown", status="resolved")


def forget(engine) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "algowatch", "forget", "gamma-bot"]
    return subprocess.run(command, env=engine.environment, capture_output=True, text=True, timeout=20, check=False)


def test_a_bot_that_died_while_no_engine_ran_is_told_when_one_starts(start_engine, start_bot, receiver):
    start_bot().kill()
    start_engine("--webhook", receiver.url)
    receiver.wait_for("BotDown")


def test_an_alert_from_the_bot_is_at_the_receiver_within_250_ms(start_engine, start_bot, receiver):
    engine = start_engine("--webhook", receiver.url)
    bot = start_bot()
    engine.wait_for_query("up == 1")
    delays = []
    for number in range(8):
        sent_at = time.time()
        bot.run(f"watch.alerts.critical('Kill switch {number}', 'P&L -5.2 %', component='risk')")
        at, alert = receiver.wait_for(f"KillSwitch{number}")
        delays.append(at - sent_at)
        time.sleep(0.05)
    assert alert["annotations"]["description"] == "P&L -5.2 %"
    assert statistics.median(delays) < 0.25, delays


def test_a_breach_in_a_metric_fires_and_resolves(start_engine, start_bot, receiver):
    engine = start_engine("--webhook", receiver.url)
    bot = start_bot()
    bot.run("watch.kill_switches.release(switch='daily_loss')")
    engine.wait_for_query("trading_kill_switch_active == 0")
    breached_at = time.time()
    bot.run("watch.kill_switches.trip(switch='daily_loss')")
    at, alert = receiver.wait_for("KillSwitchActive")
    assert at - breached_at < 2.5
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"]
    bot.run("watch.kill_switches.release(switch='daily_loss')")
    receiver.wait_for("KillSwitchActive", status="resolved")
    deadline = time.monotonic() + 5
    while (told := told_by_webhook(engine)) != ["resolved", "firing"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told == ["resolved", "firing"]


def told_by_webhook(engine) -> list[str]:
    """What the delivery record holds for the webhook, newest first; it is written when the receiver has answered."""
    return [entry["status"] for entry in engine.get("/api/notifications") if entry["integration"] == "webhook"]


def test_a_restarted_bot_continues_its_series(start_engine, start_bot):
    engine = start_engine()
    first = start_bot()
    engine.wait_for_query("up == 1")
    first.end()
    start_bot()
    engine.wait_for_query("up == 1")
    assert len(engine.get("/api/v1/series", **{"match[]": "up"})) == 1


def test_rules_of_the_users_own_files_fire(start_engine, start_bot, receiver, tmp_path):
    (tmp_path / "rules.yml").write_text(
        "groups:\n"
        "  - name: desk\n"
        "    rules:\n"
        "      - alert: TooManyWorkingOrders\n"
        "        expr: sum by (instance) (trading_orders_working) > 50\n"
        "        labels: {severity: warning}\n"
        '        annotations: {summary: "{{ $value }} orders are working on {{ $labels.instance }}"}\n'
    )
    (tmp_path / "prometheus.yml").write_text("rule_files: [rules.yml]\n")
    start_engine("--webhook", receiver.url, "--config", str(tmp_path / "prometheus.yml"))
    start_bot().run("watch.orders.working.set(60, strategy='a')")
    _, alert = receiver.wait_for("TooManyWorkingOrders")
    assert alert["annotations"]["summary"] == "60 orders are working on gamma-bot"


def test_the_live_stream_brings_a_value_soon_after_it_changed(start_engine, start_bot):
    engine = start_engine()
    bot = start_bot()
    bot.run("watch.pnl.daily.set(1, currency='USD')")
    engine.wait_for_query("trading_daily_pnl")
    with urllib.request.urlopen(f"{engine.url}/api/live?query=trading_daily_pnl&query=sum(", timeout=10) as stream:
        bot.run("watch.pnl.daily.set(2, currency='USD')")
        changed_at = time.monotonic()
        for line in stream:
            if not line.startswith(b"data: "):
                continue
            value, broken = json.loads(line[6:])["results"]
            if value["result"][0]["value"][1] == "2":
                break
        # One second until it is scraped, one until it is on the page.
        assert time.monotonic() - changed_at < 2.2
    assert "parse error" in broken["error"]


def test_sigterm_ends_the_engine_within_five_seconds_with_a_page_open(start_engine, start_bot):
    engine = start_engine()
    start_bot()
    engine.wait_for_query("up == 1")
    with urllib.request.urlopen(f"{engine.url}/api/live?query=up", timeout=10) as stream:
        stream.readline()
        assert engine.terminate() < 5
    assert engine.process.returncode == 0
    assert not (engine.folder / "state" / "engine.json").exists()


def test_kill_9_of_the_engine_loses_nothing_that_was_shown_and_doubles_nothing(start_engine, start_bot):
    """`make soak` does this fifty times."""
    engine = start_engine()
    bot = start_bot()
    bot.run("probe = watch.gauge('probe', 'Counts the rounds'); probe.set(0)")
    engine.wait_for_query("probe")
    shown = {}
    for number in range(int(os.environ.get("ALGOWATCH_KILLS", "5"))):
        bot.run(f"probe.set({number})")
        # At another moment of the scrape's second each time.
        time.sleep(0.2 + 0.37 * number % 1.3)
        shown |= stored_samples(engine)
        engine.kill()
        engine.start()
        after = stored_samples(engine)
        missing = {at: value for at, value in shown.items() if after.get(at) != value}
        assert not missing, f"round {number}: {missing} were shown before the kill and are gone"
    assert len(shown) >= 3


def stored_samples(engine) -> dict[float, str]:
    """Every stored sample of the probe by its time."""
    result = engine.get("/api/v1/query", query="probe[1h]")["result"]
    pairs = [tuple(pair) for series in result for pair in series["values"]]
    times = [at for at, _ in pairs]
    assert times == sorted(set(times)), "a sample is there twice, or out of order"
    return dict(pairs)


@pytest.mark.peer("prometheus-node-exporter")
def test_a_real_node_exporter_is_scraped_and_read_back(start_engine, free_port, tmp_path):
    port = free_port()
    exporter = subprocess.Popen(
        ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (tmp_path / "prometheus.yml").write_text(
            f"global: {{scrape_interval: 1s}}\nscrape_configs:\n"
            f"  - job_name: node\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        )
        engine = start_engine("--config", str(tmp_path / "prometheus.yml"))
        assert engine.wait_for_query('up{job="node"} == 1')
        (_, total), *_ = engine.wait_for_query("node_memory_MemTotal_bytes")
        with open("/proc/meminfo") as meminfo:
            assert total == int(meminfo.readline().split()[1]) * 1024
        assert engine.wait_for_query("sum(rate(node_cpu_seconds_total[10s])) > 0")
    finally:
        exporter.kill()
        exporter.wait(10)


@pytest.mark.peer("promtool")
def test_promtool_asks_the_engine_as_it_asks_prometheus(start_engine, start_bot):
    engine = start_engine()
    start_bot()
    engine.wait_for_query("up == 1")
    asked = subprocess.run(
        ["promtool", "query", "instant", engine.url, "up"], capture_output=True, text=True, timeout=20, check=True
    )
    assert asked.stdout.startswith('up{instance="gamma-bot", job="bots"} => 1 @')
    labels = subprocess.run(
        ["promtool", "query", "labels", engine.url, "instance"], capture_output=True, text=True, timeout=20, check=True
    )
    assert labels.stdout.split() == ["gamma-bot"]
