"""Processes that write as fast as they can until they are killed; a program for test_kill.py.

For each directory on its standard input it forks a writer, prints `pid N`, then after the writer's end `end`. The writer
prints `ready`, then `stream timestamp` after each append has returned; a second thread seals and merges all the time.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import numpy as np

from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions

SPACING_MS = 100_000  # 72 rows make two hours, so that merging is due often
LAYOUTS = [
    Layout([Labels.of({"__name__": f"family_{number % 5}", "stream": stream, "n": str(number)}) for number in range(size)])
    for stream, size in (("a", 20), ("b", 20), ("b", 25))
]


class NewestClock:
    """Time stands at the newest row, so that the retention deletes nothing and old windows are ready to be merged."""

    newest_ms = 0

    def now_ms(self) -> int:
        return self.newest_ms

    def monotonic(self) -> float:
        return 0.0


def value_of(stream: str, timestamp_ms: int, n: int) -> float:
    return timestamp_ms // SPACING_MS * 0.25 + n * 1000 + (500 if stream == "b" else 0)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # one write of a short line to a pipe is whole or not at all


def write(directory: str) -> None:
    clock = NewestClock()
    store = Store.open(Path(directory), StoreOptions(seal_rows=5), clock)
    first = (store.stats().last_ms or 0) // SPACING_MS + 1

    def keep_house() -> None:
        rounds = 0
        while True:
            rounds += 1
            if rounds % 4:
                store.maintain()
            else:
                store.compact()

    threading.Thread(target=keep_house, daemon=True).start()
    say("ready")
    for step in range(first, first + 1_000_000):
        timestamp_ms = step * SPACING_MS
        clock.newest_ms = timestamp_ms
        for stream, layout in (("a", LAYOUTS[0]), ("b", LAYOUTS[1 + step // 3 % 2])):
            values = np.array([value_of(stream, timestamp_ms, n) for n in range(len(layout))])
            store.append(stream, timestamp_ms, layout, values)
            say(f"{stream} {timestamp_ms}")


def serve() -> None:
    for line in sys.stdin:
        writer = os.fork()
        if writer == 0:
            write(line.strip())
        say(f"pid {writer}")
        os.waitpid(writer, 0)
        say("end")


if __name__ == "__main__":
    serve()
