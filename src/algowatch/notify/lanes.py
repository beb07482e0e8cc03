"""Sending: one lane per channel, each with its own workers, so that a receiver that hangs delays no other.

Within a lane the messages of one group keep their order (firing before resolved); among groups the worst severity goes
first, and of equals the newest. Where a budget lets fewer messages through than are waiting, they go together in one.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from algowatch.errors import DeliveryError
from algowatch.model.clock import Clock
from algowatch.model.labels import Labels
from algowatch.model.severity import severity_rank
from algowatch.notify.outbox import Pending
from algowatch.notify.policy import Budget
from algowatch.senders.channels import Channel
from algowatch.senders.message import AlertInMessage, Message, from_json


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """first_backoff_ms: the wait after the first failure, doubled with each, up to max_backoff_ms; a random part of up to
                      one half is taken off, so that receivers are not hit by everybody at once.
    max_retry_after_ms: a service may ask for more patience than max_backoff, up to this.
    expire_ms:        a message that could not be delivered for so long is given up.
    capacity:         undelivered messages per lane; past it the least important, oldest is given up.
    """

    timeout_s: float = 10.0
    workers: int = 4
    capacity: int = 20_000
    first_backoff_ms: int = 1_000
    max_backoff_ms: int = 300_000
    max_retry_after_ms: int = 3_600_000
    expire_ms: int = 24 * 3_600_000


_MAX_TOGETHER = 1_000
_KEEP_TRIES = 50
_CRITICAL = 3


@dataclass(slots=True, eq=False)
class Item:
    """A message in a lane, decoded. importance: compares; the worst severity and of equals the newest is greatest."""

    pending: Pending
    message: Message
    importance: tuple[int, int]
    sending: bool = False
    gone: bool = False

    def __lt__(self, other: Item) -> bool:
        """Where two stand equal in a heap, also a message and its own earlier try, the older one comes first."""
        return self.pending.id < other.pending.id

    @classmethod
    def of(cls, pending: Pending) -> Item:
        message = from_json(pending.message)
        return cls(pending, message, (severity_rank(message.severity), pending.id))

    def tried(self, at_ms: int, answered: str, *, error: str = "", next_attempt_ms: int = 0) -> None:
        """Note a try in what is kept of the message."""
        tries = (*self.pending.tries, (at_ms, answered))[-_KEEP_TRIES:]
        attempts = self.pending.attempts + 1
        self.pending = replace(self.pending, attempts=attempts, error=error, next_attempt_ms=next_attempt_ms, tries=tries)


def together(items: Sequence[Item]) -> Message:
    """One message with the alerts of several, the worst and of equals the newest first."""
    first = items[0].message
    if len(items) == 1:
        return first
    ordered = sorted(items, key=lambda item: item.importance, reverse=True)
    alerts: list[AlertInMessage] = [alert for item in ordered for alert in item.message.alerts]
    return Message.of(first.receiver, "{}:{together}", Labels(), alerts, external_url=first.external_url)


class LaneQueue:
    """What waits for one channel. A state machine without threads; not thread-safe by itself.

    Only the head of a group may be sent. Heads stand in one of two heaps, by time until they are due and by importance from
    then on; a third heap knows the least important message. An item that is gone stays in the heaps until it surfaces.
    """

    def __init__(self, options: LaneOptions, jitter: random.Random, budget: Budget | None = None) -> None:
        self._options = options
        self._jitter = jitter
        self._budget = budget
        self._blocked_until_ms = 0
        self._groups: dict[str, deque[Item]] = {}
        self._count = 0
        self._later: list[tuple[int, int, Item]] = []
        self._due: list[tuple[int, int, Item]] = []
        self._victims: list[tuple[tuple[int, int], Item]] = []

    def __len__(self) -> int:
        return self._count

    def put(self, pending: Pending) -> Item | None:
        """Add a message; returns one that has to be given up for it, where the lane is full."""
        item = Item.of(pending)
        group = self._groups.setdefault(pending.group_key, deque())
        group.append(item)
        if len(group) == 1:
            self._plan(item)
        heapq.heappush(self._victims, (item.importance, item))
        self._count += 1
        return self._give_up_one() if self._count > self._options.capacity else None

    def waiting(self) -> list[Item]:
        return [item for group in self._groups.values() for item in group if not item.sending]

    def overdue(self, before_ms: int) -> list[Pending]:
        """What was handed over before a moment and is not delivered yet."""
        return [item.pending for group in self._groups.values() for item in group if item.pending.created_ms <= before_ms]

    def take(self, now_ms: int) -> list[Item]:
        """The most important message that is due, with others that have to go together with it; they stay in the lane until
        `delivered` or `failed`. Empty where nothing is due, or the budget lets nothing through yet.
        """
        while self._later and self._later[0][0] <= now_ms:
            _, _, item = heapq.heappop(self._later)
            if not item.gone:
                rank, number = item.importance
                heapq.heappush(self._due, (-rank, -number, item))
        if not self._drop_gone(self._due):
            return []
        critical = self._due[0][2].importance[0] == _CRITICAL
        if self._budget is None or self._budget.take(now_ms, critical=critical):
            return self._pop_due(self._count_together(now_ms, critical=critical))
        self._blocked_until_ms = now_ms + self._budget.wait_ms(now_ms, critical=critical)
        return []

    def _count_together(self, now_ms: int, *, critical: bool) -> int:
        """1 while the budget would let everything that is due through one by one."""
        if self._budget is None or self._budget.available(now_ms, critical=critical) >= len(self._due) - 1:
            return 1
        return _MAX_TOGETHER

    def _pop_due(self, count: int) -> list[Item]:
        taken: list[Item] = []
        while len(taken) < count and self._drop_gone(self._due):
            _, _, item = heapq.heappop(self._due)
            item.sending = True
            taken.append(item)
        return taken

    @staticmethod
    def _drop_gone(heap: list[tuple[int, int, Item]]) -> bool:
        """Take items that are gone off the top; whether there is one left."""
        while heap and heap[0][2].gone:
            heapq.heappop(heap)
        return bool(heap)

    def next_due_ms(self) -> int | None:
        """When `take` has something next; in the past where it has something now."""
        if self._drop_gone(self._due):
            return max(self._due[0][2].pending.next_attempt_ms, self._blocked_until_ms)
        return self._later[0][2].pending.next_attempt_ms if self._drop_gone(self._later) else None

    def delivered(self, item: Item, now_ms: int = 0, answered: str = "") -> None:
        item.tried(now_ms, answered)
        self._remove(item)

    def failed(self, item: Item, error: DeliveryError, now_ms: int) -> bool:
        """Plan the next try. False: there is none, the message is given up and gone from the lane."""
        attempts = item.pending.attempts + 1
        item.sending = False
        wait_ms = self.backoff_ms(attempts, error.retry_after_s)
        item.tried(now_ms, str(error), error=str(error), next_attempt_ms=now_ms + wait_ms)
        if error.retryable and now_ms - item.pending.created_ms < self._options.expire_ms:
            self._plan(item)
            return True
        self._remove(item)
        return False

    def backoff_ms(self, attempts: int, retry_after_s: float | None) -> int:
        options = self._options
        full = min(options.max_backoff_ms, options.first_backoff_ms * 2 ** min(attempts - 1, 30))
        wait_ms = int(full * (1 - self._jitter.random() / 2))
        asked_ms = min(options.max_retry_after_ms, int((retry_after_s or 0) * 1000))
        return max(wait_ms, asked_ms)

    def _plan(self, item: Item) -> None:
        heapq.heappush(self._later, (item.pending.next_attempt_ms, item.pending.id, item))

    def _give_up_one(self) -> Item | None:
        """Remove the least important message that nobody is sending just now."""
        being_sent = []
        victim = None
        while self._victims and victim is None:
            importance, item = heapq.heappop(self._victims)
            if item.sending:
                being_sent.append((importance, item))
            elif not item.gone:
                victim = item
        for entry in being_sent:
            heapq.heappush(self._victims, entry)
        if victim is not None:
            self._remove(victim)
        return victim

    def _remove(self, item: Item) -> None:
        group = self._groups[item.pending.group_key]
        was_head = group[0] is item
        group.remove(item)
        item.gone, item.sending = True, False
        self._count -= 1
        if not group:
            del self._groups[item.pending.group_key]
        elif was_head:
            self._plan(group[0])
        if len(self._victims) > 2 * self._count + 100:
            self._victims = [entry for entry in self._victims if not entry[1].gone]
            heapq.heapify(self._victims)


class Report(Protocol):
    """Told by a worker's thread what became of a message."""

    def __call__(self, item: Item, error: DeliveryError | None, *, final: bool) -> None: ...


class Lane:
    """The queue of one channel with the threads that empty it; threads start when there is work and stay."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        options: LaneOptions,
        clock: Clock,
        jitter: random.Random,
        report: Report,
        budget: Budget | None = None,
    ) -> None:
        self.name = name
        self._channel = channel
        self._options = options
        self._clock = clock
        self._report = report
        self._queue = LaneQueue(options, jitter, budget)
        self._changed = threading.Condition()
        self._workers: list[threading.Thread] = []
        self._busy = 0
        self._stopping = False

    def put(self, pending: Pending) -> None:
        with self._changed:
            victim = self._queue.put(pending)
            if len(self._workers) < min(self._options.workers, len(self._queue)) and not self._stopping:
                self._start_worker()
            self._changed.notify()
        if victim is not None:
            full = f"{self.name}: more than {self._options.capacity} messages undelivered; the least important is given up"
            self._report(victim, DeliveryError(full, retryable=False), final=True)

    def length(self) -> int:
        with self._changed:
            return len(self._queue)

    def overdue(self, before_ms: int) -> list[Pending]:
        """What was handed over before a moment and is not delivered yet."""
        with self._changed:
            return self._queue.overdue(before_ms)

    def drain(self) -> list[Pending]:
        """Stop, and give back what no worker is sending just now."""
        self.stop()
        with self._changed:
            waiting = self._queue.waiting()
            for item in waiting:
                item.gone = True
            return [item.pending for item in waiting]

    def stop(self) -> None:
        """No new try begins; the one that is running goes on in its thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        deadline = self._clock.monotonic() + timeout_s
        for worker in self._workers:
            worker.join(max(0.0, deadline - self._clock.monotonic()))

    def _start_worker(self) -> None:
        name = f"algowatch-send-{self.name}-{len(self._workers)}"
        worker = threading.Thread(target=self._run, name=name, daemon=True)
        self._workers.append(worker)
        worker.start()

    def _run(self) -> None:
        while items := self._next():
            answered, error = self._try(together(items))
            with self._changed:
                now_ms = self._clock.now_ms()
                final = [self._settle(item, error, now_ms, answered) for item in items]
                self._changed.notify()
            for item, is_final in zip(items, final, strict=True):
                self._report(item, error, final=is_final)

    def _settle(self, item: Item, error: DeliveryError | None, now_ms: int, answered: str) -> bool:
        """Whether there will be no other try."""
        if error is not None:
            return not self._queue.failed(item, error, now_ms)
        self._queue.delivered(item, now_ms, answered)
        return True

    def _next(self) -> list[Item]:
        with self._changed:
            while not self._stopping:
                now_ms = self._clock.now_ms()
                if items := self._queue.take(now_ms):
                    return items
                due_ms = self._queue.next_due_ms()
                self._changed.wait(None if due_ms is None else max(0.001, min(5.0, (due_ms - now_ms) / 1000)))
        return []

    def _try(self, message: Message) -> tuple[str, DeliveryError | None]:
        """What the service answered, or the error."""
        try:
            return self._channel.deliver(message, self._options.timeout_s), None
        except DeliveryError as error:
            return "", error
        except Exception as error:  # noqa: BLE001 - a sender's fault must not end the worker; its text may hold a secret
            return "", DeliveryError(f"{self._channel.integration}: {type(error).__name__} in the sender", retryable=True)
