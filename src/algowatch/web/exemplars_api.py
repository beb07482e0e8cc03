"""Prometheus's HTTP API, the part about exemplars."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.model.labels import Matcher
from algowatch.promql import nodes
from algowatch.promql.nodes import Expr
from algowatch.promql.parser import parse
from algowatch.store.exemplars import Exemplars, StoredExemplar
from algowatch.web.encode import format_value
from algowatch.web.query_api import expression_of, span_of
from algowatch.web.requests import answering_errors, read_parameters, success


class ExemplarsApi:
    """/api/v1/query_exemplars."""

    def __init__(self, exemplars: Exemplars) -> None:
        self._exemplars = exemplars

    def routes(self) -> list[BaseRoute]:
        return [Route("/api/v1/query_exemplars", answering_errors(self.query_exemplars), methods=["GET", "POST"])]

    async def query_exemplars(self, request: Request) -> Response:
        """The exemplars of every series that a selector in the expression names."""
        parameters = await read_parameters(request)
        matcher_sets = selectors(parse(expression_of(parameters)))
        found = self._exemplars.select(matcher_sets, *span_of(parameters))
        return success(
            [
                {"seriesLabels": dict(series), "exemplars": [_exemplar_json(exemplar) for exemplar in exemplars]}
                for series, exemplars in found
            ]
        )


def selectors(expr: Expr) -> list[tuple[Matcher, ...]]:
    """The matchers of all selectors in an expression."""
    first, chain = nodes.left_spine(expr)
    rest = [found for node in chain for found in selectors(node.rhs)]
    match first:
        case nodes.VectorSelector(matchers=matchers):
            return [matchers, *rest]
        case nodes.MatrixSelector(selector=selector):
            return [selector.matchers, *rest]
        case nodes.Call(args=args):
            return [found for argument in args for found in selectors(argument)] + rest
        case nodes.Aggregate(expr=inner, param=param):
            return [*selectors(inner), *(selectors(param) if param is not None else ()), *rest]
        case nodes.Paren(expr=inner) | nodes.Unary(expr=inner) | nodes.Subquery(expr=inner):
            return [*selectors(inner), *rest]
    return rest


def _exemplar_json(exemplar: StoredExemplar) -> dict[str, object]:
    return {
        "labels": dict(exemplar.labels),
        "value": format_value(exemplar.value),
        "timestamp": exemplar.timestamp_ms / 1000,
    }
