"""A query as a value that can be sent to another process, and its answer as pieces of JSON."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import orjson

from algowatch.model.protocols import QueryResult
from algowatch.promql.durations import QuerySpan
from algowatch.promql.engine import QueryCall
from algowatch.web.encode import encode_pieces


class QueryService(Protocol):
    """Answers PromQL."""

    def instant(self, expr: str, at_ms: int, call: QueryCall, /) -> QueryResult: ...
    def range(self, expr: str, start_ms: int, end_ms: int, step_ms: int, call: QueryCall, /) -> QueryResult: ...


@dataclass(frozen=True, slots=True)
class Question:
    """One query. A step of 0 is an instant query, at end_ms.

    timeout_s: from now on. queued_s: how long it has waited for its turn already.
    limit: how many series the answer may have; 0 is no limit. stats: the answer tells what the query took.
    bare: only what stands under `data`, as the live stream wants it.
    """

    expr: str
    start_ms: int
    end_ms: int
    step_ms: int = 0
    timeout_s: float = 120.0
    queued_s: float = 0.0
    lookback_delta_ms: int | None = None
    limit: int = 0
    stats: bool = False
    bare: bool = False

    @property
    def span(self) -> QuerySpan:
        return QuerySpan(self.start_ms, self.end_ms, self.step_ms)

    def waited(self, seconds: float) -> Question:
        """The same after another while in a queue."""
        return dataclasses.replace(self, timeout_s=self.timeout_s - seconds, queued_s=self.queued_s + seconds)

    def encoded(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def decoded(cls, text: bytes) -> Question:
        return cls(**orjson.loads(text))


def answer_pieces(question: Question, queries: QueryService, cancelled: Callable[[], bool]) -> Iterator[bytes]:
    """The answer's JSON. The query is evaluated before this returns, so its errors come before anything is sent.

    Raises: QueryError, StoreError.
    """
    call = QueryCall(question.timeout_s, question.lookback_delta_ms, cancelled)
    began_s = time.monotonic()
    instant = question.step_ms == 0
    if instant:
        result = queries.instant(question.expr, question.end_ms, call)
    else:
        result = queries.range(question.expr, question.start_ms, question.end_ms, question.step_ms, call)
    if question.bare:
        return encode_pieces(result, instant)
    stats = _statistics(call, time.monotonic() - began_s, question.queued_s) if question.stats else None
    return _in_envelope(result, instant, question.limit, stats)


def _in_envelope(result: QueryResult, instant: bool, limit: int, stats: dict[str, object] | None) -> Iterator[bytes]:
    truncated = bool(limit) and len(result.labels) > limit and result.type in ("vector", "matrix")
    if truncated:
        result = _first(result, limit)
    yield b'{"status":"success","data":'
    yield from encode_pieces(result, instant, stats)
    warnings = [*result.warnings, *(["results truncated due to limit"] if truncated else [])]
    for name, notes in ((b"warnings", warnings), (b"infos", result.infos)):
        if notes:
            yield b',"%b":%b' % (name, orjson.dumps(list(notes)))
    yield b"}"


def _first(result: QueryResult, limit: int) -> QueryResult:
    return dataclasses.replace(
        result, labels=result.labels[:limit], values=result.values[:limit], present=result.present[:limit]
    )


def _statistics(call: QueryCall, evaluated_s: float, queued_s: float) -> dict[str, object]:
    """What `stats` asks for, as Prometheus names it; range answers are put in order while they are evaluated."""
    return {
        "timings": {
            "evalTotalTime": evaluated_s,
            "resultSortTime": 0,
            "queryPreparationTime": call.read_s,
            "innerEvalTime": evaluated_s - call.read_s,
            "execQueueTime": queued_s,
            "execTotalTime": evaluated_s + queued_s,
        },
        "samples": {"totalQueryableSamples": call.samples, "peakSamples": call.samples},
    }


def send_in_frames(pieces: Iterable[bytes], frame_bytes: int, send: Callable[[bytes, bool], None]) -> None:
    """Hand over the pieces in frames of up to that size; `send` is told which frame is the last."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) > frame_bytes:
            send(bytes(waiting[:frame_bytes]), False)
            del waiting[:frame_bytes]
    send(bytes(waiting), True)
