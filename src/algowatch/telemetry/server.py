"""The bot's own small HTTP server: GET and HEAD of a few paths, on loopback, in daemon threads.

Written on sockets because of what must never happen to a bot: no request may hold a thread without end, no number of
clients may grow the number of threads, and no web page in a browser on the same machine may read what is served here
(the Host header has to name a loopback address).
"""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

logger = logging.getLogger("algowatch")

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_COMPRESS_FROM = 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What a handler is given; header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Bounds. `head_timeout_s` is for a whole request head, however slowly its bytes come."""

    host: str = "127.0.0.1"
    port: int = 0
    max_connections: int = 16
    max_head_bytes: int = 16_384
    head_timeout_s: float = 5.0
    idle_timeout_s: float = 90.0
    send_timeout_s: float = 10.0


class _Refused(Exception):  # noqa: N818 (becomes a response)
    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class Server:
    """`start` binds and serves until `stop`; `port` is the one that it got."""

    def __init__(self, options: ServerOptions, routes: Mapping[str, Handler]) -> None:
        self.options = options
        self.routes = routes
        self.host = options.host
        self.port = 0
        self._socket: socket.socket | None = None
        self._connections: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._stopping = False

    def start(self) -> None:
        """Bind the wished port, or a free one where it is taken. Raises: OSError where no port can be had."""
        options = self.options
        try:
            self._socket = _listen(options.host, options.port)
        except OSError as error:
            if options.port == 0:
                raise
            logger.warning("port %d is not to be had (%s); serving metrics on a free one", options.port, error)
            self._socket = _listen(options.host, 0)
        self.host, self.port = self._socket.getsockname()[:2]
        threading.Thread(target=self._accept, args=(self._socket,), name="algowatch-http", daemon=True).start()

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def stop(self) -> None:
        """Close the port and every connection."""
        self._stopping = True
        listener, self._socket = self._socket, None
        if listener is not None:
            _shut(listener)
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _shut(connection)

    def abandon(self) -> None:
        """In a forked child: close the parent's sockets without shutting down what the parent still serves."""
        self._stopping = True
        self._lock = threading.Lock()
        for each in (self._socket, *self._connections):
            if each is not None:
                each.close()
        self._socket = None
        self._connections = {}

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping:
            try:
                connection, _ = listener.accept()
            except OSError:
                time.sleep(0.05)  # out of descriptors, for example: they may come back
                continue
            try:
                self._make_room()
                with self._lock:
                    self._connections[connection] = time.monotonic()
                threading.Thread(target=self._serve, args=(connection,), name="algowatch-http-client", daemon=True).start()
            except Exception:  # no thread to be had: the bot needs it more
                self._close(connection)

    def _make_room(self) -> None:
        """Where all places are taken, the connection that has been quiet for longest gives up its own."""
        with self._lock:
            if len(self._connections) < self.options.max_connections:
                return
            quiet = min(self._connections, key=self._connections.__getitem__)
            self._connections.pop(quiet)
        _shut(quiet)

    def _close(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.pop(connection, None)
        connection.close()

    def _serve(self, connection: socket.socket) -> None:
        rest = b""
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep = True
            while keep and not self._stopping:
                head, rest = self._read_head(connection, rest)
                if not head:
                    return
                with self._lock:
                    if connection in self._connections:
                        self._connections[connection] = time.monotonic()
                keep = self._answer(connection, head)
        except (OSError, ValueError):
            return
        finally:
            self._close(connection)

    def _read_head(self, connection: socket.socket, rest: bytes) -> tuple[bytes, bytes]:
        """Bytes up to the empty line and what came after; nothing where the client left or was too slow."""
        received = rest
        deadline = time.monotonic() + (self.options.head_timeout_s if rest else self.options.idle_timeout_s)
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > self.options.max_head_bytes:
                self._send(connection, Response(b"request head too large\n", status=431), close=True)
                return b"", b""
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            data = connection.recv(8192) if time.monotonic() < deadline else b""
            if not data:
                return b"", b""
            if not received:
                deadline = time.monotonic() + self.options.head_timeout_s
            received += data
        return received[:end], received[end + 4 :]

    def _answer(self, connection: socket.socket, head: bytes) -> bool:
        """Answer one request. Returns: whether the connection stays open."""
        try:
            request, keep = parse_head(head)
            if self.host in LOOPBACK and not is_loopback_host(request.headers.get("host", "")):
                raise _Refused(403, "the Host header does not name a loopback address")
            response = self._respond(request)
        except _Refused as refused:
            self._send(connection, Response(f"{refused}\n".encode(), status=refused.status), close=True)
            return False
        self._send(connection, response, head_only=request.method == "HEAD", close=not keep)
        return keep

    def _respond(self, request: Request) -> Response:
        handler = self.routes.get(request.path)
        if handler is None:
            return Response(f"not found; there is {', '.join(sorted(self.routes))}\n".encode(), status=404)
        try:
            response = handler(request)
        except Exception as error:
            logger.warning("%s could not be answered: %r", request.path, error)
            return Response(b"internal error\n", status=500)
        if len(response.body) >= _COMPRESS_FROM and "gzip" in request.headers.get("accept-encoding", ""):
            headers = {**response.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
            return Response(gzip.compress(response.body, 1), response.content_type, response.status, headers)
        return response

    def _send(self, connection: socket.socket, response: Response, *, head_only: bool = False, close: bool = False) -> None:
        lines = [
            f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}",
            f"Content-Type: {response.content_type}",
            f"Content-Length: {len(response.body)}",
            "X-Content-Type-Options: nosniff",
            *(f"{name}: {value}" for name, value in response.headers.items()),
            f"Connection: {'close' if close else 'keep-alive'}",
        ]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        connection.settimeout(self.options.send_timeout_s)
        connection.sendall(head if head_only else head + response.body)


def parse_head(head: bytes) -> tuple[Request, bool]:
    """A request from its head, and whether the client wants to keep the connection. Raises: _Refused."""
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise _Refused(400, "not an HTTP/1 request")
    method, target, version = parts
    if method not in ("GET", "HEAD"):
        raise _Refused(405, "only GET and HEAD")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise _Refused(400, "malformed header")
        headers[name.lower()] = value.strip()
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise _Refused(400, "a request here has no body")
    path, _, query = target.partition("?")
    keep = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return Request(method, path, dict(parse_qsl(query, keep_blank_values=True)), headers), keep


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine by a loopback address; a name that resolves to it does not count.

    >>> is_loopback_host("127.0.0.1:8000"), is_loopback_host("[::1]:8000"), is_loopback_host("evil.example:8000")
    (True, True, False)
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() in LOOPBACK or (name.startswith("127.") and name.replace(".", "").isdigit())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where SO_REUSEADDR would share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(16)
    except (OSError, OverflowError) as error:
        listener.close()
        raise OSError(str(error)) from error
    return listener


def _shut(connection: socket.socket) -> None:
    """Close so that a thread that waits in recv or accept wakes up."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
