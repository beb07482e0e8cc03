"""Prometheus's HTTP API, the part about what is scraped: targets and what they say about their families."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.model.labels import Labels, Matcher
from algowatch.model.timestamps import format_time
from algowatch.promql import nodes
from algowatch.promql.parser import parse
from algowatch.scrape.manager import ScrapeManager, TargetStatus
from algowatch.web.requests import answering_errors, bad_data, read_parameters, success


class TargetsApi:
    """/api/v1/targets, /api/v1/targets/metadata and /api/v1/metadata."""

    def __init__(self, scrapes: ScrapeManager) -> None:
        self._scrapes = scrapes

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v1/scrape_pools", answering_errors(self.scrape_pools)),
            Route("/api/v1/targets", answering_errors(self.targets)),
            Route("/api/v1/targets/metadata", answering_errors(self.targets_metadata)),
            Route("/api/v1/metadata", answering_errors(self.metadata)),
        ]

    async def scrape_pools(self, request: Request) -> Response:
        return success({"scrapePools": sorted(self._scrapes.pool_names())})

    async def targets(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        state, pool = parameters.get("state") or "any", parameters.get("scrapePool")
        if state not in ("any", "active", "dropped"):
            raise bad_data(f'invalid parameter "state": {state!r}; it is active, dropped or any')
        active = [target for target in self._scrapes.targets() if not pool or target.scrape_pool == pool]
        dropped = [target for target in self._scrapes.dropped_targets() if not pool or target.pool == pool]
        counts: dict[str, int] = {target.scrape_pool: 0 for target in active}
        for gone in dropped:
            counts[gone.pool] = counts.get(gone.pool, 0) + 1
        return success(
            {
                "activeTargets": [target_json(target) for target in active] if state != "dropped" else [],
                "droppedTargets": [{"discoveredLabels": dict(gone.discovered), "scrapePool": gone.pool} for gone in dropped]
                if state != "active"
                else [],
                "droppedTargetCounts": counts,
            }
        )

    async def targets_metadata(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        matchers = _target_matchers(parameters.get("match_target"))
        metric, limit = parameters.get("metric"), parameters.limit()
        found = [
            {
                "target": dict(entry.target),
                "metric": entry.metric,
                "type": entry.type,
                "help": entry.help,
                "unit": entry.unit,
            }
            for entry in self._scrapes.metadata()
            if (not metric or entry.metric == metric) and _fulfils(entry.target, matchers)
        ]
        return success(found[:limit] if limit else found)

    async def metadata(self, request: Request) -> Response:
        """By metric name, each different description once."""
        parameters = await read_parameters(request)
        metric, limit, per_metric = parameters.get("metric"), parameters.limit(), parameters.limit("limit_per_metric")
        found: dict[str, list[dict[str, str]]] = {}
        for entry in self._scrapes.metadata():
            if metric and entry.metric != metric:
                continue
            if limit and entry.metric not in found and len(found) >= limit:
                continue
            said = {"type": entry.type, "help": entry.help, "unit": entry.unit}
            known = found.setdefault(entry.metric, [])
            if said not in known and not (per_metric and len(known) >= per_metric):
                known.append(said)
        return success(found)


def target_json(target: TargetStatus) -> dict[str, object]:
    return {
        "discoveredLabels": dict(target.discovered_labels),
        "labels": dict(target.labels),
        "scrapePool": target.scrape_pool,
        "scrapeUrl": target.scrape_url,
        "globalUrl": target.global_url,
        "lastError": target.last_error,
        "lastScrape": format_time(target.last_scrape_ms) if target.last_scrape_ms else "0001-01-01T00:00:00Z",
        "lastScrapeDuration": target.last_scrape_duration_s,
        "health": target.health,
        "scrapeInterval": target.scrape_interval,
        "scrapeTimeout": target.scrape_timeout,
    }


def _target_matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers of `match_target`, a selector without a name.

    Raises: ParseError, ApiError
    """
    if not text:
        return ()
    selector = parse(text)
    if not isinstance(selector, nodes.VectorSelector):
        raise bad_data(f'invalid parameter "match_target": {text!r} is not a selector')
    return selector.matchers


def _fulfils(labels: Labels, matchers: tuple[Matcher, ...]) -> bool:
    return all(matcher.matches(labels.get(matcher.name)) for matcher in matchers)
