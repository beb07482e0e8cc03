"""The SQLite file: one connection that writes, a few that read, and the lock that orders commits and looks."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from algowatch.errors import StoreError
from algowatch.store import head, schema


class Database:
    """`commit_lock` is held while a commit changes what head and chunks hold together; a reader takes it to see both as one."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / schema.FILE_NAME
        self._directory = directory
        self._writer: sqlite3.Connection | None = schema.open_writer(directory)
        self._readers: list[sqlite3.Connection] = []
        self.write_lock = threading.RLock()
        self.commit_lock = threading.Lock()
        self.on_rollback: Callable[[], None] = lambda: None
        self._urgent = 0
        self._count_lock = threading.Lock()

    @contextlib.contextmanager
    def urgent(self) -> Iterator[None]:
        """Hold the write lock, before housekeeping that waits for it too."""
        with self._count_lock:
            self._urgent += 1
        self.write_lock.acquire()
        with self._count_lock:
            self._urgent -= 1
        try:
            yield
        finally:
            self.write_lock.release()

    def give_way(self) -> None:
        """Let those in a hurry go first: locks are not fair, and housekeeping would take them again at once."""
        tries = 0
        while self._urgent > 0 and tries < 100:
            time.sleep(0.0002)
            tries += 1

    @contextlib.contextmanager
    def transaction(self, on_commit: Callable[[], None] | None = None) -> Iterator[sqlite3.Connection]:
        """Write: all or nothing. `on_commit` changes what is in memory, in the same moment for all readers.

        Raises: StoreError; then nothing was written.
        """
        with self.write_lock:
            connection = self.writer()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                if on_commit is None:
                    connection.execute("COMMIT")
                else:
                    with self.commit_lock:
                        connection.execute("COMMIT")
                        on_commit()
            except sqlite3.Error as error:
                self._roll_back(connection)
                raise schema.explain(error, self.path) from error
            except BaseException:
                self._roll_back(connection)
                raise

    def writer(self) -> sqlite3.Connection:
        if self._writer is None:
            raise StoreError(f"{self.path}: the store is closed")
        return self._writer

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        self.on_rollback()

    @contextlib.contextmanager
    def snapshot(self, look: Callable[[], head.HeadView]) -> Iterator[tuple[sqlite3.Connection, head.HeadView]]:
        """Read: the file and what `look` returns, both of one moment. Keep it short: it stops the WAL from shrinking."""
        connection = self._borrow()
        try:
            with self.commit_lock:
                connection.execute("BEGIN")
                connection.execute("SELECT 1 FROM streams LIMIT 1").fetchone()
                heads = look()
            yield connection, heads
        except sqlite3.Error as error:
            raise schema.explain(error, self.path) from error
        finally:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._give_back(connection)

    @contextlib.contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """Read statement by statement, each seeing what is committed by then."""
        connection = self._borrow()
        try:
            yield connection
        except sqlite3.Error as error:
            raise schema.explain(error, self.path) from error
        finally:
            self._give_back(connection)

    def _borrow(self) -> sqlite3.Connection:
        self.writer()
        try:
            return self._readers.pop()
        except IndexError:
            return schema.open_reader(self._directory)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._writer is None:
            connection.close()
        else:
            self._readers.append(connection)

    def pages(self) -> tuple[int, int, int]:
        """Pages of the file, free pages among them, bytes of a page."""
        with self.reader() as connection:
            count, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
            )
        return count, free, size

    def free_pages(self) -> int:
        return self.pages()[1]

    def used_bytes(self) -> int:
        count, free, size = self.pages()
        return (count - free) * size

    def vacuum(self, pages: int) -> None:
        """Cut up to so many free pages off the file."""
        with self.write_lock:
            try:
                self.writer().executescript(f"PRAGMA incremental_vacuum({pages})")
            except sqlite3.Error as error:
                raise schema.explain(error, self.path) from error

    def checkpoint(self, *, truncate: bool = False) -> None:
        """Move the WAL into the file; what readers still look at stays in the WAL until the next time.

        Without `truncate` it has a connection of its own, so that rows are appended meanwhile.
        """
        self._sync_wal()
        try:
            if truncate:
                with self.write_lock:
                    self.writer().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return
            self.writer()
            with contextlib.closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as connection:
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            raise schema.explain(error, self.path) from error

    def _sync_wal(self) -> None:
        """Have the WAL on the disk already when the checkpoint, during which nobody can write, asks for that."""
        with contextlib.suppress(OSError), open(self._wal_path(), "rb+") as wal:
            os.fsync(wal.fileno())

    def _wal_path(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def wal_bytes(self) -> int:
        try:
            return self._wal_path().stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        with self.write_lock:
            writer, self._writer = self._writer, None
            while self._readers:
                self._readers.pop().close()
            if writer is not None:
                writer.close()
