"""Backups: one SQLite file that holds the store as it was at one moment, and what lies beside it in the data directory.

The file is the store's own file with one more table, `backup`: a row per file that was taken along, with its content,
and a row for the store itself; each with the number of rows in every table, which `restore` compares.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from algowatch.errors import StoreError
from algowatch.store import schema
from algowatch.store.check import StoreCheck, check_file
from algowatch.store.lock import LOCK_NAME, DirectoryLock

_TABLE = "CREATE TABLE backup (name TEXT PRIMARY KEY, rows TEXT NOT NULL, content BLOB NOT NULL) STRICT, WITHOUT ROWID"
_WAL_FILES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Saved:
    """What a backup holds or a restore has put in place; `check` names what was damaged already when it was copied."""

    check: StoreCheck
    beside: tuple[str, ...]
    size_bytes: int


def back_up(directory: Path, path: Path, beside: Sequence[str] = ()) -> Saved:
    """Copy a data directory's store to a new file while an engine goes on, and read the copy back.

    beside: names of other SQLite files in the directory that are taken along where they exist.
    A chunk that is damaged in the store is copied as it is and named in the answer.
    Raises: StoreError if the file exists already or cannot be written, or the copy is not what was read.
    """
    if path.exists():
        raise StoreError(f"{path}: exists already; name a new file for the backup")
    with _partial(path) as partial:
        with _explained(path):
            _copy_store(directory, partial, beside)
        found = _check_copy(partial, path)
        names = tuple(name for name in _manifest(partial, path) if name != schema.FILE_NAME)
        size = partial.stat().st_size
        with _explained(path):
            _move(partial, path)
    return Saved(found, names, size)


def restore(path: Path, directory: Path, *, force: bool = False) -> Saved:
    """Put a backup in place as a data directory; all of it is read back before anything is replaced.

    force: replace a store that is there already.
    Raises: StoreError if the file is no backup or not whole, the directory is in use, or it is not empty and `force` is not
    given; then nothing has changed.
    """
    _manifest(path, path)
    lock = DirectoryLock(directory)
    try:
        _require_empty(directory, force)
        with tempfile.TemporaryDirectory(prefix="restore-", dir=directory) as folder, _explained(directory):
            found, names = _unpack(path, Path(folder))
            _put_in_place(Path(folder), directory, names)
        return Saved(found, tuple(name for name in names if name != schema.FILE_NAME), path.stat().st_size)
    finally:
        lock.release()


# ---- writing


def _copy_store(directory: Path, partial: Path, beside: Sequence[str]) -> None:
    with contextlib.closing(schema.open_reader(directory)) as source, _open(partial) as copy:
        source.execute("BEGIN")
        counts = _count_rows(source)
        source.backup(copy)
        source.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("BEGIN")
        copy.execute("DROP TABLE IF EXISTS backup")
        copy.execute(_TABLE)
        copy.execute("INSERT INTO backup VALUES (?, ?, x'')", (schema.FILE_NAME, json.dumps(counts)))
        for name in beside:
            if (directory / name).is_file():
                copy.execute("INSERT INTO backup VALUES (?, ?, ?)", (name, *_copy_beside(directory / name, partial)))
        copy.execute("COMMIT")


def _copy_beside(source_path: Path, partial: Path) -> tuple[str, bytes]:
    """Row counts and content of a sound copy of another SQLite file."""
    with _partial(partial.with_name(source_path.name)) as place:
        source = sqlite3.connect(f"{source_path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        with contextlib.closing(source), _open(place) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            counts = _count_rows(copy)
            _require_sound_pages(copy, source_path)
        return json.dumps(counts), place.read_bytes()


def _check_copy(partial: Path, path: Path) -> StoreCheck:
    """Read everything back. Raises: StoreError if the copy is not what was read."""
    with _explained(path), _open(partial) as copy:
        _require_sound_pages(copy, path)
        _require_counts(copy, _manifest(partial, path)[schema.FILE_NAME], path)
    return check_file(partial)


# ---- restoring


def _manifest(partial: Path, path: Path) -> dict[str, dict[str, int]]:
    """Name → table → rows, of a backup's files. Raises: StoreError if it is no backup."""
    with contextlib.closing(schema.open_file_reader(partial)) as backup:
        try:
            found = {name: json.loads(rows) for name, rows in backup.execute("SELECT name, rows FROM backup")}
        except sqlite3.OperationalError:
            raise StoreError(f"{path}: is not a backup; name a file that `algowatch backup` wrote") from None
        except sqlite3.Error as error:
            raise schema.explain(error, path) from error
    if schema.FILE_NAME not in found or any(Path(name).name != name for name in found):
        raise StoreError(f"{path}: is not a backup of algowatch: it names the files {', '.join(found)}")
    return found


def _require_empty(directory: Path, force: bool) -> None:
    held = sorted(entry.name for entry in directory.iterdir() if entry.name != LOCK_NAME)
    if held and not force:
        raise StoreError(
            f"{directory}: is not empty: it holds {', '.join(held[:3])}{' …' if len(held) > 3 else ''}; "
            "restore into an empty directory, or replace the history that is there with --force"
        )


def _unpack(path: Path, folder: Path) -> tuple[StoreCheck, list[str]]:
    """Write the backup's files into a folder and read them back."""
    store = folder / schema.FILE_NAME
    shutil.copyfile(path, store)
    manifest = _manifest(store, path)
    with _open(store) as copy:
        for name, content in copy.execute("SELECT name, content FROM backup").fetchall():
            if name != schema.FILE_NAME:
                _unpack_beside(folder / name, content, manifest[name], path)
        _require_sound_pages(copy, path)
        _require_counts(copy, manifest[schema.FILE_NAME], path)
        copy.execute("DROP TABLE backup")
    return check_file(store), list(manifest)


def _unpack_beside(place: Path, content: bytes, counts: dict[str, int], path: Path) -> None:
    place.write_bytes(content)
    with _open(place) as other:
        _require_sound_pages(other, path)
        _require_counts(other, counts, path)


def _put_in_place(folder: Path, directory: Path, names: Sequence[str]) -> None:
    """Move what is there away and the new files in, each whole or not there at any moment; undone if one cannot be moved."""
    aside = folder / "replaced"
    aside.mkdir()
    try:
        for name in names:
            for suffix in ("", *_WAL_FILES):
                if (directory / (name + suffix)).exists():
                    (directory / (name + suffix)).replace(aside / (name + suffix))
        for name in sorted(names, key=lambda name: name == schema.FILE_NAME):
            _move(folder / name, directory / name)
    except OSError:
        for old in aside.iterdir():
            old.replace(directory / old.name)
        raise


# ---- what both need


@contextlib.contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """Where a file grows before it gets its name; nothing of it is left behind."""
    partial = path.with_name(path.name + ".partial")
    try:
        with _explained(path):
            partial.unlink(missing_ok=True)
        yield partial
    finally:
        for suffix in ("", *_WAL_FILES):
            with contextlib.suppress(OSError):
                partial.with_name(partial.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        yield connection


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: cannot write here: {error}; name a place where there is room and leave to write") from error


def _move(partial: Path, path: Path) -> None:
    """Give a file its name once it is on the disk."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows of every table but SQLite's own and the backup's."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'backup'"
    tables = [name for (name,) in connection.execute(query)]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in sorted(tables)}


def _require_counts(connection: sqlite3.Connection, wanted: dict[str, int], path: Path) -> None:
    counted = _count_rows(connection)
    if counted != wanted:
        raise StoreError(f"{path}: the copy has {counted} rows in its tables instead of {wanted}; try another disk")


def _require_sound_pages(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise StoreError(f"{path}: the copy is not sound: {verdict}; try another disk, or `algowatch check` the original")
