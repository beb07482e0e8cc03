"""`algowatch.start`: what every profile of bot gets."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from algowatch.profiles import BASE, PROFILES, families_of
from algowatch.profiles.start import start
from algowatch.telemetry.watch import stop_all


@pytest.mark.parametrize("profile", [BASE, *PROFILES])
def test_every_profile_starts_and_says_which_it_is(profile, tmp_path):
    watch = start("a", profile=profile, state_directory=tmp_path, host_metrics=False, strict=True)
    try:
        assert f'algowatch_bot_info{{profile="{profile}",'.encode() in watch.exposition()
        assert watch.registration is not None
        assert watch.registration.profile == profile
        assert families_of(profile)
    finally:
        stop_all()


def test_every_wish_is_explained():
    documented = inspect.getdoc(start) or ""
    for parameter in list(inspect.signature(start).parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in ("host", "host_metrics"):
            assert f"{parameter.name}:" in documented


WITHOUT_PSUTIL = """
import sys
sys.modules["psutil"] = None
import algowatch
watch = algowatch.start("bare", state_directory=sys.argv[1])
body = watch.exposition()
assert b"algowatch_bot_info" in body and b"system_" not in body and b"process_" not in body
assert watch.registration.process_started is None and watch.registration.alive()
"""


def test_without_psutil_a_bot_has_everything_but_host_and_process(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PSUTIL, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "psutil is not installed" in done.stderr
    assert list((tmp_path / "bots").glob("*.json")) == []


def test_a_with_block_ends_the_watch(tmp_path: Path):
    with start("a", state_directory=tmp_path, host_metrics=False) as watch:
        assert watch.port
    assert watch.port == 0
    assert list((tmp_path / "bots").glob("*.json")) == []
