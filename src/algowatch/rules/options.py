"""What the rule manager is set up with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from algowatch.model.labels import EMPTY, Labels

CheckExpr = Callable[[str], object]
"""Parses an expression and throws the tree away; raises QueryError where it is wrong."""


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """Settings of the rule manager; durations in milliseconds, defaults Prometheus's unless said otherwise.

    evaluation_interval_ms: for groups without an interval; None: such groups run as soon as samples have landed.
    landing_gap_ms:         least distance of two such runs, so that a burst of scrapes costs one.
    idle_gap_ms:            greatest distance of two such runs, so that `for` and absent() advance without samples.
    outage_tolerance_ms:    how old a stored ALERTS_FOR_STATE may be for a restart to continue from it.
    for_grace_period_ms:    a restored alert fires at the earliest this long after the restart, and rules whose `for` is
                            shorter start anew. Prometheus's 10 minutes would restore hardly any rule of a trader;
                            0 restores all.
    lookback_delta_ms:      the query engine's, needed to tell an alert that ended from one that a crash cut off.
    check_expr:             parses expressions when files are loaded; None accepts any text.
    """

    evaluation_interval_ms: int | None = None
    external_labels: Labels = EMPTY
    external_url: str = ""
    resend_delay_ms: int = 60_000
    query_offset_ms: int = 0
    outage_tolerance_ms: int = 3_600_000
    for_grace_period_ms: int = 0
    lookback_delta_ms: int = 300_000
    landing_gap_ms: int = 100
    idle_gap_ms: int = 1000
    check_expr: CheckExpr | None = None
