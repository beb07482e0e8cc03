"""The web server inside the engine: its own socket, no signal handlers, and an end that open streams cannot hold up."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from algowatch.engine.options import Listen
from algowatch.errors import UsageError


def bind(listen: Listen) -> tuple[socket.socket, Listen]:
    """Open the listening socket; returns it with the address that it really has.

    Raises: UsageError when the port is taken or may not be used.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    # Named as TCP, which accepted connections inherit: only then does asyncio turn Nagle's algorithm off, which would hold up
    # each answer on a kept connection for the 40 ms of a delayed acknowledgement.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((listen.host, listen.port))
        opened.listen(128)
    except OSError as error:
        opened.close()
        raise UsageError(f"--listen {listen.host}:{listen.port}: {_why(error, listen.port)}") from None
    opened.setblocking(False)
    return opened, Listen(listen.host, opened.getsockname()[1])


def _why(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"the port is taken by another program; end it, or choose another port with --listen 127.0.0.1:{port + 1}"
    if error.errno == errno.EACCES:
        return "the port may not be used by this user; choose one above 1023 with --listen"
    return f"{error.strerror}; choose another address with --listen"


class WebServer(uvicorn.Server):
    """Serves one app on a socket that is already open; `before_shutdown` runs before open connections are waited for."""

    def __init__(self, app: ASGIApp, before_shutdown: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=2,
                ws="none",
            )
        )
        self._before_shutdown = before_shutdown

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The engine handles signals; the server must not."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_shutdown()
        await super().shutdown(sockets)
