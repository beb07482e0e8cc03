"""`algowatch backup`, `restore` and the part of `check` that looks over stored history."""

from __future__ import annotations

from pathlib import Path

import click

from algowatch.notify import outbox
from algowatch.store import StoreCheck, back_up, check, check_file
from algowatch.store import restore as restore_store

_SQLITE_FILE = b"SQLite format 3\0"


def write_backup(file: Path, data_dir: Path) -> int:
    """1 when something that was copied is damaged."""
    saved = back_up(data_dir, file, (outbox.FILE_NAME,))
    beside = " and silences and notifications" if saved.beside else ""
    click.echo(f"{file}: {_contents(saved.check)}{beside}, {saved.size_bytes:,} bytes, read back")
    return _report(saved.check)


def restore_backup(file: Path, data_dir: Path, force: bool) -> int:
    """1 when something in the backup was damaged already when it was made."""
    saved = restore_store(file, data_dir, force=force)
    beside = " and silences and notifications" if saved.beside else ""
    click.echo(f"{data_dir}: {_contents(saved.check)}{beside} are back")
    return _report(saved.check)


def check_history(data_dir: Path) -> int:
    """1 when something in a data directory is damaged."""
    return _print_check(data_dir, check(data_dir))


def is_history(file: Path) -> bool:
    """Whether a file is a store or a backup, and not text."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_SQLITE_FILE)) == _SQLITE_FILE
    except OSError:
        return False


def check_history_file(file: Path) -> int:
    return _print_check(file, check_file(file))


def _print_check(path: Path, found: StoreCheck) -> int:
    click.echo(f"{path}: {_contents(found)} can be read{', all well' if found.sound else ''}")
    return _report(found)


def _contents(found: StoreCheck) -> str:
    return f"{found.samples:,} samples of {found.series:,} series"


def _report(found: StoreCheck) -> int:
    for problem in found.problems:
        click.echo(f"damaged: {problem}")
    if found.problems:
        click.echo("What is damaged is left out of every answer; a backup from before may have it whole.")
    return 1 if found.problems else 0
