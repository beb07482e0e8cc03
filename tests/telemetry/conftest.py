"""Every test has a state directory of its own, and leaves no watch behind."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from algowatch.profiles.start import start
from algowatch.telemetry import watch as watch_module
from algowatch.telemetry.registration import EngineRecord, write_engine
from algowatch.telemetry.watch import Watch


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALGOWATCH_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def start_bot(state: Path) -> Iterator[Callable[..., Watch]]:
    def make(name: str = "gamma-bot", **options: Any) -> Watch:
        return start(name, **{"host_metrics": False, **options})

    yield make
    watch_module.stop_all()


class Receiver:
    """A real HTTP server that keeps what is posted to it. `status` is what it answers, `delay_s` how long it thinks."""

    def __init__(self) -> None:
        self.posts: list[tuple[float, str, Any]] = []
        self.status = 200
        self.delay_s = 0.0
        self.arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.arrived:
                    outer.posts.append((time.monotonic(), self.path, body))
                    outer.arrived.notify_all()
                time.sleep(outer.delay_s)
                with contextlib.suppress(OSError):
                    self.send_response(outer.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def wait(self, count: int = 1, timeout_s: float = 5.0) -> list[tuple[float, str, Any]]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posts) >= count, timeout_s), f"{len(self.posts)} of {count} posts"
            return list(self.posts)

    def register_as_engine(self, state: Path) -> None:
        write_engine(EngineRecord(self.url, os.getpid(), 0), state)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def second_receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()
