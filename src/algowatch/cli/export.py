"""`algowatch export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from algowatch.errors import UsageError
from algowatch.model.labels import Matcher
from algowatch.model.timestamps import parse_time
from algowatch.promql import nodes
from algowatch.promql.parser import parse
from algowatch.store import Store, export_csv
from algowatch.store.reader import MAX_MS, MIN_MS


def export_history(selector: str, data_dir: Path, start: str | None, end: str | None, output: Path | None) -> int:
    """1 when there was no sample."""
    matchers = _matchers(selector)
    start_ms, end_ms = _moment("--start", start, MIN_MS), _moment("--end", end, MAX_MS)
    with Store.open_reader(data_dir) as reader:
        if output is None:
            count = export_csv(reader, matchers, start_ms, end_ms, sys.stdout)
        else:
            try:
                with output.open("x", encoding="utf-8", newline="") as out:
                    count = export_csv(reader, matchers, start_ms, end_ms, out)
            except OSError as error:
                raise UsageError(f"--output {output}: cannot be written: {error.strerror}; name a new file") from None
    click.echo(f"{count:,} samples", err=True)
    return 0 if count else 1


def _matchers(selector: str) -> tuple[Matcher, ...]:
    """Raises: ParseError, UsageError."""
    parsed = parse(selector)
    if not isinstance(parsed, nodes.VectorSelector):
        raise UsageError(f"{selector!r} is not a selector; write for example 'trading_daily_pnl{{currency=\"USD\"}}'")
    return parsed.matchers


def _moment(option: str, text: str | None, default_ms: int) -> int:
    try:
        return default_ms if text is None else parse_time(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
