"""What the API shows of rules: snapshots that stay as they are while the next evaluation runs. Durations and times in ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algowatch.model.labels import EMPTY, Labels

Health = Literal["unknown", "ok", "err"]
"""As Prometheus's API spells them; unknown: not yet evaluated."""


@dataclass(frozen=True, slots=True)
class ActiveAlertStatus:
    """One pending or firing alert; keep_firing_since_ms is 0 unless only keep_firing_for holds it."""

    labels: Labels
    annotations: Labels
    state: Literal["pending", "firing"]
    active_at_ms: int
    value: float
    keep_firing_since_ms: int = 0


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """One rule. state, hold_duration_ms, keep_firing_for_ms, annotations and alerts belong to alerting rules.

    template_faults: what went wrong in labels and annotations at the last evaluation; the rule works all the same.
    last_evaluation_ms is 0 before the first evaluation.
    """

    type: Literal["alerting", "recording"]
    name: str
    expr: str
    labels: Labels
    health: Health
    last_error: str
    last_evaluation_ms: int
    evaluation_s: float
    state: Literal["inactive", "pending", "firing"] = "inactive"
    hold_duration_ms: int = 0
    keep_firing_for_ms: int = 0
    annotations: Labels = EMPTY
    alerts: tuple[ActiveAlertStatus, ...] = ()
    template_faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group. interval_ms is None where it is evaluated as soon as samples have landed.

    missed: evaluations that were left out because the one before took longer than the interval.
    append_error: why the last results could not be stored, else empty; alerts are delivered all the same.
    """

    name: str
    file: str
    interval_ms: int | None
    limit: int
    last_evaluation_ms: int
    evaluation_s: float
    missed: int
    append_error: str
    rules: tuple[RuleStatus, ...]
