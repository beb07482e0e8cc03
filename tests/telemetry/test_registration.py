"""A bot's file, from start to exit, kill, fork and restart."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from algowatch.errors import UsageError
from algowatch.telemetry.registration import (
    BotRecord,
    EngineRecord,
    file_name,
    forget,
    list_bots,
    process_alive,
    read_bot,
    read_engine,
    register,
    state_directory,
    write_engine,
)

BOT = """
import algowatch, sys
watch = algowatch.start("gamma-bot", host_metrics=False)
print(watch.instance, watch.port, flush=True)
sys.stdin.readline()
"""


class Bot:
    """A bot in a process of its own."""

    def __init__(self, code: str = BOT) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.instance, _, self.port = self.process.stdout.readline().strip().partition(" ")

    def end(self, with_signal: int | None = None) -> int:
        if with_signal is not None:
            self.process.send_signal(with_signal)
        self.process.communicate("\n", timeout=10)
        return self.process.returncode


@pytest.fixture
def bots(state):
    made: list[Bot] = []

    def make(code: str = BOT) -> Bot:
        made.append(Bot(code))
        return made[-1]

    yield make
    for bot in made:
        if bot.process.poll() is None:
            bot.process.kill()
            bot.process.communicate()


def test_the_file_is_in_prometheus_shape_and_nobody_elses_business(start_bot, state):
    watch = start_bot("gamma-bot", profile="options", labels={"desk": "vol"}, logs=["/var/log/a.log", "/var/log/b.log"])
    path = state / "bots" / "gamma-bot.json"
    (group,) = json.loads(path.read_text())
    assert group["targets"] == [f"127.0.0.1:{watch.port}"]
    started = group["labels"].pop("__meta_algowatch_process_started")
    assert group["labels"] == {
        "job": "bots",
        "instance": "gamma-bot",
        "desk": "vol",
        "__meta_algowatch_pid": str(os.getpid()),
        "__meta_algowatch_profile": "options",
        "__meta_algowatch_logs": "/var/log/a.log;/var/log/b.log",
    }
    assert process_alive(os.getpid(), float(started))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [bot.instance for bot in list_bots(state)] == ["gamma-bot"]


def test_a_clean_exit_takes_the_file_away(bots, state):
    bot = bots()
    assert (state / "bots" / "gamma-bot.json").exists()
    assert bot.end() == 0
    assert list_bots(state) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_bot_leaves_its_file_and_gets_its_name_back(bots, state, how):
    bot = bots()
    assert bot.end(how) == -how
    (left,) = list_bots(state)
    assert not left.alive()
    again = bots()
    assert again.instance == "gamma-bot"
    assert [record.instance for record in list_bots(state)] == ["gamma-bot"]
    assert list_bots(state)[0].alive()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_bot_that_is_stopped_by_sigterm_takes_its_file_back_and_dies_of_the_signal(bots, state):
    assert bots().end(signal.SIGTERM) == -signal.SIGTERM
    assert list_bots(state) == []


def test_live_processes_of_one_name_are_numbered_and_a_number_is_used_again(bots, state):
    first, second, third = bots(), bots(), bots()
    assert [each.instance for each in (first, second, third)] == ["gamma-bot", "gamma-bot-2", "gamma-bot-3"]
    second.end()
    assert bots().instance == "gamma-bot-2"
    assert len({record.address for record in list_bots(state)}) == 3


FORKING_BOT = """
import algowatch, os, sys
watch = algowatch.start("gamma-bot", host_metrics=False)
watch.orders.submitted(strategy="s")
kept = watch.registry.recorders["trading_orders_submitted_total"].bind(strategy="s")
child = os.fork()
if child == 0:
    assert watch.port == 0
    assert b'submitted_total{strategy="s"} 0.0' in watch.exposition()
    kept.inc(5)
    assert b'submitted_total{strategy="s"} 5.0' in watch.exposition()
    if sys.argv[1:] == ["start"]:
        again = algowatch.start("gamma-bot")
        assert again is watch and watch.instance == "gamma-bot-2" and watch.port > 0
        import urllib.request
        with urllib.request.urlopen(watch.url + "/metrics") as answer:
            assert b'submitted_total{strategy="s"} 5.0' in answer.read()
        watch.stop()
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
from pathlib import Path
print(sorted(path.name for path in (Path(os.environ["ALGOWATCH_STATE_DIR"]) / "bots").glob("*.json")))
import urllib.request
with urllib.request.urlopen(watch.url + "/metrics") as answer:
    assert b'submitted_total{strategy="s"} 1.0' in answer.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.parametrize("arguments", [[], ["start"]], ids=["silent child", "child that starts"])
def test_a_forked_child_counts_from_zero_and_leaves_the_parents_file_alone(state, arguments):
    done = subprocess.run(
        [sys.executable, "-c", FORKING_BOT, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['gamma-bot.json']"


def test_a_number_that_another_process_got_is_not_the_bot(state):
    assert not process_alive(os.getpid(), 1.0)
    register(BotRecord("gamma-bot", "127.0.0.1:1", os.getppid(), process_started=1.0), state)
    mine = register(BotRecord("gamma-bot", "127.0.0.1:2", os.getpid()), state)
    assert mine.instance == "gamma-bot"


@pytest.mark.parametrize("content", ["", "{", "[]", "[1]", '[{"targets":[],"labels":{}}]', '[{"targets":["a:1"],"labels":[]}]'])
def test_a_damaged_file_hides_no_other(state, content):
    register(BotRecord("good", "127.0.0.1:1", os.getpid()), state)
    (state / "bots" / "bad.json").write_text(content)
    assert [record.instance for record in list_bots(state)] == ["good"]
    assert register(BotRecord("bad", "127.0.0.1:2", os.getpid()), state).instance == "bad"


def test_a_name_that_no_file_system_likes_is_still_a_name(state):
    record = register(BotRecord("../ΔΓ bot: 1", "127.0.0.1:1", os.getpid()), state)
    assert record.path is not None
    assert record.path.parent == state / "bots"
    assert read_bot(record.path).instance == "../ΔΓ bot: 1"
    assert file_name("ok-1.a_b") == "ok-1.a_b.json"
    with pytest.raises(UsageError, match="lives, as process"):
        forget("../ΔΓ bot: 1", state)
    register(BotRecord("gone", "127.0.0.1:1", 2**22 + 1), state)
    assert forget("gone", state)
    assert not forget("gone", state)


def test_the_state_directory_follows_the_environment():
    assert state_directory({"ALGOWATCH_STATE_DIR": "/a"}) == Path("/a")
    if sys.platform == "linux":
        assert state_directory({"XDG_STATE_HOME": "/x"}) == Path("/x/algowatch")
        assert state_directory({}) == Path.home() / ".local/state/algowatch"


def test_the_engine_is_found_and_damage_means_none(state):
    record = EngineRecord("http://127.0.0.1:5174", 12, 34)
    path = write_engine(record, state)
    assert read_engine(state) == record
    path.write_text("{")
    assert read_engine(state) is None
