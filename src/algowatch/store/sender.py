"""Remote write out: what a follower reads goes to one receiver, at least once and in order.

The position moves on when the receiver has taken a batch. While it is away the batch is tried again with back-off, and
the store keeps what comes meanwhile. What the receiver refuses for good (4xx) is dropped and counted; a request with one
refused sample is taken apart, since receivers refuse requests as a whole and the other samples are wanted.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from algowatch.errors import DeliveryError, StoreError
from algowatch.store.follow import Follower, StoredRow
from algowatch.store.remote_write import encode_labels, encode_raw_sample, encode_series, pack

if TYPE_CHECKING:
    from algowatch.model.clock import Clock
    from algowatch.model.labels import Labels

_log = logging.getLogger(__name__)
_REMEMBERED_SERIES = 200_000
_LONGEST_ASKED_WAIT_S = 300.0
_TRIES_TO_TAKE_APART = 32
_BAD_REQUEST = 400

Post = Callable[[bytes], Awaitable[None]]
"""Sends one body. Raises: DeliveryError, retryable or not."""


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """samples: at most so many in one request; fewer once the oldest has waited `deadline_s`."""

    samples: int = 2000
    deadline_s: float = 5.0
    min_backoff_s: float = 0.03
    max_backoff_s: float = 5.0
    poll_s: float = 0.5


@dataclass(slots=True)
class SenderState:
    """What became of samples since the start; `last_error` is empty while the receiver takes what it gets."""

    sent: int = 0
    retried: int = 0
    dropped: int = 0
    last_error: str = ""


@dataclass(slots=True)
class _Series:
    """One series of a request: its encoded labels and its encoded samples with their times."""

    labels: bytes
    samples: list[tuple[int, bytes]]


class Sender:
    """labels_by_id and relabel: from the ids of a row to the labels that the receiver gets, None where it gets none."""

    def __init__(
        self,
        follower: Follower,
        options: SenderOptions,
        post: Post,
        labels_by_id: Callable[[Iterable[int]], Sequence[Labels | None]],
        relabel: Callable[[Labels], Labels | None],
        clock: Clock,
    ) -> None:
        self.state = SenderState()
        self._follower = follower
        self._options = options
        self._post = post
        self._labels_by_id = labels_by_id
        self._relabel = relabel
        self._clock = clock
        self._encoded: dict[int, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._follower.name

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"remote write {self.name}")

    async def stop(self) -> None:
        """End at once; what was not taken yet is sent after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def behind_s(self) -> float:
        """Age of the oldest row that the receiver has not got; 0 if it has everything. Raises: StoreError."""
        oldest_ms = self._follower.oldest_ms()
        return 0.0 if oldest_ms is None else max(0.0, (self._clock.now_ms() - oldest_ms) / 1000)

    async def _run(self) -> None:
        while True:
            try:
                await self._send_next()
            except (StoreError, OSError) as error:
                self._note(f"the store cannot be read or written: {error}")
                await asyncio.sleep(self._options.max_backoff_s)
            except Exception:  # noqa: BLE001 - one odd batch must not end remote write for good
                _log.exception("remote write %s failed in an unforeseen way; it tries again", self.name)
                await asyncio.sleep(self._options.max_backoff_s)

    async def _send_next(self) -> None:
        rows = await asyncio.to_thread(self._follower.read, self._options.samples)
        if not rows or not self._due(rows):
            await asyncio.sleep(self._options.poll_s)
            return
        for series in await asyncio.to_thread(lambda: list(self._requests(rows))):
            await self._deliver(series)
        await asyncio.to_thread(self._follower.advance, rows[-1].seq)

    def _due(self, rows: Sequence[StoredRow]) -> bool:
        """A jump of the clock back counts as due too: waiting for it could take an hour."""
        waited_ms = self._clock.now_ms() - rows[0].timestamp_ms
        full = sum(len(row.ids) for row in rows) >= self._options.samples
        return full or not 0 <= waited_ms < self._options.deadline_s * 1000

    # ---- rows to requests

    def _requests(self, rows: Sequence[StoredRow]) -> Iterator[list[_Series]]:
        """Rows turned about: series with their samples in the order of time, so many samples to a request."""
        by_series: dict[int, list[tuple[int, bytes]]] = {}
        for row in rows:
            for (bits,), series in zip(struct.iter_unpack("8s", row.vector), row.ids.tolist(), strict=True):
                sample = (row.timestamp_ms, encode_raw_sample(row.timestamp_ms, bits))
                by_series.setdefault(series, []).append(sample)
        self._encode_labels([series for series in by_series if series not in self._encoded])
        request: list[_Series] = []
        count = 0
        for number, samples in by_series.items():
            labels = self._encoded[number]
            if not labels:
                continue
            if count and count + len(samples) > self._options.samples:
                yield request
                request, count = [], 0
            samples.sort(key=lambda sample: sample[0])
            request.append(_Series(labels, samples))
            count += len(samples)
        if request:
            yield request

    def _encode_labels(self, ids: Sequence[int]) -> None:
        """Remember the labels as they are sent; empty for a series that is not."""
        if len(self._encoded) > _REMEMBERED_SERIES:
            self._encoded.clear()
        for series, labels in zip(ids, self._labels_by_id(ids), strict=True):
            wanted = None if labels is None else self._relabel(labels)
            self._encoded[series] = encode_labels(wanted) if wanted else b""

    # ---- delivery

    async def _deliver(self, series: Sequence[_Series]) -> None:
        """Send one request for as long as that takes; refused as a whole, it is sent time by time, then in halves."""
        if await self._post_until_answered(series):
            return
        times = sorted({time for one in series for time, _ in one.samples})
        if len(times) == 1:
            await self._take_apart(series, _TRIES_TO_TAKE_APART)
            return
        for time in times:
            part = [_Series(one.labels, [sample for sample in one.samples if sample[0] == time]) for one in series]
            part = [one for one in part if one.samples]
            if not await self._post_until_answered(part):
                await self._take_apart(part, _TRIES_TO_TAKE_APART)

    async def _take_apart(self, series: Sequence[_Series], tries: int) -> int:
        """Find the samples that are meant by a refusal; returns how many of the tries are left."""
        if len(series) == 1 or tries < 2:
            self._drop(series)
            return tries
        middle = len(series) // 2
        for half in (series[:middle], series[middle:]):
            tries -= 1
            if not await self._post_until_answered(half):
                tries = await self._take_apart(half, tries)
        return tries

    async def _post_until_answered(self, series: Sequence[_Series]) -> bool:
        """Whether the receiver took it; False: it says that the content is wrong. Other final refusals drop it."""
        body = pack(encode_series(one.labels, [sample for _, sample in one.samples]) for one in series)
        count = _count(series)
        backoff_s = self._options.min_backoff_s
        while True:
            try:
                await self._post(body)
            except DeliveryError as error:
                self._note(str(error))
                if not error.retryable:
                    if error.status == _BAD_REQUEST:
                        return False
                    self._drop(series)
                    return True
                self.state.retried += count
                asked_s = min(error.retry_after_s or 0.0, _LONGEST_ASKED_WAIT_S)
                await asyncio.sleep(max(backoff_s, asked_s))
                backoff_s = min(2 * backoff_s, self._options.max_backoff_s)
            else:
                self.state.sent += count
                self.state.last_error = ""
                return True

    def _drop(self, series: Sequence[_Series]) -> None:
        self.state.dropped += _count(series)

    def _note(self, problem: str) -> None:
        """Log a problem once, until another one comes or the receiver takes something."""
        if problem != self.state.last_error:
            _log.warning("remote write %s: %s", self.name, problem)
        self.state.last_error = problem


def _count(series: Sequence[_Series]) -> int:
    return sum(len(one.samples) for one in series)
