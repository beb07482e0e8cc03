"""Prometheus's lifecycle call: read the configuration files again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from algowatch.errors import AlgowatchError


@dataclass(frozen=True, slots=True)
class ReloadState:
    """success: how the last reading of the configuration went; taken_at_ms: when the configuration in use was taken over."""

    success: bool
    taken_at_ms: int


class LifecycleApi:
    """/-/reload. `reload` reads the files and takes them over, or raises with every fault and leaves all as it was."""

    def __init__(self, reload: Callable[[], Awaitable[None]]) -> None:
        self._reload = reload

    def routes(self) -> list[BaseRoute]:
        return [Route("/-/reload", self.reload, methods=["GET", "POST", "PUT"])]

    async def reload(self, request: Request) -> Response:
        """200 once the new configuration is in use; 500 with one line per fault, as Prometheus words it."""
        if request.method not in ("POST", "PUT"):
            return PlainTextResponse("Only POST or PUT requests allowed\n", 405, {"Allow": "POST, PUT"})
        try:
            await self._reload()
        except AlgowatchError as error:
            return PlainTextResponse(f"failed to reload config: {error}\n", 500)
        return Response()
