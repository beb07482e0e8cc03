"""A routing spelled as `alertmanager.yml`, for `/api/v2/status` and so for amtool: what decides, nothing that is secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from algowatch.model.durations import format_duration
from algowatch.model.labels import Matcher
from algowatch.notify.route import Route
from algowatch.notify.routing import Routing


def spelled(routing: Routing) -> str:
    """Routes, inhibition and the receivers' names; receivers without their settings, time intervals without their times."""
    found: dict[str, Any] = {
        "global": {"resolve_timeout": format_duration(routing.resolve_timeout_ms)},
        "route": _route(routing.route),
        "receivers": [{"name": name} for name in routing.receivers],
    }
    if routing.inhibit_rules:
        found["inhibit_rules"] = [
            {
                "source_matchers": _matchers(rule.source_matchers),
                "target_matchers": _matchers(rule.target_matchers),
                "equal": list(rule.equal),
            }
            for rule in routing.inhibit_rules
        ]
    if routing.time_intervals:
        found["time_intervals"] = [{"name": name, "time_intervals": []} for name in routing.time_intervals]
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True)


def _route(route: Route) -> dict[str, Any]:
    options = route.options
    found: dict[str, Any] = {"receiver": options.receiver}
    if options.group_by:
        found["group_by"] = sorted(options.group_by)
    if route.matchers:
        found["matchers"] = _matchers(route.matchers)
    if route.continue_matching:
        found["continue"] = True
    found["group_wait"] = format_duration(options.group_wait_ms)
    found["group_interval"] = format_duration(options.group_interval_ms)
    found["repeat_interval"] = format_duration(options.repeat_interval_ms)
    for key in ("mute_time_intervals", "active_time_intervals"):
        if getattr(options, key):
            found[key] = list(getattr(options, key))
    if route.routes:
        found["routes"] = [_route(child) for child in route.routes]
    return found


def _matchers(matchers: Sequence[Matcher]) -> list[str]:
    return [str(matcher) for matcher in matchers]
