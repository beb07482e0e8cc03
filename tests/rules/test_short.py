"""Short rules become Prometheus rules that say the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from algowatch.catalog import FAMILIES
from algowatch.cli.main import cli
from algowatch.errors import ConfigError
from algowatch.promql.nodes import VectorSelector
from algowatch.promql.parser import parse
from algowatch.rules.files import load_rule_file, load_rule_files, read_rules
from algowatch.rules.lint import lint_files
from algowatch.rules.shapes import CATALOGUE, walk
from algowatch.rules.short import NAMES, translate
from algowatch.rules.specs import AlertingSpec
from algowatch.testing.rule_tests import run_file

SHORT = """
rules:
  - name: fills_low
    condition: "orders.success_rate < 0.75"
    level: P1
    message: "Orders are not filled"
  - {name: memory-full, condition: "system.memory>=92.5", level: critical}
"""
ROOT = Path(__file__).parents[2]


def test_each_entry_becomes_an_alert(tmp_path):
    path = tmp_path / "short.yml"
    path.write_text(SHORT)
    [group] = load_rule_files([str(path)], parse)
    first, second = group.rules
    assert isinstance(first, AlertingSpec)
    assert isinstance(second, AlertingSpec)
    assert (first.alert, first.labels.get("severity")) == ("FillsLow", "error")
    assert first.annotations.get("summary") == "Orders are not filled"
    assert (second.alert, second.expr) == ("MemoryFull", "100 * system_memory_usage_ratio >= 92.5")
    assert lint_files([read_rules(SHORT, "short.yml")]) == []


def test_a_success_rate_is_silent_at_rest_and_fires_when_nothing_is_filled(tmp_path):
    (tmp_path / "rules.yml").write_text(translate(SHORT, "short.yml"))
    (tmp_path / "tests.yml").write_text("""
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - {series: 'trading_orders_submitted_total{job="bots", instance="gamma", strategy="s"}', values: '0x5 0+10x5 50x20'}
  promql_expr_test:
  - {expr: 'count(ALERTS{alertname="FillsLow"})', eval_time: 4m, exp_samples: []}
  - {expr: 'count(ALERTS{alertname="FillsLow"})', eval_time: 10m, exp_samples: [{labels: '{}', value: 1}]}
  - {expr: 'count(ALERTS{alertname="FillsLow"})', eval_time: 25m, exp_samples: []}
""")
    assert run_file(tmp_path / "tests.yml")[0] == []


@pytest.mark.peer("promtool")
def test_promtool_accepts_every_translation(tmp_path):
    rules = "\n".join(f"  - {{name: 'n{at} x', condition: '{name} > 1', level: info}}" for at, name in enumerate(NAMES))
    (tmp_path / "rules.yml").write_text(translate("rules:\n" + rules, "short.yml"))
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(NAMES)} rules found" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_name_asks_for_families_of_the_catalogue_and_is_documented(name):
    asked = [node.name for node in walk(parse(NAMES[name][1])) if isinstance(node, VectorSelector)]
    assert asked
    assert all(found in CATALOGUE for found in asked), FAMILIES
    assert f"| `{name}` | {NAMES[name][0]} |" in (ROOT / "docs" / "alerts.md").read_text()


def test_every_fault_comes_with_its_line_and_unknown_names_with_the_known_ones():
    text = """rules:
  - {name: a, condition: "error.rate > 5", level: warning}
  - {name: b, condition: "errors.rate is high", level: warning}
  - {name: c, condition: "errors.rate > 5", level: loud}
"""
    with pytest.raises(ConfigError) as raised:
        translate(text, "short.yml")
    said = [str(fault) for fault in raised.value.faults]
    assert re.match(
        r"short.yml:2: rules\[0\].condition: unknown name 'error.rate'; did you mean 'errors.rate'\? known", said[0]
    )
    assert all(name in said[0] for name in NAMES)
    assert said[1].startswith("short.yml:3: rules[1].condition: 'errors.rate is high' is not NAME OPERATOR NUMBER")
    assert said[2] == "short.yml:4: rules[2].level: unknown level 'loud'; levels: info, warning, error, critical"


def test_check_translates_and_warns_by_exit_code_only_when_strict(tmp_path, monkeypatch):
    monkeypatch.setenv("ALGOWATCH_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "short.yml"
    path.write_text(SHORT)
    run = CliRunner()
    answer = run.invoke(cli, ["check", "--translate", str(path)])
    assert (answer.exit_code, answer.output) == (0, translate(SHORT, str(path)))
    (tmp_path / "plain.yml").write_text(answer.output)
    assert load_rule_file(str(tmp_path / "plain.yml"), parse)[0].rules == load_rule_file(str(path), parse)[0].rules
    doubtful = tmp_path / "doubtful.yml"
    doubtful.write_text("groups: [{name: g, rules: [{alert: A, expr: 'rate(trading_daily_pnl[1m]) < 0'}]}]\n")
    answer = run.invoke(cli, ["check", str(doubtful)])
    assert answer.exit_code == 0
    assert f"{doubtful}:1: warning: A: rate() of trading_daily_pnl, which is a gauge" in answer.output
    assert run.invoke(cli, ["check", "--strict", str(doubtful)]).exit_code == 1
    answer = run.invoke(cli, ["check", "--strict", str(path)])
    assert answer.exit_code == 0, answer.output
