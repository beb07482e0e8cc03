"""The notifier: takes alerts on the event loop, tells receivers from worker threads, forgets nothing.

An alert's way: `receive` → pipeline (on the loop, microseconds) → outbox (its own thread, one wait for the disk) → lane of
the channel (its threads) → the service.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from algowatch.errors import DeliveryError, StoreError, UsageError
from algowatch.model.alerts import Alert
from algowatch.model.clock import Clock, SystemClock
from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import Deliver
from algowatch.model.severity import severity_rank
from algowatch.notify.acks import Ack, Acks
from algowatch.notify.escalation import escalated
from algowatch.notify.lanes import Item, Lane, LaneOptions, Report
from algowatch.notify.notified import fingerprint
from algowatch.notify.outbox import FILE_NAME, Outbox, Pending, Remembered, pending_message
from algowatch.notify.pipeline import ChannelKey, Notification, Pipeline
from algowatch.notify.policy import Budget, Policy
from algowatch.notify.record import Record, records_of
from algowatch.notify.route import all_match
from algowatch.notify.routing import Routing, built_in_routing
from algowatch.notify.silences import Silence, Silences
from algowatch.notify.spelled import spelled
from algowatch.notify.status import AlertStatus, GroupStatus, alert_statuses, group_statuses
from algowatch.notify.trial import Trial, try_channels
from algowatch.senders.channels import Channel, from_environment, log_channel, webhook_channel
from algowatch.senders.message import Message, from_json

_log = logging.getLogger("algowatch.notify")
_LONGEST_NAP_S = 5.0
_KEEP_RECORDS = 2_000
_REFUSED_AGAIN_MS = 60_000
_ENDED_UNTOLD_MS = 60_000
_SECOND = "second channel:"


@dataclass(frozen=True, slots=True)
class NotifyOptions:
    """directory:    where `state.db` is kept (the engine's DATA).
    routing:      from `alertmanager.yml`; None: the built-in routing, to the log, webhook_urls and the environment's.
    log:          takes one line per alert of the built-in routing; None: the logger `algowatch.alerts`.
    keep_ms:      how long the delivery record and what was told are kept.
    """

    directory: Path
    routing: Routing | None = None
    webhook_urls: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    log: Callable[[str], None] | None = None
    external_url: str = ""
    policy: Policy = field(default_factory=Policy)
    sending: LaneOptions = field(default_factory=LaneOptions)
    keep_ms: int = 30 * 24 * 3_600_000
    stop_within_s: float = 2.0


class Notifier:
    """Everything but `stats` is to be called from the loop's thread.

    on_delivered: called on the loop with each element of the delivery record, as it comes into being.
    forward:      is handed, on the loop, every alert that comes in, also those that an earlier run left firing.
    """

    def __init__(
        self,
        options: NotifyOptions,
        clock: Clock | None = None,
        on_delivered: Callable[[Record], None] | None = None,
        jitter: random.Random | None = None,
        forward: Deliver = lambda _alerts: None,
    ) -> None:
        self._options = options
        self._forward = forward
        self._clock = clock or SystemClock()
        self._on_delivered = on_delivered
        self._jitter = jitter or random.Random()
        self._records: deque[Record] = deque(maxlen=_KEEP_RECORDS)
        self._counts: dict[str, Counter[str]] = {"sent": Counter(), "failed": Counter(), "retried": Counter()}
        self._lanes: dict[ChannelKey, Lane] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._swept_ms = 0
        self._generation = 0
        self._passed: set[int] = set()
        self._passed_groups: set[tuple[str, ChannelKey]] = set()
        self._outbox: Outbox
        self._acks: Acks
        self._pipeline: Pipeline
        self._ids = count(1)

    async def start(self) -> None:
        """Open the outbox, take up what an earlier run left undone. Raises: StoreError."""
        self._loop = asyncio.get_running_loop()
        self._outbox = await asyncio.to_thread(Outbox.open, self._options.directory / FILE_NAME)
        remembered = await asyncio.to_thread(self._outbox.remembered, _KEEP_RECORDS)
        self._ids = count(remembered.last_id + 1)
        self._records.extendleft(reversed(remembered.records))
        silences = Silences(remembered.silences, self._outbox.save_silence, self._outbox.forget_silence)
        self._pipeline = Pipeline(_routing(self._options), silences, remembered.told, self._options.external_url)
        self._acks = Acks(remembered.acks, self._outbox.forget_ack)
        self._open_lanes()
        for pending in remembered.pending:
            self._hand_over(pending)
        self._take_up_alerts(remembered)
        self._advance()

    async def reload(self, options: NotifyOptions) -> None:
        """Use another routing or other receivers from now on. Alerts, silences and what was told are kept; messages under way
        to a channel that is no longer there are given up and stand in the delivery record.
        """
        if options.directory != self._options.directory:
            raise UsageError("the notifier's directory cannot change while it runs; start the engine again")
        old = self._pipeline
        self._options = options
        self._pipeline = Pipeline(_routing(options), old.silences, old.told, options.external_url)
        left = [pending for lane in self._lanes.values() for pending in lane.drain()]
        self._open_lanes()
        for pending in left:
            self._hand_over(pending)
        self._pipeline.receive(list(old.alerts.values()), self._clock.now_ms())
        self._advance()

    async def stop(self) -> None:
        """End tries that are running, within stop_within_s; what is undelivered waits in the outbox for the next start."""
        if self._timer is not None:
            self._timer.cancel()
        for lane in self._lanes.values():
            lane.stop()
        await asyncio.to_thread(self._join_lanes)
        self._loop = None
        await asyncio.to_thread(self._outbox.close)

    def receive(self, alerts: Sequence[Alert]) -> None:
        """Take alerts from somebody who sends them again while they last (the rules); a `Deliver`."""
        changed = [alert for alert in alerts if self._is_news(alert)]
        if changed:
            self._outbox.keep_alerts(changed, self._clock.now_ms(), posted=False)
        self._forward(alerts)
        self._pipeline.receive(alerts, self._clock.now_ms())
        self._advance()

    async def accept(self, alerts: Sequence[Alert]) -> None:
        """Take alerts that may come only once (posted by bots); returns when `kill -9` cannot lose them any more.

        Raises: StoreError where the disk failed; receivers are told all the same.
        """
        assert self._loop is not None, "start the notifier first"
        loop, written = self._loop, self._loop.create_future()
        self._outbox.keep_alerts(alerts, self._clock.now_ms(), posted=True, done=lambda good: _settle(loop, written, good))
        self._forward(alerts)
        self._pipeline.receive(alerts, self._clock.now_ms())
        self._advance()
        if not await written:
            raise StoreError("state.db cannot be written; alerts are sent on but would not survive a crash")

    def alerts(self, matchers: Sequence[Matcher] = ()) -> list[AlertStatus]:
        """Alerts that have not ended, sorted by fingerprint, with what keeps them quiet."""
        return alert_statuses(self._pipeline, matchers, self._clock.now_ms())

    def groups(
        self, matchers: Sequence[Matcher] = (), wanted: Callable[[AlertStatus], bool] = lambda _status: True
    ) -> list[GroupStatus]:
        """Groups with the alerts in them that are wanted, sorted by labels and receiver."""
        return group_statuses(self._pipeline, matchers, self._clock.now_ms(), wanted)

    def receivers(self) -> list[str]:
        return list(self._pipeline.routing.receivers)

    async def try_receivers(self) -> list[Trial]:
        """Send a test through every channel, past routing and outbox."""
        receivers, sending = self._pipeline.routing.receivers, self._options.sending
        return await asyncio.to_thread(try_channels, receivers, self._clock.now_ms(), sending.timeout_s)

    @property
    def routing(self) -> Routing:
        return self._pipeline.routing

    def configuration(self) -> str:
        """The routing as an `alertmanager.yml` without secrets, which amtool reads."""
        return spelled(self._pipeline.routing)

    def silences(self, matchers: Sequence[Matcher] = ()) -> list[Silence]:
        """Silences, expired ones included, that name each matcher's label with a value that fulfils it."""
        return [silence for silence in self._pipeline.silences.all() if _names_all(silence, matchers)]

    def silence(self, silence_id: str) -> Silence | None:
        return self._pipeline.silences.get(silence_id)

    def put_silence(self, silence: Silence) -> Silence:
        """Create (empty id) or change a silence. Raises: ValueError, KeyError."""
        return self._pipeline.silences.put(silence, self._clock.now_ms())

    def expire_silence(self, silence_id: str) -> None:
        """Raises: KeyError where it is unknown, ValueError where it is over."""
        self._pipeline.silences.expire(silence_id, self._clock.now_ms())

    async def acknowledge(self, mark: str, by: str, comment: str = "") -> Ack:
        """Say that somebody takes care of an alert, named by its fingerprint; its escalation ends.

        Raises: KeyError where no such alert fires; StoreError where the disk failed.
        """
        assert self._loop is not None, "start the notifier first"
        now_ms = self._clock.now_ms()
        if (alert := self.firing(mark)) is None:
            raise KeyError(mark)
        ack = Ack(mark, alert.starts_at_ms, by, comment, now_ms)
        loop, written = self._loop, self._loop.create_future()
        self._acks.put(ack)
        self._outbox.save_ack(ack, lambda good: _settle(loop, written, good))
        if not await written:
            raise StoreError("state.db cannot be written; the acknowledgement counts until the engine ends")
        return ack

    def acknowledgements(self) -> list[Ack]:
        """Those that hold, newest first."""
        return self._acks.all()

    def firing(self, mark: str) -> Alert | None:
        """The alert that has a fingerprint and has not ended."""
        return next(iter(self._firing(mark)), None)

    def _firing(self, mark: str) -> list[Alert]:
        now_ms = self._clock.now_ms()
        alerts = self._pipeline.alerts.values()
        return [alert for alert in alerts if fingerprint(alert.labels) == mark and not alert.resolved(now_ms)]

    def notifications(self, limit: int = 50) -> list[Record]:
        """The delivery record, newest first."""
        return list(islice(self._records, limit))

    def stats(self) -> dict[str, dict[str, int]]:
        """Since the start, by channel (`receiver/integration[index]`): sent, failed (given up), retried, queued.

        Safe to call from any thread.
        """
        counted = {name: dict(counter) for name, counter in self._counts.items()}
        queued = {str(key): lane.length() for key, lane in list(self._lanes.items())}
        return {**counted, "queued": queued, "outbox": {"write_failures": self._outbox.failures}}

    def _is_news(self, alert: Alert) -> bool:
        known = self._pipeline.alerts.get(alert.labels)
        now_ms = self._clock.now_ms()
        return known is None or known.resolved(now_ms) != alert.resolved(now_ms)

    def _advance(self) -> None:
        """Do what is due and set the alarm for what comes next."""
        if self._loop is None:
            return
        now_ms = self._clock.now_ms()
        notifications = self._pipeline.advance(now_ms)
        policy = self._options.policy
        calls, call_due_ms = escalated(self._pipeline, policy.escalations, self._acks, now_ms)
        if notifications or calls:
            self._write_and_send([*notifications, *calls], now_ms)
        if policy.fallback is not None:
            self._pass_on_overdue(now_ms - policy.fallback.after_ms)
        if now_ms - self._swept_ms > 600_000:
            self._sweep(now_ms)
        longest_s = _LONGEST_NAP_S if policy.fallback is None else min(_LONGEST_NAP_S, policy.fallback.after_ms / 4000)
        due_ms = min((due for due in (self._pipeline.next_due_ms(), call_due_ms) if due is not None), default=None)
        nap_s = longest_s if due_ms is None else min(longest_s, max(0.0, (due_ms - self._clock.now_ms()) / 1000))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(nap_s, self._advance)

    def _sweep(self, now_ms: int) -> None:
        self._swept_ms = now_ms
        self._outbox.sweep(now_ms - self._options.keep_ms, now_ms - 24 * 3_600_000)
        self._acks.keep_only({fingerprint(alert.labels) for alert in self._pipeline.alerts.values()})

    def _write_and_send(self, notifications: Sequence[Notification], now_ms: int) -> None:
        linked = [with_ack_links(notification, self._options.policy) for notification in notifications]
        rows = [(notification, pending_message(next(self._ids), notification, now_ms)) for notification in linked]
        written = [pending for _, pending in rows if pending is not None]

        def send(_written: bool) -> None:
            for pending in written:
                self._hand_over(pending)

        self._outbox.keep_notifications(rows, send)

    def _pass_on_overdue(self, before_ms: int) -> None:
        for lane in self._lanes.values():
            for pending in lane.overdue(before_ms):
                self._pass_on(pending)

    def _pass_on(self, pending: Pending, *, over: bool = False) -> None:
        """Send a message through the second channels too, once; over: a group that had been passed on has ended."""
        fallback = self._options.policy.fallback
        if fallback is None or pending.id in self._passed or pending.group_key.startswith(_SECOND):
            return
        message = from_json(pending.message)
        place = (pending.group_key, pending.channel)
        if not over and severity_rank(message.severity) < severity_rank(fallback.lowest_severity):
            return
        resolved = message.status == "resolved"
        if (resolved and place not in self._passed_groups) or (over and not resolved):
            return
        self._passed.add(pending.id)
        (self._passed_groups.discard if resolved else self._passed_groups.add)(place)
        now_ms = self._clock.now_ms()
        copies = [
            Pending(next(self._ids), key, f"{_SECOND}{pending.group_key}", pending.message, now_ms, next_attempt_ms=now_ms)
            for key in self._lanes
            if key != pending.channel and {key.receiver, f"{key.receiver}/{key.integration}"} & set(fallback.receivers)
        ]
        _log.warning("%s has not taken a message; it also goes to %s", pending.channel, ", ".join(fallback.receivers))

        def send(_written: bool) -> None:
            for copy in copies:
                self._hand_over(copy)

        self._outbox.keep_messages(copies, send)

    def _hand_over(self, pending: Pending) -> None:
        """Give a message to its lane; called from the outbox's thread, and from the loop's at start."""
        lane = self._lanes.get(pending.channel)
        if lane is None:
            gone = DeliveryError(f"receiver {pending.channel} is no longer configured", retryable=False)
            self._report(pending.channel, Item.of(replace(pending, error=str(gone))), gone, final=True)
            return
        lane.put(pending)

    def _open_lanes(self) -> None:
        """A channel that several receivers share (in the built-in routing) has a lane for each, and one budget for all."""
        self._generation += 1
        self._budgets: dict[int, Budget] = {}
        lanes = {}
        for receiver, channels in self._pipeline.routing.receivers.items():
            for index, channel in enumerate(channels):
                key = ChannelKey(receiver, channel.integration, index)
                report = self._reporter(key)
                sending, budget = self._options.sending, self._budget(channel)
                lanes[key] = Lane(str(key), channel, sending, self._clock, self._jitter, report, budget)
        self._lanes = lanes

    def _budget(self, channel: Channel) -> Budget | None:
        flood = self._options.policy.flood
        if flood is None or channel.integration not in flood.integrations:
            return None
        return self._budgets.setdefault(id(channel), Budget(flood, self._clock.now_ms()))

    def _join_lanes(self) -> None:
        deadline = self._clock.monotonic() + self._options.stop_within_s
        for lane in self._lanes.values():
            lane.join(max(0.0, deadline - self._clock.monotonic()))

    def _reporter(self, key: ChannelKey) -> Report:
        generation = self._generation

        def report(item: Item, error: DeliveryError | None, *, final: bool) -> None:
            self._report(key, item, error, final=final)
            if not final and generation != self._generation and not item.gone:
                self._hand_over(item.pending)

        return report

    def _report(self, key: ChannelKey, item: Item, error: DeliveryError | None, *, final: bool) -> None:
        """What became of a try, told by a worker's thread: to the outbox at once, to everybody else on the loop."""
        now_ms = self._clock.now_ms()
        if not final:
            self._outbox.postpone(item.pending)
            self._on_loop(self._count, key, "retried", error)
            return
        records = records_of(item, key.integration, now_ms, str(error) if error else "")
        self._outbox.finish(item.pending.id, records, now_ms)
        self._on_loop(self._count, key, "failed" if error else "sent", error)
        self._on_loop(self._record, records)
        self._on_loop(self._ended, item.pending, error)
        if error:
            self._on_loop(self._refused, item.pending, now_ms + _REFUSED_AGAIN_MS)

    def _on_loop(self, function: Callable[..., None], *values: Any) -> None:
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(function, *values)

    def _count(self, key: ChannelKey, what: str, error: DeliveryError | None) -> None:
        self._counts[what][str(key)] += 1
        if error is not None:
            _log.warning("notification through %s %s: %s", key, what, error)

    def _record(self, records: Sequence[Record]) -> None:
        for record in records:
            self._records.appendleft(record)
            if self._on_delivered is not None:
                self._on_delivered(record)

    def _ended(self, pending: Pending, error: DeliveryError | None) -> None:
        """A message is delivered or given up: a second channel takes what was given up, and hears how that ended."""
        if error is not None:
            self._pass_on(pending)
        elif (pending.group_key, pending.channel) in self._passed_groups:
            self._pass_on(replace(pending, id=-pending.id), over=True)
        self._passed -= {pending.id, -pending.id}

    def _refused(self, pending: Pending, again_after_ms: int) -> None:
        self._pipeline.refused(pending.group_key, pending.channel, again_after_ms)
        self._outbox.tell_again(pending.group_key, pending.channel, again_after_ms)

    def _take_up_alerts(self, remembered: Remembered) -> None:
        """Alerts of the run before. One that nobody was told of and that ended meanwhile fires for a minute all the same; one
        of a rule lasts until the rule had time to say whether it still holds.
        """
        now_ms = self._clock.now_ms()
        told_ms: dict[str, int] = {}
        for entry in remembered.told.values():
            for mark in entry.firing | entry.resolved:
                told_ms[mark] = max(entry.at_ms, told_ms.get(mark, 0))
        grace_ms = self._pipeline.routing.resolve_timeout_ms
        for alert, posted, saved_ms in remembered.alerts:
            ends_at_ms = alert.ends_at_ms
            if not posted and not alert.resolved(saved_ms):
                ends_at_ms = max(ends_at_ms, now_ms + grace_ms)
            elif alert.resolved(now_ms) and posted and told_ms.get(fingerprint(alert.labels), -1) < alert.starts_at_ms:
                ends_at_ms = now_ms + _ENDED_UNTOLD_MS
            kept = replace(alert, ends_at_ms=ends_at_ms)
            if not kept.resolved(now_ms):
                self._forward([kept])
            self._pipeline.receive([kept], now_ms)


def _routing(options: NotifyOptions) -> Routing:
    if options.routing is not None:
        return options.routing
    webhooks = [webhook_channel(url) for url in options.webhook_urls]
    return built_in_routing([log_channel(options.log), *webhooks, *options.channels, *from_environment(options.environ)])


def with_ack_links(notification: Notification, policy: Policy) -> Notification:
    """The notification with the address of its page in the annotation `ack_url` of each alert that escalates."""
    message = notification.message
    if message is None or not policy.ack_url:
        return notification
    items = [
        replace(item, alert=_linked(item.alert, policy.ack_url))
        if item.status == "firing" and any(all_match(one.matchers, item.labels) for one in policy.escalations)
        else item
        for item in message.alerts
    ]
    if items == list(message.alerts):
        return notification
    linked = Message.of(message.receiver, message.group_key, message.group_labels, items, external_url=message.external_url)
    return replace(notification, message=linked)


def _linked(alert: Alert, ack_url: str) -> Alert:
    return replace(alert, annotations=alert.annotations.with_labels({"ack_url": ack_url + fingerprint(alert.labels)}))


def _settle(loop: asyncio.AbstractEventLoop, future: asyncio.Future[bool], value: bool) -> None:
    def settle() -> None:
        if not future.done():
            future.set_result(value)

    loop.call_soon_threadsafe(settle)


def _names_all(silence: Silence, matchers: Sequence[Matcher]) -> bool:
    values = Labels.of({matcher.name: matcher.value for matcher in silence.matchers})
    return all(matcher.matches(values.get(matcher.name)) for matcher in matchers)
