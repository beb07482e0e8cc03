"""Programs of the standard stack that tests compare with.

A test that needs one asks for it here: where it is missing the test is skipped, visibly, and fails instead if
ALGOWATCH_REQUIRE_PEERS=1 says that all of them have to be there.
"""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> str:
    """The path of a program; skips or fails the calling test where it is not installed."""
    path = shutil.which(program)
    if path is not None:
        return path
    if os.environ.get("ALGOWATCH_REQUIRE_PEERS") == "1":
        pytest.fail(f"{program} is not on the PATH, and ALGOWATCH_REQUIRE_PEERS=1 asks for it")
    pytest.skip(f"{program} is not on the PATH")
