"""The direct alert path: from a line in the bot to the engine, or to a person, without making the bot wait.

The call only puts the alert into a bounded queue. A thread writes it into the spool, posts it to the engine, and where no
engine answers within a second goes straight to the configured channels; until somebody has taken it, it tries again.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from algowatch.errors import DeliveryError
from algowatch.model.labels import is_legacy_label_name
from algowatch.model.severity import parse_severity, severity_rank
from algowatch.telemetry.faults import Faults, Misuse, shown
from algowatch.telemetry.recorders import as_label_value
from algowatch.telemetry.spool import OwedAlert, Spool

logger = logging.getLogger("algowatch")

Post = Callable[[str, Sequence[OwedAlert], float], None]
Send = Callable[[OwedAlert, float], bool]

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class AlertOptions:
    """Bounds of the direct path.

    queue_size:      alerts that may wait; past it the least severe, oldest first, is dropped and counted.
    repeat_window_s: one alert goes out at most once in this span; what repeats in it is counted and told at its end.
    lasts_s:         how long an alert stands when nobody says that it is over.
    engine_timeout_s, channel_timeout_s: for one attempt.
    retry_s:         first and longest wait between attempts; it doubles.
    keep_s:          an alert that nobody took for this long is given up.
    flush_s:         what a clean exit waits for.
    """

    queue_size: int = 1000
    repeat_window_s: float = 10.0
    lasts_s: float = 300.0
    engine_timeout_s: float = 1.0
    channel_timeout_s: float = 5.0
    retry_s: tuple[float, float] = (0.5, 30.0)
    keep_s: float = 86_400.0
    flush_s: float = 2.0


@dataclass(slots=True)
class _Outgoing:
    """One identity: the alert as it will be sent next, and what has happened to it."""

    alert: OwedAlert
    due_at: float
    numbers: list[str] = field(default_factory=list)
    pending: bool = True
    repeats: int = 0
    attempts: int = 0
    delivered_at: float = 0.0


def alert_name(title: str) -> str:
    """A name for rules and routes out of a title.

    >>> alert_name("Kill switch activated"), alert_name("P&L -5.2 %")
    ('KillSwitchActivated', 'PL52')
    """
    return "".join(word[:1].upper() + word[1:] for word in _WORD.findall(title))[:120] or "BotAlert"


class Alerts:
    """`info`, `warning`, `error`, `critical`, `send_alert`, `resolve`: none of them waits, none of them raises (unless strict).

    identity: labels of every alert of this bot, asked for when an alert is made.
    engine:   the engine's URL now, or None.
    tap:      where set, it gets every alert in the queue's stead: for tests.
    """

    def __init__(
        self,
        options: AlertOptions,
        identity: Callable[[], Mapping[str, str]],
        engine: Callable[[], str | None],
        post: Post,
        channels: Sequence[Send],
        faults: Faults,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options
        self.dropped = 0
        self.tap: Callable[[OwedAlert], None] | None = None
        self._identity = identity
        self._engine = engine
        self._post = post
        self._channels = tuple(channels)
        self._faults = faults
        self._clock = clock
        self._spool: Spool | None = None
        self._begin()

    def _begin(self) -> None:
        self._queue: deque[tuple[OwedAlert, str]] = deque()
        self._outgoing: dict[Any, _Outgoing] = {}
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._busy = False

    # What the bot calls

    def info(self, title: str = "", message: str = "", *extra: Any, component: str = "", **labels: Any) -> None:
        """Worth knowing, nothing to do."""
        self._take("info", title, message, component, labels, extra)

    def warning(self, title: str = "", message: str = "", *extra: Any, component: str = "", **labels: Any) -> None:
        """Look at it today."""
        self._take("warning", title, message, component, labels, extra)

    def error(self, title: str = "", message: str = "", *extra: Any, component: str = "", **labels: Any) -> None:
        """Look at it now."""
        self._take("error", title, message, component, labels, extra)

    def critical(self, title: str = "", message: str = "", *extra: Any, component: str = "", **labels: Any) -> None:
        """Money is at risk: wake somebody."""
        self._take("critical", title, message, component, labels, extra)

    def send_alert(
        self, severity: str = "warning", title: str = "", message: str = "", *extra: Any, component: str = "", **labels: Any
    ) -> None:
        """An alert of any severity; P0, P1 and P2 are understood."""
        self._take(severity, title, message, component, labels, extra)

    def resolve(
        self, severity: str = "critical", title: str = "", message: str = "", *extra: Any, component: str = "", **labels: Any
    ) -> None:
        """What was sent with the same severity, title, component and labels is over."""
        self._take(severity, title, message, component, labels, extra, resolved=True)

    def _take(
        self,
        severity: Any,
        title: Any,
        message: Any,
        component: Any,
        labels: dict[str, Any],
        extra: Any,
        resolved: bool = False,
    ) -> None:
        try:
            alert = self._made(severity, title, message, component, labels, resolved)
            (self.tap or self._enqueue)(alert)
            if extra:
                raise Misuse("alert", "an alert takes a title and a message; labels go by keyword")
        except Misuse as misuse:
            self._faults.note(misuse.reason, "alerts", str(misuse))
        except Exception as error:
            self._faults.note("alert", "alerts", f"the alert {shown(title)} could not be taken: {shown(error)}")

    def _made(
        self, severity: Any, title: Any, message: Any, component: Any, labels: dict[str, Any], resolved: bool
    ) -> OwedAlert:
        problems = []
        try:
            level = parse_severity(as_label_value(severity))
        except (ValueError, Misuse) as error:
            problems.append(str(error))
            level = "warning"
        lasts_s = labels.pop("lasts_s", self.options.lasts_s)
        annotations = labels.pop("annotations", None)
        wanted = {"alertname": alert_name(as_label_value(title)), **self._identity(), "severity": level, "component": component}
        for name, value in labels.items():
            if is_legacy_label_name(name) and not name.startswith("__"):
                wanted[name] = value
            else:
                problems.append(f"{name!r} cannot be a label's name")
        texts = {"summary": title, "description": message, **(annotations if isinstance(annotations, Mapping) else {})}
        for problem in problems:
            self._faults.note("alert", "alerts", problem)
        return OwedAlert(
            labels={name: text for name, value in wanted.items() if (text := as_label_value(value))},
            annotations={str(name): text for name, value in texts.items() if (text := as_text(value))},
            starts_at_ms=time.time_ns() // 1_000_000,
            resolved=resolved,
            lasts_ms=int(float(lasts_s) * 1000),
        )

    def _enqueue(self, alert: OwedAlert) -> None:
        """Hand an alert to the thread. A critical one may be this process's last word, so it is written down before."""
        number = self._write_down(alert) if _rank(alert) == _CRITICAL else ""
        with self._condition:
            self._queue.append((alert, number))
            if len(self._queue) > self.options.queue_size:
                ranked = min(range(len(self._queue)), key=lambda i: _rank(self._queue[i][0]))
                del self._queue[ranked]
                self._drop(1, "too many alerts are waiting")
            self._condition.notify_all()
        self.start()

    # Life

    def use_spool(self, spool: Spool | None) -> None:
        """Where alerts are written down before they are sent; called before `start`."""
        self._spool = spool

    def start(self) -> None:
        """Have the thread running; called again, it changes nothing."""
        with self._condition:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._work, name="algowatch-alerts", daemon=True)
                self._thread.start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is on its way. Returns: whether that was reached in time."""
        deadline = time.monotonic() + timeout_s
        with self._condition:
            while self._queue or self._busy or any(each.pending for each in list(self._outgoing.values())):
                left = deadline - time.monotonic()
                if left <= 0 or self._thread is None:
                    return False
                self._condition.wait(min(left, 0.05))
        return True

    def stop(self) -> None:
        """Send what waits, for `flush_s` at most, and end the thread; what is still owed stays in the spool."""
        with self._condition:
            thread = self._thread
            self._stopping = True
            for each in list(self._outgoing.values()):
                each.due_at = 0.0 if each.pending else each.due_at
            self._condition.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(self.options.flush_s)

    def after_fork_in_child(self) -> None:
        """The parent's alerts are the parent's; the thread did not come along."""
        self._spool = None
        self.dropped = 0
        self._begin()

    # The thread

    def _work(self) -> None:
        self._recover()
        last_round = False
        while True:
            with self._condition:
                if self._stopping and last_round and not self._queue:
                    return
                wait = self._seconds_to_next()
                if not self._queue and not self._stopping and (wait is None or wait > 0):
                    self._condition.wait(wait)
                fresh = list(self._queue)
                self._queue.clear()
                self._busy = True
                last_round = self._stopping
            try:
                self._round(fresh)
            except Exception as error:
                logger.warning("alerts could not be handled: %r", error)
            finally:
                with self._condition:
                    self._busy = False
                    self._condition.notify_all()

    def _seconds_to_next(self) -> float | None:
        times = [each.due_at for each in self._outgoing.values() if each.pending]
        windows = [each.delivered_at + self.options.repeat_window_s for each in self._outgoing.values() if not each.pending]
        return max(0.0, min(times + windows) - self._clock()) if times or windows else None

    def _recover(self) -> None:
        if self._spool is None:
            return
        now_ms = time.time_ns() // 1_000_000
        try:
            for number, alert in self._spool.recover().items():
                if now_ms - alert.starts_at_ms > self.options.keep_s * 1000:
                    self._spool.done([number])
                    self._drop(1, "an alert of an earlier life is too old")
                else:
                    self._merge(alert, number)
        except OSError as error:
            self._spool_failed(error)

    def _round(self, fresh: list[tuple[OwedAlert, str]]) -> None:
        for alert, number in fresh:
            self._merge(alert, number or self._write_down(alert))
        now = self._clock()
        self._outgoing = {key: each for key, each in self._outgoing.items() if self._wanted(each, now)}
        pending = [each for each in self._outgoing.values() if each.pending]
        due = [each for each in pending if each.due_at <= now or (fresh and each.attempts)]
        if due:
            self._deliver(due)

    def _wanted(self, each: _Outgoing, now: float) -> bool:
        return each.pending or now < each.delivered_at + self.options.repeat_window_s

    def _write_down(self, alert: OwedAlert) -> str:
        if self._spool is None:
            return ""
        try:
            return self._spool.take(alert)
        except OSError as error:
            self._spool_failed(error)
            return ""

    def _spool_failed(self, error: OSError) -> None:
        self._spool = None
        logger.warning("alerts are not written down before they are sent: %s", error)

    def _merge(self, alert: OwedAlert, number: str) -> None:
        """Put an alert beside what is known of its identity."""
        now = self._clock()
        known = self._outgoing.get(alert.identity)
        if known is None:
            self._outgoing[alert.identity] = _Outgoing(alert, now, [number] if number else [])
            return
        if number:
            known.numbers.append(number)
        known.repeats += known.alert.resolved == alert.resolved
        changed = known.alert.resolved != alert.resolved
        alert.starts_at_ms = alert.starts_at_ms if changed and not alert.resolved else known.alert.starts_at_ms
        known.alert = alert
        if not known.pending:
            known.pending = True
            known.attempts = 0
            known.due_at = now if changed else known.delivered_at + self.options.repeat_window_s

    def _deliver(self, due: list[_Outgoing]) -> None:
        """To the engine, else to the channels, else later."""
        alerts = [self._told(each) for each in due]
        problem = self._to_engine(alerts)
        if problem is None:
            self._delivered(due)
            return
        taken = [each for each, alert in zip(due, alerts, strict=True) if self._to_channels(alert)]
        self._delivered(taken)
        left = [each for each in due if each.pending]
        if left and not problem.retryable:
            self._drop(len(left), str(problem))
            self._delivered(left)
        for each in left:
            self._put_off(each)

    def _put_off(self, each: _Outgoing) -> None:
        """Try again later, or give up what nobody took for too long."""
        first, longest = self.options.retry_s
        each.attempts += 1
        each.due_at = self._clock() + min(longest, first * 2 ** min(each.attempts - 1, 20))
        if time.time() * 1000 - each.alert.starts_at_ms > self.options.keep_s * 1000:
            self._drop(1, "nobody took it for too long")
            self._delivered([each])

    def _told(self, each: _Outgoing) -> OwedAlert:
        if each.repeats:
            each.alert.annotations["repeats"] = str(each.repeats)
        return each.alert

    def _to_engine(self, alerts: list[OwedAlert]) -> DeliveryError | None:
        try:
            url = self._engine()
            if url is None:
                return DeliveryError("no engine is registered", retryable=True)
            self._post(url, alerts, self.options.engine_timeout_s)
        except DeliveryError as error:
            return error
        except Exception as error:
            return DeliveryError(repr(error), retryable=True)
        return None

    def _to_channels(self, alert: OwedAlert) -> bool:
        """Whether at least one channel has taken it."""
        taken = False
        for channel in self._channels:
            try:
                taken = channel(alert, self.options.channel_timeout_s) or taken
            except Exception as error:
                logger.warning("an alert could not be sent directly: %s", error)
        return taken

    def _delivered(self, due: list[_Outgoing]) -> None:
        numbers = [number for each in due for number in each.numbers]
        for each in due:
            each.pending, each.repeats, each.numbers, each.delivered_at = False, 0, [], self._clock()
        if self._spool is not None and numbers:
            try:
                self._spool.done(numbers)
            except OSError as error:
                self._spool_failed(error)

    def _drop(self, count: int, why: str) -> None:
        self.dropped += count
        if self.dropped == count:
            logger.warning("an alert was dropped: %s (further ones are only counted)", why)


_CRITICAL = severity_rank("critical")


def _rank(alert: OwedAlert) -> int:
    return severity_rank(alert.labels.get("severity", ""))


def as_text(value: object) -> str:
    """Text for an annotation, at most 4,000 characters; what has no text says so."""
    if value is None:
        return ""
    try:
        return str(value)[:4000].encode("utf-8", "replace").decode()
    except Exception:
        return f"(a {type(value).__name__} without a text)"
