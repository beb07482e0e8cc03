"""Everything that is scraped: one pool per job, one for the bots that registered themselves."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from algowatch.errors import UsageError
from algowatch.model.clock import Clock
from algowatch.model.durations import format_duration
from algowatch.model.labels import Labels
from algowatch.model.protocols import Append
from algowatch.scrape.client import make_client
from algowatch.scrape.discovery import BotDiscovery
from algowatch.scrape.exposition import Exemplar, Metadata
from algowatch.scrape.fetch import DEFAULT_PROTOCOLS, accept_header
from algowatch.scrape.jobs import job_pool
from algowatch.scrape.loop import AppendSamples, Health, LoopDependencies, LoopOptions, ScrapeReport, TargetLoop
from algowatch.scrape.pool import Pool
from algowatch.scrape.sections import GlobalConfig, ScrapeConfig, ScrapeFile
from algowatch.scrape.target import BOTS_POOL, DroppedTarget, Process, TargetDefaults
from algowatch.telemetry.registration import process_alive

_log = logging.getLogger(__name__)

_LOOKS_PER_FILE_POLL = 5

_JOB_PREFIX = "job/"


@dataclass(frozen=True, slots=True)
class ScrapeOptions:
    """How the manager works, apart from what `prometheus.yml` says. `bots_directory` None: bots are not discovered."""

    bots_directory: Path | None = None
    bot_interval_ms: int = 1000
    bot_timeout_ms: int = 1000
    bot_body_limit: int = 16 << 20
    """No honest bot comes near it, and reading more would hold up the others."""
    poll_interval_s: float = 0.1
    """How often the bots' folder and processes are looked at; file_sd files and http_sd answers at every fifth look."""
    body_limit: int = 256 << 20
    user_agent: str = "algowatch"


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """One active target, with what `/api/v1/targets` shows of it."""

    scrape_pool: str
    discovered_labels: Labels
    labels: Labels
    scrape_url: str
    health: Health
    last_error: str
    last_scrape_ms: int
    last_scrape_duration_s: float
    scrape_interval: str
    scrape_timeout: str
    samples: int
    append_errors: int
    skipped: int

    @property
    def global_url(self) -> str:
        """The engine listens and asks on one machine, so what is local stays spelled as it is."""
        return self.scrape_url


@dataclass(frozen=True, slots=True)
class TargetMetadata:
    """What one target says about one metric family."""

    target: Labels
    metric: str
    type: str
    help: str
    unit: str


@dataclass(slots=True)
class _Watched:
    """Whether a bot's process was seen gone, so that this is acted upon once."""

    process: Process | None = None
    gone: bool = field(default=False)


class ScrapeManager:
    """Scrapes what the configuration and the bots' folder name.

    append:     one row per scrape, see `model.protocols.Append`.
    on_scraped: called on the loop after each row that was stored.
    """

    def __init__(
        self,
        options: ScrapeOptions,
        append: Append,
        clock: Clock,
        on_scraped: Callable[[ScrapeReport], None] = lambda report: None,
        append_samples: AppendSamples | None = None,
        on_exemplars: Callable[[Labels, Exemplar, int], None] = lambda labels, exemplar, timestamp_ms: None,
        is_alive: Callable[[Process], bool] = lambda process: process_alive(process.pid, process.started_s),
    ) -> None:
        self.options = options
        self._given = LoopDependencies(append, append_samples, clock, on_scraped, is_alive, on_exemplars)
        self._file = ScrapeFile()
        self._pools: dict[str, Pool] = {}
        self._configs: dict[str, tuple[ScrapeConfig, GlobalConfig]] = {}
        self._watched: dict[str, _Watched] = {}
        self._looks = 0
        self._task: asyncio.Task[None] | None = None
        self._sync = asyncio.Lock()

    async def start(self, config: ScrapeFile | None = None) -> None:
        """Begin to scrape; returns once every target that is known by now has its loop."""
        await self._warm_up()
        if self.options.bots_directory is not None:
            self._pools[BOTS_POOL] = self._bots_pool(self.options.bots_directory)
            await self._pools[BOTS_POOL].start()
        await self.reload(config or self._file)
        self._task = asyncio.create_task(self._watch(), name="scrape discovery")

    async def _warm_up(self) -> None:
        """Load what the first request would otherwise load while a bot waits for its first scrape."""
        self._given.is_alive(Process(os.getpid(), None))
        await anyio.sleep(0)

    async def reload(self, config: ScrapeFile) -> None:
        """Take over a new configuration; jobs that did not change go on undisturbed.

        Raises: UsageError, before anything changed, if a certificate or key cannot be read.
        """
        async with self._sync:
            shared = config.global_.model_copy(update={"evaluation_interval": None, "external_labels": {}})
            wanted = {job.job_name: (job, shared) for job in config.scrape_configs}
            fresh = {name: self._new_pool(config, job) for name, (job, _) in wanted.items() if self._is_new(name, wanted[name])}
            for name in [name for name in self._configs if name not in wanted]:
                await self._pools.pop(_key(name)).stop(gone=True)
            for name, pool in fresh.items():
                before = self._pools.get(_key(name))
                self._pools[_key(name)] = pool
                await (pool.start() if before is None else pool.replace(before))
            self._configs, self._file = wanted, config

    async def stop(self) -> None:
        """End all loops. No staleness markers are written: the targets are still there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        async with self._sync:
            await asyncio.gather(*(pool.stop(gone=False) for pool in self._pools.values()))
            self._pools.clear()
            self._configs.clear()

    def pool_names(self) -> list[str]:
        """The names of the jobs, and that of the bots."""
        return [name.removeprefix(_JOB_PREFIX) for name in self._pools]

    def targets(self) -> list[TargetStatus]:
        """The active targets, pool by pool, by their labels."""
        return [self._status(loop) for loop in self._loops()]

    def dropped_targets(self) -> list[DroppedTarget]:
        return [dropped for pool in self._pools.values() for dropped in pool.dropped]

    def discovery_problems(self) -> list[str]:
        """What is wrong with file_sd files and http_sd answers; their last good targets are in use."""
        return [problem for pool in self._pools.values() for problem in pool.problems]

    def metadata(self) -> list[TargetMetadata]:
        """What every target says about its families."""
        return [
            TargetMetadata(loop.target.labels, metric, entry.type, entry.help, entry.unit)
            for loop in self._loops()
            for metric, entry in _families(loop)
        ]

    def _loops(self) -> Iterator[TargetLoop]:
        for pool in self._pools.values():
            yield from sorted(pool.loops.values(), key=lambda loop: loop.target.labels)

    def _status(self, loop: TargetLoop) -> TargetStatus:
        target, state = loop.target, loop.state
        return TargetStatus(
            target.pool,
            target.discovered,
            target.labels,
            target.url,
            state.health,
            state.last_error,
            state.last_scrape_ms,
            state.last_duration_s,
            format_duration(target.interval_ms),
            format_duration(target.timeout_ms),
            state.samples,
            state.append_errors,
            state.skipped,
        )

    def _is_new(self, name: str, config: tuple[ScrapeConfig, GlobalConfig]) -> bool:
        return self._configs.get(name) != config

    def _new_pool(self, file: ScrapeFile, job: ScrapeConfig) -> Pool:
        try:
            return job_pool(file, job, self._given, self.options.body_limit, self.options.user_agent)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"job {job.job_name!r}: tls_config cannot be used: {error}; check the files it names") from None

    def _bots_pool(self, directory: Path) -> Pool:
        options = self.options
        defaults = TargetDefaults(BOTS_POOL, options.bot_interval_ms, options.bot_timeout_ms)
        headers = {"Accept": accept_header(DEFAULT_PROTOCOLS), "Accept-Encoding": "identity", "User-Agent": options.user_agent}
        loop_options = LoopOptions(headers=lambda: headers, body_limit=options.bot_body_limit)
        return Pool(defaults, loop_options, make_client(), [BotDiscovery(directory)], self._given)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.options.poll_interval_s)
            try:
                async with self._sync:
                    await self._look()
            except Exception:  # noqa: BLE001 - discovery goes on with what it knows
                _log.exception("looking for targets failed")

    async def _look(self) -> None:
        self._looks += 1
        for name, pool in self._pools.items():
            if (name == BOTS_POOL or self._looks % _LOOKS_PER_FILE_POLL == 0) and pool.poll():
                await pool.sync()
        bots = self._pools.get(BOTS_POOL)
        if bots is not None:
            self._look_at_processes(bots)

    def _look_at_processes(self, bots: Pool) -> None:
        """Scrape a bot right away once its process is seen gone, instead of at its next second."""
        self._watched = {stream: self._watched.get(stream, _Watched()) for stream in bots.loops}
        for stream, loop in bots.loops.items():
            watched, process = self._watched[stream], loop.target.process
            if watched.process != process:
                watched.process, watched.gone = process, False
            if process is not None and not watched.gone and not self._given.is_alive(process):
                watched.gone = True
                loop.wake()
        lively = {loop.target.url for stream, loop in bots.loops.items() if not self._watched[stream].gone}
        for stream, loop in bots.loops.items():
            loop.displaced = self._watched[stream].gone and loop.target.url in lively


def _key(job_name: str) -> str:
    """A configured job may be called "bots" too; the two pools are kept apart."""
    return _JOB_PREFIX + job_name


def _families(loop: TargetLoop) -> list[tuple[str, Metadata]]:
    return list(loop.metadata.items())
