"""A week of history for the demo, made in seconds: the simulation runs fast, and what its bot would have exported is stored."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from algowatch.demo.recording import Recording
from algowatch.demo.trader import Trader
from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.model.protocols import Layout
from algowatch.scrape.body import BodyReader
from algowatch.scrape.exposition import Exposition
from algowatch.telemetry.exposition import render
from algowatch.telemetry.watch import Watch, WatchOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from algowatch.model.protocols import FloatMatrix, TimeVector

_STREAM = "back-fill"
# From when before the end, and how far apart the samples are: coarse for the week, fine for what the first screen shows.
_RESOLUTIONS_S = ((7 * 86_400, 120), (86_400, 60), (2 * 3600, 15), (10 * 60, 1))
_HALT_S = 3600


class AppendBlock(Protocol):
    """Stores many rows at once; see `Store.append_block`."""

    def __call__(self, stream: str, timestamps_ms: TimeVector, layout: Layout, values: FloatMatrix) -> object: ...


def sample_times(end: int) -> list[int]:
    """The moments of the history in seconds since the epoch, ascending, the last one just before `end`."""
    times: list[int] = []
    starts = [end - before for before, _ in _RESOLUTIONS_S] + [end]
    for (start, stop), (_, step) in zip(pairwise(starts), _RESOLUTIONS_S, strict=True):
        times.extend(range(start, stop, step))
    return times


def backfill(append_block: AppendBlock, trader: Trader, end: int, target: dict[str, str]) -> int:
    """Run the simulation up to `end` and store what its bot exports; returns how many samples that were.

    target: the labels that the scrape of the bot will put on its series.
    """
    watch = Watch(WatchOptions(name=target["instance"], discover=False, host_metrics=False))
    recording = Recording(watch)
    trader.journal = recording
    recording.link(True)
    recording.kill_switch(False, "")
    stored = 0
    for times, layout, values in _runs(_scrapes(trader, recording, watch, sample_times(end)), target):
        append_block(_STREAM, times, layout, values)
        stored += values.size
    return stored


def _scrapes(
    trader: Trader, recording: Recording, watch: Watch, times: list[int]
) -> Iterator[tuple[int, Exposition, NDArray[np.float64]]]:
    """What one scrape after another would have brought: time in ms, the layout, the values."""
    reader = BodyReader()
    halted_at = 0
    for now in times:
        trader.step(float(now))
        if trader.halted and not halted_at:
            halted_at = now
        elif halted_at and now - halted_at >= _HALT_S:
            halted_at = 0
            trader.release_kill_switch()
        recording.update(trader)
        values = reader.read(render(watch.registry, pause=_no_pause), openmetrics=False)
        yield now * 1000, reader.exposition, values


def _no_pause() -> None:
    """Nobody trades in this process, so the renderer need not make way for anybody."""


Run = tuple["TimeVector", Layout, "FloatMatrix"]


def _runs(scrapes: Iterator[tuple[int, Exposition, NDArray[np.float64]]], target: dict[str, str]) -> Iterator[Run]:
    """Scrapes with the same layout, put together into one block."""
    times: list[int] = []
    rows: list[NDArray[np.float64]] = []
    layout: Layout | None = None
    known: Exposition | None = None
    for time_ms, exposition, values in scrapes:
        if exposition is not known:
            if layout is not None:
                yield _block(times, layout, rows)
            layout, known = _layout(exposition, target), exposition
            times, rows = [], []
        times.append(time_ms)
        rows.append(np.concatenate([values, [1.0, 1.0]]))
    if layout is not None:
        yield _block(times, layout, rows)


def _layout(exposition: Exposition, target: dict[str, str]) -> Layout:
    """The exported series under the target's labels, and the two series that say that the bot was up."""
    exported = [sample.labels.with_labels(target) for sample in exposition.samples]
    up = [Labels.of({METRIC_NAME: "up", **target}), Labels.of({METRIC_NAME: "algowatch_bot_up", **target})]
    return Layout([*exported, *up])


def _block(times: list[int], layout: Layout, rows: list[NDArray[np.float64]]) -> Run:
    return np.array(times, dtype=np.int64), layout, np.ascontiguousarray(np.array(rows).T)
