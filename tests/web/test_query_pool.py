"""Heavy queries in processes: what they see, what ends them, and that nobody else suffers."""

import asyncio
import os
import signal
import time

import numpy as np
import orjson
import psutil
import pytest

from algowatch.errors import QueryError, QueryTimeoutError
from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions
from algowatch.web.answers import Question
from algowatch.web.query_pool import PoolOptions, QueryPool, QueryProcessError

START_MS = 1_700_000_000_000
SLOW = "quantile_over_time(0.9, orders[1h])"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """400 series × 3 h at 15 s, and a stream that is appended to."""
    directory = tmp_path_factory.mktemp("data")
    with Store.open(directory, StoreOptions(retention_ms=0)) as opened:
        layout = Layout([Labels.of({"__name__": "orders", "symbol": f"S{number}"}) for number in range(400)])
        times = np.arange(START_MS, START_MS + 3 * 3_600_000, 15_000)
        opened.append_block("history", times, layout, np.cumsum(np.ones((400, len(times))), axis=1))
        yield opened


def run(store, work, **options):
    """`work(pool)` on a loop of its own; the pool is ended after it."""

    async def whole():
        pool = QueryPool(PoolOptions(store.directory, **{"processes": 1, **options}))
        try:
            return await work(pool)
        finally:
            await pool.stop()

    return asyncio.run(whole())


def over_the_span(expr, **parameters):
    return Question(expr, START_MS, START_MS + 3 * 3_600_000, **{"step_ms": 1_000, **parameters})


def value_of(body: bytes) -> str:
    return orjson.loads(body)["data"]["result"][0]["value"][1]


def test_a_question_asked_after_a_row_was_appended_sees_the_row(store):
    layout = Layout([Labels.of({"__name__": "fresh"})])

    async def work(pool):
        for number in range(20):
            at_ms = START_MS + number * 1000
            store.append("fresh", at_ms, layout, np.array([float(number)]))
            answer = await pool.ask(Question("fresh", at_ms, at_ms))
            assert value_of(answer.first) == str(number)

    run(store, work)


def test_a_series_that_is_new_since_the_process_started_is_seen(store):
    async def work(pool):
        await pool.ask(Question("1", START_MS, START_MS))
        store.append("newcomer", START_MS, Layout([Labels.of({"__name__": "newcomer"})]), np.array([7.0]))
        assert value_of((await pool.ask(Question("newcomer", START_MS, START_MS))).first) == "7"

    run(store, work)


def test_a_long_answer_comes_in_parts_that_make_the_whole(store):
    async def work(pool):
        answer = await pool.ask(over_the_span("orders"))
        assert answer.others is not None
        result = orjson.loads(await answer.whole())["data"]["result"]
        assert len(result) == 400
        assert {len(series["values"]) for series in result} == {10_801}
        assert (await pool.ask(Question("1", START_MS, START_MS))).others is None

    run(store, work)


def test_errors_keep_their_kind_and_the_process_goes_on(store):
    async def work(pool):
        with pytest.raises(QueryError, match="parse error") as caught:
            await pool.ask(Question("sum(", START_MS, START_MS))
        assert caught.value.error_type == "bad_data"
        (pid,) = pool.pids
        with pytest.raises(QueryError, match="many-to-many"):
            await pool.ask(Question("orders + on() orders", START_MS, START_MS))
        assert pool.pids == [pid]
        assert pool.replaced == 0

    run(store, work)


def test_a_query_past_its_time_out_is_answered_at_once_and_frees_its_turn(store):
    async def work(pool):
        await pool.ask(Question("1", START_MS, START_MS))
        began = time.monotonic()
        with pytest.raises(QueryTimeoutError, match="timed out in expression evaluation"):
            await pool.ask(over_the_span(SLOW, timeout_s=0.3))
        assert time.monotonic() - began < 0.8
        assert value_of((await pool.ask(Question("vector(1)", START_MS, START_MS))).first) == "1"

    run(store, work)


def test_a_query_that_waits_too_long_says_so(store):
    async def work(pool):
        await pool.ask(Question("1", START_MS, START_MS))
        slow = asyncio.ensure_future(pool.ask(over_the_span(SLOW, timeout_s=20)))
        await asyncio.sleep(0.1)
        with pytest.raises(QueryTimeoutError, match="timed out in query queue"):
            await pool.ask(Question("1", START_MS, START_MS, timeout_s=0.1))
        slow.cancel()

    run(store, work)


def test_a_process_that_dies_fails_its_own_query_only_and_is_replaced(store):
    async def work(pool):
        await asyncio.gather(*(pool.ask(Question("vector(1)", START_MS, START_MS)) for _ in range(2)))
        victim = asyncio.ensure_future(pool.ask(over_the_span(SLOW)))
        await asyncio.sleep(0.2)
        busy = {pid for pid in pool.pids if psutil.Process(pid).cpu_percent(0.1) > 1} or set(pool.pids)
        other = asyncio.ensure_future(pool.ask(Question("vector(2)", START_MS, START_MS)))
        assert value_of((await other).first) == "2"
        os.kill(busy.pop(), signal.SIGKILL)
        with pytest.raises(QueryProcessError, match="ask for fewer series"):
            await victim
        assert value_of((await pool.ask(Question("vector(3)", START_MS, START_MS))).first) == "3"
        assert pool.replaced == 1

    run(store, work, processes=2)


def test_a_reader_who_leaves_gives_the_process_back(store):
    async def work(pool):
        answer = await pool.ask(over_the_span("orders"))
        await answer.others.__anext__()
        await answer.others.aclose()
        assert value_of((await pool.ask(Question("vector(1)", START_MS, START_MS, timeout_s=10))).first) == "1"

    run(store, work)


def test_a_reader_who_stalls_holds_up_nobody(store):
    async def work(pool):
        answer = await pool.ask(over_the_span("orders"))
        await answer.others.__anext__()
        stalled = asyncio.ensure_future(asyncio.sleep(0.4))
        await stalled
        with pytest.raises(QueryProcessError):
            async for _ in answer.others:
                pass
        assert value_of((await pool.ask(Question("vector(1)", START_MS, START_MS))).first) == "1"

    run(store, work, stalled_s=0.2)


def test_more_memory_than_allowed_is_an_error_of_the_query(store):
    async def work(pool):
        with pytest.raises(QueryError, match="more memory"):
            await pool.ask(over_the_span("orders"))
        assert value_of((await pool.ask(Question("vector(1)", START_MS, START_MS))).first) == "1"

    run(store, work, memory_bytes=96 << 20)


def test_idle_processes_end_by_themselves(store):
    async def work(pool):
        await pool.ask(Question("1", START_MS, START_MS))
        (pid,) = pool.pids
        deadline = time.monotonic() + 5
        while psutil.pid_exists(pid) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert pool.pids == []
        assert not psutil.pid_exists(pid)

    run(store, work, idle_s=0.1)


def test_stop_ends_a_running_query_at_once(store):
    async def work(pool):
        asked = asyncio.ensure_future(pool.ask(over_the_span(SLOW)))
        await asyncio.sleep(0.8)
        (pid,) = pool.pids
        began = time.monotonic()
        await pool.stop()
        assert time.monotonic() - began < 1
        assert not psutil.pid_exists(pid)
        with pytest.raises(QueryProcessError):
            await asked

    run(store, work)
