"""Which series there are: label sets to ids and, for matchers, from label values to ids.

Kept in memory and rebuilt from SQLite at start. Ids ascend in the order in which series were first seen.
"""

from __future__ import annotations

import heapq
import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from algowatch.model.labels import METRIC_NAME, Labels, Matcher

if TYPE_CHECKING:
    from algowatch.model.protocols import TimeVector

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Cardinality:
    """What makes a store large; each list holds the largest first.

    label_pairs:       how many different (name, value) pairs there are.
    series_by_metric:  metric name, its series.         values_by_name: label name, its values.
    bytes_by_name:     label name, length of its values over all series.
    series_by_pair:    `name=value`, its series.
    """

    label_pairs: int
    series_by_metric: list[tuple[str, int]]
    values_by_name: list[tuple[str, int]]
    bytes_by_name: list[tuple[str, int]]
    series_by_pair: list[tuple[str, int]]


class SeriesIndex:
    """Thread-safe; a lock is held for the length of one lookup or one batch of new series."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._ids: dict[Labels, int] = {}
        self._labels: dict[int, Labels] = {}
        self._removed: dict[int, Labels] = {}
        self._shards: dict[int, int] = {}
        self._postings: dict[str, dict[str, array[int]]] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def all_ids(self) -> list[int]:
        with self._lock:
            return list(self._labels)

    def id_of(self, labels: Labels) -> int | None:
        return self._ids.get(labels)

    def labels_of(self, ids: Iterable[int]) -> list[Labels]:
        """The label sets, also of series removed the last time, for an answer that was begun before."""
        labels, removed = self._labels, self._removed
        return [labels.get(series) or removed[series] for series in ids]

    def find_labels(self, ids: Iterable[int]) -> list[Labels | None]:
        """The label sets; None for a series that is gone."""
        return [self._labels.get(series) for series in ids]

    def shards_of(self, ids: Iterable[int]) -> list[int]:
        """The shard of each series; 0, which is no shard, for a series that is gone."""
        shards = self._shards
        return [shards.get(series, 0) for series in ids]

    def add(self, entries: Iterable[tuple[int, Labels, int]]) -> None:
        """Add (id, labels, shard) of new series, ids ascending and above all before."""
        with self._lock:
            for series, labels, shard in entries:
                labels = Labels(self._pairs.setdefault(pair, pair) for pair in labels)
                self._ids[labels] = series
                self._labels[series] = labels
                self._shards[series] = shard
                for name, value in labels:
                    self._postings.setdefault(name, {}).setdefault(value, array("q")).append(series)

    def remove(self, ids: Iterable[int]) -> None:
        gone = set(ids)
        if not gone:
            return
        with self._lock:
            self._removed = {series: self._labels[series] for series in gone}
            pairs = {pair for series in gone for pair in self._labels[series]}
            for series in gone:
                del self._ids[self._labels.pop(series)]
                del self._shards[series]
            for name, value in pairs:
                kept = array("q", (series for series in self._postings[name][value] if series not in gone))
                if kept:
                    self._postings[name][value] = kept
                else:
                    del self._postings[name][value], self._pairs[name, value]
                    if not self._postings[name]:
                        del self._postings[name]

    def match(self, matchers: Sequence[Matcher]) -> TimeVector:
        """Ids of the series that fulfil all matchers, ascending. Raises: re.error for a bad regular expression."""
        with self._lock:
            wanted: list[TimeVector] = []
            unwanted: list[TimeVector] = []
            for matcher in matchers:
                if matcher.matches_empty:
                    unwanted.append(self._with_values(matcher, fulfilled=False))
                else:
                    wanted.append(self._with_values(matcher, fulfilled=True))
            if not wanted:
                wanted = [np.fromiter(self._labels, np.int64, len(self._labels))]
        wanted.sort(key=len)
        found = wanted[0]
        for other in wanted[1:]:
            found = found[_contained(found, other)]
        for other in unwanted:
            found = found[~_contained(found, other)]
        return found

    def _with_values(self, matcher: Matcher, *, fulfilled: bool) -> TimeVector:
        """Ids, ascending, of the series that have the label with a value for which the matcher says `fulfilled`."""
        values = self._postings.get(matcher.name, {})
        if (matcher.op == "=") == fulfilled and matcher.op in ("=", "!="):
            postings = values.get(matcher.value)
            return _NONE if postings is None else np.array(postings, dtype=np.int64)
        chosen = [postings for value, postings in values.items() if matcher.matches(value) == fulfilled]
        if not chosen:
            return _NONE
        joined = np.concatenate([np.array(postings, dtype=np.int64) for postings in chosen])
        joined.sort()
        return joined

    def cardinality(self, limit: int) -> Cardinality:
        """The largest `limit` of everything."""
        with self._lock:
            counts = {name: {value: len(ids) for value, ids in values.items()} for name, values in self._postings.items()}
        pairs = ((f"{name}={value}", count) for name, values in counts.items() for value, count in values.items())
        sizes = ((name, sum(len(value.encode()) * n for value, n in values.items())) for name, values in counts.items())
        return Cardinality(
            label_pairs=sum(len(values) for values in counts.values()),
            series_by_metric=_largest(counts.get(METRIC_NAME, {}).items(), limit),
            values_by_name=_largest(((name, len(values)) for name, values in counts.items()), limit),
            bytes_by_name=_largest(sizes, limit),
            series_by_pair=_largest(pairs, limit),
        )

    def label_names(self) -> list[str]:
        with self._lock:
            return sorted(self._postings)

    def label_values(self, name: str) -> list[str]:
        with self._lock:
            return sorted(self._postings.get(name, ()))


def _largest(counts: Iterable[tuple[str, int]], limit: int) -> list[tuple[str, int]]:
    return heapq.nsmallest(limit, counts, key=lambda entry: (-entry[1], entry[0]))


def _contained(ids: TimeVector, others: TimeVector) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each of `ids` whether it stands in `others`; both ascend."""
    if not len(others):
        return np.zeros(len(ids), np.bool_)
    places = np.searchsorted(others, ids)
    places[places == len(others)] = 0
    return cast("np.ndarray[tuple[int], np.dtype[np.bool_]]", others[places] == ids)
