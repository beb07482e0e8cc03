"""The tables, how a connection is opened, and how SQLite's errors read.

streams   who writes; rows up to `sealed_seq` have become chunks and are only waiting to be deleted.
shards    up to 128 series of one metric family, first written by one stream: what one chunk holds.
series    label sets, as a JSON list name, value, name, value …
layouts   ordered lists of series ids: of rows, and of chunks; found again by the digest of the list.
rows      the head: one row per scrape, float64 little-endian in the layout's order; `seq` ascends with every append.
blocks    the timestamps that the chunks of one stream share over a span of time.
chunks    the values of one shard over one block, with their crc32.
followers who reads rows in order, and up to which `seq`; not in stores of the first release, which do not miss it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from algowatch.errors import StoreError

FILE_NAME = "algowatch.db"
SCHEMA_VERSION = 1
_APPLICATION_ID = 0x616C6777
_PAGE_SIZE = 4096
_WAL_LIMIT_BYTES = 1 << 20

_TABLES = """
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, sealed_seq INTEGER NOT NULL) STRICT;
CREATE TABLE shards (id INTEGER PRIMARY KEY AUTOINCREMENT, family TEXT NOT NULL, stream INTEGER NOT NULL) STRICT;
CREATE TABLE series (id INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL, labels TEXT NOT NULL) STRICT;
CREATE TABLE layouts (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, series BLOB NOT NULL) STRICT;
CREATE TABLE rows (seq INTEGER PRIMARY KEY, stream INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL,
  layout INTEGER NOT NULL, vector BLOB NOT NULL) STRICT;
CREATE TABLE blocks (id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, start_ms INTEGER NOT NULL,
  end_ms INTEGER NOT NULL, level INTEGER NOT NULL, samples INTEGER NOT NULL, crc INTEGER NOT NULL,
  timestamps BLOB NOT NULL) STRICT;
CREATE INDEX blocks_by_stream ON blocks (stream, start_ms, end_ms, level, samples);
CREATE INDEX blocks_by_end ON blocks (end_ms);
CREATE INDEX blocks_to_merge ON blocks (stream, start_ms) WHERE level < 2;
CREATE TABLE chunks (id INTEGER PRIMARY KEY AUTOINCREMENT, shard INTEGER NOT NULL, block INTEGER NOT NULL,
  layout INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, samples INTEGER NOT NULL,
  crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
CREATE INDEX chunks_by_shard ON chunks (shard, end_ms, start_ms, block, layout);
CREATE INDEX chunks_by_block ON chunks (block);
"""
_LATER_TABLES = "CREATE TABLE IF NOT EXISTS followers (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID"


def open_writer(directory: Path) -> sqlite3.Connection:
    """The one connection that writes and checkpoints; makes the tables in a new file.

    Raises: StoreError if the directory cannot be written or the file is damaged, foreign, or of a newer release.
    """
    path = directory / FILE_NAME
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=256)
    except sqlite3.Error as error:
        raise explain(error, path) from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise explain(error, path) from error
    except StoreError:
        connection.close()
        raise
    return connection


def open_reader(directory: Path) -> sqlite3.Connection:
    """A connection that only reads; it may be used by any thread, by one at a time."""
    return open_file_reader(directory / FILE_NAME)


def open_file_reader(path: Path) -> sqlite3.Connection:
    """As `open_reader`, of a store's file of any name. Raises: StoreError."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no store; start the engine with this data directory once, or name another")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{_read_mode(path)}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        check_version(connection, path)
    except sqlite3.Error as error:
        raise explain(error, path) from error
    return connection


def _read_mode(path: Path) -> str:
    """On a read-only disk SQLite cannot make the files beside a WAL store that a reader needs; nobody writes there either."""
    wal = path.with_name(path.name + "-wal")
    if os.access(path.parent, os.W_OK) or (wal.exists() and wal.stat().st_size):
        return "mode=ro"
    return "mode=ro&immutable=1"


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of the file; 0 for a new one. Raises: StoreError if it is newer than this release's."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version and application != _APPLICATION_ID:
        raise StoreError(f"{path}: this SQLite file was not written by algowatch; choose another data directory")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: the store has schema version {version} and this release of algowatch reads up to {SCHEMA_VERSION}; "
            "install the release that wrote it, or a newer one"
        )
    return int(version)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if check_version(connection, path) == 0:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 16384")  # housekeeping comes first; this is for when nobody keeps house
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    if check_version(connection, path) == 0:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_APPLICATION_ID}; "
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    connection.execute(_LATER_TABLES)


def explain(error: sqlite3.Error, path: Path) -> StoreError:
    """What went wrong with which file, and what to do about it."""
    text = str(error)
    if "disk is full" in text or "disk I/O error" in text:
        mend = "free space on that disk or shorten the retention; the engine goes on and tries again with the next sample"
    elif "readonly" in text or "unable to open" in text:
        mend = "make the directory writable for this user, or choose another one with --data"
    elif "malformed" in text or "not a database" in text:
        mend = "the file is damaged: move it away and restore a backup"
    elif "locked" in text:
        mend = "another program writes to this file: stop it"
    else:
        mend = "see the SQLite documentation for this message"
    return StoreError(f"{path}: {text}; {mend}")
