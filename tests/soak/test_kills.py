"""`kill -9` at random moments of appending, sealing, compaction, deletion and backup. `make soak` does it 500 times."""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from algowatch.store import Store, StoreOptions, restore

PROGRAM = Path(__file__).with_name("killed_store.py")
KILLS = int(os.environ.get("ALGOWATCH_STORE_KILLS", "12"))
KILLS_PER_DIRECTORY = 12
KEEP_ALL = StoreOptions(retention_ms=0)


def load_program():
    spec = importlib.util.spec_from_file_location("killed_store", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program = load_program()


class Told:
    """What the killed processes have said about one directory."""

    def __init__(self):
        self.rows = set()
        self.begun_deletions = []
        self.deletions = []
        self.begun_backups = {}
        self.backups = []
        self.counts = defaultdict(int)

    def hear(self, line):
        what, *rest = line.split()
        assert what != "failed", line
        self.counts[what] += 1
        if what in ("row", "shown"):
            self.rows.add((rest[0], int(rest[1])))
        elif what == "late":
            self.rows.add(("late", int(rest[0])))
        elif what == "deleting":
            self.begun_deletions.append((int(rest[0]), int(rest[1]), max(step for _, step in self.rows | {("a", 0)})))
        elif what == "deleted":
            self.deletions.append(self.begun_deletions[-1])
        elif what == "saving":
            self.begun_backups[rest[0]] = int(rest[1])
        elif what == "saved":
            self.backups.append((rest[0], self.begun_backups[rest[0]]))

    def wanted(self, up_to=10**9):
        """{(stream, n): steps} that have to be there: acknowledged or shown, and no deletion of them was begun."""
        struck = {step for first, last, _ in self.begun_deletions for step in range(first, last + 1)}
        steps = defaultdict(set)
        for stream, step in self.rows:
            if step + (2 if stream == "late" else 0) > up_to:
                continue  # a late sample is appended two steps after its time
            for n in range(1 if stream == "late" else program.layout_size(stream, step)):
                if stream == "late" or n % 5 != 4 or step not in struck:
                    steps[stream, n].add(step)
        return steps

    def gone(self):
        """Steps of the victims that must not be there: written before their deletion began, which was acknowledged.

        Of the newest step that was heard of, the other stream's row may have come after the deletion.
        """
        return {step for first, last, newest in self.deletions for step in range(first, min(last, newest - 1) + 1)}


@pytest.fixture(scope="module")
def killed():
    server = subprocess.Popen([sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield server
    server.stdin.close()
    server.wait()
    server.stdout.close()


def work_until_killed(killed, directory, told, rng):
    """One process in `directory`, killed at a random moment: while it opens, soon after, or in full swing."""
    killed.stdin.write(f"{directory}\n")
    killed.stdin.flush()
    process = int(killed.stdout.readline().split()[1])
    wanted = told.counts["row"] + rng.choice([0, 1, 10, 40, 80])
    while told.counts["row"] < wanted:
        told.hear(killed.stdout.readline())
    time.sleep(rng.uniform(0, 0.05))
    os.kill(process, signal.SIGKILL)
    while (line := killed.stdout.readline().strip()) != "end":
        told.hear(line)


def stored(store):
    """{(stream, n): steps}; every value is the one that was written, no series and no time stands there twice."""
    found = {}
    for matrix in store.select([], -(10**15), 10**15):
        times = matrix.timestamps_ms // program.SPACING_MS
        assert (np.diff(times) > 0).all()
        for row, labels in enumerate(matrix.labels):
            key = (labels.get("stream"), int(labels.get("n")))
            there = slice(None) if matrix.present is None else matrix.present[row]
            steps = times[there]
            assert key not in found, "a series stands in two matrices"
            assert (matrix.values[row][there] == program.value_of(key[0], 0, key[1]) + steps * 0.25).all()
            found[key] = set(steps.tolist())
    return found


def missing(told_steps, found):
    return {key: sorted(steps - found.get(key, set())) for key, steps in told_steps.items() if steps - found.get(key, set())}


def check_store(directory, told):
    with Store.open(directory / "data", KEEP_ALL, program.NewestClock()) as store:
        found = stored(store)
        assert missing(told.wanted(), found) == {}
        gone = told.gone()
        back = {key: steps & gone for key, steps in found.items() if key[0] != "late" and key[1] % 5 == 4 and steps & gone}
        assert back == {}, "deleted samples are back"
        checked = store.check()
        assert checked.problems == []
        assert checked.samples == store.stats().samples == sum(map(len, found.values()))


def check_backups(directory, told):
    """Each acknowledged backup holds what was acknowledged before it began, and can be restored."""
    for number, step in told.backups:
        restore(directory / f"{number}.backup", directory / number)
        with Store.open(directory / number, KEEP_ALL) as store:
            assert missing(told.wanted(step), stored(store)) == {}


@pytest.mark.timeout(1200)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked, to be fast")
def test_nothing_acknowledged_or_shown_is_lost_or_doubled_by_kills(killed, tmp_path):
    rng = random.Random(KILLS)
    counts = defaultdict(int)
    for kill in range(KILLS):
        if kill % KILLS_PER_DIRECTORY == 0:
            told, directory = Told(), tmp_path / str(kill)
            directory.mkdir()
        work_until_killed(killed, directory, told, rng)
        check_store(directory, told)
        if kill % KILLS_PER_DIRECTORY == KILLS_PER_DIRECTORY - 1 or kill == KILLS - 1:
            check_backups(directory, told)
            for what, count in told.counts.items():
                counts[what] += count
    print(f"{KILLS} kills: " + ", ".join(f"{count} × {what}" for what, count in sorted(counts.items())))
    assert counts["row"] > 10 * KILLS
    assert all(counts[what] for what in ("late", "shown", "deleting", "saving"))
    assert KILLS < 100 or (counts["deleted"] and counts["saved"])
