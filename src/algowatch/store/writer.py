"""Rows into the head, and blocks of history straight into chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from algowatch.errors import StoreError
from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.store.assemble import Piece
from algowatch.store.blocks import encode_blocks, write_block
from algowatch.store.database import Database
from algowatch.store.head import LayoutRecord, StreamHead
from algowatch.store.keeper import TWO_HOURS, Keeper
from algowatch.store.reader import Reader
from algowatch.store.registry import Pending, Registry

if TYPE_CHECKING:
    from algowatch.model.protocols import BoolMatrix, FloatMatrix, TimeVector

_KNOWN_LAYOUTS = 8
_BLOCKS_PER_TRANSACTION = 8
_FIRST_LOOK_BACK_MS = 600_000

Rows = dict[tuple[str, int], dict[Labels, float]]
"""(stream of one target, time) → its samples."""
OldSamples = Mapping[int, list[tuple[int, tuple[str, int], Labels]]]
"""Series → (time, row, labels) of samples."""


@dataclass(slots=True)
class AppendOutcome:
    """What became of samples that carry their own times.

    stored:     new samples.
    duplicates: samples that were there already, with the same value.
    conflicts:  (labels, timestamp_ms) of samples that were there already with another value; the stored value stays.
    out_of_order: (labels, timestamp_ms) of samples that were older than the caller allowed.
    """

    stored: int = 0
    duplicates: int = 0
    conflicts: list[tuple[Labels, int]] = field(default_factory=list)
    out_of_order: list[tuple[Labels, int]] = field(default_factory=list)


class Writer:
    def __init__(self, database: Database, registry: Registry, reader: Reader, keeper: Keeper, next_seq: int) -> None:
        self._database = database
        self._registry = registry
        self._reader = reader
        self._keeper = keeper
        self._known_layouts: dict[str, list[tuple[Layout, LayoutRecord]]] = {}
        self._next_seq = next_seq

    def last_seq(self) -> int:
        """The number of the newest row."""
        return self._next_seq - 1

    def forget_layouts(self) -> None:
        self._known_layouts.clear()
        self._registry.forget_layouts()

    # ---- one row

    def append(self, stream: str, timestamp_ms: int, layout: Layout, values: FloatMatrix) -> None:
        values = np.ascontiguousarray(values, dtype="<f8")
        if values.shape != (len(layout),):
            raise StoreError(f"stream {stream!r}: {values.size} values for a layout of {len(layout)} series")
        with self._database.urgent():
            head = self._registry.streams.get(stream)
            if head is not None and timestamp_ms <= head.last_ms:
                raise StoreError(
                    f"stream {stream!r}: a row at {timestamp_ms} ms is not newer than the last one at {head.last_ms} ms; "
                    "samples out of order go through append_samples"
                )
            record = self._known_record(stream, layout)
            if head is None or record is None:
                record = self._register(stream, layout)
                head = self._registry.streams[stream]
            self._append_rows([(head, timestamp_ms, record, values)])

    def _append_rows(self, rows: Sequence[tuple[StreamHead, int, LayoutRecord, FloatMatrix]]) -> None:
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO rows (seq, stream, timestamp_ms, layout, vector) VALUES (?, ?, ?, ?, ?)",
                [
                    (seq, head.id, timestamp_ms, record.id, values.data)
                    for seq, (head, timestamp_ms, record, values) in enumerate(rows, self._next_seq)
                ],
            )
        for head, timestamp_ms, record, values in rows:
            head.append(self._next_seq, self._next_seq, timestamp_ms, record, values)
            self._next_seq += 1

    def _known_record(self, stream: str, layout: Layout) -> LayoutRecord | None:
        for known, record in self._known_layouts.get(stream, ()):
            if known is layout:
                return record
        return None

    def _register(self, stream: str, layout: Layout) -> LayoutRecord:
        """Give the stream, its series and the layout their numbers, in a transaction before that of the row."""
        (record,) = self._register_all([(stream, layout.series)])
        known = self._known_layouts.setdefault(stream, [])
        known.insert(0, (layout, record))
        del known[_KNOWN_LAYOUTS:]
        return record

    def _register_all(self, wanted: Sequence[tuple[str, Sequence[Labels]]]) -> list[LayoutRecord]:
        pending = Pending()
        with self._database.transaction() as connection:
            ids = [self._registry.ids(self._registry.stream(stream, pending), series, pending) for stream, series in wanted]
            layouts = [self._registry.layout_id(connection, numbers, pending) for numbers in ids]
            self._registry.write(connection, pending)
        self._registry.commit(pending)
        return [self._registry.record(layout, numbers) for layout, numbers in zip(layouts, ids, strict=True)]

    # ---- samples with times of their own

    def append_samples(
        self, stream: str, samples: Iterable[tuple[Labels, int, float]], out_of_order_ms: int | None = None
    ) -> AppendOutcome:
        outcome = AppendOutcome()
        with self._database.urgent():
            rows = self._rows_of(stream, samples, outcome)
            old = self._old_samples(rows)
            self._leave_out_stored(rows, old, outcome)
            if out_of_order_ms is not None:
                self._leave_out_older(rows, old, out_of_order_ms, outcome)
            ordered = sorted((key for key, row in rows.items() if row), key=lambda key: key[1])
            records = self._register_all([(name, list(rows[name, time])) for name, time in ordered]) if ordered else []
            self._append_rows(
                [
                    (self._registry.streams[name], time, record, np.array(list(rows[name, time].values()), "<f8"))
                    for (name, time), record in zip(ordered, records, strict=True)
                ]
            )
        outcome.stored = sum(len(row) for row in rows.values())
        return outcome

    def _rows_of(self, stream: str, samples: Iterable[tuple[Labels, int, float]], outcome: AppendOutcome) -> Rows:
        """The samples by row. Targets have streams of their own, since each has its own times."""
        rows: defaultdict[tuple[str, int], dict[Labels, float]] = defaultdict(dict)
        names: dict[tuple[str, str], str] = {}
        for labels, timestamp_ms, value in samples:
            target = (labels.get("job"), labels.get("instance"))
            name = names.get(target) or names.setdefault(target, "/".join([stream, *filter(None, target)]))
            row = rows[name, timestamp_ms]
            if labels not in row:
                row[labels] = value
            else:
                _count_repeated(outcome, labels, timestamp_ms, row[labels], value)
        return dict(rows)

    def _old_samples(self, rows: Rows) -> OldSamples:
        """By series the samples that may be stored already or be out of order.

        Only rows that are not newer than their stream's last need a look, and series that another stream wrote first.
        """
        old: defaultdict[int, list[tuple[int, tuple[str, int], Labels]]] = defaultdict(list)
        for (name, timestamp_ms), row in rows.items():
            head = self._registry.streams.get(name)
            for labels in row:
                series = self._registry.index.id_of(labels)
                if series is None:
                    continue
                if head is None or timestamp_ms <= head.last_ms or self._registry.first_writer(series) != head.id:
                    old[series].append((timestamp_ms, (name, timestamp_ms), labels))
        return old

    def _leave_out_stored(self, rows: Rows, old: OldSamples, outcome: AppendOutcome) -> None:
        """Take away the samples that are stored already."""
        if not old:
            return
        times = [timestamp_ms for places in old.values() for timestamp_ms, _, _ in places]
        for combined in self._reader.combined(np.array(sorted(old), np.int64), min(times), max(times)):
            columns = {time: column for column, time in enumerate(combined.timestamps_ms.tolist())}
            for line, series in enumerate(combined.ids.tolist()):
                for timestamp_ms, key, labels in old[series]:
                    column = columns.get(timestamp_ms)
                    if column is not None and (combined.present is None or combined.present[line, column]):
                        stored = float(combined.values[line, column])
                        _count_repeated(outcome, labels, timestamp_ms, stored, rows[key].pop(labels))

    def _leave_out_older(self, rows: Rows, old: OldSamples, out_of_order_ms: int, outcome: AppendOutcome) -> None:
        """Take away the samples that are more than so much older than the newest one of their series."""
        left = {
            series: [place for place in places if place[2] in rows[place[1]]]
            for series, places in old.items()
            if any(labels in rows[key] for _, key, labels in places)
        }
        if not left:
            return
        oldest_ms = min(timestamp_ms for places in left.values() for timestamp_ms, _, _ in places)
        newest_ms = self._newest(np.array(sorted(left), np.int64), oldest_ms + out_of_order_ms)
        for series, places in left.items():
            for timestamp_ms, key, labels in places:
                if timestamp_ms + out_of_order_ms < newest_ms.get(series, timestamp_ms):
                    del rows[key][labels]
                    outcome.out_of_order.append((labels, timestamp_ms))

    def _newest(self, ids: TimeVector, floor_ms: int) -> dict[int, int]:
        """When the newest sample of each series was taken, where that is after floor_ms; looks back in growing steps."""
        found: dict[int, int] = {}
        end_ms, reach_ms = max(head.last_ms for head in self._registry.streams.values()), _FIRST_LOOK_BACK_MS
        while len(ids) and end_ms > floor_ms:
            start_ms = max(end_ms - reach_ms, floor_ms + 1)
            for combined in self._reader.combined(ids, start_ms, end_ms):
                for line, series in enumerate(combined.ids.tolist()):
                    columns = None if combined.present is None else np.flatnonzero(combined.present[line])
                    if columns is None or len(columns):
                        newest = int(combined.timestamps_ms[-1 if columns is None else columns[-1]])
                        found[series] = max(newest, found.get(series, newest))
            ids = np.array([series for series in ids.tolist() if series not in found], np.int64)
            end_ms, reach_ms = start_ms - 1, 4 * reach_ms
        return found

    # ---- history

    def append_block(
        self,
        stream: str,
        timestamps_ms: TimeVector,
        layout: Layout,
        values: FloatMatrix,
        present: BoolMatrix | None = None,
    ) -> int:
        times = np.ascontiguousarray(timestamps_ms, dtype=np.int64)
        values = np.asarray(values, dtype=np.float64)
        _check_block(stream, times, layout, values, present)
        if not values.size:
            return 0
        with self._keeper.work_lock:
            with self._database.write_lock:
                record = self._register(stream, layout)
                head = self._registry.streams[stream]
            present = self._without_stored(record.series, times, present)
            pieces = [
                Piece(("new", 0), head.id, shard, times, ids, values[rows], None if present is None else present[rows])
                for shard, (ids, rows) in record.shards.items()
            ]
            return self._write_blocks(head, pieces)

    def _write_blocks(self, head: StreamHead, pieces: Sequence[Piece]) -> int:
        blocks = encode_blocks(pieces)
        for first in range(0, len(blocks), _BLOCKS_PER_TRANSACTION):
            batch = blocks[first : first + _BLOCKS_PER_TRANSACTION]
            pending = Pending()
            with self._database.write_lock:
                with self._database.transaction() as connection:
                    for block in batch:
                        write_block(connection, self._registry, pending, head.id, TWO_HOURS, block)
                self._registry.commit(pending)
                head.last_ms = max(head.last_ms, *(int(block.timestamps_ms[-1]) for block in batch))
        return sum(chunk.samples for block in blocks for chunk in block.chunks)

    def _without_stored(self, series: TimeVector, times: TimeVector, present: BoolMatrix | None) -> BoolMatrix | None:
        """The mask of the new samples, less those that a series has already at that time."""
        ids = np.sort(series)
        line_of = {int(number): line for line, number in enumerate(series)}
        for combined in self._reader.combined(ids, int(times[0]), int(times[-1])):
            common, columns, stored = np.intersect1d(times, combined.timestamps_ms, assume_unique=True, return_indices=True)
            if not len(common):
                continue
            if present is None:
                present = np.ones((len(series), len(times)), np.bool_)
            lines = np.array([line_of[number] for number in combined.ids.tolist()])
            there = True if combined.present is None else combined.present[:, stored]
            present[lines[:, None], columns] &= ~np.broadcast_to(there, (len(lines), len(columns)))
        return present


def _count_repeated(outcome: AppendOutcome, labels: Labels, timestamp_ms: int, stored: float, given: float) -> None:
    same = np.float64(stored).tobytes() == np.float64(given).tobytes()
    if same:
        outcome.duplicates += 1
    else:
        outcome.conflicts.append((labels, timestamp_ms))


def _check_block(stream: str, times: TimeVector, layout: Layout, values: FloatMatrix, present: BoolMatrix | None) -> None:
    wanted = (len(layout), len(times))
    if values.shape != wanted or (present is not None and present.shape != wanted):
        raise StoreError(f"stream {stream!r}: the block's values are {values.shape}, not [series, samples] = {wanted}")
    if len(times) > 1 and not (np.diff(times) > 0).all():
        raise StoreError(f"stream {stream!r}: the block's timestamps do not ascend; sort them and leave repetitions out")
