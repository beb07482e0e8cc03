"""Reading rows in the order in which they came, from a position that is kept: how remote write loses nothing.

A row that has become chunks is deleted only when every follower has had it, so that a receiver may be away for hours and
the engine may be killed meanwhile. What followers hold back is bounded by `StoreOptions.unsent_bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from algowatch.store.blocks import ChunkReader
from algowatch.store.database import Database

if TYPE_CHECKING:
    import sqlite3

    from algowatch.model.protocols import TimeVector

_NO_ROWS = np.empty((0, 2), np.int64)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row as it was appended. ids: int64 [series]; vector: their values as little-endian float64, every bit as stored."""

    seq: int
    timestamp_ms: int
    ids: TimeVector
    vector: bytes


class Follower:
    """One reader's place. Used by one thread at a time."""

    def __init__(self, name: str, position: int, database: Database, chunks: ChunkReader) -> None:
        self.name = name
        self.position = position
        self._database = database
        self._chunks = chunks

    def read(self, samples: int) -> list[StoredRow]:
        """The rows after the position, oldest first: until they hold that many samples, at least one if there is one.

        Raises: StoreError.
        """
        rows: list[StoredRow] = []
        with self._database.reader() as connection:
            found = connection.execute(
                "SELECT seq, timestamp_ms, layout, vector FROM rows WHERE seq > ? ORDER BY seq", (self.position,)
            )
            for seq, timestamp_ms, layout, vector in found:
                rows.append(StoredRow(seq, timestamp_ms, self._chunks.ids(connection, layout), vector))
                samples -= len(vector) // 8
                if samples <= 0:
                    break
            found.close()
        return rows

    def advance(self, seq: int) -> None:
        """Everything up to `seq` has been taken; when this returns, that survives `kill -9`.

        Raises: StoreError if it could not be written; then it counts until the process ends.
        """
        self.position = seq
        with self._database.transaction() as connection:
            connection.execute("UPDATE followers SET seq = ? WHERE name = ?", (seq, self.name))

    def oldest_ms(self) -> int | None:
        """Time of the first row after the position; None if there is none. Raises: StoreError."""
        with self._database.reader() as connection:
            row = connection.execute(
                "SELECT timestamp_ms FROM rows WHERE seq > ? ORDER BY seq LIMIT 1", (self.position,)
            ).fetchone()
        return None if row is None else int(row[0])


class Followers:
    """Who follows, and which sealed rows therefore have to stay."""

    def __init__(self, database: Database, chunks: ChunkReader, unsent_bytes: int) -> None:
        self._database = database
        self._chunks = chunks
        self._limit = unsent_bytes
        self._followers: dict[str, Follower] = {}
        self._held = _NO_ROWS
        self.dropped_samples = 0
        """Samples that were deleted, above the limit, before a follower had them. They stay in the store's history."""

    def load(self, connection: sqlite3.Connection) -> None:
        """Read the positions, and which sealed rows wait."""
        for name, seq in connection.execute("SELECT name, seq FROM followers"):
            self._followers[name] = Follower(name, seq, self._database, self._chunks)
        query = "SELECT seq, length(vector) FROM rows WHERE seq <= (SELECT sealed_seq FROM streams WHERE id = rows.stream)"
        self._held = np.array(connection.execute(query).fetchall(), np.int64).reshape(-1, 2)

    def follow(self, names: Sequence[str], last_seq: Callable[[], int]) -> list[Follower]:
        """One follower per name, and no others. A new one begins with what comes from now on. Raises: StoreError."""
        with self._database.transaction() as connection:
            known = dict(connection.execute("SELECT name, seq FROM followers"))
            gone = [(name,) for name in known if name not in names]
            new = [(name, last_seq()) for name in names if name not in known]
            connection.executemany("DELETE FROM followers WHERE name = ?", gone)
            connection.executemany("INSERT INTO followers (name, seq) VALUES (?, ?)", new)
        known.update(new)
        self._followers = {name: Follower(name, known[name], self._database, self._chunks) for name in names}
        return list(self._followers.values())

    def last_seq(self) -> int:
        """The highest position; 0 without followers."""
        return max((follower.position for follower in self._followers.values()), default=0)

    def hold(self, seqs: Sequence[int], sizes: Sequence[int]) -> None:
        """These rows have been sealed; sizes in bytes."""
        self._held = np.concatenate([self._held, np.array([seqs, sizes], np.int64).T])

    def release(self) -> list[int]:
        """Rows that may be deleted: those that everybody has had, and the oldest above the limit."""
        held = self._held[np.argsort(self._held[:, 0])]
        lowest = min((follower.position for follower in self._followers.values()), default=None)
        had = len(held) if lowest is None else int(np.searchsorted(held[:, 0], lowest, "right"))
        waiting_bytes = np.cumsum(held[::-1, 1])[::-1]
        above = int(np.count_nonzero(waiting_bytes > self._limit)) if lowest is not None else 0
        if above > had:
            self.dropped_samples += int(held[had:above, 1].sum()) // 8
        cut = max(had, above)
        self._held = held[cut:]
        return [int(seq) for seq in held[:cut, 0]]
