"""A second channel, escalation until somebody acknowledges, and the tries in the delivery record."""

import asyncio
import sqlite3

import pytest

from algowatch.model.alerts import Alert
from algowatch.model.clock import SystemClock
from algowatch.model.labels import Labels, Matcher
from algowatch.notify import LaneOptions, Notifier, NotifyOptions, parse_routing
from algowatch.notify.notified import fingerprint
from algowatch.notify.outbox import _SCHEMA, Outbox
from algowatch.notify.policy import Escalation, Fallback, Policy, Step
from algowatch.senders.text import paragraph

YAML = """
route: {receiver: first, group_wait: 0s, group_interval: 100ms, group_by: ['...']}
receivers:
  - {name: first, webhook_configs: [{url: 'FIRST'}]}
  - {name: second, webhook_configs: [{url: 'SECOND'}]}
"""
FAST = LaneOptions(timeout_s=0.3, first_backoff_ms=20, max_backoff_ms=50)
FALLBACK = Policy(fallback=Fallback(("second/webhook",), after_ms=200))


def made(name="KillSwitchActive", severity="critical", lasts_ms=60_000):
    now_ms = SystemClock().now_ms()
    return Alert(Labels.of(alertname=name, severity=severity), Labels.of(summary=name), now_ms, now_ms + lasts_ms)


@pytest.fixture
def run(tmp_path, receiver, second_receiver):
    """Runs a scenario with a notifier whose first receiver is `receiver` and whose second is `second_receiver`."""

    def start(scenario, policy):
        text = YAML.replace("FIRST", receiver.url).replace("SECOND", second_receiver.url)

        async def body():
            notifier = Notifier(NotifyOptions(tmp_path, routing=parse_routing(text), sending=FAST, policy=policy))
            await notifier.start()
            try:
                return await scenario(notifier)
            finally:
                await notifier.stop()

        return asyncio.run(body())

    return start


def names(bodies):
    return [(alert["labels"]["alertname"], alert["status"]) for body in bodies for alert in body["alerts"]]


@pytest.mark.parametrize("answer", [(500, {}), (404, {}), (429, {"Retry-After": "100"}), "hang", "reset"])
def test_a_second_channel_takes_what_the_first_does_not(run, receiver, second_receiver, answer):
    receiver.script = [answer] * 100

    async def scenario(notifier):
        notifier.receive([made(), made("Small", "info")])
        await asyncio.to_thread(second_receiver.wait_count, 1)
        await asyncio.sleep(0.5)

    run(scenario, FALLBACK)
    assert names(second_receiver.bodies) == [("KillSwitchActive", "firing")]


def test_the_second_channel_hears_of_the_end_and_is_not_used_while_the_first_works(run, receiver, second_receiver):
    receiver.script = [(503, {})] * 25

    async def scenario(notifier):
        alert = made()
        notifier.receive([alert])
        await asyncio.to_thread(second_receiver.wait_count, 1)
        await asyncio.to_thread(receiver.wait, lambda bodies: not receiver.script)
        await asyncio.sleep(0.3)
        now_ms = SystemClock().now_ms()
        notifier.receive([Alert(alert.labels, alert.annotations, alert.starts_at_ms, now_ms), made("Healthy")])
        await asyncio.to_thread(second_receiver.wait_count, 2)
        await asyncio.sleep(0.4)

    run(scenario, FALLBACK)
    assert names(second_receiver.bodies) == [("KillSwitchActive", "firing"), ("KillSwitchActive", "resolved")]


def test_the_record_holds_every_try(run, receiver):
    receiver.script = [(500, {}), "reset", (200, {})]

    async def scenario(notifier):
        notifier.receive([made()])
        await asyncio.to_thread(receiver.wait_count, 3)
        await asyncio.sleep(0.1)
        return notifier.notifications()

    (record,) = run(scenario, Policy())
    assert [entry["answered"].split()[-1] for entry in record["tries"]] == ["500", "answer", "200"]
    assert record["attempts"] == 3
    assert record["tries"][0]["at"] < record["tries"][2]["at"] <= record["deliveredAt"]


ESCALATE = Policy(
    escalations=(Escalation((Matcher("severity", "=", "critical"),), (Step(300, "second"), Step(600_000, "first"))),),
    ack_url="https://desk.example/ack/",
)


def test_it_escalates_until_somebody_acknowledges(run, receiver, second_receiver):
    acked, ignored = made("Acked"), made("Ignored")

    async def scenario(notifier):
        notifier.receive([acked, ignored, made("Small", "warning")])
        await notifier.acknowledge(fingerprint(acked.labels), "me", "on it")
        with pytest.raises(KeyError):
            await notifier.acknowledge("0" * 16, "me")
        await asyncio.to_thread(second_receiver.wait_count, 1)
        await asyncio.sleep(0.3)
        now_ms = SystemClock().now_ms()
        notifier.receive([Alert(one.labels, one.annotations, one.starts_at_ms, now_ms) for one in (acked, ignored)])
        await asyncio.to_thread(second_receiver.wait_count, 2)
        return notifier.acknowledgements()

    acks = run(scenario, ESCALATE)
    assert names(second_receiver.bodies) == [("Ignored", "firing"), ("Ignored", "resolved")]
    told = second_receiver.bodies[0]["alerts"][0]["annotations"]
    assert told["escalation"] == "nobody acknowledged this within 300ms"
    assert told["ack_url"] == f"https://desk.example/ack/{fingerprint(ignored.labels)}"
    alerts = [alert for body in receiver.bodies for alert in body["alerts"] if alert["status"] == "firing"]
    links = {alert["labels"]["alertname"]: "ack_url" in alert["annotations"] for alert in alerts}
    assert links["Ignored"]
    assert not links["Small"]
    assert [(ack.by, ack.comment) for ack in acks] == [("me", "on it")]


def test_a_restart_neither_forgets_an_acknowledgement_nor_calls_twice(run, second_receiver):
    acked, called = made("Acked"), made("Called")

    async def first(notifier):
        notifier.receive([acked, called])
        await notifier.acknowledge(fingerprint(acked.labels), "me")
        await asyncio.to_thread(second_receiver.wait_count, 1)

    async def second(notifier):
        await asyncio.sleep(0.7)
        return notifier.acknowledgements()

    run(first, ESCALATE)
    assert [ack.fingerprint for ack in run(second, ESCALATE)] == [fingerprint(acked.labels)]
    assert names(second_receiver.bodies) == [("Called", "firing")]


def test_the_links_are_in_what_people_read(run, second_receiver):
    alert = Alert(Labels.of(alertname="A"), Labels.of(summary="S", ack_url="https://d.example/ack/1"), 0, 10**15)
    from algowatch.senders.message import AlertInMessage

    assert paragraph(AlertInMessage(alert, "firing")) == "S\nAcknowledge: https://d.example/ack/1"
    assert paragraph(AlertInMessage(alert, "resolved")) == "S"


def test_a_file_of_the_first_version_is_taken_on(tmp_path):
    with sqlite3.connect(tmp_path / "state.db") as old:
        old.executescript(_SCHEMA + "PRAGMA user_version = 1;")
        row = (7, '["first", "webhook", 0]', "g", "{}", 1, 2, 3, "no")
        old.execute("INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    old.close()
    outbox = Outbox.open(tmp_path / "state.db")
    (pending,) = outbox.remembered(1).pending
    outbox.close()
    assert (pending.id, pending.error, pending.tries) == (7, "no", ())
