"""What every room's tests share: programs of the standard stack are skipped visibly, or demanded in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("peer"):
        for name in marker.args:
            if shutil.which(name) is None:
                missing_peer(name)


def missing_peer(name: str) -> None:
    """Skip, or fail where ALGOWATCH_REQUIRE_PEERS=1 says that every peer is installed."""
    if os.environ.get("ALGOWATCH_REQUIRE_PEERS") == "1":
        pytest.fail(f"{name} is not installed and ALGOWATCH_REQUIRE_PEERS=1", pytrace=False)
    pytest.skip(f"{name} is not installed")
