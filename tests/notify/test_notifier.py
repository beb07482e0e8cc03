import asyncio
import contextlib
import socket
import sqlite3
import statistics
import time
from dataclasses import replace

import pytest

from algowatch.errors import StoreError
from algowatch.model.alerts import Alert
from algowatch.model.clock import SystemClock
from algowatch.model.labels import Labels, Matcher
from algowatch.notify import LaneOptions, Notifier, NotifyOptions, Silence, parse_routing

FAST = LaneOptions(timeout_s=0.5, first_backoff_ms=20, max_backoff_ms=100)


def alert(name="KillSwitchActive", severity="critical", lasts_s=60.0, active_ago_ms=0, **labels) -> Alert:
    now_ms = SystemClock().now_ms()
    return Alert(
        labels=Labels.of({"alertname": name, "severity": severity, "instance": "gamma-bot", **labels}),
        annotations=Labels.of(summary=f"{name} on gamma-bot"),
        starts_at_ms=now_ms,
        ends_at_ms=now_ms + int(lasts_s * 1000),
        active_at_ms=now_ms - active_ago_ms if active_ago_ms else 0,
    )


@contextlib.asynccontextmanager
async def running(directory, *urls, lines=None, on_delivered=None, **options):
    given = NotifyOptions(
        directory,
        webhook_urls=urls,
        environ=options.pop("environ", {}),
        log=(lines if lines is not None else []).append,
        sending=options.pop("sending", FAST),
        **options,
    )
    notifier = Notifier(given, on_delivered=on_delivered)
    await notifier.start()
    try:
        yield notifier
    finally:
        await notifier.stop()


async def until(condition, timeout_s=5.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not come true in time"
        await asyncio.sleep(0.005)


def test_an_alert_reaches_the_webhook_and_the_log_with_the_built_in_routing(tmp_path, receiver):
    async def scenario():
        lines = []
        async with running(tmp_path, receiver.url, lines=lines) as notifier:
            notifier.receive([alert()])
            await asyncio.to_thread(receiver.wait_count, 1)
            await until(lambda: len(notifier.notifications()) == 2)
        return lines

    lines = asyncio.run(scenario())
    assert [body["status"] for body in receiver.bodies] == ["firing"]
    assert receiver.bodies[0]["alerts"][0]["labels"]["alertname"] == "KillSwitchActive"
    assert lines == [
        "FIRING critical KillSwitchActive: KillSwitchActive on gamma-bot [instance=gamma-bot]",
    ]


def test_the_environment_names_webhooks(tmp_path, receiver):
    async def scenario():
        async with running(tmp_path, environ={"ALGOWATCH_WEBHOOK_URL": receiver.url}) as notifier:
            notifier.receive([alert()])
            await asyncio.to_thread(receiver.wait_count, 1)

    asyncio.run(scenario())


def test_an_alert_that_is_not_refreshed_is_resolved_at_its_end(tmp_path, receiver):
    async def scenario():
        async with running(tmp_path, receiver.url) as notifier:
            notifier.receive([alert(lasts_s=0.3)])
            await asyncio.to_thread(receiver.wait_count, 2)

    asyncio.run(scenario())
    assert [body["status"] for body in receiver.bodies] == ["firing", "resolved"]


def test_at_rest_an_alert_reaches_the_socket_within_20_ms(tmp_path, receiver):
    """The best of three rounds: on a machine that is busy with something else one round says little."""

    async def one_round(notifier, round_number):
        delays = []
        for number in range(20):
            sent, count = time.monotonic(), len(receiver.bodies)
            notifier.receive([alert(number=f"{round_number}-{number}")])
            await asyncio.to_thread(receiver.wait_count, count + 1)
            delays.append(receiver.arrived[-1] - sent)
            await asyncio.sleep(0.01)
        return statistics.median(delays)

    async def scenario():
        async with running(tmp_path, receiver.url) as notifier:
            return [await one_round(notifier, number) for number in range(3)]

    assert min(asyncio.run(scenario())) <= 0.020


def test_a_dead_receiver_does_not_delay_the_others_nor_the_caller(tmp_path, receiver):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        async def scenario():
            async with running(tmp_path, dead, receiver.url, stop_within_s=0.1) as notifier:
                began = time.monotonic()
                for number in range(50):
                    notifier.receive([alert(number=str(number))])
                called = time.monotonic() - began
                await asyncio.to_thread(receiver.wait_count, 50)
                return called

        assert asyncio.run(scenario()) < 2  # a receiver that is waited for takes ten seconds


def test_errors_429_and_resets_are_retried_until_delivered(tmp_path, receiver):
    receiver.script = [(500, {}), "reset", (429, {"Retry-After": "0"}), (200, {})]

    async def scenario():
        async with running(tmp_path, receiver.url) as notifier:
            notifier.receive([alert()])
            await asyncio.to_thread(receiver.wait_count, 4)
            await until(lambda: any(record["integration"] == "webhook" for record in notifier.notifications()))
            record = next(record for record in notifier.notifications() if record["integration"] == "webhook")
            return record, notifier.stats()

    record, stats = asyncio.run(scenario())
    assert (record["attempts"], record["error"]) == (4, "")
    assert stats["retried"] == {"critical/webhook[1]": 3}
    assert stats["sent"]["critical/webhook[1]"] == 1


def test_a_hanging_receiver_is_tried_again_after_the_timeout(tmp_path, receiver):
    receiver.script = ["hang", (200, {})]

    async def scenario():
        async with running(tmp_path, receiver.url) as notifier:
            notifier.receive([alert()])
            await asyncio.to_thread(receiver.wait_count, 2)

    asyncio.run(scenario())


def test_a_refusal_is_recorded_without_the_secret_of_the_url(tmp_path, receiver):
    receiver.script = [(404, {})]

    async def scenario():
        async with running(tmp_path, receiver.url) as notifier:
            notifier.receive([alert()])
            await until(lambda: any(record["error"] for record in notifier.notifications()))
            return next(record for record in notifier.notifications() if record["error"])

    record = asyncio.run(scenario())
    assert record["error"] == f"http://127.0.0.1:{receiver.server.server_port} answered 404"
    assert record["deliveredAt"] is None


def test_the_delivery_record_counts_from_the_breach_and_survives_a_restart(tmp_path, receiver):
    streamed = []

    async def first():
        async with running(tmp_path, receiver.url, on_delivered=streamed.append) as notifier:
            notifier.receive([alert(active_ago_ms=5_000)])
            await until(lambda: len(notifier.notifications()) == 2)
            return notifier.notifications()

    async def second():
        async with running(tmp_path, receiver.url) as notifier:
            return notifier.notifications()

    records = asyncio.run(first())
    assert list(reversed(streamed)) == records
    assert all(5.0 <= record["delaySeconds"] < 6.0 for record in records)
    assert asyncio.run(second()) == records


def test_after_a_restart_nothing_is_told_twice(tmp_path, receiver):
    same = alert()

    async def scenario():
        async with running(tmp_path, receiver.url) as notifier:
            notifier.receive([same])
            await until(lambda: len(notifier.notifications()) == 2)
        async with running(tmp_path, receiver.url) as notifier:
            notifier.receive([same])
            await asyncio.sleep(0.1)
            return notifier.alerts()

    assert [status.alert.name for status in asyncio.run(scenario())] == ["KillSwitchActive"]
    assert len(receiver.bodies) == 1


def test_a_message_that_was_not_delivered_is_after_a_restart(tmp_path, receiver):
    receiver.script = [(503, {"Retry-After": "1"}), (200, {})]

    async def first():
        async with running(tmp_path, receiver.url) as notifier:
            notifier.receive([alert()])
            await until(lambda: sum(notifier.stats()["retried"].values()) == 1)

    async def second():
        async with running(tmp_path, receiver.url) as notifier:
            assert notifier.stats()["queued"]["critical/webhook[1]"] == 1
            await asyncio.to_thread(receiver.wait_count, 2)
            await until(lambda: any(record["integration"] == "webhook" for record in notifier.notifications()))
            return next(record for record in notifier.notifications() if record["integration"] == "webhook")

    asyncio.run(first())
    assert asyncio.run(second())["attempts"] == 2
    assert receiver.arrived[1] - receiver.arrived[0] >= 0.9


def test_an_end_that_came_while_the_engine_was_down_is_told_at_its_start(tmp_path, receiver):
    async def first():
        async with running(tmp_path, receiver.url) as notifier:
            await notifier.accept([alert(lasts_s=0.5)])
            await asyncio.to_thread(receiver.wait_count, 1)

    async def second():
        async with running(tmp_path, receiver.url):
            await asyncio.to_thread(receiver.wait_count, 2)

    asyncio.run(first())
    time.sleep(0.5)
    asyncio.run(second())
    assert [body["status"] for body in receiver.bodies] == ["firing", "resolved"]


def test_silences_and_their_effect_survive_a_restart(tmp_path, receiver):
    async def first():
        async with running(tmp_path, receiver.url) as notifier:
            now_ms = SystemClock().now_ms()
            matcher = Matcher("alertname", "=~", "Kill.*")
            silence = notifier.put_silence(Silence("", (matcher,), now_ms, now_ms + 60_000, "me", "maintenance"))
            ended = notifier.put_silence(Silence("", (matcher,), now_ms, now_ms + 60_000, "me", "by mistake"))
            notifier.expire_silence(ended.id)
            return silence

    async def second():
        async with running(tmp_path, receiver.url) as notifier:
            notifier.receive([alert(), alert("Other")])
            await asyncio.to_thread(receiver.wait_count, 1)
            return notifier.alerts(), notifier.silences(), notifier.groups()

    silence = asyncio.run(first())
    alerts, silences, groups = asyncio.run(second())
    assert {status.alert.name: (status.state, status.silenced_by) for status in alerts} == {
        "KillSwitchActive": ("suppressed", (silence.id,)),
        "Other": ("active", ()),
    }
    now_ms = SystemClock().now_ms()
    assert sorted(kept.state(now_ms) for kept in silences) == ["active", "expired"]
    assert silence in silences
    assert [group.receiver for group in groups] == ["critical", "critical"]
    assert [body["alerts"][0]["labels"]["alertname"] for body in receiver.bodies] == ["Other"]


def test_reload_keeps_alerts_and_sends_what_was_waiting(tmp_path, receiver, second_receiver):
    receiver.script = [(500, {})] * 50
    yaml = "route: {receiver: desk, group_wait: 0s}\nreceivers: [{name: desk, webhook_configs: [{url: 'URL'}]}]"

    async def scenario():
        options = NotifyOptions(tmp_path, routing=parse_routing(yaml.replace("URL", receiver.url)), sending=FAST)
        notifier = Notifier(options)
        await notifier.start()
        notifier.receive([alert()])
        await asyncio.to_thread(receiver.wait_count, 2)
        await notifier.reload(replace(options, routing=parse_routing(yaml.replace("URL", second_receiver.url))))
        await asyncio.to_thread(second_receiver.wait_count, 1)
        await asyncio.sleep(0.3)
        alerts = notifier.alerts()
        await notifier.stop()
        return alerts

    assert len(asyncio.run(scenario())) == 1
    assert len(second_receiver.bodies) == 1


def test_a_newer_state_file_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer algowatch"):
        asyncio.run(Notifier(NotifyOptions(tmp_path, environ={})).start())


def test_a_disk_that_fails_is_an_error_for_who_posts_and_receivers_are_told_all_the_same(tmp_path, receiver):
    async def scenario():
        async with running(tmp_path, receiver.url) as notifier:
            blocker = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
            blocker.execute("DROP TABLE alerts")
            blocker.close()
            with pytest.raises(StoreError, match="cannot be written"):
                await notifier.accept([alert()])
            await asyncio.to_thread(receiver.wait_count, 1)
            return notifier.stats()["outbox"]

    assert asyncio.run(scenario())["write_failures"] >= 1
