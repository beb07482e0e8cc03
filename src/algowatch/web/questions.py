"""Where a query is answered: small ones here, in a thread, with the head's speed; all others in a process beside the engine."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from algowatch.errors import QueryError
from algowatch.model.labels import Matcher
from algowatch.promql.cost import estimate_samples
from algowatch.promql.engine import DEFAULT_OPTIONS
from algowatch.promql.parser import parse
from algowatch.web.answers import QueryService, Question, answer_pieces
from algowatch.web.query_pool import Answer, QueryPool
from algowatch.web.workers import Turn, Workers, while_connected

_JSON = "application/json"
parsed = lru_cache(DEFAULT_OPTIONS.parsed_expressions)(parse)


@dataclass(frozen=True, slots=True)
class QuestionLimits:
    """Samples that a query may be guessed to touch and still be answered in the engine's own process: few for what a person
    asks; more for the live stream, whose queries read the newest samples only and come round each second.
    """

    asked_samples: int = 100_000
    live_samples: int = 1_000_000


DEFAULT_LIMITS = QuestionLimits()


class Questions:
    """pool: None answers everything here. count_series: how many series fulfil some matchers, from the index."""

    def __init__(
        self,
        queries: QueryService,
        workers: Workers,
        count_series: Callable[[Sequence[Matcher]], int],
        pool: QueryPool | None = None,
        limits: QuestionLimits = DEFAULT_LIMITS,
    ) -> None:
        self._queries = queries
        self._workers = workers
        self._count_series = count_series
        self._pool = pool
        self._limits = limits

    async def respond(self, request: Request, question: Question) -> Response:
        """The HTTP answer.

        Raises: QueryError, QueryTimeoutError, ClientGoneError, QueryProcessError, StoreError.
        """
        began_s = time.monotonic()

        def work(turn: Turn) -> bytes | None:
            return self._here(question.waited(turn.queued_s), self._limits.asked_samples, turn.cancelled)

        body = await self._workers.run_for(request, work, question.timeout_s)
        if body is not None:
            return Response(body, media_type=_JSON)
        assert self._pool is not None
        elsewhere = self._pool.ask(question.waited(time.monotonic() - began_s))
        answer: Answer = await while_connected(request, asyncio.ensure_future(elsewhere))
        if answer.others is None:
            return Response(answer.first, media_type=_JSON)
        return _LongAnswer(answer.first, answer.others)

    async def data(self, expr: str, at_ms: int) -> bytes:
        """What an instant query has under `data`, for the live stream. Raises: as `respond`."""
        question = Question(expr, at_ms, at_ms, bare=True)
        body = await self._workers.run(lambda: self._here(question, self._limits.live_samples, lambda: False))
        if body is not None:
            return body
        assert self._pool is not None
        return await (await self._pool.ask(question)).whole()

    def _here(self, question: Question, most_samples: int, cancelled: Callable[[], bool]) -> bytes | None:
        """The answer, unless it is one for the pool."""
        if self._pool is not None and self._samples(question) > most_samples:
            return None
        return b"".join(answer_pieces(question, self._queries, cancelled))

    def _samples(self, question: Question) -> int:
        lookback_ms = question.lookback_delta_ms or DEFAULT_OPTIONS.lookback_delta_ms
        try:
            return estimate_samples(parsed(question.expr), question.span, self._count_series, lookback_ms)
        except (QueryError, re.error):
            return 0  # evaluating it says what is wrong


class _LongAnswer(StreamingResponse):
    """Parts as they come; whatever ends it, the rest is let go of at once."""

    def __init__(self, first: bytes, others: AsyncGenerator[bytes, None]) -> None:
        self._first, self._others = first, others
        super().__init__(self._parts(), media_type=_JSON)

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        yield self._first
        async for part in self._others:
            yield part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._others.aclose()
