"""A store in the middle of everything, until it is killed; a program for test_kills.py.

For each directory on its standard input it forks a process, prints `pid N`, then after that one's end `end`. The process
appends rows and late samples, seals, merges, deletes and backs up at the same time, and says one line after each thing that
has returned: `row STREAM STEP`, `late STEP`, `shown STREAM STEP`, `deleted FIRST LAST`, `saved NUMBER`; before the last two
also `deleting FIRST LAST` and `saving NUMBER STEP`, with the newest acknowledged row.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path

import numpy as np

from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions, back_up

SPACING_MS = 100_000  # 72 rows make two hours, so that merging is due often
SIZES = {"a": 20, "b": 30}
VICTIM = "family_4"
LATE = Labels.of({"__name__": "late", "stream": "late", "n": "0"})


def series_of(stream: str) -> list[Labels]:
    return [
        Labels.of({"__name__": f"family_{number % 5}", "stream": stream, "n": str(number)}) for number in range(SIZES[stream])
    ]


def layout_size(stream: str, step: int) -> int:
    """Stream b has two layouts, which alternate."""
    return SIZES[stream] - (5 if stream == "b" and step // 3 % 2 else 0)


def value_of(stream: str, step: int, n: int) -> float:
    return step * 0.25 + n * 1000 + {"a": 0, "b": 500, "late": 250}[stream]


class NewestClock:
    """Time stands at the newest row, so that old windows are ready to be merged."""

    newest_ms = 0

    def now_ms(self) -> int:
        return self.newest_ms

    def monotonic(self) -> float:
        return 0.0


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # one write of a short line to a pipe is whole or not at all


class Busy:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = NewestClock()
        self.random = random.Random(os.getpid())
        self.store = Store.open(directory / "data", StoreOptions(retention_ms=0, seal_rows=5), self.clock)
        self.step = (self.store.stats().last_ms or 0) // SPACING_MS

    def run(self) -> None:
        for work in (self.keep_house, self.look, self.delete_and_save):
            threading.Thread(target=self.forever, args=(work,), daemon=True).start()
        self.forever(self.append)

    def forever(self, work) -> None:
        try:
            while True:
                work()
        except BaseException as error:
            say(f"failed {work.__name__}: {error!r}")
            os._exit(1)

    def append(self) -> None:
        step = self.step + 1
        self.clock.newest_ms = step * SPACING_MS
        for stream in SIZES:
            size = layout_size(stream, step)
            layout = LAYOUTS[stream, size]
            values = np.array([value_of(stream, step, n) for n in range(size)])
            self.store.append(stream, step * SPACING_MS, layout, values)
            say(f"row {stream} {step}")
        if step % 3 == 0:
            late = step - 2
            self.store.append_samples("late", [(LATE, late * SPACING_MS, value_of("late", late, 0))])
            say(f"late {late}")
        self.step = step

    def look(self) -> None:
        for stream in SIZES:
            since_ms = max(0, self.step - 20) * SPACING_MS
            for matrix in self.store.select([Matcher("stream", "=", stream), Matcher("n", "=", "0")], since_ms, 10**15):
                say(f"shown {stream} {int(matrix.timestamps_ms[-1]) // SPACING_MS}")

    def keep_house(self) -> None:
        if self.random.random() < 0.75:
            self.store.maintain()
        else:
            self.store.compact()

    def delete_and_save(self) -> None:
        if self.random.random() < 0.5:
            first = self.random.randrange(max(1, self.step))
            last = first + self.random.randrange(5)
            say(f"deleting {first} {last}")
            self.store.delete([[Matcher("__name__", "=", VICTIM)]], first * SPACING_MS, last * SPACING_MS)
            say(f"deleted {first} {last}")
        else:
            number = self.random.randrange(10**12)
            say(f"saving {number} {self.step}")
            back_up(self.directory / "data", self.directory / f"{number}.backup")
            say(f"saved {number}")


LAYOUTS = {(stream, size): Layout(series_of(stream)[:size]) for stream in SIZES for size in (SIZES[stream], SIZES[stream] - 5)}


def serve() -> None:
    for line in sys.stdin:
        busy = os.fork()
        if busy == 0:
            Busy(Path(line.strip())).run()
        say(f"pid {busy}")
        os.waitpid(busy, 0)
        say("end")


if __name__ == "__main__":
    serve()
