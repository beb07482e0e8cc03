"""The process in which heavy queries run: it reads the store that the engine writes, and answers on its standard output.

Questions come as frames on standard input: four bytes of length, then a `Question`; an empty frame says that nobody waits for
the answer any more. Answers go as frames with a kind (one byte) and a length (four): READY once, then for each question MORE …
and LAST, or FAILED with error type and text. The process has a lower priority than the engine's and ends when standard input
does, so that it never outlives its engine.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

from algowatch.errors import AlgowatchError, QueryError
from algowatch.promql.engine import QueryEngine, QueryOptions
from algowatch.store.readonly import StoreReader
from algowatch.web.answers import Question, answer_pieces, send_in_frames

READY, MORE, LAST, FAILED = b"R", b"M", b"L", b"F"
LENGTH = struct.Struct("!I")
HEADER = struct.Struct("!cI")
FRAME_BYTES = 256 << 10
_NICENESS = 10


class QueryProcess:
    """Answers one question after the other."""

    def __init__(self, directory: Path, cache_bytes: int, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._queries = QueryEngine(StoreReader.open(directory, cache_bytes).select, QueryOptions(max_steps=11_001))
        self._incoming, self._outgoing = incoming, outgoing
        self._questions: queue.SimpleQueue[Question] = queue.SimpleQueue()
        self._cancelled = threading.Event()

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        self._send(READY, b"")
        while True:
            self._answer(self._questions.get())

    def _listen(self) -> None:
        """In a thread of its own, so that the end of the engine ends a query too."""
        with contextlib.suppress(OSError, struct.error):
            while True:
                (length,) = LENGTH.unpack(self._incoming.read(LENGTH.size))
                if length:
                    self._questions.put(Question.decoded(self._incoming.read(length)))
                else:
                    self._cancelled.set()
        os._exit(0)

    def _answer(self, question: Question) -> None:
        self._cancelled.clear()
        try:
            send_in_frames(self._pieces(question), FRAME_BYTES, self._send_part)
        except BrokenPipeError:
            os._exit(0)
        except Exception as error:  # noqa: BLE001 - whoever asked is told, and the next question is answered
            self._send(FAILED, "\n".join(_described(error)).encode())

    def _pieces(self, question: Question) -> Iterator[bytes]:
        """The answer; once nobody waits for it, no more of it."""
        pieces = answer_pieces(question, self._queries, self._cancelled.is_set)
        return itertools.takewhile(lambda _: not self._cancelled.is_set(), pieces)

    def _send_part(self, part: bytes, last: bool) -> None:
        self._send(LAST if last else MORE, part)

    def _send(self, kind: bytes, body: bytes) -> None:
        self._outgoing.write(HEADER.pack(kind, len(body)))
        self._outgoing.write(body)
        self._outgoing.flush()


def _described(error: Exception) -> tuple[str, str]:
    """Prometheus's error type, and the text."""
    if isinstance(error, QueryError):
        return error.error_type, str(error)
    if isinstance(error, MemoryError):
        return "execution", "the query needs more memory than it may use; ask for fewer series or a shorter range"
    if isinstance(error, AlgowatchError):
        return "internal", str(error)
    return "internal", f"{type(error).__name__}: {error}"


def step_back(niceness: int = _NICENESS) -> None:
    """Give this process a lower priority than the engine, where the platform has such a thing."""
    with contextlib.suppress(OSError, psutil.Error):
        if sys.platform == "win32":
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            os.nice(niceness)


def limit_memory(limit_bytes: int) -> None:
    """A query that needs more fails with a MemoryError; 0 is no limit. Windows has no such limit for one process."""
    if sys.platform == "win32" or not limit_bytes:
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def main() -> None:
    """Arguments: the data directory, the bytes of the cache of decoded chunks, the limit of memory in bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the whole group; the engine ends this process
    step_back()
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not stand between frames
    directory, cache_bytes, memory_bytes = sys.argv[1:4]
    limit_memory(int(memory_bytes))
    QueryProcess(Path(directory), int(cache_bytes), sys.stdin.buffer, outgoing).run()


if __name__ == "__main__":
    main()
