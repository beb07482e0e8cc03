"""Prometheus's HTTP API, the part about the server itself."""

from __future__ import annotations

import os
import platform
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.model.clock import Clock
from algowatch.model.durations import format_duration
from algowatch.model.timestamps import format_time
from algowatch.model.version import VERSION
from algowatch.store.store import Store
from algowatch.web.lifecycle import ReloadState
from algowatch.web.requests import answering_errors, bad_data, read_parameters, success
from algowatch.web.workers import Workers

PROMETHEUS_VERSION = "3.0.0"
"""Whose API this is. Grafana and other clients choose by it what they may ask for."""
_DEFAULT_LIMIT = 10
_MAX_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class About:
    """What the engine knows about itself.

    configuration: the configuration in use, as YAML, without secrets. problems: what is wrong right now, in sentences.
    """

    url: str
    retention_ms: int
    reload_state: Callable[[], ReloadState]
    flags: Mapping[str, str] = field(default_factory=dict)
    configuration: Callable[[], str] = lambda: "{}\n"
    problems: Callable[[], Sequence[str]] = tuple
    alertmanagers: Callable[[], Sequence[str]] = tuple
    """Addresses of the Alertmanagers beside the engine."""


class StatusApi:
    """/api/v1/status/…, /api/v1/alertmanagers and /api/v1/notifications."""

    def __init__(self, store: Store, workers: Workers, clock: Clock, about: About) -> None:
        self._store = store
        self._workers = workers
        self._clock = clock
        self._about = about
        self._started_ms = clock.now_ms()
        self._directory = Path.cwd()
        self._problems_since: dict[str, int] = {}

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v1/status/buildinfo", answering_errors(self.buildinfo)),
            Route("/api/v1/status/config", answering_errors(self.config)),
            Route("/api/v1/status/flags", answering_errors(self.flags)),
            Route("/api/v1/status/runtimeinfo", answering_errors(self.runtimeinfo)),
            Route("/api/v1/status/tsdb", answering_errors(self.tsdb)),
            Route("/api/v1/status/walreplay", answering_errors(self.walreplay)),
            Route("/api/v1/alertmanagers", answering_errors(self.alertmanagers)),
            Route("/api/v1/notifications", answering_errors(self.notifications)),
        ]

    async def buildinfo(self, request: Request) -> Response:
        """`version` is that of the Prometheus whose API this is; `branch` and `revision` say what really answers."""
        return success(
            {
                "version": PROMETHEUS_VERSION,
                "revision": VERSION,
                "branch": "algowatch",
                "buildUser": "",
                "buildDate": "",
                "goVersion": f"python{platform.python_version()}",
            }
        )

    async def config(self, request: Request) -> Response:
        return success({"yaml": self._about.configuration()})

    async def flags(self, request: Request) -> Response:
        return success(dict(self._about.flags))

    async def runtimeinfo(self, request: Request) -> Response:
        """Go's settings have no counterpart and stay empty; `goroutineCount` counts threads."""
        state = self._about.reload_state()
        stats = await self._workers.run(self._store.stats)
        retention_ms = self._about.retention_ms
        return success(
            {
                "startTime": format_time(self._started_ms),
                "CWD": str(self._directory),
                "hostname": socket.gethostname(),
                "serverTime": format_time(self._clock.now_ms()),
                "reloadConfigSuccess": state.success,
                "lastConfigTime": format_time(state.taken_at_ms),
                "corruptionCount": stats.damaged_chunks,
                "goroutineCount": threading.active_count(),
                "GOMAXPROCS": os.cpu_count() or 1,
                "GOMEMLIMIT": sys.maxsize,
                "GOGC": "",
                "GODEBUG": "",
                "storageRetention": format_duration(retention_ms) if retention_ms else "unlimited",
            }
        )

    async def tsdb(self, request: Request) -> Response:
        limit = (await read_parameters(request)).limit() or _DEFAULT_LIMIT
        if limit > _MAX_LIMIT:
            raise bad_data(f'invalid parameter "limit": limit must be at most {_MAX_LIMIT}')
        stats, sizes = await self._workers.run(lambda: (self._store.stats(), self._store.cardinality(limit)))
        return success(
            {
                "headStats": {
                    "numSeries": stats.series,
                    "numLabelPairs": sizes.label_pairs,
                    "chunkCount": stats.chunks,
                    "minTime": stats.first_ms or 0,
                    "maxTime": stats.last_ms or 0,
                },
                "seriesCountByMetricName": _counted(sizes.series_by_metric),
                "labelValueCountByLabelName": _counted(sizes.values_by_name),
                "memoryInBytesByLabelName": _counted(sizes.bytes_by_name),
                "seriesCountByLabelValuePair": _counted(sizes.series_by_pair),
            }
        )

    async def walreplay(self, request: Request) -> Response:
        """Who is answered here finds everything replayed: the store is read before the port is served."""
        return success({"min": 0, "max": 0, "current": 0, "state": "done"})

    async def alertmanagers(self, request: Request) -> Response:
        """The engine itself, and those that it sends its alerts on to."""
        urls = [f"{self._about.url}/api/v2/alerts", *self._about.alertmanagers()]
        return success({"activeAlertmanagers": [{"url": url} for url in urls], "droppedAlertmanagers": []})

    async def notifications(self, request: Request) -> Response:
        """What an operator should know now, and since when it has been known."""
        now_ms, problems = self._clock.now_ms(), list(self._about.problems())
        self._problems_since = {text: self._problems_since.get(text, now_ms) for text in problems}
        return success(
            [{"text": text, "date": format_time(since), "active": True} for text, since in self._problems_since.items()]
        )


def _counted(entries: Sequence[tuple[str, int]]) -> list[dict[str, object]]:
    return [{"name": name, "value": count} for name, count in entries]
