"""/federate: the newest sample of chosen series in the text format, for another Prometheus to scrape.

Source: Prometheus, `web/federate.go`: a sample older than the lookback or ended by a staleness marker is left out, external
labels are added where a series has none of that name, and a series without `instance` gets an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from algowatch.errors import AlgowatchError
from algowatch.gotemplate.formatting import format_float
from algowatch.model.clock import Clock
from algowatch.model.labels import METRIC_NAME, Labels, is_legacy_label_name, is_legacy_metric_name, quote
from algowatch.model.protocols import Select, SeriesMatrix
from algowatch.model.staleness import STALE_NAN_BITS
from algowatch.web.query_api import matcher_sets_of
from algowatch.web.requests import classify, read_parameters
from algowatch.web.workers import Turn, Workers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TIMEOUT_S = 120.0

Newest = tuple[Labels, int, float]
"""A series, the time in ms and the value of its newest sample."""


class FederateApi:
    """external_labels is asked for each answer, since a reload may change them."""

    def __init__(
        self, select: Select, workers: Workers, clock: Clock, external_labels: Callable[[], Labels], lookback_ms: int
    ) -> None:
        self._select = select
        self._workers = workers
        self._clock = clock
        self._external_labels = external_labels
        self._lookback_ms = lookback_ms

    def routes(self) -> list[BaseRoute]:
        return [Route("/federate", self.federate)]

    async def federate(self, request: Request) -> Response:
        """Errors are plain text here, as in Prometheus."""
        try:
            matcher_sets = matcher_sets_of(await read_parameters(request))
            utf8 = "escaping=allow-utf-8" in request.headers.get("accept", "").replace(" ", "")
            end_ms, external = self._clock.now_ms(), self._external_labels()

            def work(turn: Turn) -> str:
                matrices = (self._select(matchers, end_ms - self._lookback_ms, end_ms) for matchers in matcher_sets)
                return exposition(newest(matrix for found in matrices for matrix in found), external, utf8)

            body = await self._workers.run_for(request, work, _TIMEOUT_S)
        except (AlgowatchError, re.error) as error:
            status = classify(error)[1] if isinstance(error, AlgowatchError) else 400
            return PlainTextResponse(f"{error}\n", status)
        return Response(body, media_type=CONTENT_TYPE)


def newest(matrices: Iterable[SeriesMatrix]) -> list[Newest]:
    """Each series once, in the order of its metric name and labels, unless a staleness marker ended it."""
    found: dict[Labels, Newest] = {}
    for matrix in matrices:
        if not len(matrix.timestamps_ms):
            continue
        columns = _last_columns(matrix)
        rows = np.arange(len(columns))
        values = np.ascontiguousarray(matrix.values[rows, columns])
        alive = (values.view(np.uint64) != STALE_NAN_BITS) & (columns >= 0)
        for row in np.flatnonzero(alive).tolist():
            labels = matrix.labels[row]
            found.setdefault(labels, (labels, int(matrix.timestamps_ms[columns[row]]), float(values[row])))
    return sorted(found.values(), key=lambda entry: (entry[0].metric_name, entry[0]))


def _last_columns(matrix: SeriesMatrix) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For each series the column of its last sample; -1 where it has none."""
    count = len(matrix.timestamps_ms)
    if matrix.present is None:
        return np.full(len(matrix.labels), count - 1, np.int64)
    last = count - 1 - np.argmax(matrix.present[:, ::-1], axis=1)
    return np.where(matrix.present.any(axis=1), last, -1).astype(np.int64)


def exposition(samples: Sequence[Newest], external: Labels, utf8: bool) -> str:
    """Text format 0.0.4, every family untyped; names that need quotes are quoted, or spelled with underscores."""
    added = dict(external)
    added.setdefault("instance", "")
    lines: list[str] = []
    for name, group in groupby(samples, key=lambda entry: entry[0].metric_name):
        if not name:
            continue
        quoted = utf8 and not is_legacy_metric_name(name)
        shown = quote(name) if quoted else _escaped(name, is_legacy_metric_name)
        lines.append(f"# TYPE {shown} untyped\n")
        for labels, timestamp_ms, value in group:
            own = {key: text for key, text in labels if key != METRIC_NAME}
            pairs = [f"{_label_name(key, utf8)}={quote(text)}" for key, text in (own | _missing(added, own)).items()]
            series = "{" + ",".join([shown, *pairs]) + "}" if quoted else shown + "{" + ",".join(pairs) + "}"
            lines.append(f"{series} {format_float(value)} {timestamp_ms}\n")
    return "".join(lines)


def _missing(added: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in sorted(added.items()) if name not in own}


def _label_name(name: str, utf8: bool) -> str:
    return quote(name) if utf8 and not is_legacy_label_name(name) else _escaped(name, is_legacy_label_name)


def _escaped(name: str, is_legacy: Callable[[str], bool]) -> str:
    if is_legacy(name):
        return name
    plain = re.sub(r"[^a-zA-Z0-9_:]", "_", name)
    return f"_{plain}" if plain[0].isdigit() else plain
