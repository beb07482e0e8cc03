"""The rules API, for one rule file: the keys and types that a real Prometheus answers, and the same filters."""

# ruff: noqa: E501 - a rule reads better unbroken

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.promql.engine import QueryEngine
from algowatch.promql.parser import parse
from algowatch.rules.manager import RuleManager
from algowatch.rules.options import RuleOptions
from algowatch.store.store import Store
from algowatch.testing.clock import FakeClock
from algowatch.web.rules_api import RulesApi

pytestmark = pytest.mark.peer("prometheus")
RULES = """
groups:
- name: first
  interval: 1s
  limit: 5
  rules:
  - {record: "one:sum", expr: sum(vector(1)), labels: {level: desk}}
  - {alert: Firing, expr: vector(7) > 5, keep_firing_for: 1m, labels: {severity: critical}, annotations: {text: "is {{ $value }}"}}
  - {alert: Pending, expr: vector(1), for: 1h}
- name: second
  interval: 1s
  rules:
  - {alert: Inactive, expr: vector(1) > 5}
  - {alert: Broken, expr: 'label_replace(vector(1), "x", "$1", "y", "(.*)") * on () (vector(1) or label_replace(vector(2), "a", "b", "", ""))'}
"""
Get = Callable[..., Any]


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "rules.yml"
    # Debian's Prometheus is older than keep_firing_for.
    path.write_text(RULES.replace(", keep_firing_for: 1m", ""))
    return path


@pytest.fixture(scope="module")
def theirs(rules_file: Path) -> Iterator[Get]:
    folder = rules_file.parent
    (folder / "prometheus.yml").write_text("rule_files: [rules.yml]\n")
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    command = [str(shutil.which("prometheus")), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def get(path: str, *parameters: tuple[str, str]) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(parameters)}", timeout=5) as answer:
            return json.load(answer)

    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                rules = [rule for group in get("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
                if rules and all(rule["health"] != "unknown" for rule in rules):
                    break
            except OSError:
                pass
            time.sleep(0.1)
        yield get
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def ours(rules_file: Path) -> Iterator[Get]:
    clock = FakeClock()
    with Store.open(rules_file.parent / "data") as store:
        store.append("s", clock.now_ms(), Layout([Labels.of(__name__="x")]), np.ones(1))
        queries = QueryEngine(store.select)
        options = RuleOptions(check_expr=parse)
        manager = RuleManager(options, queries.instant, store.append, lambda alerts: None, clock)
        manager.reload([str(rules_file)])
        for _ in range(3):
            clock.advance(1)
            manager.evaluate_due()
        client = TestClient(Starlette(routes=RulesApi(manager.groups).routes()))

        def get(path: str, *parameters: tuple[str, str]) -> Any:
            return client.get(f"{path}?{urllib.parse.urlencode(parameters)}").json()

        yield get


TELLING = {"name", "type", "state", "health", "duration", "interval", "limit", "query", "labels", "annotations", "value"}


def shape(value: Any) -> Any:
    """Keys and types of an answer; of what is the same on both sides the value too."""
    if isinstance(value, dict):
        return {
            key: (inner if key in TELLING and not isinstance(inner, list) else shape(inner))
            for key, inner in value.items()
            if key not in ("keepFiringFor", "lastError")
        }
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@pytest.mark.parametrize("parameters", [[], [("type", "alert")]], ids=str)
def test_rules_have_prometheus_keys_and_types(ours: Get, theirs: Get, parameters: list[tuple[str, str]]) -> None:
    ours_shown, theirs_shown = (get("/api/v1/rules", *parameters)["data"]["groups"] for get in (ours, theirs))
    assert [shape(group) for group in ours_shown] == [shape(group) for group in theirs_shown]


FILTERS = [
    ([("type", "record")], ["one:sum"]),
    ([("rule_name[]", "Firing"), ("rule_name[]", "Inactive")], ["Firing", "Inactive"]),
    ([("rule_group[]", "second")], ["Inactive", "Broken"]),
    ([("rule_group[]", "second"), ("type", "record")], []),
    ([("file[]", "elsewhere.yml")], []),
]


@pytest.mark.parametrize(("parameters", "names"), FILTERS, ids=str)
def test_filters_of_newer_releases_leave_out_groups_without_rules(ours: Get, parameters: Any, names: list[str]) -> None:
    """Debian's Prometheus does not know them; the names are counted by hand."""
    groups = ours("/api/v1/rules", *parameters)["data"]["groups"]
    assert [rule["name"] for group in groups for rule in group["rules"]] == names
    assert all(group["rules"] for group in groups)


def test_alerts_have_prometheus_keys_and_types(ours: Get, theirs: Get) -> None:
    def by_name(answer: Any) -> Any:
        return shape(sorted(answer["data"]["alerts"], key=lambda alert: alert["labels"]["alertname"]))

    assert by_name(ours("/api/v1/alerts")) == by_name(theirs("/api/v1/alerts"))


def test_a_wrong_type_is_refused_in_prometheus_words(ours: Get, theirs: Get) -> None:
    with pytest.raises(urllib.error.HTTPError) as raised:
        theirs("/api/v1/rules", ("type", "alerts"))
    with raised.value as error:
        wanted = json.load(error)
    answer = ours("/api/v1/rules", ("type", "alerts"))
    assert {key: answer[key] for key in ("status", "errorType")} == {key: wanted[key] for key in ("status", "errorType")}
    assert "not supported value" in answer["error"]
    assert "not supported value" in wanted["error"]
