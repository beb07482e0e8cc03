"""One target's schedule: fetch, read, build the row, append it; then wait for the next slot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import httpx2
import numpy as np

from algowatch.errors import ExpositionError, StoreError
from algowatch.model.clock import Clock
from algowatch.model.labels import Labels
from algowatch.model.protocols import Append
from algowatch.scrape.body import BodyReader
from algowatch.scrape.exposition import Exemplar, Metadata
from algowatch.scrape.fetch import Body, FetchError, fetch
from algowatch.scrape.ingest import IngestOptions, LimitError
from algowatch.scrape.row import Floats, Row, RowBuilder
from algowatch.scrape.schedule import aligned_timestamp_ms, first_delay_ms, next_slot_ms, offset_ms
from algowatch.scrape.target import Process, Target
from algowatch.telemetry.registration import read_bot

_log = logging.getLogger(__name__)

FAILURES_UNTIL_DOWN = 3
_THREAD_FROM_BYTES = 256 * 1024
_FAILURES_PER_LOG_LINE = 100
"""Strict parsing of more than this runs in a worker thread, so that other targets keep their time."""

Health = Literal["unknown", "up", "down"]
DatedSample = tuple[Labels, int, float]


def has_ended(target: Target) -> bool:
    """Whether a bot took its file back, or has come back as another process, so that its silence is no breakdown.

    The next look at the bots' folder ends or moves the loop.
    """
    path = target.discovered.get("__meta_filepath")
    if not target.is_bot or not path:
        return False
    try:
        return target.process is not None and read_bot(Path(path)).pid != target.process.pid
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


class AppendSamples(Protocol):
    """Writes samples that bring their own timestamps."""

    def __call__(self, stream: str, samples: Sequence[DatedSample]) -> object: ...


@dataclass(frozen=True, slots=True)
class ScrapeReport:
    """What `on_scraped` is told after each row that was stored."""

    job: str
    instance: str
    timestamp_ms: int
    samples: int
    duration_s: float
    up: bool


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How one target is fetched and read."""

    ingest: IngestOptions = field(default_factory=IngestOptions)
    headers: Callable[[], Mapping[str, str]] = dict
    """Called for each scrape, so that a token that is replaced in its file counts at once."""
    body_limit: int = 256 << 20
    fallback_protocol: str = ""


@dataclass(frozen=True, slots=True)
class LoopDependencies:
    """What a loop is handed: where rows go, the time, who wants to know, and whether a process lives."""

    append: Append
    append_samples: AppendSamples | None
    clock: Clock
    on_scraped: Callable[[ScrapeReport], None]
    is_alive: Callable[[Process], bool]
    on_exemplars: Callable[[Labels, Exemplar, int], None] = lambda labels, exemplar, timestamp_ms: None
    """Called with a stored series, its exemplar and the exemplar's time, for each that is new."""


@dataclass(slots=True)
class LoopState:
    """What the API shows of a target; times in ms and seconds."""

    health: Health = "unknown"
    last_error: str = ""
    last_scrape_ms: int = 0
    last_duration_s: float = 0.0
    samples: int = 0
    append_errors: int = 0
    skipped: int = 0


class TargetLoop:
    """Scrapes one target until it is stopped. `client` is shared by the targets of its job."""

    def __init__(self, target: Target, client: httpx2.AsyncClient, options: LoopOptions, given: LoopDependencies) -> None:
        self.target = target
        self.client = client
        self.options = options
        self.state = LoopState()
        self._given = given
        self._reader = BodyReader()
        self._rows = RowBuilder(target.labels, options.ingest, bot=target.is_bot)
        self.displaced = False
        """The process is gone, and another registered bot has its address: what answers there is not this target."""
        self._failures = 0
        self._not_stored = 0
        self._last_timestamp_ms = 0
        self._dated: dict[Labels, int] = {}
        self._exemplars: dict[Labels, Exemplar] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def metadata(self) -> dict[str, Metadata]:
        return self._reader.exposition.metadata

    def continue_from(self, before: TargetLoop) -> None:
        """Take over from a loop that was stopped because its job's settings changed."""
        self._rows.continue_from(before._rows)
        self._last_timestamp_ms, self._dated = before._last_timestamp_ms, before._dated
        self.state = before.state

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"scrape {self.target.url}")

    async def stop(self, *, gone: bool) -> None:
        """End the loop; a target that is gone gets staleness markers, one that only pauses does not."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        row = self._rows.ended() if gone else None
        if row is not None:
            self._store(row, self._next_timestamp_ms(self._given.clock.now_ms()))

    def wake(self) -> None:
        """Scrape now instead of at the next slot."""
        self._wake.set()

    def move(self, target: Target) -> None:
        """Go on with the same stream at another address: a bot came back on another port."""
        self.target = target
        self._failures = 0
        self._reader = BodyReader()
        self.wake()

    async def _run(self) -> None:
        if not self.target.is_bot:
            interval_ms = self.target.interval_ms
            await self._sleep(first_delay_ms(offset_ms(self.target.stream, interval_ms), interval_ms))
        slot_ms = self._given.clock.now_ms()
        while True:
            try:
                await self.scrape(slot_ms)
            except Exception as error:  # noqa: BLE001 - one target must not end its loop for good
                self.state.last_error = f"{type(error).__name__}: {error}"
                self.state.health = "down"
                _log.exception("the scrape of %s failed in an unforeseen way", self.target.url)
            slot_ms = await self._wait_for_slot(slot_ms)

    async def _wait_for_slot(self, last_ms: int) -> int:
        """Sleep to the next slot and return its time; slots that passed during the scrape are skipped and counted."""
        now_ms, interval_ms = self._given.clock.now_ms(), self.target.interval_ms
        slot_ms = next_slot_ms(now_ms, interval_ms, offset_ms(self.target.stream, interval_ms))
        self.state.skipped += max(0, (slot_ms - last_ms) // interval_ms - 1)
        woken = await self._sleep(slot_ms - now_ms)
        return self._given.clock.now_ms() if woken else slot_ms

    async def _sleep(self, delay_ms: int) -> bool:
        """Whether it was woken before its time."""
        try:
            async with asyncio.timeout(max(delay_ms, 0) / 1000):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def scrape(self, slot_ms: int | None = None) -> None:
        """One scrape: its row is stored when this returns, also that of a failed scrape."""
        clock = self._given.clock
        started_s, now_ms = clock.monotonic(), clock.now_ms()
        timestamp_ms = self._next_timestamp_ms(aligned_timestamp_ms(now_ms, slot_ms, self.target.interval_ms))
        problem, refused, samples = "", False, 0
        row: Row | None = None
        try:
            if self.target.problem:
                raise FetchError(self.target.problem)
            if self.displaced:
                raise FetchError("its process is gone, and another bot answers at its address", refused=True)
            values = await self._values(await self._fetch())
            samples = len(values)
            row = self._good_row(values, clock.monotonic() - started_s)
            self._pass_exemplars(timestamp_ms)
        except FetchError as error:
            problem, refused = str(error), error.refused
        except (ExpositionError, LimitError) as error:
            problem = str(error)
        duration_s = clock.monotonic() - started_s
        if row is None and has_ended(self.target):
            return
        if row is None:
            self._failures += 1
            row = self._rows.failed(duration_s, samples, self._bot_up(refused))
        else:
            self._failures = 0
        self._finish(row, timestamp_ms, duration_s, problem)

    async def _fetch(self) -> Body:
        options, target = self.options, self.target
        try:
            headers = {**options.headers(), "X-Prometheus-Scrape-Timeout-Seconds": f"{target.timeout_ms / 1000:g}"}
        except OSError as error:
            raise FetchError(f"credentials cannot be read: {error}") from None
        return await fetch(
            self.client,
            target.url,
            headers,
            timeout_ms=target.timeout_ms,
            limit=options.body_limit,
            fallback=options.fallback_protocol,
        )

    async def _values(self, body: Body) -> Floats:
        reader = self._reader
        values = reader.read_unchanged_layout(body.data, openmetrics=body.openmetrics)
        if values is not None:
            return values
        if len(body.data) < _THREAD_FROM_BYTES:
            return reader.read_strictly(body.data, openmetrics=body.openmetrics)
        return await asyncio.to_thread(reader.read_strictly, body.data, openmetrics=body.openmetrics)

    def _good_row(self, values: Floats, duration_s: float) -> Row:
        row = self._rows.good(self._reader.exposition.samples, values, duration_s)
        plan = self._rows.plan
        if plan is not None and plan.dated:
            self._store_dated(plan.dated, values)
        return row

    def _pass_exemplars(self, timestamp_ms: int) -> None:
        plan, samples = self._rows.plan, self._reader.exposition.samples
        if plan is None or not self._reader.has_exemplars:
            return
        found: dict[Labels, Exemplar] = {}
        for labels, position in plan.places():
            exemplar = samples[position].exemplar
            if exemplar is not None:
                found[labels] = exemplar
                if self._exemplars.get(labels) != exemplar:
                    when_ms = timestamp_ms if exemplar.timestamp_ms is None else exemplar.timestamp_ms
                    self._given.on_exemplars(labels, exemplar, when_ms)
        self._exemplars = found

    def _store_dated(self, dated: Sequence[tuple[int, Labels]], values: Floats) -> None:
        """Append the samples that bring their own time, each moment once."""
        samples: list[DatedSample] = []
        times: dict[Labels, int] = {}
        for position, labels in dated:
            timestamp_ms = self._reader.exposition.samples[position].timestamp_ms
            if timestamp_ms is not None and self._dated.get(labels) != timestamp_ms:
                samples.append((labels, timestamp_ms, float(values[position])))
            times[labels] = timestamp_ms or 0
        self._dated = times
        if samples and self._given.append_samples is not None:
            try:
                self._given.append_samples(self.target.stream, samples)
            except StoreError as error:
                self._append_failed(error)

    def _bot_up(self, refused: bool) -> float:
        """Down at once where nobody listens and the process is gone; else after some failures in a row."""
        process = self.target.process
        if self._failures >= FAILURES_UNTIL_DOWN:
            return 0.0
        if refused and process is not None and not self._given.is_alive(process):
            return 0.0
        return 1.0

    def _next_timestamp_ms(self, wanted_ms: int) -> int:
        """A row's time: as wanted, but a little later where two scrapes fall on one millisecond."""
        if 0 <= self._last_timestamp_ms - wanted_ms < self.target.interval_ms:
            return self._last_timestamp_ms + 1
        return wanted_ms

    def _finish(self, row: Row, timestamp_ms: int, duration_s: float, problem: str) -> None:
        state = self.state
        state.health = "down" if problem else "up"
        state.last_error, state.last_scrape_ms, state.last_duration_s = problem, timestamp_ms, duration_s
        state.samples = row.samples
        if self._store(row, timestamp_ms):
            target = self.target
            self._given.on_scraped(
                ScrapeReport(target.job, target.instance, timestamp_ms, row.samples, duration_s, not problem)
            )

    def _store(self, row: Row, timestamp_ms: int) -> bool:
        try:
            self._given.append(self.target.stream, timestamp_ms, row.layout, np.ascontiguousarray(row.values))
        except StoreError as error:
            self._append_failed(error)
            return False
        self._last_timestamp_ms = timestamp_ms
        self._not_stored = 0
        return True

    def _append_failed(self, error: StoreError) -> None:
        """Shown with the target each time, logged at first and then now and then: a full disk stays full for a while."""
        self.state.append_errors += 1
        self.state.last_error = f"the samples were not stored: {error}"
        if self._not_stored % _FAILURES_PER_LOG_LINE == 0:
            _log.warning("samples of %s were not stored: %s", self.target.url, error)
        self._not_stored += 1
