"""The bot's own HTTP server, spoken to over raw sockets."""

from __future__ import annotations

import gzip
import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from algowatch.telemetry.server import Request, Response, Server, ServerOptions

OPTIONS = ServerOptions(max_connections=3, head_timeout_s=0.2, idle_timeout_s=5.0)


def boom(request: Request) -> Response:
    raise RuntimeError("boom")


@pytest.fixture
def server() -> Iterator[Server]:
    routes = {
        "/metrics": lambda request: Response(b"x 1\n" * 1000),
        "/small": lambda request: Response(b"y 2\n"),
        "/boom": boom,
    }
    made = Server(OPTIONS, routes)
    made.start()
    yield made
    made.stop()


def talk(server: Server, text: bytes) -> bytes:
    """What comes back until the server closes."""
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        connection.sendall(text)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


def request(target: str = "/small", method: str = "GET", host: str = "127.0.0.1", more: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (request(), 200),
        (request(host="localhost:1"), 200),
        (request(host="[::1]:80"), 200),
        (request(host="127.0.0.2"), 200),
        (request(host="evil.example"), 403),
        (request(host="127.0.0.1.evil.example"), 403),
        (b"GET /small HTTP/1.1\r\n\r\n", 403),
        (request("/nothing"), 404),
        (request("/small?x=1"), 200),
        (request(method="POST"), 405),
        (request(method="DELETE"), 405),
        (request(more="Content-Length: 5\r\n"), 400),
        (request(more="Transfer-Encoding: chunked\r\n"), 400),
        (request(more="no colon\r\n"), 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / SPDY/3\r\n\r\n", 400),
        (request("/boom"), 500),
        (b"GET /small HTTP/1.1\r\nX: " + b"a" * 20_000, 431),
    ],
)
def test_answers_what_it_should(server, text, status):
    assert talk(server, text).startswith(f"HTTP/1.1 {status} ".encode())


def test_head_gives_the_length_and_no_body(server):
    answer = talk(server, request("/metrics", "HEAD"))
    assert b"Content-Length: 4000\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_connection_is_kept_and_a_large_body_compressed(server):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=5)
    for _ in range(3):
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        assert gzip.decompress(answer.read()) == b"x 1\n" * 1000
    connection.close()


def test_a_head_that_trickles_is_cut_off(server):
    before = time.monotonic()
    assert talk(server, b"GET /small HT") == b""
    assert time.monotonic() - before < 2


def test_clients_that_hold_every_place_do_not_keep_a_scraper_out(server):
    held = [socket.create_connection((server.host, server.port)) for _ in range(10)]
    assert talk(server, request()).startswith(b"HTTP/1.1 200 ")
    assert len(server._connections) <= OPTIONS.max_connections
    for connection in held:
        connection.close()


def test_after_stop_the_port_is_closed_and_connections_end(server):
    connection = socket.create_connection((server.host, server.port), timeout=5)
    connection.sendall(request().replace(b"Connection: close\r\n", b""))
    assert connection.recv(65536)
    server.stop()
    assert connection.recv(10) == b""
    connection.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, server.port), timeout=1).close()
