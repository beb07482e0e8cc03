"""One bot's watch: recorders, /metrics, registration, alerts, wired together and kept alive over forks.

`start` gives one Watch per name and process. Nothing in here raises into the bot unless `strict` asks for it: without a
port or a writable state directory the recorders still work, they are only not found by anybody, and the log says so once.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, cast

from algowatch.catalog.families import BASE, PROFILES, Family, FamilyType, families_of, family
from algowatch.errors import ConfigError, UsageError
from algowatch.model.labels import is_legacy_label_name, is_legacy_metric_name
from algowatch.model.version import VERSION
from algowatch.telemetry import delivery, exposition, groups, trading
from algowatch.telemetry.alerts import AlertOptions, Alerts
from algowatch.telemetry.faults import Faults, shown
from algowatch.telemetry.recorders import Counter, Gauge, Histogram, Recorder
from algowatch.telemetry.registration import (
    BotRecord,
    file_name,
    own_process_started,
    read_engine,
    register,
    state_directory,
    unregister,
)
from algowatch.telemetry.registry import MAX_SERIES, Registry, Samples
from algowatch.telemetry.server import LOOPBACK, Handler, Request, Response, Server, ServerOptions
from algowatch.telemetry.spool import Spool, spool_directory

logger = logging.getLogger("algowatch")

DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What `start` was asked for.

    labels:     put on every series of this bot by whoever scrapes it (they travel in the registration file).
    logs:       paths of log files, for the engine's log reader.
    max_series: per family.
    alerts:     where alerts go when no engine answers: http(s) addresses or callables; None: what the environment says.
    discover:   False serves nothing and registers nowhere: for tests.
    """

    name: str
    profile: str = BASE
    port: int = 0
    host: str = "127.0.0.1"
    labels: Mapping[str, str] = field(default_factory=dict)
    logs: tuple[str, ...] = ()
    strict: bool = False
    host_metrics: bool = True
    max_series: int = MAX_SERIES
    state: Path | None = None
    discover: bool = True
    alerts: Any = None
    alert_options: AlertOptions = field(default_factory=AlertOptions)


class Watch:
    """What a bot records through. The groups are `orders`, `fills`, `positions`, `pnl` …; `counter`, `gauge` and `histogram`
    declare families of one's own."""

    def __init__(self, options: WatchOptions) -> None:
        self.options = options
        self.faults = Faults(options.strict)
        self.registry = registry = Registry(self.faults, options.max_series)
        self.orders = groups.OrdersGroup(registry)
        self.fills = groups.FillsGroup(registry)
        self.positions = trading.Positions(registry)
        self.pnl = groups.PnlGroup(registry)
        self.exposure = groups.ExposureGroup(registry)
        self.kill_switches = trading.KillSwitches(registry)
        self.broker = trading.Broker(registry)
        self.market_data = trading.MarketData(registry)
        self.latency = groups.LatencyGroup(registry)
        self.routes: dict[str, Handler] = {"/metrics": self._metrics, "/healthz": self._healthz}
        self.health: Any = None
        """The checks of this bot; set by the room above (`algowatch.health.attach`)."""
        self.instance = options.name
        self.started_at = time.time()
        self._server: Server | None = None
        self._record: BotRecord | None = None
        self._host: Any = None
        self._lock = RLock()
        registry.collectors += [self._about, self._views]
        self.alerts = Alerts(
            options.alert_options,
            self._alert_identity,
            self._engine_url,
            delivery.post_to_engine,
            self._channels(),
            self.faults,
        )

    # Life

    def start(self) -> Watch:
        """Serve and register; what cannot be done is counted and logged. Raises: UsageError in strict mode only."""
        with self._lock:
            if self._server is None and self.options.discover:
                if self.options.host_metrics and self._host is None:
                    self._attempt("host metrics", self._collect_host)
                self._attempt("the metrics server", self._serve)
                self._attempt("the registration file", self._register)
                if self._record is not None:
                    self.alerts.use_spool(Spool(spool_directory(self._state()) / (file_name(self.instance) + "l")))
                self.alerts.start()
        return self

    def withdraw(self) -> None:
        """Take the registration back: from here on this bot's silence is no breakdown. Never raises."""
        record, self._record = self._record, None
        if record is not None:
            unregister(record)

    def stop(self, *, withdraw: bool = True) -> None:
        """Stop serving and take the registration back; recording goes on working and reaches nobody. Never raises.

        Alerts that are on their way are given two seconds. withdraw=False leaves the registration, as a bot that dies does.
        """
        self.alerts.stop()
        with self._lock:
            if withdraw:
                self.withdraw()
            if self._server is not None:
                self._server.stop()
                self._server = None
            if _WATCHES.get(self.options.name) is self:
                del _WATCHES[self.options.name]

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where /metrics is served; 0 where it is not."""
        return self._server.port if self._server else 0

    @property
    def url(self) -> str:
        """The address of the server, empty where there is none."""
        return f"http://{self._server.address}" if self._server else ""

    @property
    def registration(self) -> BotRecord | None:
        return self._record

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self.faults.note("start", f"bot {self.options.name!r}", f"{what} could not be set up: {error or repr(error)}")

    def _serve(self) -> None:
        options = self.options
        host = options.host
        if host not in LOOPBACK:
            self.faults.note(
                "start", f"bot {options.name!r}", f"host {host!r} is not loopback; metrics are served on 127.0.0.1"
            )
            host = "127.0.0.1"
        port = options.port
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            self.faults.note("start", f"bot {options.name!r}", f"port {port!r} is not a port; a free one is used")
            port = 0
        server = Server(ServerOptions(host, port), self.routes)
        server.start()
        self._server = server

    def _register(self) -> None:
        if self._server is None:
            return
        options = self.options
        labels = dict(self._target_labels())
        wanted = BotRecord(
            options.name, self._server.address, os.getpid(), options.profile, own_process_started(), options.logs, labels
        )
        self._record = register(wanted, self._state())
        self.instance = self._record.instance

    def _state(self) -> Path:
        return self.options.state or state_directory()

    def _engine_url(self) -> str | None:
        engine = read_engine(self._state())
        return engine.url if engine else None

    def _alert_identity(self) -> dict[str, str]:
        return {**{str(name): str(value) for name, value in self.options.labels.items()}, "instance": self.instance}

    def _channels(self) -> list[delivery.Channel]:
        try:
            return delivery.configured_channels(self.options.alerts, os.environ)
        except (ValueError, ConfigError) as error:
            self.faults.note("start", f"bot {self.options.name!r}", str(error))
            return []

    def _target_labels(self) -> Iterator[tuple[str, str]]:
        for name, value in self.options.labels.items():
            if is_legacy_label_name(str(name)) and not str(name).startswith("__"):
                yield str(name), str(value)
            else:
                self.faults.note("bad_label", f"bot {self.options.name!r}", f"{name!r} cannot be a label's name")

    def _collect_host(self) -> None:
        try:
            import psutil
        except ImportError:
            logger.warning("psutil is not installed: no host and process metrics; `pip install psutil` brings them")
            return
        from algowatch.telemetry.host import HostCollector

        self._host = HostCollector(psutil)
        self.registry.collectors.append(self._host)

    def after_fork_in_child(self) -> None:
        """A child counts from zero and is not listed until it calls `start` itself."""
        self._lock = RLock()
        if self._server is not None:
            self._server.abandon()
        self._server = None
        self._record = None
        self.instance = self.options.name
        self.started_at = time.time()
        self.registry.reset()
        self.broker.reset()
        self.market_data.reset()
        self.alerts.after_fork_in_child()
        if self._host is not None:
            self._host.restart()

    # What is served

    def _metrics(self, request: Request) -> Response:
        form = exposition.negotiate(request.headers.get("accept", ""))
        return Response(exposition.render(self.registry, form), exposition.CONTENT_TYPES[form])

    def _healthz(self, request: Request) -> Response:
        state = {"status": "ok", "name": self.instance, "uptime_seconds": round(time.time() - self.started_at, 3)}
        return Response(json.dumps(state).encode() + b"\n", "application/json")

    def _about(self) -> Iterator[tuple[Family, Samples]]:
        yield family("algowatch_bot_info"), [((self.options.profile, VERSION), 1.0)]
        errors: Samples = [((reason,), float(count)) for reason, count in sorted(self.faults.counts.items())]
        yield family("algowatch_telemetry_errors_total"), errors
        yield family("algowatch_alerts_dropped_total"), [((), float(self.alerts.dropped))]

    def _views(self) -> Iterator[tuple[Family, Samples]]:
        """Published names that repeat a canonical family."""
        for each in families_of(self.options.profile):
            if each.view_of:
                yield each, [(values, cell.v) for values, cell in self.registry.recorders[each.view_of]]

    def exposition(self, form: exposition.Format = "text") -> bytes:
        """What /metrics answers, without the server."""
        return exposition.render(self.registry, form)

    # Families of one's own

    def counter(self, name: str, help: str = "", labels: Iterable[str] = ()) -> Counter:
        """A counter of your own; `_total` is added to the name where it is missing."""
        return cast(Counter, self._own("counter", name, help, labels))

    def gauge(self, name: str, help: str = "", labels: Iterable[str] = ()) -> Gauge:
        """A gauge of your own."""
        return cast(Gauge, self._own("gauge", name, help, labels))

    def histogram(
        self, name: str, help: str = "", labels: Iterable[str] = (), buckets: Iterable[float] = DEFAULT_BUCKETS
    ) -> Histogram:
        """A histogram of your own; `buckets` are upper bounds, ascending, without +Inf."""
        return cast(Histogram, self._own("histogram", name, help, labels, buckets))

    def recorder(self, name: str) -> Recorder[Any]:
        """The recorder of a family by its exported name. Raises: KeyError."""
        return self.registry.recorders[name]

    def _own(
        self, kind: FamilyType, name: str, help: str, labels: Iterable[str], buckets: Iterable[float] = ()
    ) -> Recorder[Any]:
        try:
            names = (labels,) if isinstance(labels, str) else tuple(labels)
            if not isinstance(name, str) or not is_legacy_metric_name(name):
                raise ValueError(f"{shown(name)} cannot be a metric's name; use letters, digits and underscores")
            if kind == "counter" and not name.endswith("_total"):
                name += "_total"
            wanted = Family(name, kind, str(help) or name, names, "", _bounds(buckets))
            recorder = self.registry.declare_own(wanted)
            if kind == "counter" and not names:
                recorder.cell(())
            return recorder
        except Exception as error:
            self.faults.note("bad_family", shown(name), str(error) if isinstance(error, ValueError) else shown(error))
            return self.registry.detached(Family("detached", kind, "", (), "", (1.0,) if kind == "histogram" else ()))


def _bounds(buckets: Iterable[float]) -> tuple[float, ...]:
    bounds = tuple(float(bound) for bound in buckets if float(bound) != float("inf"))
    if any(upper <= lower for lower, upper in pairwise(bounds)) or any(b != b for b in bounds):
        raise ValueError(f"buckets have to ascend: {bounds}")
    return bounds


# Every watch of this process

_WATCHES: dict[str, Watch] = {}
_FORKED: weakref.WeakSet[Watch] = weakref.WeakSet()
_lock = RLock()
_hooked = False


def start_watch(options: WatchOptions) -> Watch:
    """The Watch of a name, made and started on the first call; later calls give the same one, whatever they ask for.

    Raises: UsageError in strict mode for what is wrong with the options; nothing otherwise.
    """
    with _lock:
        _hook()
        found = _WATCHES.get(options.name)
        if found is None:
            checked, problems = _checked(options)
            found = Watch(checked)
            for problem in problems:
                found.faults.note("start", f"bot {checked.name!r}", problem)
            _WATCHES[options.name] = found
            _FORKED.add(found)
        try:
            return found.start()
        except UsageError:
            found.stop()
            raise


@contextmanager
def stand_in(watch: Watch) -> Iterator[None]:
    """While this lasts, `start_watch` with the watch's name gives this one: for tests."""
    name = watch.options.name
    with _lock:
        before = _WATCHES.get(name)
        _WATCHES[name] = watch
    try:
        yield
    finally:
        with _lock:
            if before is None:
                _WATCHES.pop(name, None)
            else:
                _WATCHES[name] = before


def _checked(options: WatchOptions) -> tuple[WatchOptions, list[str]]:
    problems = []
    if not isinstance(options.name, str) or not options.name.strip():
        problems.append(f"a bot's name is text, not {options.name!r}; `bot` is used")
        options = replace(options, name="bot")
    if options.profile not in (BASE, *PROFILES):
        problems.append(f"unknown profile {options.profile!r}; known are {', '.join((BASE, *PROFILES))}; `{BASE}` is used")
        options = replace(options, profile=BASE)
    return options, problems


def _hook() -> None:
    global _hooked
    if not _hooked:
        _hooked = True
        atexit.register(_at_exit)
        _end_cleanly_on_sigterm()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork_in_child)


def stop_all() -> None:
    """Stop every watch of this process: what happens at a clean exit."""
    for watch in list(_WATCHES.values()):
        watch.stop()


def _at_exit() -> None:
    """A program that ends of its own will has nothing more to be watched; one that died of an exception has failed."""
    failed = _died_of_an_exception()
    for watch in list(_WATCHES.values()):
        watch.stop(withdraw=not failed)


def _died_of_an_exception() -> bool:
    """Whether the interpreter ends because nobody caught an exception; it keeps that in `sys` before it runs what `atexit` has.

    A Ctrl-C is somebody's will. In an interactive interpreter a mistyped line leaves the same trace and means nothing.
    """
    if hasattr(sys, "ps1") or "IPython" in sys.modules:
        return False
    uncaught = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return uncaught is not None and not isinstance(uncaught, KeyboardInterrupt)


def _end_cleanly_on_sigterm() -> None:
    """Somebody who sends SIGTERM stops the bot on purpose. Where the program handles the signal, that stays as it is."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _withdraw_and_die)


def _withdraw_and_die(number: int, frame: object) -> None:
    """Take the registrations back, then let the signal do what it does."""
    for watch in list(_WATCHES.values()):
        watch.withdraw()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _after_fork_in_child() -> None:
    global _lock
    _lock = RLock()
    for watch in list(_FORKED):
        watch.after_fork_in_child()
