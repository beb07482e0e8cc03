"""Captured metrics: a watch for the tests of a bot, and questions to it.

with algowatch.testing.capture() as watch:
    my_strategy(watch)
    assert watch.value("trading_orders_submitted_total", side="BUY") == 1
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from algowatch.telemetry.cells import HistogramCell
from algowatch.telemetry.spool import OwedAlert
from algowatch.telemetry.watch import Watch, WatchOptions, stand_in


class CapturedWatch(Watch):
    """A Watch that serves nothing, registers nowhere, and tells what was recorded. Wrong use raises (strict)."""

    def __init__(self, options: WatchOptions) -> None:
        super().__init__(options)
        self._sent: list[OwedAlert] = []
        self.alerts.tap = self._sent.append

    def value(self, name: str, **labels: str) -> float:
        """The sum over the series of a family whose labels have these values; 0 where there is none.

        Raises: KeyError for a family that does not exist; for a histogram ask `count` and `total`.
        """
        return float(sum(cell.v for cell in self._cells(name, labels)))

    def count(self, name: str, **labels: str) -> int:
        """How many values a histogram has observed."""
        return sum(sum(cell.counts) for cell in self._cells(name, labels) if isinstance(cell, HistogramCell))

    def total(self, name: str, **labels: str) -> float:
        """The sum of the values that a histogram has observed."""
        return sum(cell.sum for cell in self._cells(name, labels) if isinstance(cell, HistogramCell))

    def series(self, name: str) -> list[dict[str, str]]:
        """The labels of every series of a family, in the order in which they came to be."""
        recorder = self.recorder(name)
        names = recorder.family.labels
        return [{label: text for label, text in zip(names, values, strict=True) if text} for values, _ in recorder]

    @property
    def sent_alerts(self) -> list[OwedAlert]:
        """The alerts that were raised, oldest first."""
        return list(self._sent)

    def _cells(self, name: str, labels: dict[str, str]) -> Iterator[Any]:
        recorder = self.recorder(name)
        unknown = labels.keys() - set(recorder.family.labels)
        if unknown:
            raise KeyError(f"{name} has no label {', '.join(sorted(unknown))}; labels: {', '.join(recorder.family.labels)}")
        for values, cell in recorder:
            given = dict(zip(recorder.family.labels, values, strict=True))
            if all(given[label] == text for label, text in labels.items()):
                yield cell


@contextmanager
def capture(name: str = "test-bot", *, profile: str = "base", strict: bool = True) -> Iterator[CapturedWatch]:
    """A watch of its own for a `with` block; `algowatch.start(name)` inside the block gives the same one."""
    watch = CapturedWatch(WatchOptions(name=name, profile=profile, strict=strict, discover=False, host_metrics=False))
    with stand_in(watch):
        yield watch
