"""The page's modules are well typed: JSDoc, checked by the TypeScript compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import algowatch.web

STATIC = Path(algowatch.web.__file__).parent / "static"


@pytest.mark.peer("tsc")
def test_modules_type_check():
    done = subprocess.run(["tsc", "-p", str(STATIC / "jsconfig.json")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.peer("tsc")
def test_type_check_sees_a_fault(tmp_path: Path):
    config = (STATIC / "jsconfig.json").read_text()
    (tmp_path / "jsconfig.json").write_text(config)
    (tmp_path / "wrong.js").write_text('// @ts-check\n/** @type {number} */\nexport const figure = "text";\n')
    done = subprocess.run(["tsc", "-p", str(tmp_path / "jsconfig.json")], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "wrong.js" in done.stdout
