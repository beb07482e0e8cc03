"""Turns scrapes of one target into rows: layouts kept by identity, staleness markers, and what a scrape says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.model.protocols import Layout
from algowatch.model.staleness import STALE_NAN_BITS
from algowatch.scrape.exposition import Sample
from algowatch.scrape.ingest import IngestOptions, Plan, make_plan

REPORTS = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
BOT_UP = "algowatch_bot_up"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What is appended; `samples` counts the body's own."""

    layout: Layout
    values: Floats
    samples: int
    added: int


class RowBuilder:
    """Remembers one target's last row, so as to know which series are new and which have ended."""

    def __init__(self, target_labels: Labels, options: IngestOptions, *, bot: bool) -> None:
        self.target_labels = target_labels
        self.options = options
        names = (*REPORTS, BOT_UP) if bot else REPORTS
        self.reports = tuple(target_labels.with_labels({METRIC_NAME: name}) for name in names)
        self.plan: Plan | None = None
        self._planned: Sequence[Sample] | None = None
        self._body_layout: Layout | None = None
        self._report_layout = Layout(self.reports)
        self._live: Layout | None = None
        self._last: Layout | None = None

    def continue_from(self, before: RowBuilder) -> None:
        """Take over which series were there, so that those that are not any more get their staleness markers."""
        if before.reports == self.reports:
            self._live, self._last = before._live, before._last

    def good(self, samples: Sequence[Sample], values: Floats, duration_s: float, bot_up: float = 1.0) -> Row:
        """The row of a scrape that brought a body.

        samples: the same object as last time where the layout is the same. values: float64 [samples].
        Raises: LimitError; the builder then still knows the last good row.
        """
        if samples is not self._planned or self.plan is None or self._body_layout is None:
            plan = make_plan(samples, self.target_labels, frozenset(self.reports), self.options)
            if self.plan is None or plan.series != self.plan.series or self._body_layout is None:
                self._body_layout = Layout((*plan.series, *self.reports))
            self.plan, self._planned = plan, samples
        plan, layout = self.plan, self._body_layout
        vanished, added = self._difference(layout)
        reports = (1.0, duration_s, float(len(samples)), float(plan.kept), float(added), bot_up)
        row_values = np.concatenate([values[plan.positions], reports[: len(self.reports)]])
        self._live = self._last = layout
        if vanished:
            layout = Layout((*layout.series, *vanished))
            row_values = np.concatenate([row_values, stale(len(vanished))])
        return Row(layout, row_values, len(samples), added)

    def failed(self, duration_s: float, samples: int = 0, bot_up: float = 0.0) -> Row:
        """The row of a scrape that failed: `up` is 0, and what was there until now has ended."""
        reports = (0.0, duration_s, float(samples), 0.0, 0.0, bot_up)
        values = np.array(reports[: len(self.reports)])
        layout = self._report_layout
        if self._live is not None:
            layout = self._live
            values = np.concatenate([stale(len(layout) - len(self.reports)), values])
        self._live, self._last = None, self._report_layout
        return Row(layout, values, samples, 0)

    def ended(self) -> Row | None:
        """The row that ends every series of a target that is gone, its reports too; None where it never had a row."""
        if self._last is None:
            return None
        layout, self._last, self._live = self._last, None, None
        return Row(layout, stale(len(layout)), 0, 0)

    def _difference(self, layout: Layout) -> tuple[list[Labels], int]:
        """Which series have ended since the last good row, and how many are new."""
        if layout is self._live:
            return [], 0
        body = layout.series[: len(layout) - len(self.reports)]
        if self._live is None:
            return [], len(body)
        before = self._live.series[: len(self._live) - len(self.reports)]
        now, then = set(body), set(before)
        return [labels for labels in before if labels not in now], len(now - then)


def stale(count: int) -> Floats:
    """float64 [count] of staleness markers."""
    return np.full(count, STALE_NAN_BITS, np.uint64).view(np.float64)
