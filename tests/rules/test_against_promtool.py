"""The same rules over the same series, here with the real store and evaluator, there in promtool: equal ALERTS at each step."""
# ruff: noqa: E501 - tables read better unbroken

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from algowatch.gotemplate.prometheus_functions import PrometheusContext, prometheus_functions
from algowatch.gotemplate.template import Template
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.promql.engine import QueryEngine
from algowatch.promql.parser import parse
from algowatch.rules.files import load_rule_file
from algowatch.rules.group import Group
from algowatch.rules.options import RuleOptions
from algowatch.store.store import Store
from algowatch.testing.clock import FakeClock

STEP_MS = 10_000

RULES = """
groups:
- name: desk
  rules:
  - {record: "desk:pnl:sum", expr: sum by (desk) (pnl), labels: {level: desk}}
  - {alert: DeskLoss, expr: "desk:pnl:sum < 0", labels: {severity: critical}}
  - {alert: DeskLossHeld, expr: "desk:pnl:sum < 0", for: 25s, labels: {severity: '{{ if lt $value -5.0 }}critical{{ else }}warning{{ end }}'}}
  - {alert: DeskLossKept, expr: "desk:pnl:sum < 0", for: 10s, keep_firing_for: 25s}
  - {record: alerts_firing, expr: 'count(ALERTS{alertstate="firing"})'}
  - {alert: Absent, expr: 'absent(pnl{desk="b"})', for: 20s}
"""
SERIES = {
    'pnl{desk="a", bot="x"}': [1, 1, -2, -3, -3, 4, -9, 4, 4, -1, -1, -1, -1, -1, 2, 2, 2, 2, 2, 2],
    'pnl{desk="a", bot="y"}': [0, 0, 0, 0, -4, -4, 0, 0, 0, 0, 0, 0, -5, -5, 0, 0, 0, 0, 0, 0],
    'pnl{desk="b", bot="z"}': [
        5,
        None,
        None,
        None,
        None,
        None,
        5,
        5,
        -1,
        -1,
        0,
        0,
        0,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
    ],
}


def labels_of(series: str) -> Labels:
    pairs = [pair.split("=") for pair in series[series.index("{") + 1 : -1].split(", ")]
    return Labels.of({"__name__": "pnl", **{name: value.strip('"') for name, value in pairs}})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "data")
    yield store
    store.close()


@pytest.mark.peer("promtool")
def test_states_and_recorded_series_are_promtools_at_each_step(tmp_path: Path, store: Store) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    [spec] = load_rule_file(str(rules), parse)
    clock = FakeClock()
    base_ms = clock.now_ms()
    queries = QueryEngine(store.select)
    group = Group(spec, RuleOptions(), queries.instant, store.append, lambda alerts: None, clock)
    expected = []
    for step in range(20):
        at_ms = base_ms + step * STEP_MS
        for series, values in SERIES.items():
            value = values[step]
            if value is not None:
                store.append(series, at_ms, Layout([labels_of(series)]), np.array([float(value)]))
            elif step and values[step - 1] is not None:
                store.append(series, at_ms, Layout([labels_of(series)]), np.array([0x7FF0000000000002]).view(np.float64))
        group.evaluate(at_ms)
        assert [slot.last_error for slot in group.slots()] == [""] * 6
        for expr in ("ALERTS", '{__name__=~"desk:pnl:sum|alerts_firing"}'):
            samples = [{"labels": str(labels), "value": value} for labels, value in queries.instant(expr, at_ms).samples()]
            expected.append({"expr": expr, "eval_time": f"{step * 10}s", "exp_samples": samples})
    assert sum(len(found["exp_samples"]) for found in expected) > 60
    inputs = [
        {"series": series, "values": " ".join("stale" if v is None and before is not None else "_" if v is None else str(v)
                                              for before, v in zip([None, *values], values, strict=False))}
        for series, values in SERIES.items()
    ]  # fmt: skip
    test = {"interval": "10s", "input_series": inputs, "promql_expr_test": expected}
    script = {"rule_files": ["rules.yml"], "evaluation_interval": "10s", "tests": [test]}
    (tmp_path / "test.yml").write_text(json.dumps(script))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


TEMPLATES = [
    "{{ $value }} {{ 1e6 }} {{ 123456789.0 }} {{ 0.00001 }} {{ 1e20 }} {{ 100000.0 }} {{ 1 }} {{ 'a' }}",
    '{{ printf "%5.1f|%-10s|%q|%d|%x|%t|%e|%g|%.2f|%05d|%+d|%v" 3.14159 "ab" "c\\"\\n\\u00e9\\x01" 42 255 true 1e6 1e-7 2.005 42 5 nil }}',
    '{{ printf "%d %s %f %z" 1.5 2 3 4 }} {{ printf "%d %d" 1 }} {{ printf "%d" 1 2 "x" }} {{ printf "%!" }} {{ printf "%6.2f%%" 12.345 }}',
    '{{ printf "%.3g %.10g %g %.4g %.0f %.1e %8.3f|%-8.3f|%08.3f" 1234567.0 0.1 1e21 0.0001234 2.5 12345.678 1.5 1.5 -1.5 }}',
    '{{ printf "%s %v %q" $labels $labels $labels.desk }} {{ print 1 2 "a" "b" 3 4.5 }} {{ println 1 "a" }}',
    "{{ humanize 0.0 }} {{ humanize 1234567.0 }} {{ humanize 0.00123 }} {{ humanize -1500.0 }} {{ humanize 1e30 }} {{ humanize 999.9999 }}",
    "{{ humanize1024 0.5 }} {{ humanize1024 1048576.0 }} {{ humanize1024 -2048.0 }} {{ humanize1024 1e12 }}",
    "{{ humanizeDuration 0.0 }} {{ humanizeDuration 0.0012 }} {{ humanizeDuration 59.9 }} {{ humanizeDuration 3661.0 }} {{ humanizeDuration -90061.0 }}",
    "{{ humanizePercentage 0.12345 }} {{ humanizePercentage -0.0312 }} {{ humanizeTimestamp 1700000000.5 }} {{ humanizeTimestamp 0.0 }}",
    '{{ title "one two_three four-five" }} {{ toUpper "aé" }} {{ toLower "AÉ" }} {{ match "a.c" "xabcx" }} {{ match "^b" "abc" }}',
    '{{ reReplaceAll "(a)(b)" "$2$1 ${1}x $1x" "abab" }} {{ reReplaceAll "\\\\d+" "n" "a12b3" }} {{ reReplaceAll "x*" "-" "abc" }}',
    '{{ stripPort "host:80" }} {{ stripPort "[::1]:80" }} {{ stripPort "::1" }} {{ stripPort "host" }} {{ stripDomain "a.b.c:9100" }} {{ stripDomain "1.2.3.4" }}',
    '{{ graphLink "up == 0" }} {{ tableLink "a{b=\\"c\\"}" }} {{ safeHtml "<b>" }} {{ html "<a href=\'x\'>&" }} {{ js "it\'s <x>" }} {{ urlquery "a b&c/é" }}',
    '{{ parseDuration "1h30m" }} {{ toTime 1700000000.25 }} {{ (toTime 0.0).Year }}',
    "{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}{{ with $labels.nope }}x{{ else }}none{{ end }}[{{ $labels.nope }}]",
    "{{ if gt $value 0.5 }}a{{ else if lt $value 0.0 }}b{{ else }}c{{ end }}{{ and 1 0 3 }}{{ or 0 \"\" 7 }}{{ not 1 }}{{ len \"é\" }}",
    '{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" 5 }}{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}  {{- " y" }}',
    '{{ with args 1 "b" 2.5 }}{{ .arg0 }}{{ .arg1 }}{{ .arg2 }}{{ .arg3 }}{{ . }}{{ end }} {{ slice "abcdef" 1 3 }} {{ index $labels "desk" }}',
    '{{ printf "%8q|%-8v|%T|%c|%U|%o|%b|%X|%#x|%#v" "a" true 1.5 65 8364 8 5 "hi" 255 "q" }} {{ printf "%*d|%.*f" 5 7 1 2.55 }} {{ print nil true 1.0 }}',
    "{{ eq 1 2 1 }} {{ ne \"a\" \"b\" }} {{ le 2.0 2.0 }} {{ ge \"b\" \"a\" }} {{ printf \"%v %.3v %6v|%-6v|\" 0.1 3.14159 1.5 2 }} {{ 0x1F }} {{ -3 }} {{ 1_000 }}",
]  # fmt: skip


@pytest.mark.peer("promtool")
def test_templates_render_as_in_prometheus(tmp_path: Path) -> None:
    """All templates become annotations of one alert; promtool compares them with ours."""
    wanted = {f"t{number:02d}": text for number, text in enumerate(TEMPLATES)}
    rule = {"alert": "T", "expr": "x", "annotations": wanted}
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    [spec] = load_rule_file(str(rules), parse)
    delivered: list[Alert] = []
    store = Store.open(tmp_path / "data")
    try:
        clock = FakeClock()
        series = Labels.of(__name__="x", desk="a<b", bot="y")
        store.append("s", clock.now_ms(), Layout([series]), np.array([0.25]))
        queries = QueryEngine(store.select)
        Group(spec, RuleOptions(), queries.instant, store.append, delivered.extend, clock).evaluate(clock.now_ms())
    finally:
        store.close()
    [alert] = delivered
    ours = dict(alert.annotations)
    assert [name for name, text in ours.items() if "<error" in text] == []
    case = {
        "eval_time": "0s", "alertname": "T",
        "exp_alerts": [{"exp_labels": {"desk": "a<b", "bot": "y"}, "exp_annotations": ours}],
    }  # fmt: skip
    inputs = [{"series": 'x{desk="a<b", bot="y"}', "values": "0.25"}]
    test = {"interval": "10s", "input_series": inputs, "alert_rule_test": [case]}
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_query_reaches_the_evaluator_from_a_template(store: Store) -> None:
    clock = FakeClock()
    layout = Layout([Labels.of(__name__="x", bot="b"), Labels.of(__name__="x", bot="a")])
    store.append("s", clock.now_ms(), layout, np.array([2.0, 1.0]))
    functions = prometheus_functions(PrometheusContext(QueryEngine(store.select).instant, clock.now_ms()))
    text = (
        '{{ range query "x" | sortByLabel "bot" }}{{ .Labels.bot }}={{ .Value }} {{ end }}{{ query "sum(x)" | first | value }}'
    )
    assert Template(text, functions=functions).render(None) == "a=1 b=2 3"
