import random
import time

import pytest

from algowatch.errors import DeliveryError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.notify.lanes import LaneOptions, LaneQueue
from algowatch.notify.outbox import Pending
from algowatch.notify.pipeline import ChannelKey
from algowatch.senders.message import Message, to_json

KEY = ChannelKey("desk", "webhook", 0)


def pending(number, severity="warning", group="g", created_ms=0):
    labels = Labels.of(alertname=str(number), severity=severity)
    message = Message.single(Alert(labels, Labels(), 0, 10**15), "desk", 0)
    return Pending(number, KEY, group, to_json(message), created_ms, next_attempt_ms=created_ms)


@pytest.fixture
def queue():
    return LaneQueue(LaneOptions(capacity=3), random.Random(1))


def taken(queue, now_ms=0):
    found = []
    while (item := queue.take(now_ms)) is not None:
        found.append(item.pending.id)
    return found


def test_the_newest_critical_goes_first(queue):
    for row in (pending(1, group="a"), pending(2, "critical", "b"), pending(3, "critical", "c")):
        queue.put(row)
    assert taken(queue) == [3, 2, 1]


def test_a_group_keeps_its_order(queue):
    queue.put(pending(1, group="a"))
    queue.put(pending(2, "critical", group="a"))
    item = queue.take(0)
    assert item.pending.id == 1
    assert queue.take(0) is None
    queue.delivered(item)
    assert queue.take(0).pending.id == 2


def test_a_full_lane_gives_up_the_least_important_and_oldest(queue):
    for row in (pending(1, "critical", "a"), pending(2, "info", "b"), pending(3, "info", "c")):
        assert queue.put(row) is None
    assert queue.put(pending(4, "critical", "d")).pending.id == 2
    assert sorted(taken(queue)) == [1, 3, 4]


def test_waits_double_with_jitter_up_to_a_limit(queue):
    waits = [queue.backoff_ms(attempts, None) for attempts in range(1, 40)]
    assert 500 <= waits[0] <= 1000
    assert 2000 <= waits[2] <= 4000
    assert all(150_000 <= wait <= 300_000 for wait in waits[10:])


def test_retry_after_is_honoured_within_reason(queue):
    assert queue.backoff_ms(1, 30.0) == 30_000
    assert queue.backoff_ms(1, 1e9) == 3_600_000


def test_a_failed_try_is_due_later_and_given_up_in_the_end(queue):
    queue.put(pending(1))
    item = queue.take(0)
    assert queue.failed(item, DeliveryError("no", retryable=True, retry_after_s=5), 0)
    assert queue.take(4_999) is None
    assert queue.next_due_ms() == 5_000
    assert queue.failed(queue.take(5_000), DeliveryError("no", retryable=True), 5_000)
    assert not queue.failed(queue.take(10**8), DeliveryError("no", retryable=True), 10**8)
    assert len(queue) == 0


def test_a_refusal_is_final(queue):
    queue.put(pending(1))
    assert not queue.failed(queue.take(0), DeliveryError("no", retryable=False), 0)
    assert len(queue) == 0


def test_a_flood_costs_little_and_keeps_every_critical():
    queue = LaneQueue(LaneOptions(capacity=500), random.Random(1))
    criticals = set(range(0, 3000, 10))
    began = time.monotonic()
    for number in range(3000):
        queue.put(pending(number, "critical" if number in criticals else "info", str(number)))
    order = []
    while (item := queue.take(0)) is not None:
        order.append(item.pending.id)
        queue.delivered(item)
    assert time.monotonic() - began < 3
    assert order[: len(criticals)] == sorted(criticals, reverse=True)
    assert len(order) == 500
    assert (len(queue), queue.next_due_ms()) == (0, None)


def test_what_is_being_sent_is_not_given_up():
    queue = LaneQueue(LaneOptions(capacity=1), random.Random(1))
    queue.put(pending(1, "info", "a"))
    sending = queue.take(0)
    assert queue.put(pending(2, "critical", "b")).pending.id == 2
    queue.delivered(sending)
    assert len(queue) == 0
