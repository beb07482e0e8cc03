"""The built-in rules: accepted by Prometheus's own tool, each driven to fire and to resolve there."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from algowatch.catalog.families import FAMILIES
from algowatch.promql.nodes import VectorSelector
from algowatch.promql.parser import parse
from algowatch.rules.files import load_rule_file
from algowatch.rules.specs import AlertingSpec

BASE = Path(str(files("algowatch.profiles") / "rules" / "base.yml"))
ROOT = Path(__file__).parents[2]


def alerts() -> list[AlertingSpec]:
    rules = [rule for group in load_rule_file(str(BASE), parse) for rule in group.rules]
    return [rule for rule in rules if isinstance(rule, AlertingSpec)]


@pytest.mark.peer("promtool")
def test_promtool_accepts_the_built_in_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(BASE)], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.peer("promtool")
def test_each_built_in_alert_fires_and_resolves_in_promtool(tmp_path: Path) -> None:
    script = (Path(__file__).parent / "base_test.yml").read_text().replace("RULES", str(BASE))
    (tmp_path / "base_test.yml").write_text(script)
    command = ["promtool", "test", "rules", str(tmp_path / "base_test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    tested = set(re.findall(r'alertname="(\w+)"|alertname: (\w+)', script))
    assert {name or other for name, other in tested} == {rule.alert for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule.alert)
def test_built_in_alert_has_severity_texts_and_a_page(rule: AlertingSpec) -> None:
    assert rule.labels.get("severity") in {"warning", "error", "critical"}
    assert rule.annotations.get("summary")
    assert rule.annotations.get("description").endswith(".")
    assert rule.annotations.get("runbook_url") == f"docs/runbooks/{rule.alert}.md"
    page = (ROOT / "docs" / "runbooks" / f"{rule.alert}.md").read_text()
    assert page.startswith(f"# {rule.alert}\n")


def test_no_page_is_left_over() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == {rule.alert for rule in alerts()}


def selectors(node: object) -> Iterator[VectorSelector]:
    if isinstance(node, VectorSelector):
        yield node
    elif isinstance(node, tuple):
        for item in node:
            yield from selectors(item)
    elif dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            yield from selectors(getattr(node, field.name))


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule.alert)
def test_built_in_alert_asks_only_for_families_and_labels_of_the_catalog(rule: AlertingSpec) -> None:
    known = {family.name: set(family.labels) for family in FAMILIES} | {"up": set[str]()}
    found = list(selectors(parse(rule.expr)))
    assert found
    for selector in found:
        labels = known[selector.name.removesuffix("_bucket")] | {"job", "instance", "__name__"}
        assert {matcher.name for matcher in selector.matchers} <= labels
