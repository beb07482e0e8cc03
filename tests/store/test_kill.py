"""What the store promises across `kill -9`, by killing."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from algowatch.store import Store, StoreOptions

PROGRAM = Path(__file__).with_name("killed_writer.py")
ROUNDS = 50


def load_program():
    spec = importlib.util.spec_from_file_location("killed_writer", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def writers():
    server = subprocess.Popen([sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield server
    server.stdin.close()
    server.wait()
    server.stdout.close()


def write_until_killed(writers, directory, rows, after_s):
    """The acknowledged (stream, timestamp) pairs of one writer, killed so long after it acknowledged so many rows."""
    writers.stdin.write(f"{directory}\n")
    writers.stdin.flush()
    process, acknowledged = None, []

    def read_line():
        nonlocal process
        first, _, second = writers.stdout.readline().rstrip("\n").partition(" ")
        if first == "pid":
            process = int(second)
        elif second:
            acknowledged.append((first, int(second)))
        return first

    while process is None or len(acknowledged) < rows:
        assert read_line() != "end"
    time.sleep(after_s)
    os.kill(process, signal.SIGKILL)
    while read_line() != "end":
        pass
    return acknowledged


def stored_rows(store, program):
    """{(stream, timestamp): how many samples}; asserts that each has the value that was written, none comes twice."""
    rows = {}
    seen = set()
    for matrix in store.select([], -(10**15), 10**15):
        for row, labels in enumerate(matrix.labels):
            assert labels not in seen
            seen.add(labels)
            there = np.ones(len(matrix.timestamps_ms), bool) if matrix.present is None else matrix.present[row]
            for timestamp_ms, value in zip(
                matrix.timestamps_ms[there].tolist(), matrix.values[row][there].tolist(), strict=True
            ):
                assert value == program.value_of(labels.get("stream"), timestamp_ms, int(labels.get("n")))
                key = (labels.get("stream"), timestamp_ms)
                rows[key] = rows.get(key, 0) + 1
    return rows


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked, to be fast")
def test_every_acknowledged_row_is_there_exactly_once_after_fifty_kills(writers, tmp_path):
    program = load_program()
    rng = random.Random(20)
    acknowledged = []
    for round_number in range(ROUNDS):
        rows = rng.choice([0, 1, 3, 10, 30])
        acknowledged += write_until_killed(writers, tmp_path, rows, rng.uniform(0, 0.01))
        with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
            if round_number % 5 and round_number != ROUNDS - 1:
                continue  # opening is what every round checks; reading everything, every fifth
            rows = stored_rows(store, program)
            for stream, timestamp_ms in acknowledged:
                step = timestamp_ms // program.SPACING_MS
                layout = program.LAYOUTS[0 if stream == "a" else 1 + step // 3 % 2]
                assert rows.get((stream, timestamp_ms)) == len(layout)
            assert store.stats().samples == sum(rows.values())
    assert len(acknowledged) > 3 * ROUNDS
