"""`algowatch.query`: PromQL from Python, for notebooks and scripts.

It lives in this room, the readers of history, because it needs `promql` and `store` from below and nothing that serves:
neither a bot nor the engine ever calls it. Nothing heavy is imported before the call, so that the package root may name it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from algowatch.errors import UsageError
from algowatch.model.durations import parse_duration
from algowatch.model.timestamps import parse_time

if TYPE_CHECKING:
    from algowatch.insight.result import Result

Moment = float | str | datetime
"""Unix seconds, text (Unix seconds or RFC 3339), or a datetime; one without a time zone is local time, as in Python."""
Length = float | str | timedelta
"""Seconds, a Prometheus duration such as `30s`, or a timedelta."""

_DEFAULT_STEPS = 250
_MIN_STEP_MS = 1000


def query(
    expr: str,
    start: Moment | None = None,
    end: Moment | None = None,
    step: Length | None = None,
    url: str | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Result:
    """Ask a PromQL expression: at one moment (`end`, or now), or with `start` at every step from start to end, both included.

    step:    without one the span is cut into 250 steps of at least a second.
    url:     a Prometheus or anything with its API; without one the engine that runs on this machine is asked.
    data:    a data directory that is read instead, whether or not an engine is using it.
    headers: sent along with a request to `url`, for example Authorization.
    Raises: QueryError where the expression cannot be answered; UsageError where nobody answers or an argument is wrong;
            StoreError where the data directory cannot be read.
    """
    try:
        from algowatch.insight import sources
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("algowatch"):
            raise
        raise UsageError(
            f"algowatch.query needs the engine, and its package {error.name!r} is missing; "
            'install it with: pip install "algowatch[engine]"'
        ) from None
    if url is not None and data is not None:
        raise UsageError("query: give url or data, not both")
    end_ms = _time_ms("end", end) if end is not None else time.time_ns() // 1_000_000
    span = None if start is None else _span(_time_ms("start", start), end_ms, step)
    if start is None and step is not None:
        raise UsageError("query: step needs a start; without one the answer is for one moment")
    if data is not None:
        return sources.from_directory(Path(data), expr, end_ms, span)
    return sources.from_url(url, expr, end_ms, span, headers or {})


def _span(start_ms: int, end_ms: int, step: Length | None) -> tuple[int, int]:
    """Start and step in milliseconds."""
    if start_ms > end_ms:
        raise UsageError("query: start is after end")
    step_ms = max((end_ms - start_ms) // _DEFAULT_STEPS, _MIN_STEP_MS) if step is None else _length_ms(step)
    if step_ms <= 0:
        raise UsageError(f"query: step {step!r} is not a positive length of time")
    return start_ms, step_ms


def _time_ms(name: str, moment: Moment) -> int:
    if isinstance(moment, datetime):
        return round(moment.timestamp() * 1000)
    try:
        return parse_time(moment) if isinstance(moment, str) else round(moment * 1000)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"query: {name}: {error}; give Unix seconds, an RFC 3339 time or a datetime") from None


def _length_ms(length: Length) -> int:
    if isinstance(length, timedelta):
        return length // timedelta(milliseconds=1)
    try:
        return parse_duration(length) if isinstance(length, str) else round(length * 1000)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"query: step: {error}") from None
