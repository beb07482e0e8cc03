"""Unit tests of rules: the same verdict as promtool, test by test, on tests that pass and on tests that fail."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from algowatch.cli.main import cli
from algowatch.errors import ConfigError
from algowatch.testing.rule_tests import run_file

BASE_TEST = Path(__file__).parents[1] / "rules" / "base_test.yml"

RULES = """
groups:
- name: first
  labels: {team: desk}
  rules:
  - {record: "desk:loss:sum", expr: sum by (desk) (pnl) < 0}
  - {alert: Loss, expr: "desk:loss:sum", for: 2m,
     annotations: {summary: "{{ $value }} at {{ $externalLabels.site }} {{ $externalURL }}"}}
- name: second
  interval: 5m
  rules:
  - {alert: Loss, expr: "desk:loss:sum < -5", keep_firing_for: 2m, labels: {tier: two}}
  - {alert: Absent, expr: 'absent(pnl{desk="b"})'}
- name: third
  rules:
  - {record: "pnl:later", expr: "pnl:first + 1"}
- name: fourth
  rules:
  - {record: "pnl:first", expr: "pnl * 2"}
"""

TESTS = """
rule_files: [rules.yml, nothing-*.yml]
evaluation_interval: 1m
group_eval_order: [first, second, fourth, third]
tests:
- name: losses
  interval: 1m
  external_labels: {site: home}
  external_url: http://here/
  input_series:
  - {series: 'pnl{desk="a"}', values: '1 -1x3 -9 -9 2x20'}
  - {series: 'pnl{desk="b"}', values: '5 _x3 5 stale'}
  alert_rule_test:
  - {eval_time: 2m, alertname: Loss, exp_alerts: []}
  - eval_time: 3m30s
    alertname: Loss
    exp_alerts:
    - {exp_labels: {desk: a, team: desk}, exp_annotations: {summary: "-1 at home http://here/"}}
  - eval_time: 5m
    alertname: Loss
    exp_alerts:
    - {exp_labels: {desk: a, team: desk, tier: two}}
    - {exp_labels: {desk: a, team: desk}, exp_annotations: {summary: "-9 at home http://here/"}}
  - {eval_time: 8m, alertname: Loss, exp_alerts: [{exp_labels: {desk: a, team: desk, tier: two}}]}
  - {eval_time: 8m59s, alertname: Loss, exp_alerts: [{exp_labels: {desk: a, team: desk, tier: two}}]}
  - {eval_time: 9m, alertname: Loss, exp_alerts: []}
  - {eval_time: 6m, alertname: Absent, exp_alerts: [{exp_labels: {desk: b}}]}
  - {eval_time: 4m, alertname: Absent, exp_alerts: []}
  - {eval_time: 5m, alertname: Missing, exp_alerts: []}
  promql_expr_test:
  - {expr: "desk:loss:sum", eval_time: 3m, exp_samples: [{labels: 'desk:loss:sum{desk="a", team="desk"}', value: -1}]}
  - {expr: 'pnl:later{desk="a"}', eval_time: 3m, exp_samples: [{labels: 'pnl:later{desk="a"}', value: -1}]}
  - expr: 'count_over_time(ALERTS{alertname="Loss"}[9m30s])'
    eval_time: 10m
    exp_samples:
    - {labels: '{alertname="Loss", alertstate="firing", desk="a", team="desk", tier="two"}', value: 4}
    - {labels: '{alertname="Loss", alertstate="pending", desk="a", team="desk"}', value: 2}
    - {labels: '{alertname="Loss", alertstate="firing", desk="a", team="desk"}', value: 4}
  - {expr: "1 + 2", eval_time: 1m, exp_samples: [{labels: '{}', value: 3}]}
  - {expr: 'pnl offset -2m', eval_time: 10m, exp_samples: [{labels: 'pnl{desk="a"}', value: 2}]}
  - expr: max_over_time(pnl[2m30s:])
    eval_time: 3m
    exp_samples: [{labels: '{desk="a"}', value: -1}, {labels: '{desk="b"}', value: 5}]
  - {expr: "0.1 + 0.2", eval_time: 1m, exp_samples: [{labels: '{}', value: 0.3}]}
"""
FAILING = """
- interval: 1m
  input_series: [{series: x, values: '1 2 3'}]
  promql_expr_test:
  - {expr: x, eval_time: 1m, exp_samples: [{labels: x, value: 7}, {labels: y, value: 7}]}
  - {expr: x, eval_time: 1m, exp_samples: [{labels: x, value: 2}]}
  - {expr: x +, eval_time: 1m, exp_samples: []}
  - {expr: "x[2m]", eval_time: 1m, exp_samples: []}
  - {expr: x, eval_time: 1m}
  - {expr: x / 0 * 0, eval_time: 1m, exp_samples: [{labels: '{}', value: .nan}]}
- name: a rule that fails itself
  interval: 1m
  input_series: [{series: 'pnl{desk="a", bot="1"}', values: '1 2 3'}, {series: 'pnl:first{desk="a"}', values: '1 2 3'}]
  alert_rule_test:
  - {eval_time: 1m, alertname: Loss, exp_alerts: [{exp_labels: {desk: a, team: desk, tier: two}}]}
  - {eval_time: 2m, alertname: Absent, exp_alerts: []}
"""


def write(folder: Path, tests: str = TESTS + FAILING, rules: str = RULES) -> Path:
    (folder / "rules.yml").write_text(rules)
    (folder / "test.yml").write_text(tests)
    return folder / "test.yml"


def promtool(path: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["promtool", "test", "rules", path.name], cwd=path.parent, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stderr


@pytest.mark.peer("promtool")
def test_each_test_fails_or_passes_as_in_promtool(tmp_path):
    path = write(tmp_path)
    # Debian's promtool knows neither labels of a group nor keep_firing_for: they are written out.
    path = write(tmp_path, rules=RULES.replace("  labels: {team: desk}\n", "").replace(", keep_firing_for: 2m", ""))
    code, said = promtool(path)
    failures, unmatched = run_file(path)
    wanted = re.findall(r'^ +(alertname: \w+|expr: ".*"), time: (\w+),', said, re.MULTILINE)
    ours = re.findall(r'^ +(alertname: \w+|expr: ".*"), time: (\w+),', "\n".join(map(str, failures)), re.MULTILINE)
    assert code == 1
    assert ours == wanted
    assert len(ours) > 10
    assert [Path(pattern).name for pattern in unmatched] == ["nothing-*.yml"]
    for block in re.findall(r"    alertname: Loss.*?(?=\n    \S|\Z)", said, re.DOTALL):
        assert block.rstrip() in "\n".join(map(str, failures))


def test_group_labels_keep_firing_for_and_group_order_are_obeyed(tmp_path):
    failures, _ = run_file(write(tmp_path, TESTS))
    assert [str(failure) for failure in failures] == [
        '    name: losses,\n    expr: "0.1 + 0.2", time: 1m,\n        exp: {} 0.3\n        got: {} 0.3'
    ]
    assert failures[0].line == TESTS.splitlines().index(next(line for line in TESTS.splitlines() if "0.1 + 0.2" in line)) + 1


def test_fuzzy_compare_lets_the_neighbouring_number_pass(tmp_path):
    assert run_file(write(tmp_path, "fuzzy_compare: true" + TESTS))[0] == []


def test_a_rule_that_cannot_be_evaluated_ends_its_test(tmp_path):
    rules = "groups: [{name: g, rules: [{alert: A, expr: x * on () y}]}]"
    tests = """
rule_files: [rules.yml]
tests:
- interval: 1m
  input_series: [{series: 'x{a="1"}', values: 1 1}, {series: 'y{a="1"}', values: _ 1}, {series: 'y{a="2"}', values: _ 1}]
  alert_rule_test: [{eval_time: 5m, alertname: A, exp_alerts: []}]
"""
    path = write(tmp_path, tests, rules)
    [failure], _ = run_file(path)
    assert (failure.subject, failure.name, failure.at_ms) == ("rule", "A", 60_000)
    assert "many-to-many" in failure.error or "duplicate series" in failure.error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tests: [{interval: 1m, input_series: [{series: 'x{', values: '1'}]}]", "tests[0].input_series[0]"),
        ("tests: [{interval: 1m, input_series: [{series: x, values: '1 a'}]}]", "not a series of points: 'a'"),
        ("tests: [{interval: 1m, input_series: [{series: x, values: '{{schema:0}}'}]}]", "native histograms"),
        ("tests: [{input_series: [{series: x, values: '1'}]}]", "add interval: 1m"),
        ("tests: [{interval: 1m, alert_rule_test: [{eval_time: 1m}]}]", "misses required attribute alertname"),
        ("group_eval_order: [a, a]", "group name repeated in evaluation order: a"),
        ("testz: []", "did you mean 'tests'?"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path, text, said):
    with pytest.raises(ConfigError) as raised:
        run_file(write(tmp_path, text))
    assert said in str(raised.value)
    assert raised.value.faults[0].line == 1


def test_the_command_tells_verdicts_by_exit_code_and_json(tmp_path):
    bad = write(tmp_path)
    good = tmp_path / "good.yml"
    good.write_text(TESTS.replace("value: 0.3}", "value: 0.30000000000000004}"))
    run = CliRunner()
    answer = run.invoke(cli, ["test", "rules", str(good)])
    assert (answer.exit_code, answer.output) == (
        0,
        f"  WARNING: no file match pattern {tmp_path}/nothing-*.yml\nUnit Testing:  {good}\n  SUCCESS\n\n",
    )
    assert run.invoke(cli, ["test", "rules", str(good), str(bad)]).exit_code == 1
    answer = run.invoke(cli, ["test", "rules", "--json", str(good), str(bad)])
    shown = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert [(Path(one["file"]).name, one["success"]) for one in shown] == [("good.yml", True), ("test.yml", False)]
    failed = next(failure for failure in shown[1]["failures"] if failure["name"] == "x")
    assert failed["expected"] == ['{__name__="x"} 7', '{__name__="y"} 7']
    assert failed["got"] == ['{__name__="x"} 2']
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("testz: []\n")
    assert isinstance(run.invoke(cli, ["test", "rules", str(wrong)]).exception, ConfigError)


def test_the_built_in_rules_pass_their_tests(tmp_path):
    script = BASE_TEST.read_text().replace("RULES", str(files("algowatch.profiles") / "rules" / "base.yml"))
    (tmp_path / "base_test.yml").write_text(script)
    assert run_file(tmp_path / "base_test.yml") == ([], [])
