"""Queries run here, beside the event loop, so that no question makes a scrape late."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

from algowatch.errors import AlgowatchError, QueryTimeoutError

T = TypeVar("T")

DEFAULT_THREADS = 4


class ClientGoneError(AlgowatchError):
    """Whoever asked has closed the connection; nobody reads the answer."""


class Turn:
    """One caller's turn: how long its work may take, waiting included, and whether it is still wanted.

    started_s, queued_s: on the monotonic clock, when a thread took it up; how long it had waited until then.
    """

    def __init__(self, timeout_s: float) -> None:
        self.began_s = time.monotonic()
        self.timeout_s = timeout_s
        self.started_s: float | None = None
        self._dropped = threading.Event()

    @property
    def queued_s(self) -> float:
        return (time.monotonic() if self.started_s is None else self.started_s) - self.began_s

    def remaining_s(self) -> float:
        return self.began_s + self.timeout_s - time.monotonic()

    def cancelled(self) -> bool:
        return self._dropped.is_set()

    def drop(self) -> None:
        self._dropped.set()


class Workers:
    """A few threads for queries; more callers than threads wait their turn."""

    def __init__(self, threads: int = DEFAULT_THREADS) -> None:
        self.threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="query")

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def run_for(self, request: Request, work: Callable[[Turn], T], timeout_s: float) -> T:
        """Work for one request, whose body must have been read; it ends when the client goes away or the time is over.

        What waits is taken out of the queue; what runs sees it in `Turn.cancelled`.
        Raises: QueryTimeoutError, ClientGoneError.
        """
        turn = Turn(timeout_s)

        def begin() -> T:
            turn.started_s = time.monotonic()
            return work(turn)

        answer = asyncio.get_running_loop().run_in_executor(self._executor, begin)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait((answer, gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                raise ClientGoneError("the client has closed the connection")
            where = "query queue" if turn.started_s is None else "expression evaluation"
            raise QueryTimeoutError(f"query timed out in {where}")
        finally:
            turn.drop()
            answer.cancel()
            gone.cancel()

    def stop(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


async def _disconnected(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
