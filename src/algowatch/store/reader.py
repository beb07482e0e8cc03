"""Answers: from matchers to series, from series to pieces of chunks and head, from pieces to matrices."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import SeriesMatrix
from algowatch.store.assemble import Combined, combine_by_stream
from algowatch.store.blocks import ChunkReader, find_chunks
from algowatch.store.head import HeadView, head_pieces
from algowatch.store.registry import Registry

if TYPE_CHECKING:
    from algowatch.model.protocols import TimeVector

    Snapshot = Callable[[], AbstractContextManager[tuple[sqlite3.Connection, HeadView]]]

MIN_MS, MAX_MS = -(2**62), 2**62


class Reader:
    """`snapshot` gives a connection and the head, both of one moment."""

    def __init__(self, snapshot: Snapshot, registry: Registry, chunks: ChunkReader) -> None:
        self._snapshot = snapshot
        self._registry = registry
        self._chunks = chunks

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[SeriesMatrix]:
        found = self.combined(self._registry.index.match(matchers), start_ms, end_ms)
        return [matrix for combined in found if (matrix := self._matrix(combined)) is not None]

    def combined(self, ids: TimeVector, start_ms: int, end_ms: int) -> list[Combined]:
        """The samples of those series (ids ascending) in [start_ms, end_ms]."""
        if not len(ids) or start_ms > end_ms:
            return []
        wanted = self._by_shard(ids)
        with self._snapshot() as (connection, heads):
            pieces = self._chunks.pieces(connection, find_chunks(connection, wanted, start_ms, end_ms), wanted)
        pieces += head_pieces(heads, wanted)
        inside = [kept for piece in pieces if (kept := piece.trimmed(start_ms, end_ms)) is not None]
        return combine_by_stream(inside)

    def _by_shard(self, ids: TimeVector) -> dict[int, TimeVector]:
        """Shard → its ids among those, ascending."""
        shards = np.array(self._registry.index.shards_of(ids.tolist()), np.int64)
        by_shard = np.argsort(shards, kind="stable")
        borders = np.flatnonzero(np.diff(shards[by_shard])) + 1
        return {int(shards[places[0]]): ids[places] for places in np.split(by_shard, borders)}

    def _matrix(self, combined: Combined) -> SeriesMatrix | None:
        """With labels; without the series that have no sample; None if none has one."""
        ids, values, present = combined.ids, combined.values, combined.present
        if present is not None:
            there = present.any(axis=1)
            if not there.all():
                ids, values, present = ids[there], values[there], present[there]
        if not len(ids):
            return None
        return SeriesMatrix(self._registry.index.labels_of(ids.tolist()), combined.timestamps_ms, values, present)

    def series(self, matcher_sets: Sequence[Sequence[Matcher]], start_ms: int = MIN_MS, end_ms: int = MAX_MS) -> list[Labels]:
        ids: set[int] = set()
        for matchers in matcher_sets or [[]]:
            ids.update(self._registry.index.match(matchers).tolist())
        chosen = np.array(sorted(ids), np.int64)
        if start_ms > MIN_MS or end_ms < MAX_MS:
            chosen = self._alive(chosen, start_ms, end_ms)
        return sorted(self._registry.index.labels_of(chosen.tolist()))

    def _alive(self, ids: TimeVector, start_ms: int, end_ms: int) -> TimeVector:
        """Those of the series that a chunk or head segment touching the span holds; no values are read."""
        if not len(ids):
            return ids
        wanted = self._by_shard(ids)
        with self._snapshot() as (connection, heads):
            layouts = {ref.layout for ref in find_chunks(connection, wanted, start_ms, end_ms)}
            members = [self._chunks.ids(connection, layout) for layout in layouts]
        for _, segments in heads:
            for segment in segments:
                times = segment.timestamps_ms[: segment.count]
                if np.searchsorted(times, start_ms, "left") < np.searchsorted(times, end_ms, "right"):
                    members.append(segment.layout.series)
        return ids[np.isin(ids, np.concatenate(members))] if members else ids[:0]

    def label_names(
        self, matcher_sets: Sequence[Sequence[Matcher]] = (), start_ms: int = MIN_MS, end_ms: int = MAX_MS
    ) -> list[str]:
        if not matcher_sets and start_ms <= MIN_MS and end_ms >= MAX_MS:
            return self._registry.index.label_names()
        return sorted({name for labels in self.series(matcher_sets, start_ms, end_ms) for name, _ in labels})

    def label_values(
        self, name: str, matcher_sets: Sequence[Sequence[Matcher]] = (), start_ms: int = MIN_MS, end_ms: int = MAX_MS
    ) -> list[str]:
        if not matcher_sets and start_ms <= MIN_MS and end_ms >= MAX_MS:
            return self._registry.index.label_values(name)
        values = {labels.get(name) for labels in self.series(matcher_sets, start_ms, end_ms)}
        return sorted(values - {""})
