"""From a body's samples to the series that are stored: target labels, `honor_labels`, metric relabelling, limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algowatch.errors import AlgowatchError
from algowatch.model.labels import METRIC_NAME, Labels, is_legacy_label_name, is_legacy_metric_name
from algowatch.scrape.exposition import Sample
from algowatch.scrape.relabel import RelabelRule, relabel_set


class LimitError(AlgowatchError):
    """A body asks for more than its job's limits allow; nothing of it is stored."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What a job does to samples; a limit of 0 is none."""

    honor_labels: bool = False
    honor_timestamps: bool = True
    metric_relabel: tuple[RelabelRule, ...] = ()
    sample_limit: int = 0
    label_limit: int = 0
    label_name_length_limit: int = 0
    label_value_length_limit: int = 0
    legacy_names: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Which samples of a body are stored, and as what; made once per layout.

    series:    the labels of the row, each once.
    positions: intp [series], where their values stand in the body.
    dated:     positions and labels of the samples that bring their own timestamps.
    kept:      how many samples metric relabelling left.
    """

    series: tuple[Labels, ...]
    positions: NDArray[np.intp]
    dated: tuple[tuple[int, Labels], ...]
    kept: int
    duplicates: int

    def places(self) -> Iterator[tuple[Labels, int]]:
        """Every stored series with the position of its sample."""
        yield from zip(self.series, self.positions.tolist(), strict=True)
        for position, labels in self.dated:
            yield labels, position


def make_plan(samples: Sequence[Sample], target_labels: Labels, reserved: frozenset[Labels], options: IngestOptions) -> Plan:
    """Decide about every sample of a body. `reserved` are the series that the scrape itself reports.

    Raises: LimitError.
    """
    series: dict[Labels, int] = {}
    dated: list[tuple[int, Labels]] = []
    kept = duplicates = 0
    for position, sample in enumerate(samples):
        labels = series_labels(sample.labels, target_labels, options)
        if labels is None:
            continue
        kept += 1
        _check(labels, options)
        if options.honor_timestamps and sample.timestamp_ms is not None:
            dated.append((position, labels))
        elif labels in series or labels in reserved:
            duplicates += 1
        else:
            series[labels] = position
    if options.sample_limit and kept > options.sample_limit:
        raise LimitError(f"sample limit exceeded ({kept} samples, limit: {options.sample_limit})")
    return Plan(tuple(series), np.fromiter(series.values(), np.intp, len(series)), tuple(dated), kept, duplicates)


def series_labels(found: Labels, target_labels: Labels, options: IngestOptions) -> Labels | None:
    """A sample's labels as they are stored; None where metric relabelling drops it."""
    merged = honoured(found, target_labels) if options.honor_labels else exported(found, target_labels)
    return relabel_set(merged, options.metric_relabel) if options.metric_relabel else merged


def honoured(found: Labels, target_labels: Labels) -> Labels:
    """The sample's own labels win over the target's."""
    return Labels.of({**dict(target_labels), **dict(found)})


def exported(found: Labels, target_labels: Labels) -> Labels:
    """The target's labels win; a label of the sample in the way becomes `exported_…`, as often as it takes."""
    own = dict(found)
    merged = {**own, **dict(target_labels)}
    if len(merged) == len(own) + len(target_labels):
        return Labels(sorted(merged.items()))
    for name, value in found:
        if target_labels.get(name):
            name = "exported_" + name
            while name in merged:
                name = "exported_" + name
            merged[name] = value
    return Labels.of(merged)


def _check(labels: Labels, options: IngestOptions) -> None:
    name = labels.metric_name
    if not name:
        raise LimitError("missing metric name (__name__ label)")
    if options.legacy_names:
        _check_legacy(name, labels)
    if options.label_limit and len(labels) > options.label_limit:
        raise LimitError(
            f"label_limit exceeded (metric: {name[:50]!r}, number of labels: {len(labels)}, limit: {options.label_limit})"
        )
    if options.label_name_length_limit or options.label_value_length_limit:
        _check_lengths(name, labels, options)


def _check_legacy(name: str, labels: Labels) -> None:
    if not is_legacy_metric_name(name):
        raise LimitError(f"invalid metric name {name[:50]!r}")
    for key, _ in labels:
        if not is_legacy_label_name(key):
            raise LimitError(f"invalid label name {key[:50]!r} (metric: {name[:50]!r})")


def _check_lengths(name: str, labels: Labels, options: IngestOptions) -> None:
    for key, value in labels:
        for what, text, limit in (
            ("label_name_length_limit", key, options.label_name_length_limit),
            ("label_value_length_limit", value, options.label_value_length_limit),
        ):
            if limit and key != METRIC_NAME and len(text.encode()) > limit:
                raise LimitError(
                    f"{what} exceeded (metric: {name[:50]!r}, label name: {key[:50]!r}, "
                    f"length: {len(text.encode())}, limit: {limit})"
                )
