"""Prometheus's HTTP API, the part about the server itself, and the one administrative call that there is so far."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.model.clock import Clock
from algowatch.model.durations import format_duration
from algowatch.model.timestamps import format_time
from algowatch.model.version import VERSION
from algowatch.store.store import Store
from algowatch.web.requests import answering_errors, success
from algowatch.web.workers import Workers


class StatusApi:
    """/api/v1/status/… and /api/v1/admin/tsdb/compact."""

    def __init__(self, store: Store, workers: Workers, clock: Clock, retention_ms: int) -> None:
        self._store = store
        self._workers = workers
        self._retention_ms = retention_ms
        self._started_ms = clock.now_ms()
        self._directory = Path.cwd()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v1/status/buildinfo", answering_errors(self.buildinfo)),
            Route("/api/v1/status/runtimeinfo", answering_errors(self.runtimeinfo)),
            Route("/api/v1/status/tsdb", answering_errors(self.tsdb)),
            Route("/api/v1/admin/tsdb/compact", answering_errors(self.compact), methods=["POST"]),
        ]

    async def buildinfo(self, request: Request) -> Response:
        """The version is algowatch's own; the Prometheus whose language it speaks is 3."""
        return success(
            {
                "version": VERSION,
                "revision": "",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": f"python{platform.python_version()}",
            }
        )

    async def runtimeinfo(self, request: Request) -> Response:
        retention = format_duration(self._retention_ms) if self._retention_ms else "unlimited"
        return success(
            {
                "startTime": format_time(self._started_ms),
                "CWD": str(self._directory),
                "reloadConfigSuccess": True,
                "lastConfigTime": format_time(self._started_ms),
                "corruptionCount": 0,
                "goroutineCount": 0,
                "GOMAXPROCS": os.cpu_count() or 1,
                "storageRetention": retention,
            }
        )

    async def tsdb(self, request: Request) -> Response:
        stats = await self._workers.run(self._store.stats)
        return success(
            {
                "headStats": {
                    "numSeries": stats.series,
                    "chunkCount": stats.chunks,
                    "minTime": stats.first_ms or 0,
                    "maxTime": stats.last_ms or 0,
                },
                "seriesCountByMetricName": [],
                "labelValueCountByLabelName": [],
                "memoryInBytesByLabelName": [],
                "seriesCountByLabelValuePair": [],
            }
        )

    async def compact(self, request: Request) -> Response:
        """Seal, compress and merge everything now; answers when it is done."""
        await self._workers.run(self._store.compact)
        return Response(status_code=204)
