"""What every room's tests share: a test that needs a missing program (or Python module) is skipped visibly, or fails in CI."""

from __future__ import annotations

import importlib.util
import os
import shutil

import hypothesis
import pytest

# In CI the same examples every time, so that a red run says something about the change; elsewhere new ones each time. A busy
# machine is no failure: no example has a deadline.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("peer"):
        for name in marker.args:
            if shutil.which(name) is None and importlib.util.find_spec(name) is None:
                missing_peer(name)


def missing_peer(name: str) -> None:
    """Skip, or fail where ALGOWATCH_REQUIRE_PEERS=1 says that every peer is installed."""
    if os.environ.get("ALGOWATCH_REQUIRE_PEERS") == "1":
        pytest.fail(f"{name} is not installed and ALGOWATCH_REQUIRE_PEERS=1", pytrace=False)
    pytest.skip(f"{name} is not installed")
