"""The composition root: builds every part, hands each what it needs, starts and stops them in order.

A sample's way: scrape → store → (landed) → rules → notify → receivers; and landed → live streams → the page. The parts do not
know each other: what passes between them is a value, or a callable handed over here.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from algowatch.engine.configuration import read_config
from algowatch.engine.options import EngineOptions
from algowatch.engine.selfmetrics import SelfMetrics
from algowatch.engine.server import WebServer, bind
from algowatch.errors import StoreError, UsageError
from algowatch.model.alerts import Alert
from algowatch.model.clock import Clock, SystemClock
from algowatch.model.labels import Labels
from algowatch.notify.configuration import load_routing
from algowatch.notify.notifier import Notifier, NotifyOptions
from algowatch.notify.routing import Routing
from algowatch.promql.engine import QueryEngine, QueryOptions
from algowatch.promql.parser import parse
from algowatch.rules.manager import RuleManager
from algowatch.rules.options import RuleOptions
from algowatch.scrape.loop import ScrapeReport
from algowatch.scrape.manager import ScrapeManager, ScrapeOptions
from algowatch.scrape.sections import ScrapeFile
from algowatch.store import Store, StoreOptions
from algowatch.telemetry.registration import EngineRecord, bots_directory, remove_engine, write_engine
from algowatch.web.app import Site, create_app
from algowatch.web.live import LiveHub
from algowatch.web.query_pool import PoolOptions, QueryPool
from algowatch.web.questions import Questions, parsed
from algowatch.web.workers import Workers

_log = logging.getLogger(__name__)
_MAINTAIN_EVERY_S = 15.0

Delivered = Callable[[dict[str, Any]], None]


class Engine:
    """One engine in this process. `start`, then `wait`, then `stop`; all on one event loop.

    on_delivered is told, on the loop, of each alert that a receiver has taken.
    """

    def __init__(self, options: EngineOptions, clock: Clock | None = None, on_delivered: Delivered | None = None) -> None:
        """Read every file and open the listening socket and the store, so that what is wrong shows before anything runs.

        Raises: ConfigError, UsageError, StoreError.
        """
        self.options = options
        self._clock = clock or SystemClock()
        self._on_delivered = on_delivered
        self.config = read_config(options.config_file)
        routing = _read_routing(options.alertmanager_file)
        rule_files = _rule_files(options, self.config)
        make_data_dir(options.data_dir)
        self._socket, self.listen = bind(options.listen)
        try:
            self.store = Store.open(options.data_dir, StoreOptions(retention_ms=options.retention_ms), self._clock)
        except BaseException:
            self._socket.close()
            raise
        try:
            self._build(routing, rule_files)
        except BaseException:
            self._socket.close()
            self.store.close()
            raise
        self._tasks: list[asyncio.Task[None]] = []
        self._registered = False

    @property
    def url(self) -> str:
        return self.listen.url

    def _build(self, routing: Routing | None, rule_files: Sequence[str]) -> None:
        options, clock = self.options, self._clock
        self.queries = QueryEngine(self.store.select, QueryOptions(max_steps=11_001), parsed)
        self.workers = Workers()
        self.pool = QueryPool(PoolOptions(options.data_dir, options.query_processes)) if options.query_processes else None
        self.questions = Questions(self.queries, self.workers, self.store.count_series, self.pool)
        self.live = LiveHub(self.questions.data, clock)
        self.notifier = Notifier(
            NotifyOptions(options.data_dir, routing=routing, webhook_urls=options.webhook_urls, external_url=self.url),
            clock,
            self._delivered,
        )
        self.rules = RuleManager(self._rule_options(), self.queries.instant, self.store.append, self._deliver, clock)
        self.rules.reload(rule_files)
        self.scrapes = ScrapeManager(
            ScrapeOptions(bots_directory=bots_directory() if options.discovery else None),
            self.store.append,
            clock,
            self._landed,
            self._append_dated,
        )
        self.metrics = SelfMetrics(self.store, self.notifier, lambda: self.live.streams)
        site = Site(
            questions=self.questions,
            reader=self.store,
            workers=self.workers,
            clock=clock,
            live=self.live,
            notifier=self.notifier,
            groups=self.rules.groups,
            scrapes=self.scrapes,
            store=self.store,
            metrics=self.metrics.exposition,
            retention_ms=options.retention_ms,
        )
        self.app: Starlette = create_app(site)
        self._server = WebServer(self.app, self.live.stop)

    def _rule_options(self) -> RuleOptions:
        asked = self.config.global_
        return RuleOptions(
            evaluation_interval_ms=asked.evaluation_interval,
            external_labels=Labels.of(asked.external_labels),
            external_url=self.url,
            lookback_delta_ms=self.queries.options.lookback_delta_ms,
            check_expr=parse,
        )

    async def start(self) -> None:
        """Start every part, the receiving ones first, and tell bots where to send alerts.

        Raises: StoreError where the outbox cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        await self.notifier.start()
        await self.rules.start()
        self._tasks.append(asyncio.create_task(self._server.serve([self._socket]), name="web"))
        await self.scrapes.start(self.config)
        self._tasks.append(asyncio.create_task(self._maintain(), name="maintain"))
        self._register()

    async def wait(self, ended: asyncio.Event) -> None:
        """Until the event is set or the web server gives up."""
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([waiting, self._tasks[0]], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def stop(self) -> None:
        """End cleanly, within five seconds: no more scrapes, then no more answers, then the store is closed."""
        if self._registered:
            remove_engine(os.getpid())
        self._server.should_exit = True
        if self.pool is not None:
            await self.pool.stop()
        await self.scrapes.stop()
        await self.rules.stop()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=3)
        await self.notifier.stop()
        self.workers.stop()
        self.store.close()

    def _register(self) -> None:
        try:
            write_engine(EngineRecord(self.url, os.getpid(), self._clock.now_ms()))
            self._registered = True
        except OSError as error:
            _log.warning("bots on this machine cannot find this engine to send it alerts: %s", error)

    async def _maintain(self) -> None:
        """Seal, merge and forget samples, beside the loop."""
        while True:
            await asyncio.sleep(_MAINTAIN_EVERY_S)
            try:
                await asyncio.to_thread(self.store.maintain)
            except StoreError as error:
                _log.error("%s", error)

    def _append_dated(self, stream: str, samples: Sequence[tuple[Labels, int, float]]) -> None:
        self.store.append_samples(stream, samples)

    def _landed(self, report: ScrapeReport) -> None:
        self.metrics.scraped(report)
        self.rules.samples_landed(report.timestamp_ms)
        self.live.landed()

    def _deliver(self, alerts: Sequence[Alert]) -> None:
        """From the rules' thread to the notifier's loop."""
        self._loop.call_soon_threadsafe(self.notifier.receive, alerts)

    def _delivered(self, record: dict[str, Any]) -> None:
        self.live.notified(record)
        if self._on_delivered is not None:
            self._on_delivered(record)


def _read_routing(path: Path | None) -> Routing | None:
    return None if path is None else load_routing(path)


def _rule_files(options: EngineOptions, config: ScrapeFile) -> list[str]:
    """The built-in rules and those that the configuration names, as paths and patterns."""
    built_in = importlib.resources.files("algowatch.profiles") / "rules" / "base.yml"
    return [*([str(built_in)] if options.builtin_rules else []), *config.rule_files]


def make_data_dir(path: Path) -> None:
    """Make the data directory if it is missing.

    Raises: UsageError if it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"--data {path}: cannot be made: {error.strerror}; choose another directory with --data") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"--data {path}: is not writable; change its permissions or choose another directory with --data")
