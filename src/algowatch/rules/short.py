"""Short rules, one line each, as some systems keep them: `{name, condition: "errors.rate > 5", level, message}`.

They are translated into Prometheus rules through one table of names; `docs/alerts.md` shows it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from algowatch.config.read import Document, Section, read_text
from algowatch.errors import ConfigError, Fault
from algowatch.model.severity import SEVERITIES, parse_severity

_BOT = "job, instance"
_SUBMITTED = f"sum by ({_BOT}, strategy) (increase(trading_orders_submitted_total[5m]))"


def _share_of_orders(ended: str) -> str:
    """Orders that ended so, of those sent in five minutes; at least five, and none ended so is a share of 0."""
    counted = f"sum by ({_BOT}, strategy) (increase({ended}[5m]))"
    return f"({counted} or 0 * {_SUBMITTED}) / ({_SUBMITTED} >= 5)"


def _milliseconds(histogram: str) -> str:
    return f"1000 * histogram_quantile(0.95, sum by ({_BOT}, le) (rate({histogram}_bucket[5m])))"


NAMES: Mapping[str, tuple[str, str]] = {
    "errors.rate": ("errors of the broker in a minute", f"sum by ({_BOT}) (increase(broker_api_errors_total[1m]))"),
    "orders.success_rate": ("filled share of orders in 5 minutes, 0 to 1", _share_of_orders("trading_orders_filled_total")),
    "orders.rejection_rate": ("rejected share, 0 to 1", _share_of_orders("trading_orders_rejected_total")),
    "orders.working": ("orders at the venue", f"sum by ({_BOT}) (trading_orders_working)"),
    "trades.latency": ("order to fill, 95 of 100 are faster, in ms", _milliseconds("trading_order_fill_time_seconds")),
    "api.latency": ("request to answer, 95 of 100 are faster, in ms", _milliseconds("broker_api_latency_seconds")),
    "system.memory": ("used memory of the machine in %", "100 * system_memory_usage_ratio"),
    "system.cpu": ("busy processors in %", "100 * system_cpu_usage_ratio"),
    "system.disk": ("used share of each disk in %", "100 * system_disk_usage_ratio"),
    "data.last_update": ("seconds since the last tick of a symbol", "market_data_stale_seconds"),
    "positions.open": ("open positions", f"sum by ({_BOT}) (trading_positions_open)"),
    "pnl.daily": ("profit and loss of the day, per currency", f"sum by ({_BOT}, currency) (trading_daily_pnl)"),
    "pnl.drawdown": ("fall from the top, 0 to 1", "trading_drawdown_ratio"),
    "broker.connected": ("1 while the link is up, else 0", "broker_connection_status"),
    "kill_switch.active": ("1 while a switch holds trading", "trading_kill_switch_active"),
}
"""What a condition may ask, what that is, and how Prometheus is asked."""

_CONDITION = re.compile(r"\s*([\w.]+)\s*(==|!=|<=|>=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*\Z")


class ShortRule(Section):
    name: str
    condition: str
    level: str
    message: str = ""


class ShortRuleFile(Section):
    rules: list[ShortRule]


def is_short(data: Any) -> bool:
    """Whether a document holds short rules, not a rule file's groups."""
    return isinstance(data, dict) and "rules" in data and "groups" not in data


def translate(text: str, path: str) -> str:
    """The text of the Prometheus rule file that says the same.

    Raises: ConfigError with every fault, an unknown name with the list of those that are known.
    """
    file, document = read_text(ShortRuleFile, text, path)
    faults = list(_faults(file, document))
    if faults:
        raise ConfigError(faults)
    rules = [_rule(rule) for rule in file.rules]
    shown = yaml.safe_dump(
        {"groups": [{"name": "short-rules", "rules": rules}]}, sort_keys=False, allow_unicode=True, width=4096
    )
    return str(shown)


def _faults(file: ShortRuleFile, document: Document) -> Iterator[Fault]:
    for index, rule in enumerate(file.rules):
        found = _CONDITION.match(rule.condition)
        if found is None:
            problem = f"{rule.condition!r} is not NAME OPERATOR NUMBER"
            yield document.fault(("rules", index, "condition"), problem, 'write for example "errors.rate > 5"')
        elif found[1] not in NAMES:
            near = difflib.get_close_matches(found[1], NAMES, n=1)
            mend = (f"did you mean {near[0]!r}? " if near else "") + f"known names: {', '.join(NAMES)}"
            yield document.fault(("rules", index, "condition"), f"unknown name {found[1]!r}", mend)
        try:
            parse_severity(rule.level)
        except ValueError:
            yield document.fault(("rules", index, "level"), f"unknown level {rule.level!r}", f"levels: {', '.join(SEVERITIES)}")
        if not _alert_name(rule.name):
            yield document.fault(("rules", index, "name"), "the name has no letters", "write for example high_error_rate")


def _alert_name(name: str) -> str:
    """`high_error_rate` becomes HighErrorRate, as alerts are named."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    return "".join(word[0].upper() + word[1:] for word in words)


def _rule(rule: ShortRule) -> dict[str, Any]:
    found = _CONDITION.match(rule.condition)
    assert found is not None
    expr = NAMES[found[1]][1]
    summary = rule.message or f"{rule.name}: {rule.condition}"
    return {
        "alert": _alert_name(rule.name),
        "expr": f"{expr} {found[2]} {found[3]}",
        "labels": {"severity": parse_severity(rule.level)},
        "annotations": {"summary": summary, "description": f"{found[1]} is {{{{ $value }}}} ({NAMES[found[1]][0]})."},
    }
