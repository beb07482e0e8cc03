"""A local HTTP service whose answer the test sets, and messages full of hostile labels."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.senders.message import AlertInMessage, Message

BEGIN_MS = 1_700_000_000_500
DESK = "http://desk.example:5174"
HOSTILE = 'SPY <!channel> *x* & "q" @everyone\r\nBcc: a@b'


def make_message(status="firing", severity="critical", summary="Loss -5.2 %", external_url=DESK, **labels):
    given = Labels.of({"alertname": "DailyLossLimit", "severity": severity, "instance": "gamma-bot", **labels})
    ends_at_ms = BEGIN_MS + 5_000 if status == "resolved" else 10**15
    alert = Alert(given, Labels.of(summary=summary, description="P&L below the limit"), BEGIN_MS, ends_at_ms)
    group = given.only(["alertname", "instance"])
    return Message.of("desk", "{}:{x}", group, [AlertInMessage(alert, status)], external_url=external_url)


class Service:
    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"ok")
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status, headers, text = service.answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_values):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def json(self):
        return json.loads(self.requests[-1][2])

    def form(self):
        return dict(urllib.parse.parse_qsl(self.requests[-1][2].decode()))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def message():
    return make_message


@pytest.fixture
def hostile():
    return make_message(symbol=HOSTILE, summary=f"Loss at {HOSTILE}")
