"""Real targets on loopback, a store that only records, and a bot's file."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import psutil
import pytest

from algowatch.model.clock import SystemClock
from algowatch.scrape.manager import ScrapeManager, ScrapeOptions
from algowatch.scrape.sections import ScrapeFile


class Recorder:
    """An append that keeps what it was given."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, dict[str, float]]] = []
        self.layouts: list[object] = []

    def __call__(self, stream, timestamp_ms, layout, values) -> None:
        assert len(layout) == len(values)
        self.layouts.append(layout)
        self.rows.append((stream, timestamp_ms, dict(zip(map(str, layout.series), values.tolist(), strict=True))))

    async def until(self, wanted: int, timeout_s: float = 5) -> None:
        async with asyncio.timeout(timeout_s):
            while len(self.rows) < wanted:
                await asyncio.sleep(0.005)

    async def until_true(self, claim, timeout_s: float = 5) -> None:
        async with asyncio.timeout(timeout_s):
            while not claim():
                await asyncio.sleep(0.005)

    async def until_streams(self, wanted: int, timeout_s: float = 5) -> None:
        async with asyncio.timeout(timeout_s):
            while len({stream for stream, _, _ in self.rows}) < wanted:
                await asyncio.sleep(0.005)


class Server:
    """A target on loopback whose answer a test sets."""

    def __init__(self) -> None:
        self.body = "x 1\n"
        self.headers = "Content-Type: text/plain; version=0.0.4\r\n"
        self.status = "200 OK"
        self.delay_s = 0.0
        self.requests: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exc):
        assert self._server is not None
        self._server.close()

    async def _answer(self, reader, writer):
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await asyncio.sleep(self.delay_s)
            body = self.body if isinstance(self.body, bytes) else self.body.encode()
            head = f"HTTP/1.1 {self.status}\r\n{self.headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def register_bot(folder: Path, name: str, address: str, pid: int | None = None) -> Path:
    labels = {"job": "bots", "instance": name}
    if pid is not None:
        labels |= {"__meta_algowatch_pid": str(pid), "__meta_algowatch_process_started": str(psutil.Process(pid).create_time())}
    path = folder / f"{name}.json"
    (folder / ".tmp").write_text(json.dumps([{"targets": [address], "labels": labels}]))
    os.replace(folder / ".tmp", path)
    return path


def make_manager(append, config=None, **more):
    """A manager that was not started; `config` is a prometheus.yml as a mapping."""
    options = more.pop("options", ScrapeOptions(poll_interval_s=0.05))
    manager = ScrapeManager(options, append, SystemClock(), **more)
    file = ScrapeFile.model_validate(config or {})
    return manager, file


@pytest.fixture
def append():
    return Recorder()


@pytest.fixture
def target():
    """The class of targets: `async with target() as server`."""
    return Server


@pytest.fixture
def manage():
    return make_manager


@pytest.fixture
def register():
    return register_bot
