"""Exemplars: the traced events behind some samples, kept in memory only, the newest ones, as Prometheus keeps them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from algowatch.model.labels import Labels, Matcher

MAX_LABEL_CHARACTERS = 128
"""Names and values together; OpenMetrics allows no more."""


class StoredExemplar(NamedTuple):
    """labels: the exemplar's own, such as a trace's id; not those of its series."""

    labels: Labels
    value: float
    timestamp_ms: int


class Exemplars:
    """The newest `limit` exemplars of all series together. Thread-safe; nothing survives a restart."""

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._by_series: dict[Labels, deque[StoredExemplar]] = {}
        self._arrivals: deque[Labels] = deque()

    def __len__(self) -> int:
        return len(self._arrivals)

    def add(self, series: Labels, labels: Labels, value: float, timestamp_ms: int) -> bool:
        """Keep one; False where it is not newer than the series' last or its labels are too long."""
        if sum(len(name) + len(text) for name, text in labels) > MAX_LABEL_CHARACTERS or self._limit <= 0:
            return False
        with self._lock:
            kept = self._by_series.setdefault(series, deque())
            if kept and kept[-1].timestamp_ms >= timestamp_ms:
                return False
            kept.append(StoredExemplar(labels, value, timestamp_ms))
            self._arrivals.append(series)
            if len(self._arrivals) > self._limit:
                self._drop_oldest()
        return True

    def _drop_oldest(self) -> None:
        series = self._arrivals.popleft()
        kept = self._by_series[series]
        kept.popleft()
        if not kept:
            del self._by_series[series]

    def select(
        self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int, end_ms: int
    ) -> list[tuple[Labels, list[StoredExemplar]]]:
        """By series, sorted, the exemplars in [start_ms, end_ms] of the series that fulfil one of the matcher sets.

        Raises: re.error where a regular expression is wrong.
        """
        with self._lock:
            chosen = [
                (series, [found for found in kept if start_ms <= found.timestamp_ms <= end_ms])
                for series, kept in self._by_series.items()
                if any(all(matcher.matches(series.get(matcher.name)) for matcher in matchers) for matchers in matcher_sets)
            ]
        return sorted((entry for entry in chosen if entry[1]), key=lambda entry: entry[0])
