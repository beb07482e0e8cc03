"""The composition root: builds every part, hands each what it needs, starts and stops them in order.

A sample's way: scrape → store → (landed) → rules → notify → receivers; and landed → live streams → the page. The parts do not
know each other: what passes between them is a value, or a callable handed over here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette

from algowatch.engine.about import flags, problems
from algowatch.engine.alertmanagers import Alertmanagers
from algowatch.engine.options import EngineOptions
from algowatch.engine.reload import Configuration, Reloader, read_configuration
from algowatch.engine.remote_write import RemoteWrites
from algowatch.engine.selfmetrics import SelfMetrics
from algowatch.engine.server import WebServer, bind
from algowatch.errors import StoreError, UsageError
from algowatch.model.alerts import Alert
from algowatch.model.clock import Clock, SystemClock
from algowatch.model.labels import Labels
from algowatch.notify.notifier import Notifier, NotifyOptions
from algowatch.notify.policy_settings import policy_of
from algowatch.promql.engine import QueryEngine, QueryOptions
from algowatch.promql.parser import parse
from algowatch.rules.manager import RuleManager
from algowatch.rules.options import RuleOptions
from algowatch.scrape.exposition import Exemplar
from algowatch.scrape.loop import ScrapeReport
from algowatch.scrape.manager import ScrapeManager, ScrapeOptions
from algowatch.scrape.shown import configuration_yaml
from algowatch.senders.channels import from_environment
from algowatch.senders.http import is_address
from algowatch.store import Store, StoreOptions
from algowatch.store.exemplars import Exemplars
from algowatch.telemetry.registration import EngineRecord, bots_directory, remove_engine, write_engine
from algowatch.web.app import Site, create_app
from algowatch.web.live import LiveHub
from algowatch.web.query_pool import PoolOptions, QueryPool
from algowatch.web.questions import Questions, parsed
from algowatch.web.status_api import About
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
        self.configuration = read_configuration(options)
        _check_receivers(options)
        make_data_dir(options.data_dir)
        self._socket, self.listen = bind(options.listen)
        try:
            self.store = Store.open(options.data_dir, StoreOptions(retention_ms=options.retention_ms), self._clock)
        except BaseException:
            self._socket.close()
            raise
        try:
            self._build()
        except BaseException:
            self._socket.close()
            self.store.close()
            raise
        self._tasks: list[asyncio.Task[None]] = []
        self._registered = False

    @property
    def url(self) -> str:
        return self.listen.url

    def integrations(self) -> list[str]:
        """The kinds of services that alerts go to, each once, such as `log` and `webhook`."""
        channels = [channel for receiver in self.notifier.routing.receivers.values() for channel in receiver]
        return list(dict.fromkeys(channel.integration for channel in channels))

    def _build(self) -> None:
        options, clock, configuration = self.options, self._clock, self.configuration
        self.queries = QueryEngine(self.store.select, QueryOptions(max_steps=11_001), parsed)
        self.workers = Workers()
        self.exemplars = Exemplars(configuration.scraping.storage.exemplars.max_exemplars)
        self.pool = QueryPool(PoolOptions(options.data_dir, options.query_processes)) if options.query_processes else None
        self.questions = Questions(self.queries, self.workers, self.store.count_series, self.pool)
        self.live = LiveHub(self.questions.data, clock)
        self.alertmanagers = self._alertmanagers(configuration)
        self.notifier = Notifier(
            self._notify_options(configuration),
            clock,
            self._delivered,
            forward=lambda alerts: self.alertmanagers.put(alerts),
        )
        rule_options = self._rule_options(configuration)
        self.rules = RuleManager(rule_options, self.queries.instant, self.store.append, self._deliver, clock)
        self.rules.replace(configuration.rule_groups)
        self.scrapes = ScrapeManager(
            ScrapeOptions(bots_directory=bots_directory() if options.discovery else None),
            self.store.append,
            clock,
            self._landed,
            self._append_dated,
            self._found_exemplar,
        )
        self.reloader = Reloader(options, clock, self._take)
        asked = configuration.scraping
        self.remote_writes = RemoteWrites(asked.remote_write, asked.global_.external_labels, self.store, clock)
        self.metrics = SelfMetrics(
            self.store,
            self.notifier,
            lambda: self.remote_writes.senders,
            lambda: self.live.streams,
            self.reloader.state,
        )
        self.app: Starlette = create_app(self._site())
        self._server = WebServer(self.app, self.live.stop)

    def _site(self) -> Site:
        options = self.options
        about = About(
            url=self.url,
            retention_ms=options.retention_ms,
            reload_state=self.reloader.state,
            flags=flags(options, self.listen, self.queries.options, self.workers.threads),
            configuration=lambda: configuration_yaml(self.configuration.scraping),
            problems=lambda: problems(self.scrapes, self.store),
            alertmanagers=lambda: [address.url for address in self.alertmanagers.active],
        )
        return Site(
            questions=self.questions,
            reader=self.store,
            workers=self.workers,
            clock=self._clock,
            live=self.live,
            notifier=self.notifier,
            groups=self.rules.groups,
            scrapes=self.scrapes,
            store=self.store,
            metrics=self.metrics.exposition,
            reload=self.reloader.reload,
            exemplars=self.exemplars,
            about=about,
            external_labels=lambda: Labels.of(self.configuration.scraping.global_.external_labels),
            out_of_order_ms=lambda: self.configuration.scraping.storage.tsdb.out_of_order_time_window,
            written=self._written,
            timeout_s=self.queries.options.timeout_s,
            lookback_ms=self.queries.options.lookback_delta_ms,
            hosts=frozenset(filter(None, [urlsplit(self.external_url(self.configuration)).hostname])),
        )

    def _alertmanagers(self, configuration: Configuration) -> Alertmanagers:
        scraping = configuration.scraping
        return Alertmanagers(scraping.alerting, scraping.global_.external_labels)

    def external_url(self, configuration: Configuration) -> str:
        """Where people reach the page."""
        return configuration.settings.external_url.rstrip("/") or self.url

    def _notify_options(self, configuration: Configuration) -> NotifyOptions:
        return NotifyOptions(
            self.options.data_dir,
            routing=configuration.routing,
            external_url=self.external_url(configuration),
            policy=policy_of(configuration.settings),
        )

    def _rule_options(self, configuration: Configuration) -> RuleOptions:
        asked = configuration.scraping.global_
        return RuleOptions(
            evaluation_interval_ms=asked.evaluation_interval,
            external_labels=Labels.of(asked.external_labels),
            external_url=self.external_url(configuration),
            lookback_delta_ms=self.queries.options.lookback_delta_ms,
            # Not bots' interval of a second: else a run without news comes just before the samples and makes them wait.
            idle_gap_ms=1500,
            check_expr=parse,
        )

    async def start(self) -> None:
        """Start every part, the receiving ones first, and tell bots where to send alerts.

        Raises: StoreError where the outbox cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        self.alertmanagers.start()
        await self.notifier.start()
        await self.rules.start()
        self._tasks.append(asyncio.create_task(self._server.serve([self._socket]), name="web"))
        await self.scrapes.start(self.configuration.scraping)
        self.remote_writes.start()
        self._tasks.append(asyncio.create_task(self._maintain(), name="maintain"))
        self._register()

    async def _take(self, configuration: Configuration) -> None:
        """Put another configuration into use: jobs that did not change go on undisturbed, alerts keep their state.

        Raises: UsageError, before anything changed.
        """
        asked = configuration.scraping
        plan = self.remote_writes.plan(asked.remote_write, asked.global_.external_labels)
        await self.scrapes.reload(asked)
        await self.remote_writes.take(plan)
        self.rules.replace(configuration.rule_groups, self._rule_options(configuration))
        await self.notifier.reload(self._notify_options(configuration))
        before = self.configuration.scraping
        if (asked.alerting, asked.global_.external_labels) != (before.alerting, before.global_.external_labels):
            await self.alertmanagers.stop()
            self.alertmanagers = self._alertmanagers(configuration)
            self.alertmanagers.start()
        self.configuration = configuration

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
        await self.remote_writes.stop()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=3)
        await self.notifier.stop()
        await self.alertmanagers.stop()
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

    def _found_exemplar(self, series: Labels, found: Exemplar, timestamp_ms: int) -> None:
        self.exemplars.add(series, found.labels, found.value, timestamp_ms)

    def _written(self) -> None:
        """Somebody has written samples over the API."""
        self.rules.samples_landed(self._clock.now_ms())
        self.live.landed()

    def _landed(self, report: ScrapeReport) -> None:
        self.metrics.scraped(report)
        self.rules.samples_landed(report.timestamp_ms)
        self.live.landed()

    def _deliver(self, alerts: Sequence[Alert]) -> None:
        """From the rules' thread to the notifier's loop, with the external labels that an alert does not have itself."""
        external = self.configuration.scraping.global_.external_labels
        if external:
            alerts = [replace(alert, labels=Labels.of({**external, **alert.labels.as_dict()})) for alert in alerts]
        self._loop.call_soon_threadsafe(self.notifier.receive, alerts)

    def _delivered(self, record: dict[str, Any]) -> None:
        self.live.notified(record)
        if self._on_delivered is not None:
            self._on_delivered(record)


def _check_receivers(options: EngineOptions) -> None:
    """An address that cannot be posted to would swallow every alert.

    Raises: UsageError for an option, ConfigError for the environment; neither shows the address, which may be a secret.
    """
    for number, url in enumerate(options.webhook_urls, start=1):
        if not is_address(url):
            raise UsageError(f"--webhook (number {number}): not an http(s) address; write for example http://127.0.0.1:9000/")
    from_environment(os.environ)


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
