"""Rule files: what is read, and what is refused in which words."""
# ruff: noqa: E501 - tables read better unbroken

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from algowatch.errors import ConfigError
from algowatch.model.labels import Labels
from algowatch.promql.parser import parse
from algowatch.rules.files import check_files, expand_patterns, load_rule_files, parse_rule_file
from algowatch.rules.specs import AlertingSpec, RecordingSpec

GOOD = """
groups:
- name: desk
  interval: 15s
  limit: 10
  rules:
  - record: desk:pnl:sum
    expr: sum by (desk) (pnl)
    labels: {level: 1, live: true}
  - alert: Loss
    expr: |
      desk:pnl:sum < 0
    for: 1m30s
    keep_firing_for: 5m
    labels: {severity: critical}
    annotations: {summary: '{{ $labels.desk }} lost {{ $value | humanize }}'}
- name: empty
"""


def test_rules_come_out_as_the_file_says() -> None:
    desk, empty = parse_rule_file(GOOD, "r.yml", parse)
    assert (desk.key, desk.interval_ms, desk.limit, desk.query_offset_ms) == (("r.yml", "desk"), 15_000, 10, None)
    record, alert = desk.rules
    assert record == RecordingSpec("desk:pnl:sum", "sum by (desk) (pnl)", Labels.of(level="1", live="true"))
    assert isinstance(alert, AlertingSpec)
    assert (alert.expr, alert.hold_duration_ms, alert.keep_firing_for_ms) == ("desk:pnl:sum < 0", 90_000, 300_000)
    assert (empty.rules, empty.interval_ms) == ((), None)


def test_group_labels_stand_on_every_rule_and_the_rules_own_win() -> None:
    text = """
groups:
- name: g
  query_offset: 5s
  labels: {team: desk, tier: one}
  rules:
  - {alert: A, expr: up, labels: {tier: two}}
  - {record: a, expr: up}
"""
    [group] = parse_rule_file(text, "r.yml", parse)
    assert [rule.labels for rule in group.rules] == [Labels.of(team="desk", tier="two"), Labels.of(team="desk", tier="one")]
    assert group.query_offset_ms == 5000


FAULTS = [
    ("groups:\n- rules: []", "r.yml:2: groups[0]: Groupname must not be empty"),
    ("groups:\n- name: a\n- name: a", 'r.yml:3: groups[1].name: groupname: "a" is repeated in the same file'),
    ("groups:\n- name: a\n  rules:\n  - {alert: A, record: b, expr: up}", "only one of 'record' and 'alert' must be set"),
    ("groups:\n- name: a\n  rules:\n  - expr: up", "r.yml:4: groups[0].rules[0]: one of 'record' or 'alert' must be set"),
    ("groups:\n- name: a\n  rules:\n  - alert: A", "field 'expr' must be set in rule"),
    (
        "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: sum(",
        "r.yml:5: groups[0].rules[0].expr: could not parse expression: ",
    ),
    ("groups:\n- name: a\n  rules:\n  - {record: 'a b', expr: up}", "invalid recording rule name: a b"),
    ("groups:\n- name: a\n  rules:\n  - {record: a, expr: up, for: 1m}", "invalid field 'for' in recording rule"),
    ("groups:\n- name: a\n  rules:\n  - {record: a, expr: up, keep_firing_for: 1m}", "invalid field 'keep_firing_for' in"),
    (
        "groups:\n- name: a\n  rules:\n  - {record: a, expr: up, annotations: {b: c}}",
        "invalid field 'annotations' in recording",
    ),
    ("groups:\n- name: a\n  rules:\n  - {alert: A, expr: up, labels: {a-b: c}}", "invalid label name: a-b"),
    ("groups:\n- name: a\n  rules:\n  - {alert: A, expr: up, labels: {__name__: c}}", "invalid label name: __name__"),
    ("groups:\n- name: a\n  rules:\n  - {alert: A, expr: up, annotations: {a-b: c}}", "invalid annotation name: a-b"),
    (
        "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: up\n    annotations:\n      s: '{{ nope 1 }}'",
        'r.yml:7: groups[0].rules[0].annotations.s: could not parse template: template: __alert_A:1: function "nope" not defined',
    ),
    ("groups:\n- name: a\n  rules:\n  - {alert: A, expr: up, fro: 1m}", "groups[0].rules[0].fro: unknown key"),
    ("groups:\n- name: a\n  interval: soon", "groups[0].interval: not a valid duration: 'soon'"),
    ("groups:\n- name: a\n  limit: -1", "groups[0].limit: limit -1 is negative"),
]


@pytest.mark.parametrize(("text", "problem"), FAULTS, ids=[problem[-40:] for _, problem in FAULTS])
def test_fault_is_told_with_its_line_in_promtools_words(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rule_file(text, "r.yml", parse)
    assert problem in str(caught.value)


@pytest.mark.peer("promtool")
@pytest.mark.parametrize(("text", "problem"), FAULTS[:-1], ids=[problem[-40:] for _, problem in FAULTS[:-1]])
def test_promtool_refuses_what_is_refused_here(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    path.write_text(text)
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, check=False, timeout=30)
    assert done.returncode == 1, problem


@pytest.mark.peer("promtool")
def test_promtool_accepts_what_is_accepted_here(tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    path.write_text(GOOD)
    assert check_files([str(path)], parse) == []
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_faults_of_all_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("groups:\n- name: a\n  rules:\n  - {alert: A, expr: sum(}\n  - {record: 1x, expr: up}")
    (tmp_path / "b.yml").write_text("groups:\n- name: a\n- name: a")
    faults = check_files([str(tmp_path / "*.yml"), str(tmp_path / "missing.yml")], parse)
    assert [(Path(fault.path).name, fault.line) for fault in faults] == [
        ("a.yml", 4), ("a.yml", 5), ("b.yml", 3), ("missing.yml", None),
    ]  # fmt: skip


def test_patterns_expand_sorted_without_doubles_and_may_match_nothing(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yml"):
        (tmp_path / name).write_text("groups: []")
    a, b = str(tmp_path / "a.yml"), str(tmp_path / "b.yml")
    assert expand_patterns([b, str(tmp_path / "*.yml"), str(tmp_path / "none-*.yml")]) == [b, a]
    assert load_rule_files([str(tmp_path / "*.yml")]) == []
