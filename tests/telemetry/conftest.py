"""Every test has a state directory of its own, and leaves no watch behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from algowatch.profiles.start import start
from algowatch.telemetry import watch as watch_module
from algowatch.telemetry.watch import Watch


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALGOWATCH_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def start_bot(state: Path) -> Iterator[Callable[..., Watch]]:
    def make(name: str = "gamma-bot", **options: Any) -> Watch:
        return start(name, **{"host_metrics": False, **options})

    yield make
    watch_module.stop_all()
