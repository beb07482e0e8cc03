"""How bots and the engine find each other: small files in a state directory.

    bots/<instance>.json   one per bot, in the shape of Prometheus's file_sd, so that a real Prometheus reads it too
    engine.json            {"url", "pid", "started_ms"} of the running engine

The directory outlives a reboot on purpose: a bot that is gone without having removed its file is down, not forgotten.
Standard library only; psutil, where it is there, tells a process from a later one that got its number.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from algowatch.errors import UsageError

META = "__meta_algowatch_"
_SAME_PROCESS_S = 2.0
_LOCK_PATIENCE_S = 1.0
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def state_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Where the files are, whether it exists or not: $ALGOWATCH_STATE_DIR, or the platform's place for a user's state."""
    environment = os.environ if environ is None else environ
    given = environment.get("ALGOWATCH_STATE_DIR")
    if given:
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "algowatch"
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "algowatch"
    return Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "algowatch"


def bots_directory(state: Path | None = None) -> Path:
    return (state or state_directory()) / "bots"


def file_name(instance: str) -> str:
    """A file's name for an instance: what a file system may not like is written as %xx.

    >>> file_name("gamma/bot 1")
    'gamma%2fbot%201.json'
    """
    return (
        _UNSAFE.sub(lambda found: "".join(f"%{byte:02x}" for byte in found[0].encode("utf-8", "replace")), instance) + ".json"
    )


@dataclass(frozen=True, slots=True)
class BotRecord:
    """One registered bot. `process_started` is psutil's create_time, None where it is not known."""

    instance: str
    address: str
    pid: int
    profile: str = ""
    process_started: float | None = None
    logs: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None

    def alive(self) -> bool:
        return process_alive(self.pid, self.process_started)

    def document(self) -> list[dict[str, Any]]:
        """The file's content."""
        started = "" if self.process_started is None else repr(self.process_started)
        labels = {
            **{str(name): str(value) for name, value in self.labels.items()},
            "job": self.labels.get("job", "bots"),
            "instance": self.instance,
            f"{META}pid": str(self.pid),
            f"{META}profile": self.profile,
            f"{META}process_started": started,
            f"{META}logs": ";".join(self.logs),
        }
        return [{"targets": [self.address], "labels": labels}]


def read_bot(path: Path) -> BotRecord:
    """Read a bot's file. Raises: OSError; ValueError where it is not in the shape above."""
    document = json.loads(path.read_text(encoding="utf-8"))
    try:
        group = document[0]
        labels = {str(name): str(value) for name, value in group["labels"].items()}
        address = str(group["targets"][0])
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a bot's file: no target with labels in it") from error
    started = labels.get(f"{META}process_started", "")
    logs = tuple(part for part in labels.get(f"{META}logs", "").split(";") if part)
    return BotRecord(
        instance=labels.get("instance") or path.stem,
        address=address,
        pid=int(labels.get(f"{META}pid") or 0),
        profile=labels.get(f"{META}profile", ""),
        process_started=float(started) if started else None,
        logs=logs,
        labels={name: value for name, value in labels.items() if not name.startswith(META) and name != "instance"},
        path=path,
    )


def list_bots(state: Path | None = None) -> list[BotRecord]:
    """Every readable bot's file, by instance; unreadable ones are left out."""
    found = []
    for path in sorted(bots_directory(state).glob("*.json")):
        try:
            found.append(read_bot(path))
        except (OSError, ValueError):
            continue
    return found


def own_process_started() -> float | None:
    return process_started(os.getpid())


def process_started(pid: int) -> float | None:
    """When a process started, in seconds since the epoch; None where that cannot be told or there is none."""
    try:
        import psutil

        return float(psutil.Process(pid).create_time())
    except Exception:
        return None


def process_alive(pid: int, started: float | None = None) -> bool:
    """Whether a process runs; with its start time known, whether it is the same one and not a later one of that number."""
    if pid <= 0:
        return False
    try:
        import psutil
    except ImportError:
        return _answers_signal(pid)
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return started is None or abs(process.create_time() - started) < _SAME_PROCESS_S
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _answers_signal(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # os.kill would end it; without psutil there is no harmless question
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_atomically(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one; mode 600. Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
        _replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _replace(temporary: str, path: Path) -> None:
    """Windows refuses while somebody reads the old file; readers are done in a moment."""
    for _ in range(20):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            if os.name != "nt":
                raise
            time.sleep(0.01)
    os.replace(temporary, path)


@contextmanager
def directory_lock(directory: Path, patience_s: float = _LOCK_PATIENCE_S) -> Iterator[bool]:
    """Hold the directory's lock file; False where it could not be had in time, which a start does not fail for."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / ".lock").open("a+b") as file:
        deadline = time.monotonic() + patience_s
        held = _try_lock(file.fileno())
        while not held and time.monotonic() < deadline:
            time.sleep(0.01)
            held = _try_lock(file.fileno())
        yield held  # closing the file lets go


def _try_lock(number: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def register(record: BotRecord, state: Path | None = None) -> BotRecord:
    """Write a bot's file under its name, or `name-2`, `name-3` … while live processes hold the ones before.

    Returns: the record with the instance it got. Raises: OSError.
    """
    directory = bots_directory(state)
    with directory_lock(directory):
        number = 1
        while True:
            instance = record.instance if number == 1 else f"{record.instance}-{number}"
            path = directory / file_name(instance)
            if not _held_by_another(path, record):
                break
            number += 1
        mine = BotRecord(
            instance, record.address, record.pid, record.profile, record.process_started, record.logs, record.labels, path
        )
        write_atomically(path, mine.document())
    return mine


def _held_by_another(path: Path, record: BotRecord) -> bool:
    try:
        holder = read_bot(path)
    except (OSError, ValueError):
        return False
    return holder.pid != record.pid and holder.alive()


def unregister(record: BotRecord) -> None:
    """Remove a bot's file if it is still this process's. Never raises."""
    if record.path is None or record.pid != os.getpid():
        return
    try:
        if read_bot(record.path).pid == record.pid:
            record.path.unlink(missing_ok=True)
    except (OSError, ValueError):
        return


def forget(instance: str, state: Path | None = None) -> bool:
    """Remove the file of a bot that is gone: what `algowatch forget NAME` does. Returns: whether there was one.

    Raises: OSError; UsageError while the bot lives, which would go on unwatched.
    """
    path = bots_directory(state) / file_name(instance)
    try:
        record = read_bot(path)
    except FileNotFoundError:
        return False
    except ValueError:
        record = None
    if record is not None and record.pid and record.alive():
        raise UsageError(f"{instance} lives, as process {record.pid}; stop it first, and it withdraws by itself")
    path.unlink(missing_ok=True)
    return True


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """Where the running engine listens."""

    url: str
    pid: int
    started_ms: int


def engine_file(state: Path | None = None) -> Path:
    return (state or state_directory()) / "engine.json"


def write_engine(record: EngineRecord, state: Path | None = None) -> Path:
    """Say where the engine listens. Raises: OSError."""
    path = engine_file(state)
    write_atomically(path, {"url": record.url, "pid": record.pid, "started_ms": record.started_ms})
    return path


def read_engine(state: Path | None = None) -> EngineRecord | None:
    """The engine that wrote its address last, whether it lives or not; None where there is none."""
    try:
        content = json.loads(engine_file(state).read_text(encoding="utf-8"))
        return EngineRecord(str(content["url"]), int(content["pid"]), int(content["started_ms"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def remove_engine(pid: int, state: Path | None = None) -> None:
    """Take the engine's address away if it is still that process's. Never raises."""
    try:
        record = read_engine(state)
        if record is not None and record.pid == pid:
            engine_file(state).unlink(missing_ok=True)
    except OSError:
        return
