"""What a receiver gets when it is away, slow, or refuses: every body is decoded as a receiver would."""

import asyncio

import numpy as np
import pytest

from algowatch.errors import DeliveryError
from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.model.staleness import STALE_NAN, is_stale
from algowatch.store import Store, StoreOptions
from algowatch.store.remote_write import decode_write_request
from algowatch.store.sender import Sender, SenderOptions
from algowatch.testing.clock import FakeClock

LAYOUT = Layout([Labels.of({"__name__": "m", "n": str(n)}) for n in range(6)])
QUICK = SenderOptions(samples=12, deadline_s=0, min_backoff_s=0.001, max_backoff_s=0.002, poll_s=0.001)


class Receiver:
    """Takes requests as Prometheus does: in order per series, a whole request or nothing. `answers` come first."""

    def __init__(self, answers=()):
        self.answers = list(answers)
        self.taken = {}
        self.requests = []

    async def post(self, body):
        request = decode_write_request(body)
        self.requests.append(sum(len(samples) for _, samples in request))
        if self.answers:
            answer = self.answers.pop(0)
            if answer is not None:
                raise answer
        for labels, samples in request:
            newest = max(self.taken.get(labels, {-1: 0}))
            if any(time < newest for time, _ in samples):
                raise DeliveryError("out of order sample", retryable=False, status=400)
        for labels, samples in request:
            self.taken.setdefault(labels, {}).update(samples)


def fill(store, steps):
    for step in steps:
        store.append("bot", step * 1000, LAYOUT, np.full(6, float(step)))


def send(store, receiver, until, options=QUICK, relabel=lambda labels: labels, clock=None):
    """Run a sender until a condition on it holds; gives the sender."""

    async def run():
        (follower,) = store.follow(["desk"])
        sender = Sender(follower, options, receiver.post, store.labels_by_id, relabel, clock or FakeClock())
        sender.start()
        async with asyncio.timeout(10):
            while not until(sender):
                await asyncio.sleep(0.001)
        await sender.stop()
        return sender

    return asyncio.run(run())


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path, StoreOptions(retention_ms=0, seal_rows=3)) as opened:
        opened.follow(["desk"])
        yield opened


def everything(steps):
    return {labels: {step * 1000: float(step) for step in steps} for labels in LAYOUT.series}


def got_all(sender):
    return sender.behind_s() == 0


def test_everything_arrives_in_requests_of_the_size_asked_for(store):
    receiver = Receiver()
    fill(store, range(1, 21))
    sender = send(store, receiver, got_all)
    assert receiver.taken == everything(range(1, 21))
    assert receiver.requests == [12] * 10
    assert (sender.state.sent, sender.state.dropped, sender.state.last_error) == (120, 0, "")


def test_a_row_above_the_size_is_sent_in_several_requests(store):
    receiver = Receiver()
    fill(store, [1])
    send(store, receiver, got_all, SenderOptions(samples=4, deadline_s=0, poll_s=0.001))
    assert receiver.requests == [4, 2]
    assert receiver.taken == everything([1])


@pytest.mark.parametrize("status", [None, 500, 503, 429])
def test_a_receiver_that_is_away_gets_everything_later(store, status):
    receiver = Receiver([DeliveryError("away", retryable=True, status=status)] * 20)
    fill(store, range(1, 31))
    store.compact()
    sender = send(store, receiver, got_all)
    assert receiver.taken == everything(range(1, 31))
    assert (sender.state.sent, sender.state.retried, sender.state.dropped) == (180, 20 * 12, 0)


def test_the_time_that_the_receiver_asks_for_is_waited(store):
    receiver = Receiver([DeliveryError("slow down", retryable=True, status=429, retry_after_s=0.2)])
    fill(store, [1])
    began = asyncio.run(_now())
    send(store, receiver, got_all)
    assert asyncio.run(_now()) - began >= 0.2


async def _now():
    return asyncio.get_running_loop().time()


def test_what_is_refused_for_good_is_dropped_counted_and_does_not_hold_up_the_rest(store):
    receiver = Receiver([DeliveryError("no such tenant", retryable=False, status=404)])
    fill(store, range(1, 5))
    sender = send(store, receiver, got_all)
    assert receiver.taken == everything([3, 4])
    assert (sender.state.sent, sender.state.dropped) == (12, 12)


def test_one_refused_sample_takes_no_other_with_it(store):
    receiver = Receiver()
    receiver.taken[LAYOUT.series[4]] = {10_000: 0.0}
    fill(store, range(1, 5))
    sender = send(store, receiver, got_all)
    del receiver.taken[LAYOUT.series[4]]
    assert receiver.taken == {labels: times for labels, times in everything(range(1, 5)).items() if labels != LAYOUT.series[4]}
    assert (sender.state.sent, sender.state.dropped) == (20, 4)


def test_a_batch_that_was_taken_before_the_engine_died_does_not_keep_the_new_rows_away(store):
    receiver = Receiver()
    fill(store, [1])
    for labels in LAYOUT.series:
        receiver.taken[labels] = {1000: 1.0}
    receiver.taken[LAYOUT.series[0]][1500] = 0.0  # something newer than the first row
    fill(store, [2])
    send(store, receiver, got_all)
    del receiver.taken[LAYOUT.series[0]][1500]
    assert receiver.taken == everything([1, 2])


def test_the_position_survives_and_nothing_is_sent_before_it_again(store):
    receiver = Receiver()
    fill(store, range(1, 5))
    send(store, receiver, got_all)
    fill(store, range(5, 9))
    send(store, receiver, got_all)
    assert sum(receiver.requests) == 8 * 6


def test_a_sender_that_is_stopped_while_the_receiver_is_away_goes_on_where_it_was(store):
    away = Receiver([DeliveryError("away", retryable=True)] * 1000)
    fill(store, range(1, 5))
    send(store, away, lambda sender: sender.state.retried > 24)
    receiver = Receiver()
    send(store, receiver, got_all)
    assert receiver.taken == everything(range(1, 5))


def test_small_batches_wait_for_the_deadline(store):
    clock = FakeClock(2000)
    options = SenderOptions(samples=12, deadline_s=5, poll_s=0.001)
    receiver = Receiver()
    fill(store, [1])

    async def run():
        (follower,) = store.follow(["desk"])
        sender = Sender(follower, options, receiver.post, store.labels_by_id, lambda labels: labels, clock)
        sender.start()
        await asyncio.sleep(0.05)
        assert receiver.requests == []
        clock.advance(4.1)
        async with asyncio.timeout(5):
            while not receiver.requests:
                await asyncio.sleep(0.001)
        await sender.stop()

    asyncio.run(run())
    assert receiver.taken == everything([1])


def test_labels_are_changed_and_series_dropped_on_the_way(store):
    receiver = Receiver()
    fill(store, [1])

    def relabel(labels):
        return None if labels.get("n") in "123" else labels.with_labels({"desk": "A"})

    send(store, receiver, got_all, relabel=relabel)
    assert sorted(labels.get("n") + labels.get("desk") for labels in receiver.taken) == ["0A", "4A", "5A"]


def test_staleness_markers_arrive_as_they_are(store):
    receiver = Receiver()
    store.append("bot", 1000, LAYOUT, np.full(6, STALE_NAN))
    send(store, receiver, got_all)
    assert all(is_stale(times[1000]) for times in receiver.taken.values())
