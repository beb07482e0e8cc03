"""Where `query` gets its answers: a data directory, or anything that speaks Prometheus's HTTP API."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from algowatch.errors import QueryError, UsageError
from algowatch.insight.result import Result, from_json, from_query_result
from algowatch.promql.engine import QueryEngine
from algowatch.store.store import Store
from algowatch.telemetry.registration import read_engine

_TIMEOUT_S = 130.0
Span = tuple[int, int]
"""Start and step in milliseconds."""


def from_directory(directory: Path, expr: str, end_ms: int, span: Span | None) -> Result:
    """Raises: StoreError, QueryError."""
    with Store.open_reader(directory) as reader:
        engine = QueryEngine(reader.select)
        if span is None:
            return from_query_result(engine.instant(expr, end_ms))
        return from_query_result(engine.range(expr, span[0], end_ms, span[1]))


def from_url(url: str | None, expr: str, end_ms: int, span: Span | None, headers: Mapping[str, str]) -> Result:
    """Raises: UsageError, QueryError."""
    if span is None:
        return from_json(_call(url, "query", {"query": expr, "time": _seconds(end_ms)}, headers))
    start_ms, step_ms = span
    wanted = {"query": expr, "start": _seconds(start_ms), "end": _seconds(end_ms), "step": _seconds(step_ms)}
    return from_json(_call(url, "query_range", wanted, headers))


def _seconds(time_ms: int) -> str:
    sign, size = "-" if time_ms < 0 else "", abs(time_ms)
    return f"{sign}{size // 1000}.{size % 1000:03d}"


def _call(url: str | None, path: str, parameters: dict[str, str], headers: Mapping[str, str]) -> Any:
    base = (url or _running_engine()).rstrip("/")
    if urllib.parse.urlsplit(base).scheme not in ("http", "https"):
        raise UsageError(f"query: url {base!r} is not an http address; write for example http://127.0.0.1:9090")
    body = urllib.parse.urlencode(parameters).encode()
    request = urllib.request.Request(f"{base}/api/v1/{path}", body, dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{base} does not answer as Prometheus does ({error}); check url, or start `algowatch up`") from None


def _running_engine() -> str:
    found = read_engine()
    if found is None:
        raise UsageError("no engine runs here; start one with `algowatch up`, or give query url= or data=")
    return found.url


def _refusal(error: urllib.error.HTTPError) -> QueryError | UsageError:
    """What the server said, as the error that the embedded engine would have raised."""
    try:
        said = json.load(error)
        problem, error_type = str(said["error"]), str(said["errorType"])
    except (ValueError, KeyError, TypeError):
        return UsageError(f"{error.url} answered {error.code}; check url and headers")
    refusal = QueryError(problem)
    refusal.error_type = error_type
    return refusal
