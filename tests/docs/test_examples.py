"""The documents' examples run, their links lead somewhere, and what they name exists."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from algowatch.cli.main import cli
from algowatch.config import read_document
from algowatch.engine.build import Engine
from algowatch.engine.options import EngineOptions, Listen
from algowatch.web.app import route_paths

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def blocks(language):
    """Every fenced block of one language."""
    found_blocks = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            found_blocks.append(pytest.param(found.group(1), id=f"{document.relative_to(ROOT)}:{line}"))
    return found_blocks


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run(code, tmp_path):
    environment = {"ALGOWATCH_STATE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    strict = code.replace('algowatch.start("gamma-bot"', 'algowatch.start("gamma-bot", strict=True', 1)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", strict], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_examples_are_valid(text):
    assert read_document(text, "example.yml").data


@pytest.mark.parametrize("text", blocks("sh"))
def test_commands_in_examples_exist(text):
    for arguments in re.findall(r"^\s*algowatch (\S+.*)$", text, re.MULTILINE):
        command, *rest = arguments.split()
        group = cli.commands.get(command)
        deeper = rest[:1] if isinstance(group, click.Group) and rest and rest[0] in group.commands else []
        answer = CliRunner().invoke(cli, [command, *deeper, "--help"])
        assert answer.exit_code == 0, f"algowatch {command}: {answer.output}"
        for option in (word for word in rest if word.startswith("--")):
            assert option in answer.output, f"algowatch {command} has no {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}, which is not there"


def test_every_endpoint_is_documented(tmp_path, monkeypatch):
    monkeypatch.setenv("ALGOWATCH_STATE_DIR", str(tmp_path / "state"))

    async def paths():
        engine = Engine(EngineOptions(tmp_path / "data", Listen("127.0.0.1", 0)))
        await engine.start()
        await engine.stop()
        return route_paths(engine.app.routes)

    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    missing = [path for path in asyncio.run(paths()) if f"`{path}`" not in text and path + "?" not in text]
    assert not missing, f"docs/api.md does not name {missing}"
