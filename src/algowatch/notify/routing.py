"""Everything that decides where alerts go, ready to run: from `alertmanager.yml`, or the built-in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from algowatch.model.labels import Matcher
from algowatch.model.severity import SEVERITIES, severity_rank
from algowatch.notify.inhibition import InhibitRule
from algowatch.notify.intervals import TimeInterval
from algowatch.notify.route import GROUP_BY_ALL, Route, RouteOptions, route_key
from algowatch.senders.channels import Channel, from_environment, log_channel, webhook_channel


@dataclass(frozen=True, slots=True)
class Routing:
    """receivers: channels by the receiver's name; a receiver without any is a place where alerts end unsent."""

    route: Route
    receivers: Mapping[str, tuple[Channel, ...]]
    inhibit_rules: tuple[InhibitRule, ...] = ()
    time_intervals: Mapping[str, tuple[TimeInterval, ...]] = field(default_factory=dict)
    resolve_timeout_ms: int = 300_000


_SPELLINGS = {"info": "info", "warning": "warning|medium|p2", "error": "error|high|p1", "critical": "critical|p0"}
_BUILT_IN = RouteOptions(
    receiver="warning",
    group_by=frozenset({"alertname", "instance", "severity"}),
    group_wait_ms=0,
    group_interval_ms=5_000,
    repeat_interval_ms=14_400_000,
    prompt=True,
)


def built_in_routing(channels: Sequence[Channel]) -> Routing:
    """The routing where nobody wrote a file: one receiver per severity, and nothing waits.

    A channel takes the severities from its lowest one up; an alert without a known severity goes as a warning. Critical
    alerts are told one by one, at once; the others come together by alert name and instance, at most one message in five
    seconds per group, the first at once.
    """
    receivers = {
        severity: tuple(channel for channel in channels if severity_rank(channel.lowest_severity) <= severity_rank(severity))
        for severity in SEVERITIES
    }
    children = []
    for severity in SEVERITIES:
        matchers = (Matcher("severity", "=~", f"(?i:{_SPELLINGS[severity]})"),)
        options = replace(_BUILT_IN, receiver=severity)
        if severity == "critical":
            options = replace(options, group_by=frozenset({GROUP_BY_ALL}), group_interval_ms=1_000)
        children.append(Route(options, route_key("{}", matchers), matchers))
    return Routing(Route(_BUILT_IN, routes=tuple(children)), receivers)


def default_routing(
    environ: Mapping[str, str], webhook_urls: Sequence[str] = (), log: Callable[[str], None] | None = None
) -> Routing:
    """The built-in routing to the log, to some webhooks and to whatever the environment names. Raises: ConfigError."""
    return built_in_routing([log_channel(log), *map(webhook_channel, webhook_urls), *from_environment(environ)])
