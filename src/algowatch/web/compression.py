"""gzip for answers that are long enough to gain by it, packed beside the event loop."""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MIN_BYTES = 1024
_THREAD_FROM_BYTES = 64 << 10
_LEVEL = 3  # most of what is to be gained, at a fifth of the default level's time
_GZIP_WINDOW = 31


class Compression:
    """Packs answers that come in one piece, where the client takes gzip; streams and packed files pass as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not accepts_gzip(Headers(scope=scope).get("accept-encoding", "")):
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def send_packed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                opening, start = start, None
                message = await _packed(opening, message, scope["method"])
                await send(opening)
            await send(message)

        await self._app(scope, receive, send_packed)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding names gzip, and not with a weight of zero.

    >>> accepts_gzip("br, gzip;q=0.5"), accepts_gzip("gzip;q=0"), accepts_gzip("*")
    (True, False, False)
    """
    for item in header.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


async def _packed(start: Message, body: Message, method: str) -> Message:
    """The body, packed where that is possible and pays; the start's headers are set to match."""
    headers = MutableHeaders(raw=start["headers"])
    content: bytes = body.get("body", b"")
    whole = not body.get("more_body", False) and method != "HEAD" and start["status"] == 200
    if not whole or len(content) < _MIN_BYTES or "content-encoding" in headers:
        return body
    packed = _gzip(content) if len(content) < _THREAD_FROM_BYTES else await asyncio.to_thread(_gzip, content)
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(packed))
    headers.add_vary_header("Accept-Encoding")
    start["headers"] = headers.raw
    return {**body, "body": packed}


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(content) + packer.flush()
