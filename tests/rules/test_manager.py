"""Rules on a fake clock: what is evaluated when, what is delivered, what is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from algowatch.errors import EvaluationError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout, QueryResult
from algowatch.model.staleness import is_stale
from algowatch.rules.manager import RuleManager
from algowatch.rules.options import RuleOptions
from algowatch.testing.clock import FakeClock

Samples = list[tuple[Labels, float]]


def vector(samples: Samples, at_ms: int) -> QueryResult:
    values = np.array([[value] for _, value in samples]).reshape(len(samples), 1)
    return QueryResult(
        "vector", [labels for labels, _ in samples], np.array([at_ms]), values, np.ones((len(samples), 1), dtype=bool)
    )


class World:
    """A manager between an expression table, a list of stored rows and a list of delivered alerts."""

    def __init__(self, directory: Path, options: RuleOptions | None = None) -> None:
        self.directory = directory
        self.clock = FakeClock()
        self.answers: dict[str, Samples | Exception | Callable[[int], QueryResult]] = {}
        self.queries: list[tuple[str, int]] = []
        self.rows: list[tuple[str, int, dict[str, float]]] = []
        self.delivered: list[Alert] = []
        self.manager = RuleManager(options or RuleOptions(), self.query, self.append, self.deliver, self.clock)

    def query(self, expr: str, at_ms: int) -> QueryResult:
        self.queries.append((expr, at_ms))
        answer = self.answers.get(expr, [])
        if isinstance(answer, Exception):
            raise answer
        return answer(at_ms) if callable(answer) else vector(answer, at_ms)

    def append(self, stream: str, timestamp_ms: int, layout: Layout, values: np.ndarray) -> None:
        assert all(row[1] < timestamp_ms for row in self.rows if row[0] == stream), "timestamps of a stream must ascend"
        row = {str(labels): value for labels, value in zip(layout.series, values.tolist(), strict=True)}
        self.rows.append((stream, timestamp_ms, row))

    def deliver(self, alerts: Sequence[Alert]) -> None:
        self.delivered += alerts

    def load(self, text: str) -> None:
        path = self.directory / "rules.yml"
        path.write_text(text)
        self.manager.reload([str(path)])

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.manager.evaluate_due()

    def states(self) -> list[str]:
        return [rule.state for group in self.manager.groups() for rule in group.rules]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


HELD = """
groups:
- name: desk
  rules:
  - alert: PnlLow
    expr: pnl < -2
    for: 3s
    labels: {severity: critical}
    annotations: {summary: 'P&L of {{ $labels.bot }} is {{ $value }}'}
"""
BREACH = [(Labels.of(__name__="pnl", bot="gamma"), -2.5)]


def test_alert_is_pending_for_its_hold_duration_and_then_fires(world: World) -> None:
    world.load(HELD)
    world.answers["pnl < -2"] = BREACH
    world.run(3)
    assert world.states() == ["pending"]
    assert world.delivered == []
    world.run(1)
    assert world.states() == ["firing"]
    [alert] = world.delivered
    assert alert.labels == Labels.of(alertname="PnlLow", bot="gamma", severity="critical")
    assert alert.annotation("summary") == "P&L of gamma is -2.5"
    assert (alert.active_at_ms, alert.starts_at_ms) == (1_700_000_001_000, 1_700_000_004_000)
    assert not alert.resolved(world.clock.now_ms())


def test_pending_alert_that_ends_was_never_delivered(world: World) -> None:
    world.load(HELD)
    world.answers["pnl < -2"] = BREACH
    world.run(2)
    world.answers["pnl < -2"] = []
    world.run(5)
    assert world.states() == ["inactive"]
    assert world.delivered == []


def test_resolved_alert_is_delivered_with_its_end(world: World) -> None:
    world.load(HELD)
    world.answers["pnl < -2"] = BREACH
    world.run(5)
    world.answers["pnl < -2"] = []
    world.run(1)
    first, last = world.delivered
    assert first.labels == last.labels
    assert last.ends_at_ms == world.clock.now_ms()
    assert last.resolved(world.clock.now_ms())


def test_firing_alert_is_sent_again_after_the_resend_delay_and_stays_valid_for_four(world: World) -> None:
    world.load(HELD.replace("3s", "0s"))
    world.answers["pnl < -2"] = BREACH
    world.run(62)
    assert [alert.ends_at_ms - 240_000 for alert in world.delivered] == [1_700_000_001_000, 1_700_000_062_000]


def test_resolved_alert_is_sent_again_for_fifteen_minutes(world: World) -> None:
    world.load(HELD.replace("3s", "0s"))
    world.answers["pnl < -2"] = BREACH
    world.run(1)
    world.answers["pnl < -2"] = []
    world.run(1000)
    assert len(world.delivered) == 1 + 15
    assert len({alert.ends_at_ms for alert in world.delivered[1:]}) == 1


def test_states_are_stored_and_end_with_a_staleness_marker(world: World) -> None:
    world.load(HELD)
    world.answers["pnl < -2"] = BREACH
    world.run(4)
    world.answers["pnl < -2"] = []
    world.run(2)
    pending = 'ALERTS{alertname="PnlLow", alertstate="pending", bot="gamma", severity="critical"}'
    firing = pending.replace("pending", "firing")
    since = 'ALERTS_FOR_STATE{alertname="PnlLow", bot="gamma", severity="critical"}'
    assert [set(row) for _, _, row in world.rows] == [{pending, since}] * 3 + [{firing, pending, since}, {firing, since}]
    assert is_stale(world.rows[3][2][pending])
    assert world.rows[3][2][since] == 1_700_000_001.0
    assert all(is_stale(value) for value in world.rows[4][2].values())


def test_keep_firing_for_bridges_a_gap(world: World) -> None:
    world.load(HELD.replace("for: 3s", "keep_firing_for: 5s"))
    world.answers["pnl < -2"] = BREACH
    world.run(1)
    world.answers["pnl < -2"] = []
    world.run(5)
    assert world.states() == ["firing"]
    world.run(1)
    assert world.states() == ["inactive"]


RECORD = """
groups:
- name: desk
  limit: 2
  rules:
  - {record: desk:pnl, expr: sum(pnl), labels: {desk: one}}
  - {record: desk:ratio, expr: desk:pnl / 100}
"""


def test_recorded_series_take_the_new_name_and_end_when_the_expression_gives_nothing(world: World) -> None:
    world.load(RECORD)
    world.answers["sum(pnl)"] = [(Labels.of(bot="x"), 3.0)]
    world.run(1)
    world.answers["sum(pnl)"] = []
    world.run(2)
    assert [row for _, _, row in world.rows][:1] == [{'desk:pnl{bot="x", desk="one"}': 3.0}]
    assert is_stale(world.rows[1][2]['desk:pnl{bot="x", desk="one"}'])
    assert len(world.rows) == 2


def test_rule_sees_what_the_rule_before_it_recorded_in_the_same_run(world: World) -> None:
    world.load(RECORD)
    world.answers["sum(pnl)"] = [(Labels.of(), 3.0)]

    def ratio(at_ms: int) -> QueryResult:
        stored = [row for _, time_ms, row in world.rows if time_ms == at_ms]
        return vector([(Labels.of(), stored[0]['desk:pnl{desk="one"}'] / 100)], at_ms)

    world.answers["desk:pnl / 100"] = ratio
    world.run(2)
    assert [row for _, _, row in world.rows if "desk:ratio" in row] == [{"desk:ratio": 0.03}] * 2


def test_limit_and_errors_are_shown_on_the_rule_and_leave_the_others_alone(world: World) -> None:
    world.load(RECORD)
    world.answers["sum(pnl)"] = [(Labels.of(bot=str(number)), 1.0) for number in range(3)]
    world.answers["desk:pnl / 100"] = EvaluationError("many-to-many matching not allowed")
    world.run(1)
    first, second = world.manager.groups()[0].rules
    assert (first.health, first.last_error) == ("err", "exceeded limit of 2 with 3 series")
    assert (second.health, second.last_error) == ("err", "many-to-many matching not allowed")
    world.answers["desk:pnl / 100"] = []
    world.run(1)
    assert world.manager.groups()[0].rules[1].health == "ok"


def test_failing_template_shows_in_the_annotation_and_on_the_rule_and_the_alert_fires(world: World) -> None:
    world.load(HELD.replace("3s", "0s").replace("{{ $value }}", "{{ humanize $labels.bot }}"))
    world.answers["pnl < -2"] = BREACH
    world.run(1)
    [alert] = world.delivered
    assert alert.annotation("summary").startswith("<error expanding template: ")
    [fault] = world.manager.groups()[0].rules[0].template_faults
    assert 'parsing "gamma": invalid syntax' in fault


def test_reload_keeps_the_state_of_rules_with_the_same_name_and_labels(world: World) -> None:
    world.load(HELD)
    world.answers["pnl < -2"] = world.answers["pnl < -3"] = BREACH
    world.run(2)
    world.load(HELD.replace("-2", "-3") + "  - {alert: New, expr: new}\n")
    world.run(2)
    assert world.states() == ["firing", "inactive"]


def test_removed_rule_and_removed_group_end_their_series(world: World) -> None:
    world.load(HELD + "- {name: other, rules: [{record: a, expr: a_expr}]}\n")
    world.answers["pnl < -2"] = BREACH
    world.answers["a_expr"] = [(Labels.of(), 1.0)]
    world.run(1)
    world.load(HELD.replace("PnlLow", "Renamed"))
    world.rows.clear()
    world.run(1)
    ended = [name for _, _, row in world.rows for name, value in row.items() if is_stale(value)]
    assert sorted(name.split("{")[0] for name in ended) == ["ALERTS", "ALERTS_FOR_STATE", "a"]
    assert all("Renamed" not in name for name in ended)


def test_group_with_interval_runs_on_its_slots_and_never_drifts(world: World) -> None:
    world.load(HELD.replace("name: desk", "name: desk\n  interval: 10s"))
    for _ in range(45):
        world.clock.advance(0.93)
        world.manager.samples_landed(world.clock.now_ms())
        world.manager.evaluate_due()
    times = [at_ms for _, at_ms in world.queries]
    assert len(times) in (4, 5)  # where in the interval the slot lies depends on the file's path
    assert {later - earlier for earlier, later in pairwise(times)} == {10_000}
    world.clock.advance(35)
    world.manager.evaluate_due()
    assert len(world.queries) == len(times) + 1
    assert world.manager.groups()[0].missed >= 2


def test_group_without_interval_runs_when_samples_land_at_most_ten_times_a_second(world: World) -> None:
    world.load(HELD)
    world.manager.evaluate_due()
    assert len(world.queries) == 1
    for _ in range(100):
        world.clock.advance(ms=10)
        world.manager.samples_landed(world.clock.now_ms())
        world.manager.evaluate_due()
    assert len(world.queries) == 1 + 10


def test_group_without_interval_runs_once_a_second_when_nothing_lands(world: World) -> None:
    world.load(HELD)
    for _ in range(500):
        world.clock.advance(ms=10)
        world.manager.evaluate_due()
    assert len(world.queries) == 5


def test_query_offset_looks_back_and_stores_at_that_time(world: World) -> None:
    world.load(RECORD.replace("limit: 2", "query_offset: 30s"))
    world.answers["sum(pnl)"] = [(Labels.of(), 3.0)]
    world.run(1)
    assert world.queries[0][1] == world.rows[0][1] == world.clock.now_ms() - 30_000


def test_wall_clock_set_back_neither_stops_evaluation_nor_hides_the_end(world: World) -> None:
    world.load(HELD)
    world.answers["pnl < -2"] = BREACH
    world.run(5)
    world.clock.jump(-3_600_000)
    world.answers["pnl < -2"] = []
    world.rows.clear()
    world.run(1)
    assert world.delivered[-1].resolved(world.clock.now_ms())


def test_range_vector_is_an_error_on_the_rule(world: World) -> None:
    world.load("groups: [{name: g, rules: [{alert: A, expr: 'up[5m]'}, {record: a, expr: 'up[5m]'}]}]")
    nothing = np.empty((0, 1))
    matrix = QueryResult("matrix", [], np.array([0]), nothing, nothing.astype(bool))
    world.answers["up[5m]"] = lambda at_ms: matrix
    world.run(1)
    errors = [rule.last_error for rule in world.manager.groups()[0].rules]
    assert errors == ["rule result is not a vector or scalar but a matrix"] * 2


def test_reload_within_the_slot_does_not_evaluate_it_twice(world: World) -> None:
    text = HELD.replace("name: desk", "name: desk\n  interval: 10s")
    world.load(text)
    while not world.queries:
        world.clock.advance(ms=1)
        world.manager.evaluate_due()
    world.load(text.replace("3s", "4s"))
    world.manager.evaluate_due()
    assert len(world.queries) == 1
    world.clock.advance(10)
    world.manager.evaluate_due()
    assert len(world.queries) == 2


def test_cost_of_rules_stretches_the_gap_so_that_other_work_has_time(world: World) -> None:
    world.load(HELD)

    def slow(at_ms: int) -> QueryResult:
        world.clock.advance(ms=200)
        return vector([], at_ms)

    world.answers["pnl < -2"] = slow
    for _ in range(1000):
        world.clock.advance(ms=10)
        world.manager.samples_landed(world.clock.now_ms())
        world.manager.evaluate_due()
    spent_ms = 200 * len(world.queries)
    assert spent_ms <= (world.clock.now_ms() - 1_700_000_000_000) * 0.26


def test_alerts_that_nobody_took_are_handed_over_again_at_the_next_evaluation(world: World) -> None:
    world.load(HELD.replace("3s", "0s"))
    world.answers["pnl < -2"] = BREACH
    taken = world.deliver

    def refuse(alerts: Sequence[Alert]) -> None:
        raise RuntimeError("the notifier is not there")

    world.deliver = refuse  # type: ignore[method-assign]
    world.manager = RuleManager(RuleOptions(), world.query, world.append, lambda alerts: world.deliver(alerts), world.clock)
    world.load(HELD.replace("3s", "0s"))
    world.run(1)
    world.deliver = taken  # type: ignore[method-assign]
    world.run(1)
    assert len(world.delivered) == 1
    assert world.manager.groups()[0].rules[0].health == "ok"
