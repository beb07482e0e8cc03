"""A real engine on a thread of its own, with a target to scrape and everything on loopback: fast enough for one per module."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from algowatch.engine.build import Engine
from algowatch.engine.options import EngineOptions, Listen
from algowatch.model.labels import Labels

EXPOSITION = """\
# HELP trading_orders_filled_total Orders filled
# TYPE trading_orders_filled_total counter
trading_orders_filled_total{strategy="gamma",symbol="SPY"} 12
trading_orders_filled_total{strategy="mean",symbol="AAPL"} 3
# HELP trading_fill_seconds Time to fill
# TYPE trading_fill_seconds histogram
trading_fill_seconds_bucket{le="0.1"} 2 # {trace_id="abc"} 0.07 1600000000.5
trading_fill_seconds_bucket{le="+Inf"} 3 # {trace_id="def"} 1.5
trading_fill_seconds_sum 1.64
trading_fill_seconds_count 3
# HELP broker_up Broker link
# TYPE broker_up gauge
broker_up 1
# EOF
"""


class Target:
    """Something to scrape."""

    def __init__(self, text: str = EXPOSITION) -> None:
        target = self
        self.text = text

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = target.text.encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        assert self.status == 200, self.body
        return self.json["data"]


def ask(
    url: str,
    parameters: dict[str, Any] | list[tuple[str, Any]] | None = None,
    method: str = "GET",
    body: bytes | None = None,
    **headers: str,
) -> Answer:
    """Call an API; parameters go into the address, of a POST without a body into a form."""
    text = urllib.parse.urlencode(parameters or {}, doseq=True)
    if method == "POST" and body is None:
        body = text.encode()
    elif text:
        url = f"{url}?{text}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


class InProcess:
    """An engine whose loop runs in a thread, so that tests may look into it."""

    def __init__(self, options: EngineOptions) -> None:
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._options = options
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._started.wait(20)
        if self._failure is not None:
            raise self._failure

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            self.engine = Engine(self._options)
            await self.engine.start()
        except BaseException as error:
            self._failure = error
            self._started.set()
            return
        self.url = self.engine.url
        self._started.set()
        await self._ended.wait()
        await self.engine.stop()

    def ask(self, path: str, parameters: Any = None, **more: Any) -> Answer:
        return ask(self.url + path, parameters, **more)

    def append(self, *samples: tuple[Labels, int, float]) -> None:
        self.engine.store.append_samples("test", samples)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


def series(name: str, **labels: str) -> Labels:
    return Labels.of({"__name__": name, **labels})


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    opened = Target()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., InProcess]]:
    """Starts engines with a prometheus.yml; they end with the module."""
    started: list[InProcess] = []

    def start(config: str = "{}", **options: Any) -> InProcess:
        folder: Path = tmp_path_factory.mktemp("engine")
        (folder / "prometheus.yml").write_text(config)
        started.append(
            InProcess(
                EngineOptions(
                    folder / "data",
                    Listen("127.0.0.1", 0),
                    folder / "prometheus.yml",
                    **{"discovery": False, "log_alerts": False, "retention_ms": 0, **options},
                )
            )
        )
        return started[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALGOWATCH_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield start
        for engine in started:
            engine.close()
