"""What no route of the API has taken: 404, 405 and OPTIONS, in JSON, so that a client never has to read a page."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import Receive, Scope, Send

from algowatch.web.requests import error_response


class Unmatched:
    """ASGI app that comes after all routes of the API. OPTIONS names the methods; no other site's page is let in by it."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._respond(Request(scope))(scope, receive, send)

    def _respond(self, request: Request) -> Response:
        allowed = self._methods({**request.scope, "root_path": ""})
        if not allowed:
            return error_response("not_found", f"there is no {request.url.path}; docs/api.md lists every path", 404)
        headers = {"Allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        answer = error_response("bad_data", f"{request.url.path} is not called with {request.method}", 405)
        answer.headers.update(headers)
        return answer

    def _methods(self, scope: Scope) -> set[str]:
        """The methods of the routes that have this path."""
        return {
            method
            for route in self._routes
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE
            for method in route.methods or ()
        }


def api_end(routes: Sequence[BaseRoute]) -> list[BaseRoute]:
    """Mounts for everything under the API's roots that none of the routes has taken."""
    unmatched = Unmatched(routes)
    return [Mount("/api", app=unmatched), Mount("/-", app=unmatched)]
