"""`algowatch test rules`: run unit tests of rule files and tell what came out otherwise."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click

from algowatch.errors import ConfigError
from algowatch.testing.rule_tests import Failure, run_file


def test_rules(files: Sequence[Path], as_json: bool) -> int:
    """Run each file; 1 when a test failed.

    Raises: ConfigError with the faults of all files that are not what they should be, when the others have run.
    """
    found: dict[Path, list[Failure]] = {}
    wrong: list[ConfigError] = []
    for path in files:
        try:
            found[path], unmatched = run_file(path)
        except ConfigError as error:
            wrong.append(error)
            continue
        for pattern in unmatched:
            click.echo(f"  WARNING: no file match pattern {pattern}", err=True)
        if not as_json:
            _print(path, found[path])
    if as_json:
        click.echo(json.dumps([_as_json(path, failures) for path, failures in found.items()], indent=2))
    if wrong:
        raise ConfigError([fault for error in wrong for fault in error.faults])
    return 1 if any(found.values()) else 0


def _print(path: Path, failures: Sequence[Failure]) -> None:
    click.echo(f"Unit Testing:  {path}")
    if failures:
        click.echo("  FAILED:", err=True)
    for failure in failures:
        click.echo(f"{failure}\n", err=True)
    if not failures:
        click.echo("  SUCCESS\n")


def _as_json(path: Path, failures: Sequence[Failure]) -> dict[str, object]:
    return {"file": str(path), "success": not failures, "failures": [dataclasses.asdict(failure) for failure in failures]}
