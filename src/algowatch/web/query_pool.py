"""Processes for heavy queries: started when one is asked, ended when none has been for a while, replaced when one dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from pathlib import Path

import algowatch
from algowatch.errors import AlgowatchError, QueryError, QueryTimeoutError, StoreError
from algowatch.web.answers import Question
from algowatch.web.query_process import FAILED, FRAME_BYTES, HEADER, LENGTH, MORE, READY

_log = logging.getLogger(__name__)
_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 1.0
_CANCEL_TIMEOUT_S = 1.0


class QueryProcessError(AlgowatchError):
    """The process that was to answer a query ended; the query's own error, no other query's."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """processes: how many queries run at once; more wait their turn.

    cache_bytes:  memory for decoded chunks in each process. memory_bytes: what a process may use in all, where the platform
                  can hold it to that; 0 is no limit.
    idle_s:       processes that had nothing to do for so long are ended. stalled_s: how long a client may leave the rest of an
                  answer unread.
    """

    directory: Path
    processes: int = 2
    cache_bytes: int = 64 << 20
    memory_bytes: int = 3 << 30
    idle_s: float = 300.0
    stalled_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON: the first part and, where the answer is longer, the others; `aclose` them if they are not read to the end."""

    first: bytes
    others: AsyncGenerator[bytes, None] | None = None

    async def whole(self) -> bytes:
        if self.others is None:
            return self.first
        return b"".join([self.first, *[part async for part in self.others]])


class QueryPool:
    """Used on one event loop. `stop` ends every process at once, whatever it is doing."""

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.replaced = 0
        self._turns = asyncio.Semaphore(options.processes)
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._all]

    async def ask(self, question: Question) -> Answer:
        """The answer, or its beginning. A query past its time-out is told to end, and soon ended with its process.

        Raises: QueryError as the evaluation does, QueryTimeoutError, QueryProcessError, StoreError.
        """
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(question.timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            raise QueryTimeoutError("query timed out in query queue") from None
        process: _Process | None = None
        try:
            process = await self._take()
            question = question.waited(time.monotonic() - began_s)
            async with asyncio.timeout(question.timeout_s):
                kind, body = await process.ask(question)
        except BaseException as error:
            self._give_up(process)
            if isinstance(error, TimeoutError):
                raise QueryTimeoutError("query timed out in expression evaluation") from None
            raise
        if kind == MORE:
            return Answer(body, self._others(process))
        self._release(process)
        if kind == FAILED:
            raise _as_raised(body)
        return Answer(body)

    async def _others(self, process: _Process) -> AsyncGenerator[bytes, None]:
        """The other parts. A client that leaves one unread for long loses the rest, and the process goes on without it."""
        loop = asyncio.get_running_loop()
        kind = MORE
        try:
            while kind == MORE:
                kind, body = await process.read()
                if kind == FAILED:
                    raise _as_raised(body)
                stalled = loop.call_later(self.options.stalled_s, process.kill)
                try:
                    yield body
                finally:
                    stalled.cancel()
        finally:
            if kind == MORE:
                self._give_up(process)
            else:
                self._release(process)

    async def _take(self) -> _Process:
        if self._stopped:
            raise QueryProcessError("the engine is ending")
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            self._forget(process)
        process = await _Process.start(self.options)
        self._all.add(process)
        if self._stopped:
            raise QueryProcessError("the engine is ending")
        return process

    def _release(self, process: _Process) -> None:
        self._idle.append(process)
        self._turns.release()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._idle_timer = asyncio.get_running_loop().call_later(self.options.idle_s, self._end_idle)

    def _give_up(self, process: _Process | None) -> None:
        """Have the process end its query, or end the process; only then is it another query's turn."""
        if process is None:
            self._turns.release()
        else:
            self._later(self._calm(process))

    async def _calm(self, process: _Process) -> None:
        if not self._stopped and await process.cancel(_CANCEL_TIMEOUT_S):
            self._release(process)
            return
        self.replaced += 1
        self._forget(process)
        self._turns.release()

    def _forget(self, process: _Process) -> None:
        self._all.discard(process)
        self._later(process.end())

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _end_idle(self) -> None:
        while self._idle:
            self._forget(self._idle.pop())

    async def stop(self) -> None:
        """End all processes; queries that they were answering get a QueryProcessError."""
        self._stopped = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._idle.clear()
        for process in list(self._all):
            self._forget(process)
        while self._ending:
            await asyncio.wait(self._ending, timeout=_END_TIMEOUT_S)


class _Process:
    """One process and the frames to and from it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._to, self._from = process.stdin, process.stdout

    @classmethod
    async def start(cls, options: PoolOptions) -> _Process:
        """Raises: QueryProcessError if it does not come up."""
        arguments = [str(options.directory), str(options.cache_bytes), str(options.memory_bytes)]
        started = cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", "algowatch.web.query_process", *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_environment(),
                limit=FRAME_BYTES,
            )
        )
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                kind, _ = await started.read()
        except BaseException as error:
            await started.end()
            if isinstance(error, TimeoutError):
                raise QueryProcessError(f"the process for queries did not start in {_START_TIMEOUT_S:g} s") from None
            raise
        assert kind == READY
        return started

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, question: Question) -> tuple[bytes, bytes]:
        text = question.encoded()
        try:
            self._to.write(LENGTH.pack(len(text)) + text)
            await self._to.drain()
        except OSError:
            pass  # what became of the process shows in reading
        return await self.read()

    async def cancel(self, timeout_s: float) -> bool:
        """Have the query end; whether it has, and the process can answer another one. What it still sends is left out."""
        try:
            self._to.write(LENGTH.pack(0))
            async with asyncio.timeout(timeout_s):
                while (await self.read())[0] == MORE:
                    pass
        except (OSError, TimeoutError, QueryProcessError):
            return False
        return True

    async def read(self) -> tuple[bytes, bytes]:
        """The next frame's kind and body. Raises: QueryProcessError when there is none."""
        try:
            kind, length = HEADER.unpack(await self._from.readexactly(HEADER.size))
            return kind, await self._from.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _END_TIMEOUT_S)
            code = self._process.returncode
            _log.warning("the process that was answering a query ended (exit code %s); the next query gets a new one", code)
            raise QueryProcessError(
                f"the process that was answering this query ended (exit code {code}), perhaps for want of memory; "
                "ask for fewer series or a shorter range"
            ) from None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        self.kill()
        self._to.close()
        await self._process.wait()


def _environment() -> dict[str, str]:
    """This process's, so that the same algowatch is found, and no threads that numerical libraries would start for nothing."""
    here = str(Path(algowatch.__file__).parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _as_raised(body: bytes) -> AlgowatchError:
    """The error that the process told of."""
    error_type, _, text = body.decode().partition("\n")
    if error_type == "internal":
        return StoreError(text)
    error = QueryTimeoutError(text) if error_type == "timeout" else QueryError(text)
    error.error_type = error_type
    return error
