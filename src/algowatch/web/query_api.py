"""Prometheus's HTTP API, the part that reads history: queries, series, labels."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.errors import ParseError
from algowatch.model.clock import Clock
from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import QueryResult
from algowatch.promql import nodes
from algowatch.promql.engine import QueryCall
from algowatch.promql.parser import parse
from algowatch.promql.printer import pretty
from algowatch.web.encode import encode_result
from algowatch.web.requests import (
    MAX_TIME_MS,
    MIN_TIME_MS,
    ApiError,
    Parameters,
    answering_errors,
    bad_data,
    read_parameters,
    success,
)
from algowatch.web.syntax_tree import syntax_tree
from algowatch.web.workers import Turn, Workers

_MAX_STEPS = 11_000
T = TypeVar("T")

MatcherSets = Sequence[Sequence[Matcher]]
Ask = Callable[[QueryCall], QueryResult]


class QueryService(Protocol):
    """Answers PromQL."""

    def instant(self, expr: str, at_ms: int, call: QueryCall, /) -> QueryResult: ...
    def range(self, expr: str, start_ms: int, end_ms: int, step_ms: int, call: QueryCall, /) -> QueryResult: ...


class SeriesReader(Protocol):
    """Knows which series and labels there are; spans are inclusive at both ends."""

    def series(self, matcher_sets: MatcherSets, start_ms: int, end_ms: int) -> Sequence[Labels]: ...
    def label_names(self, matcher_sets: MatcherSets, start_ms: int, end_ms: int) -> Sequence[str]: ...
    def label_values(self, name: str, matcher_sets: MatcherSets, start_ms: int, end_ms: int) -> Sequence[str]: ...


class QueryApi:
    """The endpoints under /api/v1 that read history."""

    def __init__(
        self, queries: QueryService, reader: SeriesReader, workers: Workers, clock: Clock, timeout_s: float = 120.0
    ) -> None:
        self._timeout_ms = round(timeout_s * 1000)
        self._queries = queries
        self._reader = reader
        self._workers = workers
        self._clock = clock

    def routes(self) -> list[BaseRoute]:
        both = ["GET", "POST"]
        return [
            Route("/api/v1/query", answering_errors(self.query), methods=both),
            Route("/api/v1/query_range", answering_errors(self.query_range), methods=both),
            Route("/api/v1/series", answering_errors(self.series), methods=both),
            Route("/api/v1/labels", answering_errors(self.labels), methods=both),
            Route("/api/v1/label/{name:path}/values", answering_errors(self.label_values)),
            Route("/api/v1/format_query", answering_errors(self.format_query), methods=both),
            Route("/api/v1/parse_query", answering_errors(self.parse_query), methods=both),
        ]

    async def query(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        expr = expression_of(parameters)
        at_ms = parameters.time_ms("time", self._clock.now_ms())
        return await self._answer(request, parameters, lambda call: self._queries.instant(expr, at_ms, call), instant=True)

    async def query_range(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        expr = expression_of(parameters)
        start_ms, end_ms = parameters.time_ms("start"), parameters.time_ms("end")
        step_ms = parameters.duration_ms("step")
        if end_ms < start_ms:
            raise bad_data('invalid parameter "end": end timestamp must not be before start time')
        if step_ms <= 0:
            raise bad_data(
                'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
                "Try a positive integer"
            )
        if (end_ms - start_ms) // step_ms > _MAX_STEPS:
            raise bad_data(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
            )
        return await self._answer(
            request, parameters, lambda call: self._queries.range(expr, start_ms, end_ms, step_ms, call), instant=False
        )

    async def _answer(self, request: Request, parameters: Parameters, ask: Ask, instant: bool) -> Response:
        """Ask in a worker, within the time-out that the caller and the engine set, waiting included."""
        timeout_s = min(parameters.duration_ms("timeout", self._timeout_ms), self._timeout_ms) / 1000
        lookback_ms = parameters.duration_ms("lookback_delta", 0) or None
        limit, wants_stats = parameters.limit(), bool(parameters.get("stats"))

        def work(turn: Turn) -> Response:
            call = QueryCall(turn.remaining_s(), lookback_ms, turn.cancelled)
            result = ask(call)
            return _result_response(result, instant, limit, _statistics(call, turn) if wants_stats else None)

        return await self._workers.run_for(request, work, timeout_s)

    async def series(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        matcher_sets = matcher_sets_of(parameters)
        if not matcher_sets:
            raise bad_data("no match[] parameter provided")
        span = span_of(parameters)
        found = await self._read(request, lambda: self._reader.series(matcher_sets, *span))
        return _limited([dict(labels) for labels in found], parameters.limit())

    async def labels(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        matcher_sets, span = matcher_sets_of(parameters), span_of(parameters)
        found = await self._read(request, lambda: self._reader.label_names(matcher_sets, *span))
        return _limited(list(found), parameters.limit())

    async def label_values(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        name = _unescape_label_name(request.path_params["name"])
        matcher_sets, span = matcher_sets_of(parameters), span_of(parameters)
        found = await self._read(request, lambda: self._reader.label_values(name, matcher_sets, *span))
        return _limited(list(found), parameters.limit())

    async def _read(self, request: Request, work: Callable[[], T]) -> T:
        return await self._workers.run_for(request, lambda turn: work(), self._timeout_ms / 1000)

    async def format_query(self, request: Request) -> Response:
        expr = expression_of(await read_parameters(request))
        return success(pretty(parse(expr)))

    async def parse_query(self, request: Request) -> Response:
        tree = syntax_tree(parse(expression_of(await read_parameters(request))))
        try:
            return success(tree)
        except orjson.JSONEncodeError:
            raise bad_data('invalid parameter "query": the expression nests too deep to be shown') from None


def expression_of(parameters: Parameters) -> str:
    """The query parameter, parsed once here so that a wrong one is worded as Prometheus words it."""
    expr = parameters.get("query")
    try:
        parse(expr)
    except ParseError as error:
        raise bad_data(f'invalid parameter "query": {error}') from None
    return expr


def matcher_sets_of(parameters: Parameters) -> list[Sequence[Matcher]]:
    """What each `match[]` asks for. Raises: ApiError."""
    sets: list[Sequence[Matcher]] = []
    for text in parameters.all("match[]"):
        try:
            selector = parse(text)
        except ParseError as error:
            raise bad_data(f'invalid parameter "match[]": {error}') from None
        if not isinstance(selector, nodes.VectorSelector):
            raise bad_data(f'invalid parameter "match[]": {text!r} is not a series selector')
        sets.append(selector.matchers)
    return sets


def span_of(parameters: Parameters) -> tuple[int, int]:
    """start and end, both inclusive; without them the whole of time. Raises: ApiError."""
    start_ms, end_ms = parameters.time_ms("start", MIN_TIME_MS), parameters.time_ms("end", MAX_TIME_MS)
    if end_ms < start_ms:
        raise bad_data('invalid parameter "end": end timestamp must not be before start time')
    return start_ms, end_ms


def _unescape_label_name(name: str) -> str:
    """Undo Prometheus's `U__` spelling of UTF-8 label names in paths: `U__my_2e_label` is `my.label`."""
    if not name:
        raise bad_data('invalid label name: ""')
    if not name.startswith("U__"):
        return name
    parts = name[3:].replace("__", "\0").split("_")
    try:
        text = parts[0] + "".join(chr(int(part, 16)) if index % 2 == 0 else part for index, part in enumerate(parts[1:]))
    except (ValueError, OverflowError):
        raise ApiError("bad_data", f"invalid label name: {name!r}", 400) from None
    return text.replace("\0", "_")


def _limited(found: list[object] | list[str] | list[dict[str, str]], limit: int) -> Response:
    if limit and len(found) > limit:
        return success(found[:limit], ["results truncated due to limit"])
    return success(found)


def _statistics(call: QueryCall, turn: Turn) -> dict[str, object]:
    """What `stats` asks for, as Prometheus names it; range answers are put in order while they are evaluated."""
    began_s = turn.began_s if turn.started_s is None else turn.started_s
    evaluated_s = time.monotonic() - began_s
    return {
        "timings": {
            "evalTotalTime": evaluated_s,
            "resultSortTime": 0,
            "queryPreparationTime": call.read_s,
            "innerEvalTime": evaluated_s - call.read_s,
            "execQueueTime": turn.queued_s,
            "execTotalTime": evaluated_s + turn.queued_s,
        },
        "samples": {"totalQueryableSamples": call.samples, "peakSamples": call.samples},
    }


def _result_response(result: QueryResult, instant: bool, limit: int, statistics: dict[str, object] | None) -> Response:
    truncated = bool(limit) and len(result.labels) > limit and result.type in ("vector", "matrix")
    if truncated:
        result = _first(result, limit)
    warnings = [*result.warnings, *(["results truncated due to limit"] if truncated else [])]
    extras = [
        b',"%b":%b' % (name, orjson.dumps(list(notes)))
        for name, notes in ((b"warnings", warnings), (b"infos", result.infos))
        if notes
    ]
    data = encode_result(result, instant)
    if statistics is not None:
        data = b'%b,"stats":%b}' % (data[:-1], orjson.dumps(statistics))
    body = b'{"status":"success","data":%b%b}' % (data, b"".join(extras))
    return Response(body, media_type="application/json")


def _first(result: QueryResult, limit: int) -> QueryResult:
    return dataclasses.replace(
        result, labels=result.labels[:limit], values=result.values[:limit], present=result.present[:limit]
    )
