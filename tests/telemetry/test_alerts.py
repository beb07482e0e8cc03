"""The direct alert path, against real HTTP servers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import datetime

import pytest

from algowatch.telemetry.alerts import AlertOptions, alert_name
from algowatch.telemetry.registration import EngineRecord, remove_engine, write_engine
from algowatch.telemetry.spool import owed_alerts
from algowatch.telemetry.watch import Watch, WatchOptions, start_watch

QUICK = AlertOptions(retry_s=(0.05, 0.2), repeat_window_s=0.3)


@pytest.fixture
def bot(state):
    made = []

    def start(name="gamma-bot", options=QUICK, **more):
        watch = start_watch(WatchOptions(name, host_metrics=False, alert_options=options, **more))
        made.append(watch)
        return watch

    yield start
    for watch in made:
        watch.stop()


def test_a_critical_reaches_the_engine_at_once_as_alertmanager_wants_it(bot, receiver, state):
    receiver.register_as_engine(state)
    watch = bot(labels={"desk": "vol"})
    time.sleep(0.1)
    delays = []
    for number in range(1, 6):  # the quickest counts: the machine may be busy with other things
        before = time.monotonic()
        watch.alerts.critical("Kill switch activated", "P&L -5.2 %", component="risk", strategy="gamma", attempt=number)
        delays.append(receiver.wait(number)[-1][0] - before)
    assert min(delays) < 0.02
    _, path, body = receiver.posts[0]
    assert path == "/api/v2/alerts"
    assert body[0]["labels"] == {
        "alertname": "KillSwitchActivated",
        "severity": "critical",
        "instance": "gamma-bot",
        "component": "risk",
        "strategy": "gamma",
        "attempt": "1",
        "desk": "vol",
    }
    assert body[0]["annotations"] == {"summary": "Kill switch activated", "description": "P&L -5.2 %"}
    starts, ends = (datetime.fromisoformat(body[0][key]) for key in ("startsAt", "endsAt"))
    assert 299 < (ends - starts).total_seconds() < 301


def test_the_call_returns_at_once_while_the_engine_hangs(bot, receiver, state):
    receiver.register_as_engine(state)
    receiver.delay_s = 3
    watch = bot()
    before = time.perf_counter()
    for number in range(20):
        watch.alerts.critical(f"Alert {number}")
    assert time.perf_counter() - before < 0.5


def test_without_an_engine_it_goes_straight_to_the_channel(bot, receiver):
    bot(alerts=receiver.url + "/hook").alerts.critical("Feed lost", component="feed")
    _, path, body = receiver.wait()[0]
    assert (path, body["version"], body["status"]) == ("/hook", "4", "firing")
    assert body["alerts"][0]["labels"]["alertname"] == "FeedLost"


def test_a_hanging_engine_is_left_after_a_second(bot, receiver, second_receiver, state):
    receiver.register_as_engine(state)
    receiver.delay_s = 10
    watch = bot(alerts=[second_receiver.url])
    before = time.monotonic()
    watch.alerts.critical("Feed lost")
    assert second_receiver.wait()[0][0] - before < 5


def test_the_channel_is_found_in_the_environment(bot, receiver, monkeypatch):
    monkeypatch.setenv("ALGOWATCH_WEBHOOK_URL", receiver.url)
    bot().alerts.send_alert(severity="P0", title="Feed lost", message="no ticks", component="feed")
    assert receiver.wait()[0][2]["alerts"][0]["labels"]["severity"] == "critical"


def test_a_channel_gets_what_is_severe_enough_and_the_rest_waits_for_the_engine(bot, receiver, state, monkeypatch):
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", receiver.url)
    watch = bot()
    watch.alerts.info("Market opens")
    watch.alerts.error("Margin low")
    receiver.wait()
    assert not watch.alerts.flush(0.2)
    assert len(receiver.posts) == 1
    assert "Margin low" in str(receiver.posts[0][2])
    spool = state / "spool" / "gamma-bot.jsonl"
    assert [alert.labels["alertname"] for alert in owed_alerts(spool).values()] == ["MarketOpens"]


def test_a_callable_is_a_channel_and_what_it_raises_costs_a_retry(bot):
    seen = []

    def tell(alert) -> None:
        seen.append(alert.labels["alertname"])
        if len(seen) == 1:
            raise RuntimeError("once")

    watch = bot(alerts=[tell])
    watch.alerts.error("Margin low")
    assert watch.alerts.flush(3)
    assert seen == ["MarginLow", "MarginLow"]


def test_an_alert_waits_for_the_engine_and_still_fires_when_it_gets_there(bot, receiver, state):
    watch = bot()
    watch.alerts.error("Margin low")
    assert not watch.alerts.flush(0.2)
    spool = state / "spool" / "gamma-bot.jsonl"
    assert [alert.labels["alertname"] for alert in owed_alerts(spool).values()] == ["MarginLow"]
    receiver.status = 503
    receiver.register_as_engine(state)
    receiver.wait(2)
    receiver.status = 200
    assert watch.alerts.flush(3)
    last = receiver.posts[-1][2][0]
    assert datetime.fromisoformat(last["endsAt"]).timestamp() > time.time() + 290
    assert not spool.exists()


def test_a_refusal_that_no_repetition_mends_is_dropped_and_counted(bot, receiver, state):
    receiver.register_as_engine(state)
    receiver.status = 400
    watch = bot()
    watch.alerts.error("Margin low")
    assert watch.alerts.flush(3)
    assert "algowatch_alerts_dropped_total 1.0" in watch.exposition().decode()


def test_repeats_go_out_once_and_are_counted(bot, receiver, state):
    receiver.register_as_engine(state)
    watch = bot()
    watch.alerts.warning("Slow feed", "first")
    receiver.wait(1)
    assert watch.alerts.flush(2)
    for _ in range(50):
        watch.alerts.warning("Slow feed", "again")
    receiver.wait(2)
    assert watch.alerts.flush(2)
    assert len(receiver.posts) == 2
    assert receiver.posts[1][2][0]["annotations"] == {"summary": "Slow feed", "description": "again", "repeats": "50"}


def test_resolve_ends_the_same_alert_at_once(bot, receiver, state):
    receiver.register_as_engine(state)
    watch = bot()
    watch.alerts.critical("Feed lost", component="feed")
    receiver.wait(1)
    assert watch.alerts.flush(2)
    watch.alerts.resolve("critical", "Feed lost", component="feed")
    (_, _, fired), (_, _, over) = receiver.wait(2)
    assert fired[0]["labels"] == over[0]["labels"]
    assert datetime.fromisoformat(over[0]["endsAt"]).timestamp() <= time.time()


def test_a_full_queue_drops_the_least_severe_and_counts_it():
    watch = Watch(WatchOptions("a", discover=False, alert_options=AlertOptions(queue_size=3)))
    watch.alerts.stop()  # no thread will come and take from the queue
    watch.alerts.critical("A")
    for number in range(5):
        watch.alerts.info(f"I{number}")
    assert [alert.labels["alertname"] for alert, _ in watch.alerts._queue] == ["A", "I3", "I4"]
    assert watch.alerts.dropped == 3


DYING_BOT = """
import os, signal, time, algowatch
from pathlib import Path
watch = algowatch.start("dying-bot", host_metrics=False)
watch.alerts.critical("Last words", "drawdown 9 %")
spool = Path(os.environ["ALGOWATCH_STATE_DIR"]) / "spool" / "dying-bot.jsonl"
while not spool.exists():
    time.sleep(0.001)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_what_a_killed_bot_owes_its_next_life_sends(bot, receiver, state):
    died = subprocess.run([sys.executable, "-c", DYING_BOT], timeout=30, check=False)
    assert died.returncode == -signal.SIGKILL
    receiver.register_as_engine(state)
    bot("dying-bot")
    body = receiver.wait()[0][2]
    assert body[0]["labels"]["alertname"] == "LastWords"
    assert body[0]["annotations"]["description"] == "drawdown 9 %"


EXITING_BOT = """
import algowatch
algowatch.start("exiting-bot", host_metrics=False).alerts.critical("Goodbye")
"""


def test_a_clean_exit_delivers_first(receiver, state):
    receiver.register_as_engine(state)
    subprocess.run([sys.executable, "-c", EXITING_BOT], timeout=30, check=True)
    assert receiver.posts[0][2][0]["labels"]["alertname"] == "Goodbye"


def test_an_exit_waits_two_seconds_at_most(receiver, state):
    receiver.register_as_engine(state)
    receiver.delay_s = 20
    before = time.monotonic()
    subprocess.run([sys.executable, "-c", EXITING_BOT], timeout=30, check=True)
    assert time.monotonic() - before < 10
    assert (state / "spool" / "exiting-bot.jsonl").exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda a: a.critical(),
        lambda a: a.critical(None, 5, 6, 7),
        lambda a: a.critical("x", **{"bad name": 1, "__x": 2}),
        lambda a: a.send_alert(severity="catastrophic", title="x"),
        lambda a: a.error("x", lasts_s="soon"),
        lambda a: a.error("x" * 10_000, object(), component=["a"]),
    ],
)
def test_nonsense_never_raises(bot, call):
    call(bot(options=AlertOptions(flush_s=0.1)).alerts)


def test_a_title_makes_a_name():
    assert alert_name("kill-switch: P&L") == "KillSwitchPL"
    assert alert_name("!!!") == "BotAlert"


def test_only_its_own_process_takes_an_engines_address_away(state):
    write_engine(EngineRecord("http://127.0.0.1:1", 4711, 5), state)
    remove_engine(1, state)
    assert (state / "engine.json").exists()
    remove_engine(4711, state)
    assert not (state / "engine.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_critical_alert_that_was_a_bots_last_word_is_sent_by_its_next_life(tmp_path):
    last_word = "watch.alerts.critical('Margin call', 'flat by noon'); os.kill(os.getpid(), signal.SIGKILL)"
    program = f"import os, signal, algowatch; watch = algowatch.start('gamma', state_directory={str(tmp_path)!r}); {last_word}"
    died = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert died.returncode == -9
    (spool,) = tmp_path.rglob("*.jsonl")
    assert [owed.labels["alertname"] for owed in owed_alerts(spool).values()] == ["MarginCall"]
