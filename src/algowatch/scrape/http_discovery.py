"""Targets from a web address that answers with file_sd's JSON. Source: Prometheus, "HTTP SD"."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence

import httpx2

from algowatch.scrape.client import credential_headers, make_client
from algowatch.scrape.discovery import groups_of, with_label
from algowatch.scrape.sections import HttpSdConfig
from algowatch.scrape.target import TargetGroup

_log = logging.getLogger(__name__)

_LIMIT = 16 << 20
_TIMEOUT_S = 30.0


class HttpDiscovery:
    """Asks again every `refresh_interval`. An answer that is not right keeps the targets of the last good one."""

    def __init__(self, config: HttpSdConfig, user_agent: str) -> None:
        self.groups: Sequence[TargetGroup] = ()
        self._config = config
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "X-Prometheus-Refresh-Interval-Seconds": f"{config.refresh_interval / 1000:g}",
        }
        self._problem = ""
        self._changed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def problems(self) -> Sequence[str]:
        return (self._problem,) if self._problem else ()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"http_sd {self._config.url}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def poll(self) -> bool:
        changed, self._changed = self._changed, False
        return changed

    async def _run(self) -> None:
        async with make_client(self._config) as client:
            while True:
                await self._refresh(client)
                await asyncio.sleep(self._config.refresh_interval / 1000)

    async def _refresh(self, client: httpx2.AsyncClient) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                found = await self._ask(client)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            self._problem = f"{self._config.url}: {str(error) or type(error).__name__}; the targets that it had stay"
            _log.warning("%s", self._problem)
            return
        self._problem = ""
        if found != self.groups:
            self.groups, self._changed = found, True

    async def _ask(self, client: httpx2.AsyncClient) -> tuple[TargetGroup, ...]:
        headers = {**self._headers, **credential_headers(self._config)}
        async with client.stream("GET", self._config.url, headers=headers) as response:
            if response.status_code != 200:
                raise ValueError(f"server returned HTTP status {response.status_code} {response.reason_phrase}".rstrip())
            kind = response.headers.get("content-type", "")
            if kind.partition(";")[0].strip().lower() != "application/json":
                raise ValueError(f"unsupported content type {kind[:60]!r}; it must be application/json")
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > _LIMIT:
                    raise ValueError(f"the answer is larger than {_LIMIT} bytes")
                parts.append(part)
        groups = groups_of(json.loads(b"".join(parts)), self._config.url)
        return tuple(with_label(group, "__meta_url", self._config.url) for group in groups)
