"""Prometheus's HTTP API, the part about rules: groups with their state, and the alerts that they raise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.model.timestamps import format_time
from algowatch.rules.status import ActiveAlertStatus, GroupStatus, RuleStatus
from algowatch.web.encode import format_value
from algowatch.web.requests import answering_errors, bad_data, read_parameters, success

Groups = Callable[[], Sequence[GroupStatus]]


class RulesApi:
    """/api/v1/rules and /api/v1/alerts."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v1/rules", answering_errors(self.rules)),
            Route("/api/v1/alerts", answering_errors(self.alerts)),
        ]

    async def rules(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        kind = parameters.get("type")
        if kind not in ("", "alert", "record"):
            raise bad_data(f'invalid parameter "type": not supported value {kind!r}')
        wanted = {"alert": "alerting", "record": "recording"}.get(kind)
        names, groups, files = (set(parameters.all(f"{name}[]")) for name in ("rule_name", "rule_group", "file"))
        shown = []
        for group in self._groups():
            if (groups and group.name not in groups) or (files and group.file not in files):
                continue
            rules = [
                rule_json(rule)
                for rule in group.rules
                if (not wanted or rule.type == wanted) and (not names or rule.name in names)
            ]
            if rules or not (names or wanted):
                shown.append(group_json(group, rules))
        return success({"groups": shown})

    async def alerts(self, request: Request) -> Response:
        found = [alert_json(alert) for group in self._groups() for rule in group.rules for alert in rule.alerts]
        return success({"alerts": found})


def group_json(group: GroupStatus, rules: list[dict[str, object]]) -> dict[str, object]:
    """A group as the API shows it; an interval of 0 says "as soon as samples have landed"."""
    return {
        "name": group.name,
        "file": group.file,
        "rules": rules,
        "interval": (group.interval_ms or 0) / 1000,
        "limit": group.limit,
        "evaluationTime": group.evaluation_s,
        "lastEvaluation": _moment(group.last_evaluation_ms),
    }


def rule_json(rule: RuleStatus) -> dict[str, object]:
    shown: dict[str, object] = {
        "name": rule.name,
        "query": rule.expr,
        "labels": dict(rule.labels),
        "health": rule.health,
        "evaluationTime": rule.evaluation_s,
        "lastEvaluation": _moment(rule.last_evaluation_ms),
        "type": rule.type,
    }
    problems = [rule.last_error, *rule.template_faults]
    if any(problems):
        shown["lastError"] = "; ".join(problem for problem in problems if problem)
    if rule.type == "recording" and not rule.labels:
        del shown["labels"]
    if rule.type == "alerting":
        shown |= {
            "state": rule.state,
            "duration": rule.hold_duration_ms / 1000,
            "keepFiringFor": rule.keep_firing_for_ms / 1000,
            "annotations": dict(rule.annotations),
            "alerts": [alert_json(alert) for alert in rule.alerts],
        }
    return shown


def alert_json(alert: ActiveAlertStatus) -> dict[str, object]:
    shown: dict[str, object] = {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state,
        "activeAt": format_time(alert.active_at_ms),
        "value": _scientific(alert.value),
    }
    if alert.keep_firing_since_ms:
        shown["keepFiringSince"] = format_time(alert.keep_firing_since_ms)
    return shown


def _scientific(value: float) -> str:
    """An alert's value as Prometheus spells it here, unlike anywhere else: the shortest mantissa, always with an exponent."""
    if not math.isfinite(value):
        return format_value(value)
    return np.format_float_scientific(value, trim="-", exp_digits=2)


def _moment(time_ms: int) -> str:
    return format_time(time_ms) if time_ms else "0001-01-01T00:00:00Z"
