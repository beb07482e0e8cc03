"""What rule files say, once checked: plain frozen values that two loads of the same text make equal."""

from __future__ import annotations

from dataclasses import dataclass

from algowatch.model.labels import EMPTY, Labels


@dataclass(frozen=True, slots=True)
class RecordingSpec:
    """`record`: the expression's samples are stored under a new name."""

    record: str
    expr: str
    labels: Labels = EMPTY

    @property
    def name(self) -> str:
        return self.record


@dataclass(frozen=True, slots=True)
class AlertingSpec:
    """`alert`: each series that the expression gives is one alert. Label and annotation values are templates."""

    alert: str
    expr: str
    hold_duration_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: Labels = EMPTY
    annotations: Labels = EMPTY

    @property
    def name(self) -> str:
        return self.alert


RuleSpec = RecordingSpec | AlertingSpec


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """Rules that are evaluated together, in order. The group's labels already stand on its rules.

    interval_ms, query_offset_ms: None where the file does not say. limit: 0 for none.
    """

    file: str
    name: str
    rules: tuple[RuleSpec, ...]
    interval_ms: int | None = None
    query_offset_ms: int | None = None
    limit: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return (self.file, self.name)
