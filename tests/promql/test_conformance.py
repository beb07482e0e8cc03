"""Prometheus's own scripts, where the environment says where they are: ALGOWATCH_PROMQLTEST is a folder of `*.test` files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from algowatch.promql.engine import QueryEngine, QueryOptions
from algowatch.promql.parser import parse
from algowatch.testing.promqltest import Case, SkipCase, read_folder

FOLDER = os.environ.get("ALGOWATCH_PROMQLTEST", "")
EXCEPTIONS = Path(__file__).with_name("conformance_exceptions.txt")


def exceptions() -> dict[str, str]:
    """`file:line reason` per line; a blank line or a `#` says nothing."""
    lines = (line.strip() for line in EXCEPTIONS.read_text(encoding="utf-8").splitlines())
    return dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))


def cases() -> list[object]:
    reasons = exceptions()
    return [
        pytest.param(
            case,
            id=case.id,
            marks=[pytest.mark.xfail(strict=True, reason=reasons[case.id])] if case.id in reasons else [],
        )
        for case in (read_folder(Path(FOLDER)) if FOLDER else ())
    ]


@pytest.mark.skipif(not FOLDER, reason="ALGOWATCH_PROMQLTEST does not name a folder of promqltest scripts")
@pytest.mark.parametrize("case", cases())
def test_engine_answers_as_prometheus_scripts_say(case: Case) -> None:
    try:
        case.run(lambda select: QueryEngine(select, QueryOptions(delayed_name_removal=True), parse))
    except SkipCase as reason:
        pytest.skip(str(reason))
