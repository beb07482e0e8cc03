"""Rows into the head, and blocks of history straight into chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
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


@dataclass(slots=True)
class AppendOutcome:
    """What became of samples that carry their own times.

    stored:     new samples.
    duplicates: samples that were there already, with the same value.
    conflicts:  (labels, timestamp_ms) of samples that were there already with another value; the stored value stays.
    """

    stored: int = 0
    duplicates: int = 0
    conflicts: list[tuple[Labels, int]] = field(default_factory=list)


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

    def append_samples(self, stream: str, samples: Iterable[tuple[Labels, int, float]]) -> AppendOutcome:
        outcome = AppendOutcome()
        with self._database.urgent():
            rows = self._rows_of(stream, samples, outcome)
            self._leave_out_stored(rows, outcome)
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

    def _rows_of(
        self, stream: str, samples: Iterable[tuple[Labels, int, float]], outcome: AppendOutcome
    ) -> dict[tuple[str, int], dict[Labels, float]]:
        """(stream of one target, time) → its samples. Targets have streams of their own, since each has its own times."""
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

    def _leave_out_stored(self, rows: dict[tuple[str, int], dict[Labels, float]], outcome: AppendOutcome) -> None:
        """Take away the samples that are stored already.

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
