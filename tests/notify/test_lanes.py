import random
import time

import pytest

from algowatch.errors import DeliveryError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.notify.lanes import LaneOptions, LaneQueue, together
from algowatch.notify.outbox import Pending
from algowatch.notify.pipeline import ChannelKey
from algowatch.notify.policy import Budget, Flood
from algowatch.senders.message import Message, to_json

KEY = ChannelKey("desk", "webhook", 0)


def pending(number, severity="warning", group="g", created_ms=0):
    labels = Labels.of(alertname=str(number), severity=severity)
    message = Message.single(Alert(labels, Labels(), 0, 10**15), "desk", 0)
    return Pending(number, KEY, group, to_json(message), created_ms, next_attempt_ms=created_ms)


@pytest.fixture
def queue():
    return LaneQueue(LaneOptions(capacity=3), random.Random(1))


def take(queue, now_ms=0):
    """The one message that is due, None where there is none."""
    items = queue.take(now_ms)
    assert len(items) <= 1
    return items[0] if items else None


def taken(queue, now_ms=0):
    found = []
    while (item := take(queue, now_ms)) is not None:
        found.append(item.pending.id)
    return found


def test_the_newest_critical_goes_first(queue):
    for row in (pending(1, group="a"), pending(2, "critical", "b"), pending(3, "critical", "c")):
        queue.put(row)
    assert taken(queue) == [3, 2, 1]


def test_a_group_keeps_its_order(queue):
    queue.put(pending(1, group="a"))
    queue.put(pending(2, "critical", group="a"))
    item = take(queue, 0)
    assert item.pending.id == 1
    assert take(queue, 0) is None
    queue.delivered(item)
    assert take(queue, 0).pending.id == 2


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
    item = take(queue, 0)
    assert queue.failed(item, DeliveryError("no", retryable=True, retry_after_s=5), 0)
    assert take(queue, 4_999) is None
    assert queue.next_due_ms() == 5_000
    assert queue.failed(take(queue, 5_000), DeliveryError("no", retryable=True), 5_000)
    assert not queue.failed(take(queue, 10**8), DeliveryError("no", retryable=True), 10**8)
    assert len(queue) == 0


def test_a_refusal_is_final(queue):
    queue.put(pending(1))
    assert not queue.failed(take(queue, 0), DeliveryError("no", retryable=False), 0)
    assert len(queue) == 0


def test_a_flood_costs_little_and_keeps_every_critical():
    queue = LaneQueue(LaneOptions(capacity=500), random.Random(1))
    criticals = set(range(0, 3000, 10))
    began = time.monotonic()
    for number in range(3000):
        queue.put(pending(number, "critical" if number in criticals else "info", str(number)))
    order = []
    while (item := take(queue, 0)) is not None:
        order.append(item.pending.id)
        queue.delivered(item)
    assert time.monotonic() - began < 3
    assert order[: len(criticals)] == sorted(criticals, reverse=True)
    assert len(order) == 500
    assert (len(queue), queue.next_due_ms()) == (0, None)


def test_what_is_being_sent_is_not_given_up():
    queue = LaneQueue(LaneOptions(capacity=1), random.Random(1))
    queue.put(pending(1, "info", "a"))
    sending = take(queue, 0)
    assert queue.put(pending(2, "critical", "b")).pending.id == 2
    queue.delivered(sending)
    assert len(queue) == 0


def flooded(count, severity="warning", messages=6):
    queue = LaneQueue(LaneOptions(), random.Random(1), Budget(Flood(messages, 60_000), 0))
    for number in range(1, count + 1):
        queue.put(pending(number, severity, str(number)))
    return queue


def test_what_the_budget_does_not_let_through_comes_together_the_newest_critical_first():
    queue = flooded(20)
    first = queue.take(0)
    queue.put(pending(99, "critical", "late"))
    queue.put(pending(100, "critical", "later"))
    assert len(first) == 20
    (newest,), rest = [item.pending.id for item in queue.take(0)][:1], together(first)
    assert newest == 100
    assert [item.labels.get("alertname") for item in rest.alerts][:2] == ["20", "19"]


def test_no_span_sees_more_messages_than_the_cap():
    queue, sent = flooded(0, messages=10), []
    for now_ms in range(0, 300_000, 100):
        queue.put(pending(now_ms + 1, "critical" if now_ms % 700 == 0 else "info", str(now_ms), created_ms=now_ms))
        while items := queue.take(now_ms):
            sent += [(now_ms, item.pending.id) for item in items[:1]]
            for item in items:
                queue.delivered(item)
    moments = [moment for moment, _ in sent]
    assert max(sum(start <= moment < start + 60_000 for moment in moments) for start in moments) <= 10
    assert len(moments) > 20


def test_the_last_third_of_the_burst_is_kept_for_criticals():
    budget = Budget(Flood(60, 60_000), 0)
    assert sum(budget.take(0, critical=False) for _ in range(60)) == 20
    assert sum(budget.take(0, critical=True) for _ in range(60)) == 10
    assert budget.wait_ms(0, critical=True) == 2_001
    assert budget.take(2_001, critical=True)


def test_tries_are_noted_with_what_was_answered(queue):
    queue.put(pending(1))
    item = take(queue)
    queue.failed(item, DeliveryError("it answered 500", retryable=True), 10)
    queue.delivered(take(queue, 5_000), 5_001, "200 ok")
    assert item.pending.tries == ((10, "it answered 500"), (5_001, "200 ok"))
    assert item.pending.attempts == 2
