"""The live stream: chosen queries, answered again each time new samples have landed, as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from algowatch.errors import AlgowatchError
from algowatch.model.clock import Clock
from algowatch.web.encode import encode_time
from algowatch.web.requests import ApiError, bad_data

InstantData = Callable[[str, int], Awaitable[bytes]]

_MIN_INTERVAL_S = 0.9
_KEEP_ALIVE_S = 10.0
_MAX_QUERIES = 64
_MAX_CLIENTS = 64
_MAX_WAITING_NOTICES = 100


class LiveHub:
    """Tells every open stream that samples have landed or that a notification was delivered.

    The same queries asked by several streams are answered once a round. `stop` ends all streams, so that an open page never
    holds up the engine's end.
    """

    def __init__(self, ask: InstantData, clock: Clock) -> None:
        """ask: the answer to an instant query, as JSON; raises AlgowatchError."""
        self._ask = ask
        self._clock = clock
        self._streams: set[_Stream] = set()
        self._round = 0
        self._answers: dict[str, tuple[int, asyncio.Future[bytes]]] = {}
        self._stopped = False

    @property
    def streams(self) -> int:
        return len(self._streams)

    def landed(self) -> None:
        """New samples can be queried. Called on the loop's thread."""
        self._round += 1
        for stream in self._streams:
            stream.wake.set()

    def notified(self, notification: dict[str, object]) -> None:
        """A notification was delivered. Called on the loop's thread."""
        for stream in self._streams:
            if len(stream.notices) < _MAX_WAITING_NOTICES:
                stream.notices.append(orjson.dumps(notification))
            stream.wake.set()

    def stop(self) -> None:
        self._stopped = True
        for stream in self._streams:
            stream.wake.set()

    async def respond(self, request: Request) -> Response:
        queries = request.query_params.getlist("query")
        if not queries or len(queries) > _MAX_QUERIES:
            raise bad_data(f'give between 1 and {_MAX_QUERIES} parameters "query"')
        if len(self._streams) >= _MAX_CLIENTS:
            raise ApiError("unavailable", f"{_MAX_CLIENTS} live streams are open already; close one", 503)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(queries), media_type="text/event-stream", headers=headers)

    async def _events(self, queries: Sequence[str]) -> AsyncIterator[bytes]:
        stream = _Stream()
        self._streams.add(stream)
        seen, sent_at = -1, 0.0
        try:
            yield b"retry: 1000\n\n"
            while not self._stopped:
                for notice in stream.take_notices():
                    yield b"event: notification\ndata: %b\n\n" % notice
                pause = sent_at + _MIN_INTERVAL_S - time.monotonic()
                if self._round != seen and pause <= 0:
                    seen, sent_at = self._round, time.monotonic()
                    yield b"data: %b\n\n" % await self._answer_all(queries)
                elif self._round != seen:
                    await stream.wait(pause)
                elif not await stream.wait(_KEEP_ALIVE_S):
                    yield b": still here\n\n"
        finally:
            self._streams.discard(stream)

    async def _answer_all(self, queries: Sequence[str]) -> bytes:
        now_ms = self._clock.now_ms()
        answers = await asyncio.gather(*(self._answer_once(expr, now_ms) for expr in queries))
        return b'{"time":%b,"results":[%b]}' % (encode_time(now_ms), b",".join(answers))

    async def _answer_once(self, expr: str, now_ms: int) -> bytes:
        known = self._answers.get(expr)
        if known is not None and known[0] == self._round:
            return await asyncio.shield(known[1])
        if len(self._answers) > _MAX_QUERIES * _MAX_CLIENTS:
            self._answers.clear()
        answer = asyncio.ensure_future(self._answer(expr, now_ms))
        self._answers[expr] = (self._round, answer)
        return await asyncio.shield(answer)

    async def _answer(self, expr: str, now_ms: int) -> bytes:
        try:
            return await self._ask(expr, now_ms)
        except AlgowatchError as error:
            return orjson.dumps({"error": str(error)})


class _Stream:
    """One open page."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.notices: list[bytes] = []

    def take_notices(self) -> list[bytes]:
        taken, self.notices = self.notices, []
        return taken

    async def wait(self, timeout_s: float) -> bool:
        """Whether something happened before the time-out."""
        try:
            await asyncio.wait_for(self.wake.wait(), timeout_s)
        except TimeoutError:
            return False
        self.wake.clear()
        return True
