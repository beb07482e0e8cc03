"""Looking over a whole store file: SQLite's own check, then everything that the tables hold, decoded and counted."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from algowatch.model.timestamps import format_time
from algowatch.store import codec, schema
from algowatch.store.blocks import count_samples

if TYPE_CHECKING:
    from algowatch.model.protocols import TimeVector

_MOST_PROBLEMS = 100
_CANNOT_DECODE = (ValueError, RuntimeError, struct.error)


@dataclass(slots=True)
class StoreCheck:
    """What a store file holds, and what is wrong with it: one text for each damaged thing, none where all is sound."""

    series: int = 0
    samples: int = 0
    rows: int = 0
    chunks: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.problems


def check(directory: Path | str) -> StoreCheck:
    """Look over a data directory's store as it is at this moment; an engine may have it open. Changes nothing.

    Raises: StoreError if there is no store, or a newer release wrote it.
    """
    return check_file(Path(directory) / schema.FILE_NAME)


def check_file(path: Path) -> StoreCheck:
    """As `check`, of any file that holds a store: a backup too."""
    found = StoreCheck()
    try:
        with contextlib.closing(schema.open_file_reader(path)) as connection:
            check_connection(connection, found)
    except sqlite3.Error as error:
        raise schema.explain(error, path) from error
    return found


def check_connection(connection: sqlite3.Connection, found: StoreCheck) -> None:
    """Fill in `found` with one moment of the file behind a connection."""
    connection.execute("BEGIN")
    try:
        _check_pages(connection, found)
        _Inspection(connection, found).run()
    except sqlite3.DatabaseError as error:
        found.problems.append(f"SQLite cannot read on: {error}")
    finally:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _check_pages(connection: sqlite3.Connection, found: StoreCheck) -> None:
    for (line,) in connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})"):
        if line != "ok":
            found.problems.append(f"SQLite: {line}")


class _Inspection:
    """One walk over all tables; holds the numbers of series, layouts and blocks, and one chunk at a time."""

    def __init__(self, connection: sqlite3.Connection, found: StoreCheck) -> None:
        self._run = connection.execute
        self._found = found
        self._layouts: dict[int, TimeVector] = {}
        self._blocks: dict[int, int] = {}

    def run(self) -> None:
        problems = self._found.problems
        for problem in self._problems():
            if len(problems) >= _MOST_PROBLEMS:
                problems.append(f"more than {_MOST_PROBLEMS} things are damaged; the rest is not named")
                return
            problems.append(problem)

    def _problems(self) -> Iterator[str]:
        yield from self._series()
        yield from self._read_layouts()
        yield from self._rows()
        yield from self._read_blocks()
        yield from self._chunks()

    def _series(self) -> Iterator[str]:
        shards = {shard for (shard,) in self._run("SELECT id FROM shards")}
        for number, shard in self._run("SELECT id, shard FROM series"):
            self._found.series += 1
            if shard not in shards:
                yield f"series {number} stands in shard {shard}, which is missing"

    def _read_layouts(self) -> Iterator[str]:
        series = {number for (number,) in self._run("SELECT id FROM series")}
        for number, data in self._run("SELECT id, series FROM layouts"):
            try:
                ids = codec.decode_integers(data)
            except _CANNOT_DECODE as error:
                yield f"layout {number} cannot be decoded: {error}"
                continue
            self._layouts[number] = ids
            if missing := set(ids.tolist()) - series:
                yield f"layout {number} names {len(missing)} series that are missing, the first is {min(missing)}"

    def _rows(self) -> Iterator[str]:
        """Rows that are chunks already only wait to be deleted, or for remote write: they are no samples of their own."""
        query = (
            "SELECT r.seq, s.name, r.timestamp_ms, r.layout, length(r.vector), r.seq > s.sealed_seq "
            "FROM rows r LEFT JOIN streams s ON s.id = r.stream"
        )
        for seq, stream, timestamp_ms, layout, size, unsealed in self._run(query):
            name = f"row {seq} (stream {stream!r}, {_time(timestamp_ms)})"
            ids = self._layouts.get(layout)
            if stream is None:
                yield f"{name}: its stream is missing"
            elif not unsealed:
                continue
            elif ids is None:
                yield f"{name}: layout {layout} is missing or damaged"
            elif size != 8 * len(ids):
                yield f"{name}: {size} bytes for {len(ids)} series"
            else:
                self._found.rows += 1
                self._found.samples += len(ids)

    def _read_blocks(self) -> Iterator[str]:
        query = "SELECT id, start_ms, end_ms, crc, timestamps FROM blocks"
        for number, start_ms, end_ms, crc, data in self._run(query):
            name = f"block {number} ({_time(start_ms)} to {_time(end_ms)})"
            if codec.checksum(data) != crc:
                yield f"{name}: the checksum of its timestamps is wrong"
                continue
            times = codec.decode_integers(data)
            if not len(times) or times[0] != start_ms or times[-1] != end_ms or (times[1:] <= times[:-1]).any():
                yield f"{name}: its timestamps do not ascend from its start to its end"
            self._blocks[number] = len(times)

    def _chunks(self) -> Iterator[str]:
        query = (
            "SELECT c.id, s.family, c.start_ms, c.end_ms, c.block, c.layout, c.samples, c.crc, c.data "
            "FROM chunks c LEFT JOIN shards s ON s.id = c.shard"
        )
        for number, family, start_ms, end_ms, *rest in self._run(query):
            problem = "its shard is missing" if family is None else self._chunk(*rest)
            if problem:
                yield f"chunk {number} ({family}, {_time(start_ms)} to {_time(end_ms)}): {problem}"

    def _chunk(self, block: int, layout: int, samples: int, crc: int, data: bytes) -> str:
        """What is wrong with one chunk; empty where it is sound."""
        if codec.checksum(data) != crc:
            return "its checksum is wrong"
        if block not in self._blocks or layout not in self._layouts:
            return f"its block {block} or its layout {layout} is missing or damaged"
        try:
            values, present = codec.decode_matrix(data)
        except _CANNOT_DECODE as error:
            return f"it cannot be decoded: {error}"
        wanted = (len(self._layouts[layout]), self._blocks[block])
        if values.shape != wanted:
            return f"it holds {values.shape[0]} series × {values.shape[1]} times instead of {wanted[0]} × {wanted[1]}"
        counted = count_samples(values, present)
        if counted != samples:
            return f"it holds {counted} samples instead of {samples}"
        self._found.chunks += 1
        self._found.samples += samples
        return ""


def _time(time_ms: int) -> str:
    try:
        return format_time(time_ms)
    except (ValueError, OverflowError, OSError):
        return f"{time_ms} ms"
