"""After a restart alerts go on where they were: real store and evaluator, a fake clock, a second manager on the same data."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from algowatch.model.alerts import Alert
from algowatch.model.clock import SystemClock
from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout, QueryResult
from algowatch.promql.engine import QueryEngine
from algowatch.rules.manager import RuleManager
from algowatch.rules.options import RuleOptions
from algowatch.store.store import Store
from algowatch.testing.clock import FakeClock

PNL = Layout([Labels.of(__name__="pnl", bot="gamma")])
RULES = "groups: [{name: g, rules: [{alert: Loss, expr: pnl < 0, for: 60s}]}]"


class Desk:
    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.store = Store.open(directory / "data")
        self.queries = QueryEngine(self.store.select)
        self.delivered: list[Alert] = []
        self.rules = directory / "rules.yml"
        self.rules.write_text(RULES)
        self.start()

    def start(self, **options: int) -> None:
        """A manager that knows nothing yet, as after a restart."""
        append, clock = self.store.append, self.clock
        self.manager = RuleManager(RuleOptions(**options), self.queries.instant, append, self.delivered.extend, clock)
        self.manager.reload([str(self.rules)])

    def run(self, seconds: int, pnl: float | None) -> None:
        for _ in range(seconds):
            now_ms = self.clock.advance(1)
            if pnl is not None:
                self.store.append("bot", now_ms, PNL, np.array([pnl]))
            self.manager.evaluate_due()

    def alert(self) -> tuple[str, int]:
        """State and age in seconds of the only alert."""
        [alert] = self.manager.groups()[0].rules[0].alerts
        return alert.state, (self.clock.now_ms() - alert.active_at_ms) // 1000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.store.close()


def test_alert_that_fired_before_the_restart_fires_at_once(desk: Desk) -> None:
    desk.run(70, -1.0)
    assert desk.alert() == ("firing", 69)
    desk.clock.advance(20)
    desk.start()
    desk.delivered.clear()
    desk.run(1, -1.0)
    assert desk.alert() == ("firing", 90)
    assert [alert.labels for alert in desk.delivered] == [Labels.of(alertname="Loss", bot="gamma")]


def test_pending_alert_goes_on_and_the_outage_does_not_count(desk: Desk) -> None:
    desk.run(41, -1.0)
    desk.clock.advance(300)
    desk.start()
    desk.run(20, -1.0)
    assert desk.alert()[0] == "pending"
    desk.run(1, -1.0)
    assert desk.alert()[0] == "firing"


def test_alert_that_appears_seconds_after_the_start_is_restored_too(desk: Desk) -> None:
    desk.run(70, -1.0)
    desk.clock.advance(400)
    desk.start()
    desk.run(5, None)
    desk.run(1, -1.0)
    assert desk.alert()[0] == "firing"


def test_alert_that_had_ended_before_the_restart_begins_anew(desk: Desk) -> None:
    desk.run(70, -1.0)
    desk.run(5, 1.0)
    desk.clock.advance(20)
    desk.start()
    desk.run(1, -1.0)
    assert desk.alert() == ("pending", 0)


def test_alert_that_ends_and_comes_back_after_the_restart_begins_anew(desk: Desk) -> None:
    desk.run(70, -1.0)
    desk.start()
    desk.run(1, -1.0)
    desk.run(3, 1.0)
    desk.run(1, -1.0)
    assert desk.alert() == ("pending", 0)


def test_outage_longer_than_the_tolerance_begins_anew(desk: Desk) -> None:
    desk.run(70, -1.0)
    desk.clock.advance(3700)
    desk.start()
    desk.run(1, -1.0)
    assert desk.alert() == ("pending", 0)


def test_grace_period_delays_a_restored_alert(desk: Desk) -> None:
    desk.run(55, -1.0)
    desk.start(for_grace_period_ms=30_000)
    desk.run(30, -1.0)
    assert desk.alert()[0] == "pending"
    desk.run(1, -1.0)
    assert desk.alert()[0] == "firing"


def test_grace_period_longer_than_the_hold_duration_restores_nothing(desk: Desk) -> None:
    desk.run(70, -1.0)
    desk.start(for_grace_period_ms=600_000)
    desk.run(1, -1.0)
    assert desk.alert() == ("pending", 0)


def test_running_manager_evaluates_beside_the_event_loop_as_soon_as_samples_land(tmp_path: Path) -> None:
    """The real clock: a query that blocks must not hold up the loop, and a landing must be answered at once."""
    threads: list[str] = []
    delivered = threading.Event()
    fast = threading.Event()

    def query(expr: str, at_ms: int) -> QueryResult:
        threads.append(threading.current_thread().name)
        fast.wait(5)
        return QueryResult("vector", [Labels.of(bot="x")], np.array([at_ms]), np.array([[1.0]]), np.array([[True]]))

    def deliver(alerts: Sequence[Alert]) -> None:
        delivered.set()

    async def scenario() -> None:
        rules = tmp_path / "rules.yml"
        rules.write_text("groups: [{name: g, rules: [{alert: A, expr: up}]}]")
        manager = RuleManager(RuleOptions(), query, lambda *row: None, deliver, SystemClock())
        manager.reload([str(rules)])
        await manager.start()
        try:
            manager.samples_landed(0)
            await asyncio.sleep(0.05)
            assert threads, "the landing was not answered"
            assert not delivered.is_set()
            manager.reload([str(rules)])
            fast.set()
            assert await asyncio.to_thread(delivered.wait, 5)
        finally:
            await manager.stop()

    asyncio.run(scenario())
    assert all(name.startswith("algowatch-rules") for name in threads)
