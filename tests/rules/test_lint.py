"""What cannot fire, or says something else than it means, is told with its line; what is right is left alone."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from algowatch.errors import Fault
from algowatch.rules.files import read_rules
from algowatch.rules.lint import lint_files
from algowatch.rules.shapes import Shape

BASE = Path(str(files("algowatch.profiles") / "rules" / "base.yml"))


def lint(*rules: dict, known=None, **group) -> list[Fault]:
    text = json.dumps({"groups": [{"name": "desk", **group, "rules": list(rules)}]}, indent=1)
    return lint_files([read_rules(text, "desk.yml")], known)


def alert(expr: str, **more) -> dict:
    return {"alert": "A", "expr": expr, "labels": {"severity": "warning"}, **more}


WRONG = [
    ("trading_order_rejected_total > 1", "nothing known exports 'trading_order_rejected_total'"),
    ("scanner_queue_depth > 1", "an alert on it never fires"),
    ("histogram_quantile(0.9, rate(trading_order_fill_time_seconds[5m]))", "is no _bucket series"),
    ('broker_connection_status{symbol="ES"} == 0', "has no label 'symbol'"),
    ("sum by (venue) (trading_orders_working) > 5", "trading_orders_working has no label 'venue'"),
    ("rate(trading_daily_pnl[1m]) < 0", "rate() of trading_daily_pnl, which is a gauge"),
    ("increase(trading_positions_open[1m]) > 0", "increase() of trading_positions_open, which is a gauge"),
    ("rate(trading_slippage_ratio_sum[5m]) > 0", "its values have both signs"),
    ("histogram_quantile(0.9, sum(rate(broker_api_latency_seconds_bucket[5m]))) > 1", "without the label le"),
    ("avg(histogram_quantile(0.9, rate(broker_api_latency_seconds_bucket[5m]))) > 1", "avg() of a percentile"),
    (
        "rate(trading_fills_total[5m]) / (rate(trading_fills_total[5m]) + rate(trading_orders_rejected_total[5m])) < 0.7",
        "0/0 = NaN while nothing happens",
    ),
    ("sum(rate(trading_orders_rejected_total[5m])) / sum(rate(trading_orders_submitted_total[5m])) > 0.1", "0/0 = NaN"),
    ("system_memory_usage_ratio > 85", "is a share from 0 to 1 and is compared with 85"),
    ("max by (instance) (system_disk_usage_ratio) >= 90", "write 0.9 for 90 %"),
    ("trading_daily_pnl_ratio < -2", "write -0.02 for -2 %"),
    ("absent(trading_daily_pnl)", "stays silent as long as one series is left"),
    ("sum by (strategy) (trading_daily_pnl) < -5000", "amounts in different currencies are added"),
    ("rate(trading_orders_rejected_total[5m]) > 5", "more than 1,500 events in 5m"),
    ("trading_capital_used / trading_buying_power > 0.9", "divided by what is left"),
]


@pytest.mark.parametrize(("expr", "said"), WRONG, ids=[expr for expr, _ in WRONG])
def test_an_expression_that_cannot_do_what_it_says_is_told(expr, said):
    found = lint(alert(expr))
    assert any(said in str(fault) for fault in found), found
    assert all(
        fault.path == "desk.yml" and fault.line == 8 and fault.problem.startswith("A: ") and fault.mend for fault in found
    )


RIGHT = [
    "up == 0",
    'ALERTS{alertname="BotDown"}',
    "delta(trading_daily_pnl[5m]) < -100",
    "max_over_time(trading_daily_pnl[5m]) > 5",
    "histogram_quantile(0.9, sum by (le, instance) (rate(broker_api_latency_seconds_bucket[5m]))) > 1",
    "rate(broker_api_latency_seconds_sum[5m]) / (rate(broker_api_latency_seconds_count[5m]) > 0) > 1",
    'system_disk_usage_ratio{mount!~"/snap/.+"} > 0.9',
    "system_memory_usage_ratio * 100 > 85",
    'absent(broker_connection_status{instance="gamma", broker="tws"})',
    "sum by (currency) (trading_daily_pnl) < -5000",
    'sum(trading_daily_pnl{currency="USD"}) < -5000',
    "rate(trading_orders_rejected_total[5m]) > 0.5",
    "topk by (instance) (3, trading_orders_working) > 5",
    "trading_orders_working * on (instance) group_left (profile) algowatch_bot_info > 5",
    "time() - process_start_time_seconds < 60",
]


@pytest.mark.parametrize("expr", RIGHT)
def test_a_sound_expression_is_left_alone(expr):
    assert lint(alert(expr)) == []


def test_the_built_in_rules_are_clean():
    assert lint_files([read_rules(BASE.read_text(), str(BASE))]) == []


def test_a_gauge_is_known_through_recording_rules_also_of_another_file():
    recorded = {"record": "desk:pnl:total", "expr": "sum by (instance, currency) (trading_daily_pnl)"}
    first = read_rules(json.dumps({"groups": [{"name": "a", "rules": [alert("rate(desk:pnl:total[5m]) < 0")]}]}), "a.yml")
    second = read_rules(json.dumps({"groups": [{"name": "b", "rules": [recorded]}]}), "b.yml")
    [fault] = lint_files([first, second])
    assert "A: rate() of desk:pnl:total, which is a gauge" in fault.problem
    recorded["expr"] = "rate(trading_daily_pnl[1m])"
    assert [fault.problem.split(":")[0] for fault in lint(recorded)] == ["desk"]


def test_the_mean_of_a_recorded_percentile_and_of_a_win_rate_is_told():
    recorded = {
        "record": "latency:p95",
        "expr": "histogram_quantile(0.95, sum by (le) (rate(broker_api_latency_seconds_bucket[5m])))",
    }
    [fault] = lint(recorded, alert("avg_over_time(latency:p95[1h]) > 1"))
    assert "avg_over_time() of a percentile" in fault.problem
    shape = Shape("gauge", frozenset({"instance"}))
    [fault] = lint(alert("avg_over_time(desk_win_rate[1h]) < 0.4"), known=lambda name: shape)
    assert "the mean of a ratio is not the ratio of that span" in fault.problem


def test_a_summary_has_no_quantiles_to_take():
    known = {"fill_price": Shape("summary", frozenset({"instance", "quantile"}))}
    found = lint(alert("histogram_quantile(0.9, fill_price) > 1"), known=known.get)
    assert any("a summary, which has no buckets" in fault.problem for fault in found)


def test_what_a_store_has_counts_as_known():
    assert lint(alert('my_signals{desk="a"} > 1'), known={"my_signals": Shape("gauge", frozenset({"desk"}))}.get) == []
    [fault] = lint(alert('my_signals{floor="a"} > 1'), known={"my_signals": Shape("gauge", frozenset({"desk"}))}.get)
    assert "my_signals has no label 'floor'" in fault.problem


def test_templates_and_settings_that_cannot_say_what_they_mean():
    texts = {
        "down": "down for {{ $value }} minutes at {{ $labels.broker }}, {{ $labels.symbol }}",
        "fine": "{{ $labels.instance }}",
    }
    found = lint(alert("broker_connection_status == 0", annotations=texts, **{"for": "1m"}), interval="5m")
    said = " | ".join(fault.problem for fault in found)
    assert "for: 1m is shorter than the group's interval of 5m" in said
    assert "a state that is on or off is told only after 1m" in said
    assert "$labels.symbol is always empty" in said
    assert "$value is always 0 here" in said
    assert len(found) == 4
    percent = {"text": "{{ $value }}% of memory"}
    [fault] = lint(alert("system_memory_usage_ratio > 0.8", annotations=percent))
    assert fault.mend == "write {{ humanizePercentage $value }}"
    aggregated = alert("sum by (instance) (trading_orders_working) > 5", annotations={"text": "{{ .Labels.strategy }}"})
    assert "$labels.strategy is always empty" in lint(aggregated)[0].problem


def test_a_missing_severity_and_a_second_rule_of_the_same_name_are_told():
    bare = {"alert": "B", "expr": "up == 0"}
    assert [fault.problem for fault in lint(bare)] == ["B: has no label severity, so no route by severity finds it"]
    assert lint(bare, labels={"severity": "info"}) == []
    found = lint(alert("up == 0"), alert("up == 0", labels={"severity": "info"}), alert("up < 1"))
    assert [fault.problem for fault in found] == ["A: stands a second time with the same labels (first in desk.yml:6)"]


def test_an_endless_chain_of_operators_is_walked():
    assert lint(alert(" + ".join(["up"] * 3000) + " > 5")) == []
