"""What keeps other people's web pages away from the engine, and the headers that every answer carries.

Any page in the trader's browser can post to 127.0.0.1, and by rebinding its own name's address can even read from it. So a
request must be made to a host name that is ours, and one that a browser sends from elsewhere is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class OriginGuard:
    """Refuses requests whose Host is not ours and requests that another site's page sends."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = self._problem({name: value.decode("latin-1") for name, value in scope["headers"]})
        if problem:
            await _refuse(problem, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _HEADERS if pair[0] not in given)]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _problem(self, headers: dict[bytes, str]) -> str:
        host = headers.get(b"host", "")
        if not self._is_ours(host):
            return f"the host name {host[:80]!r} is not one of this engine's; use 127.0.0.1 or localhost, or set external_url"
        origin = headers.get(b"origin", "")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            return "requests from another site's pages are refused"
        if headers.get(b"sec-fetch-site", "none") == "cross-site" and headers.get(b"sec-fetch-mode", "") != "navigate":
            return "requests from another site's pages are refused"
        return ""

    def _is_ours(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower() if host else ""
        if name == "localhost" or name in self._hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


async def _refuse(problem: str, send: Send) -> None:
    body = orjson.dumps({"status": "error", "errorType": "forbidden", "error": problem})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
