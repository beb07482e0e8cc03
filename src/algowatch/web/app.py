"""The one ASGI app: everything that the engine serves on its port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from algowatch.model.clock import Clock
from algowatch.model.labels import Labels
from algowatch.notify.notifier import Notifier
from algowatch.rules.status import GroupStatus
from algowatch.scrape.manager import ScrapeManager
from algowatch.store.exemplars import Exemplars
from algowatch.store.store import Store
from algowatch.web.ack_api import AckApi
from algowatch.web.admin_api import AdminApi
from algowatch.web.alertmanager_api import AlertmanagerApi
from algowatch.web.compression import Compression
from algowatch.web.exemplars_api import ExemplarsApi
from algowatch.web.federate import FederateApi
from algowatch.web.guard import OriginGuard
from algowatch.web.lifecycle import LifecycleApi
from algowatch.web.live import LiveHub
from algowatch.web.query_api import QueryApi, SeriesReader
from algowatch.web.questions import Questions
from algowatch.web.remote_write_api import RemoteWriteApi
from algowatch.web.requests import answering_errors
from algowatch.web.rules_api import RulesApi
from algowatch.web.static_files import static_mount
from algowatch.web.status_api import About, StatusApi
from algowatch.web.targets_api import TargetsApi
from algowatch.web.unmatched import api_end
from algowatch.web.workers import Workers


@dataclass(frozen=True, slots=True)
class Site:
    """What the app serves.

    metrics: the engine's own exposition, for an Accept header: body and content type. timeout_s, lookback_ms: of queries.
    """

    questions: Questions
    reader: SeriesReader
    workers: Workers
    clock: Clock
    live: LiveHub
    notifier: Notifier
    groups: Callable[[], Sequence[GroupStatus]]
    scrapes: ScrapeManager
    store: Store
    metrics: Callable[[str], tuple[bytes, str]]
    exemplars: Exemplars
    about: About
    external_labels: Callable[[], Labels]
    out_of_order_ms: Callable[[], int]
    written: Callable[[], None]
    timeout_s: float
    lookback_ms: int
    reload: Callable[[], Awaitable[None]]
    hosts: frozenset[str] = frozenset()


def create_app(site: Site) -> Starlette:
    """Build the app."""
    routes = api_routes(site)
    middleware = [Middleware(OriginGuard, hosts=site.hosts), Middleware(Compression)]
    return Starlette(routes=[*routes, *api_end(routes), static_mount()], middleware=middleware)


def api_routes(site: Site) -> list[BaseRoute]:
    """Every route but the page's files."""

    async def alive(request: Request) -> Response:
        return PlainTextResponse("algowatch is alive.\n")

    async def ready(request: Request) -> Response:
        return PlainTextResponse("algowatch is ready.\n")

    async def metrics(request: Request) -> Response:
        body, content_type = await site.workers.run(lambda: site.metrics(request.headers.get("accept", "")))
        return Response(body, media_type=content_type)

    return [
        *QueryApi(site.questions, site.reader, site.workers, site.clock, site.timeout_s).routes(),
        *ExemplarsApi(site.exemplars).routes(),
        *TargetsApi(site.scrapes).routes(),
        *RulesApi(site.groups).routes(),
        *StatusApi(site.store, site.workers, site.clock, site.about).routes(),
        *RemoteWriteApi(site.store, site.workers, site.out_of_order_ms, site.written).routes(),
        *AdminApi(site.store, site.workers, site.clock).routes(),
        *FederateApi(site.store.select, site.workers, site.clock, site.external_labels, site.lookback_ms).routes(),
        *LifecycleApi(site.reload).routes(),
        *AlertmanagerApi(site.notifier, site.clock).routes(),
        *AckApi(site.notifier).routes(),
        Route("/api/live", answering_errors(site.live.respond)),
        Route("/-/healthy", alive),
        Route("/-/ready", ready),
        Route("/healthz", alive),
        Route("/metrics", metrics),
    ]


def route_paths(routes: Sequence[BaseRoute]) -> list[str]:
    """The paths that an app answers, as documentation names them: `{name}` stands as NAME."""
    return [
        route.path.replace(":path", "").replace("{name}", "NAME").replace("{silence_id}", "ID").replace("{fingerprint}", "ID")
        for route in routes
        if isinstance(route, Route)
    ]
