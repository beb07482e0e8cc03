import asyncio
import json
import re

import pytest

from algowatch.scrape.discovery import BotDiscovery, FileDiscovery, read_groups
from algowatch.scrape.http_discovery import HttpDiscovery
from algowatch.scrape.sections import HttpSdConfig


def groups(discovery):
    return [(group.targets, str(group.labels.without(["__meta_filepath", "__meta_url"]))) for group in discovery.groups]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '[{"targets": ["a:1", "b:2"], "labels": {"env": "prod"}}, {"targets": ["c:3"]}]'),
        ("t.yml", "- targets: [a:1, b:2]\n  labels: {env: prod}\n- targets: ['c:3']\n"),
    ],
)
def test_a_file_gives_its_target_groups(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    discovery = FileDiscovery([str(tmp_path / "*.json"), str(tmp_path / "*.yml")])
    assert discovery.poll() is True
    assert groups(discovery) == [(("a:1", "b:2"), '{env="prod"}'), (("c:3",), "{}")]
    assert discovery.groups[0].labels.get("__meta_filepath") == str(tmp_path / name)
    assert discovery.poll() is False


def test_a_file_that_turns_bad_keeps_its_targets_and_is_reported(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('[{"targets": ["a:1"]}]')
    discovery = FileDiscovery([str(path)])
    discovery.poll()
    path.write_text('[{"targets": ["a:1"')
    discovery.poll()
    assert groups(discovery) == [(("a:1",), "{}")]
    assert discovery.problems[0].startswith(f"{path}: not valid JSON or YAML: ")
    path.write_text('[{"targets": ["a:2", "b:3"]}]')
    discovery.poll()
    assert groups(discovery) == [(("a:2", "b:3"), "{}")]
    assert discovery.problems == ()


def test_a_file_that_goes_takes_its_targets_with_it(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('[{"targets": ["a:1"]}]')
    discovery = FileDiscovery([str(path)])
    discovery.poll()
    path.unlink()
    assert discovery.poll() is True
    assert groups(discovery) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "expected a list of target groups"),
        ('[{"target": ["a"]}]', "entry 0: expected a mapping with 'targets' and 'labels'"),
        ('[{}, {"targets": "a"}]', "entry 1: 'targets' must be a list of addresses"),
        ('[{"targets": [], "labels": [1]}]', "entry 0: 'labels' must be a mapping of names to texts"),
        ('[{"targets": [], "labels": {"a": 1}}]', "entry 0: label 'a' must be a text"),
    ],
)
def test_another_shape_is_named(tmp_path, text, problem):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        read_groups(str(tmp_path / "t.json"))


def test_the_bots_folder_may_come_later_and_hidden_files_are_not_bots(tmp_path):
    discovery = BotDiscovery(tmp_path / "bots")
    assert discovery.poll() is False
    (tmp_path / "bots").mkdir()
    (tmp_path / "bots" / ".x.json").write_text("half")
    (tmp_path / "bots" / "g.json").write_text(json.dumps([{"targets": ["a:1"], "labels": {"instance": "g"}}]))
    assert discovery.poll() is True
    assert groups(discovery) == [(("a:1",), '{instance="g"}')]


def test_http_answers_are_used_and_bad_ones_keep_the_last(target):
    async def claim():
        async with target() as server:
            server.headers = "Content-Type: application/json\r\n"
            server.body = '[{"targets": ["a:1"], "labels": {"x": "y"}}]'
            config = HttpSdConfig(url=f"http://{server.address}/sd", refresh_interval="50ms")
            discovery = HttpDiscovery(config, "algowatch")
            discovery.start()
            try:
                while not discovery.poll():
                    await asyncio.sleep(0.01)
                server.status = "500 Oh"
                while not discovery.problems:
                    await asyncio.sleep(0.01)
                return config.url, groups(discovery), discovery.problems, server.requests[0]
            finally:
                await discovery.stop()

    url, found, problems, request = asyncio.run(claim())
    assert found == [(("a:1",), '{x="y"}')]
    assert problems == (f"{url}: server returned HTTP status 500 Oh; the targets that it had stay",)
    assert "x-prometheus-refresh-interval-seconds: 0.05" in request.lower()
