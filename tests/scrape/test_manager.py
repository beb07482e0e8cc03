import asyncio
import json
import os
from pathlib import Path

import psutil

from algowatch.model.clock import SystemClock
from algowatch.model.staleness import is_stale
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


def register(folder: Path, name: str, address: str, pid: int | None = None) -> Path:
    labels = {"job": "bots", "instance": name}
    if pid is not None:
        labels |= {"__meta_algowatch_pid": str(pid), "__meta_algowatch_process_started": str(psutil.Process(pid).create_time())}
    path = folder / f"{name}.json"
    (folder / ".tmp").write_text(json.dumps([{"targets": [address], "labels": labels}]))
    os.replace(folder / ".tmp", path)
    return path


def run(claim) -> None:
    asyncio.run(claim)


def test_a_static_target_is_scraped_into_one_row_with_its_reports():
    async def claim():
        append = Recorder()
        async with Server() as server:
            server.body = '# TYPE x counter\nx{a="b"} 5\ny 2\n'
            config = {
                "scrape_configs": [
                    {"job_name": "j", "scrape_interval": "1s", "static_configs": [{"targets": [server.address]}]}
                ]
            }
            manager = ScrapeManager(ScrapeOptions(), append, SystemClock())
            await manager.start(ScrapeFile.model_validate(config))
            await append.until(1)
            status = manager.targets()[0]
            await manager.stop()
        _, _, row = append.rows[0]
        tail = f'{{instance="{server.address}", job="j"}}'
        assert row[f'x{{a="b", instance="{server.address}", job="j"}}'] == 5
        assert row["y" + tail] == 2
        assert row["up" + tail] == 1
        assert row["scrape_samples_scraped" + tail] == 2
        assert row["scrape_samples_post_metric_relabeling" + tail] == 2
        assert row["scrape_series_added" + tail] == 2
        assert 0 < row["scrape_duration_seconds" + tail] < 1
        assert (status.health, status.scrape_pool, status.scrape_interval, status.last_error) == ("up", "j", "1s", "")

    run(claim())


def test_a_bot_is_scraped_within_300_ms_of_its_files_appearance_and_ends_when_the_file_goes(tmp_path):
    async def claim():
        append = Recorder()
        async with Server() as server:
            manager = ScrapeManager(ScrapeOptions(bots_directory=tmp_path), append, SystemClock())
            await manager.start()
            path = register(tmp_path, "gamma-bot", server.address, os.getpid())
            await append.until(1, 0.3)
            path.unlink()
            await append.until(2, 0.3)
            assert manager.targets() == []
            await manager.stop()
        assert append.rows[0][2]['algowatch_bot_up{instance="gamma-bot", job="bots"}'] == 1
        assert append.rows[1][2].keys() == append.rows[0][2].keys()
        assert all(is_stale(value) for value in append.rows[1][2].values())
        assert append.layouts[0] is append.layouts[1]

    run(claim())
