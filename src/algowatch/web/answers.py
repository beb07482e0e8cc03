"""A query as a value that can be sent to another process, and its answer as pieces of JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import orjson

from algowatch.model.protocols import QueryResult
from algowatch.promql.durations import QuerySpan
from algowatch.web.encode import encode_pieces


class QueryService(Protocol):
    """Answers PromQL."""

    def instant(self, expr: str, at_ms: int, /) -> QueryResult: ...
    def range(self, expr: str, start_ms: int, end_ms: int, step_ms: int, /) -> QueryResult: ...


@dataclass(frozen=True, slots=True)
class Question:
    """One query. A step of 0 is an instant query, at end_ms.

    limit: how many series the answer may have; 0 is no limit. bare: only what stands under `data`, as the live stream wants it.
    """

    expr: str
    start_ms: int
    end_ms: int
    step_ms: int = 0
    limit: int = 0
    bare: bool = False

    @property
    def span(self) -> QuerySpan:
        return QuerySpan(self.start_ms, self.end_ms, self.step_ms)

    def encoded(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def decoded(cls, text: bytes) -> Question:
        return cls(**orjson.loads(text))


def answer_pieces(question: Question, queries: QueryService) -> Iterator[bytes]:
    """The answer's JSON; the first piece comes when the query is evaluated, so errors come before anything is sent.

    Raises: QueryError, StoreError.
    """
    instant = question.step_ms == 0
    if instant:
        result = queries.instant(question.expr, question.end_ms)
    else:
        result = queries.range(question.expr, question.start_ms, question.end_ms, question.step_ms)
    return encode_pieces(result, instant) if question.bare else _in_envelope(result, instant, question.limit)


def _in_envelope(result: QueryResult, instant: bool, limit: int) -> Iterator[bytes]:
    truncated = bool(limit) and len(result.labels) > limit and result.type in ("vector", "matrix")
    if truncated:
        result = _first(result, limit)
    yield b'{"status":"success","data":'
    yield from encode_pieces(result, instant)
    warnings = [*result.warnings, *(["results truncated due to limit"] if truncated else [])]
    for name, notes in ((b"warnings", warnings), (b"infos", result.infos)):
        if notes:
            yield b',"%b":%b' % (name, orjson.dumps(list(notes)))
    yield b"}"


def _first(result: QueryResult, limit: int) -> QueryResult:
    return dataclasses.replace(
        result, labels=result.labels[:limit], values=result.values[:limit], present=result.present[:limit]
    )


def in_frames(pieces: Iterable[bytes], frame_bytes: int, send: Callable[[bytes, bool], None]) -> None:
    """Hand over the pieces in frames of about that size; `send` is told which frame is the last."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= frame_bytes:
            joined = b"".join(waiting)
            whole = len(joined) // frame_bytes * frame_bytes
            for first in range(0, whole, frame_bytes):
                send(joined[first : first + frame_bytes], False)
            waiting, size = [joined[whole:]], len(joined) - whole
    send(b"".join(waiting), True)
