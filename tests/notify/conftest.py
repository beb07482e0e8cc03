"""A local webhook receiver that can misbehave, and alerts to post."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Receiver:
    """Collects what it is posted. `script` holds answers for the next requests: (status, headers) or "hang" or "reset"."""

    def __init__(self) -> None:
        self.bodies: list[dict] = []
        self.arrived: list[float] = []
        self.script: list[object] = []
        self.delay_s = 0.0
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._handle(self, body)

            def log_message(self, *_values):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook/s3cr3t-path"

    def _handle(self, handler, body: bytes) -> None:
        moment = time.monotonic()
        time.sleep(self.delay_s)
        answer = self.script.pop(0) if self.script else (200, {})
        with self._changed:
            self.bodies.append(json.loads(body))
            self.arrived.append(moment)
            self._changed.notify_all()
        if answer == "hang":
            time.sleep(3)
            return
        if answer == "reset":
            handler.connection.close()
            return
        status, headers = answer
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def wait(self, condition: Callable[[list[dict]], bool], timeout_s: float = 10.0) -> list[dict]:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.bodies), timeout_s), f"received only {self.bodies}"
            return list(self.bodies)

    def wait_count(self, count: int, timeout_s: float = 10.0) -> list[dict]:
        return self.wait(lambda bodies: len(bodies) >= count, timeout_s)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


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
