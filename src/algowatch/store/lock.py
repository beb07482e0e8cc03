"""One engine per data directory: a lock that the operating system releases when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

from algowatch.errors import StoreError

LOCK_NAME = "algowatch.lock"
_LOCK_BYTE = 1 << 20  # far behind the text, so that Windows lets others read who holds the lock

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(_LOCK_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


class DirectoryLock:
    """Held from construction until `release`.

    Raises: StoreError if the directory cannot be written, or another engine, named by its process id, holds the lock.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "a+b")  # noqa: SIM115 - it stays open as long as the lock is held
        except OSError as error:
            raise StoreError(
                f"{directory}: cannot write here: {error.strerror or error}; make it a writable directory, "
                "or choose another one with --data"
            ) from error
        try:
            _lock(self._file)
        except OSError:
            holder = self._holder()
            self._file.close()
            raise StoreError(
                f"{directory}: another engine (process {holder}) has this directory open; stop it, "
                "or choose another one with --data"
            ) from None
        self._file.truncate(0)
        self._file.seek(0)
        self._file.write(f"{os.getpid()}\n".encode())
        self._file.flush()

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            self._file.seek(0)
            return self._file.read(20).decode("ascii", "replace").strip() or "unknown"
        return "unknown"

    def release(self) -> None:
        """Let go; the file stays, since removing it could take away a lock that somebody else just got."""
        self._file.close()
