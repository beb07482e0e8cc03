"""The same target and rules for the engine and a real Prometheus: every endpoint that both have answers in the same shape."""

import re
import socket
import subprocess
import time

import pytest

from promql.prometheus_peer import binary
from web.conftest import ask

pytestmark = pytest.mark.peer("prometheus", "promtool")

RULES = """
groups:
  - name: desk
    interval: 200ms
    rules:
      - record: desk:filled:sum
        expr: sum(trading_orders_filled_total)
      - alert: LinkIsUp
        expr: broker_up == 1
        labels: {severity: info}
        annotations: {summary: "is {{ $value }}"}
      - alert: Waits
        expr: broker_up == 1
        for: 1h
"""
# What Prometheus 3 has and Debian's 2.42 has not.
NEWER = {"hostname", "serverTime", "GOMEMLIMIT", "scrapePool", "droppedTargetCounts", "keepFiringFor", "infos", "state"}


@pytest.fixture(scope="module")
def peers(in_process, target, tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers")
    (folder / "rules.yml").write_text(RULES)
    config = f"""
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms, external_labels: {{desk: nyc}}}}
rule_files: ["{folder}/rules.yml"]
scrape_configs: [{{job_name: desk, static_configs: [{{targets: ["{target.address}"]}}]}}]
"""
    engine = in_process(config, builtin_rules=False)
    (folder / "prometheus.yml").write_text(config)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:" + str(probe.getsockname()[1])
    process = subprocess.Popen(
        [
            binary(),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
            "--enable-feature=exemplar-storage",
            "--web.enable-admin-api",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    theirs = f"http://{address}"
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (_alerts(theirs) and _alerts(engine.url)):
            time.sleep(0.1)
        yield engine.url, theirs
    finally:
        process.terminate()
        process.wait(10)


def _alerts(url):
    try:
        return ask(f"{url}/api/v1/query", {"query": 'ALERTS{alertname="LinkIsUp"}'}).json["data"]["result"]
    except OSError:
        return []


def shape(value):
    """Types instead of values; a list is what all its elements have together."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        merged = None
        for item in map(shape, value):
            merged = merge(merged, item)
        return [merged]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def merge(one, other):
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other if one is None else one
    return {key: merge(one.get(key), other.get(key)) if key in other else one[key] for key in [*one, *other]}


def differences(ours, theirs, place=""):
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if place.endswith(FREE):
            return []
        missing = [f"{place}.{key} is missing" for key in theirs.keys() - ours.keys()]
        more = [f"{place}.{key} is more" for key in ours.keys() - theirs.keys() - NEWER]
        return (
            missing
            + more
            + [d for key in theirs.keys() & ours.keys() for d in differences(ours[key], theirs[key], f"{place}.{key}")]
        )
    if isinstance(theirs, list) and isinstance(ours, list):
        return differences(ours[0], theirs[0], place) if ours[0] is not None and theirs[0] is not None else []
    return [] if ours == theirs else [f"{place}: {ours} instead of {theirs}"]


FREE = ("status/flags.data",)
"""Objects whose keys are each program's own."""


def moment(value):
    """`NOW-60` is a minute ago; worked out when the test runs, so that every worker collects the same tests."""
    if not isinstance(value, str) or not value.startswith("NOW"):
        return value
    return time.time() + float(value[3:] or 0)


CALLS = [
    ("query", {"query": "trading_orders_filled_total"}),
    ("query", {"query": "1 + 1"}),
    ("query", {"query": '"text"'}),
    ("query", {"query": "trading_fill_seconds_count[1m]"}),
    ("query", {"query": "sum(trading_orders_filled_total)", "stats": "all"}),
    ("query_range", {"query": "broker_up", "start": "NOW-60", "end": "NOW+60", "step": 1}),
    ("query_range", {"query": "2", "start": "NOW-60", "end": "NOW", "step": "15s"}),
    ("series", {"match[]": "trading_orders_filled_total"}),
    ("labels", {}),
    ("label/strategy/values", {}),
    ("metadata", {}),
    ("metadata", {"metric": "trading_orders_filled"}),
    ("targets", {}),
    ("targets", {"state": "active"}),
    ("targets/metadata", {}),
    ("scrape_pools", {}),
    ("rules", {}),
    ("rules", {"type": "alert"}),
    ("alerts", {}),
    ("alertmanagers", {}),
    ("format_query", {"query": "sum(rate(broker_up[5m]))by(job)"}),
    ("query_exemplars", {"query": "trading_fill_seconds_bucket", "start": 1, "end": "NOW+600"}),
    ("status/config", {}),
    ("status/flags", {}),
    ("status/runtimeinfo", {}),
    ("status/buildinfo", {}),
    ("status/tsdb", {}),
    ("status/walreplay", {}),
]


@pytest.mark.parametrize(("path", "parameters"), CALLS, ids=lambda found: found if isinstance(found, str) else "")
def test_answers_have_the_same_shape(peers, path, parameters):
    parameters = {name: moment(value) for name, value in parameters.items()}
    ours, theirs = (ask(f"{url}/api/v1/{path}", parameters) for url in peers)
    assert ours.status == 200
    assert (ours.status, ours.headers["Content-Type"]) == (theirs.status, theirs.headers["Content-Type"])
    assert differences(shape(ours.json), shape(theirs.json), path) == []


SAME = [
    ("query", {"query": "trading_orders_filled_total * 2", "time": "NOW"}),
    ("query_range", {"query": "vector(1.5)", "start": 1, "end": 31, "step": 10}),
    ("format_query", {"query": "sum(rate(broker_up[5m]))by(job)"}),
    ("label/strategy/values", {}),
    ("query_exemplars", {"query": 'trading_fill_seconds_bucket{le="0.1"}', "start": 1, "end": "NOW+600"}),
    ("metadata", {"metric": "broker_up"}),
    ("query", {"query": "sum("}),
    ("query", {"query": "up", "time": "yesterday"}),
    ("query", {"query": "up", "timeout": "soon"}),
    ("query", {}),
    ("query_range", {"query": "up"}),
    ("query_range", {"query": "up", "start": 10, "end": 1, "step": 1}),
    ("query_range", {"query": "up", "start": 1, "end": 10, "step": 0}),
    ("query_range", {"query": "up", "start": 0, "end": 11_001, "step": 1}),
    ("query_range", {"query": '"x"', "start": 1, "end": 2, "step": 1}),
    ("series", {}),
    ("series", {"match[]": "up[5m]"}),
    ("query_exemplars", {"query": "up", "start": 10, "end": 1}),
    ("query", {"query": "label_replace(up, 'x', '$1', 'y', '(')"}),
]


@pytest.mark.parametrize(("path", "parameters"), SAME, ids=str)
def test_answers_and_refusals_are_the_same(peers, path, parameters):
    parameters = {name: moment(value) for name, value in parameters.items()}
    for method in ("GET", "POST") if not path.startswith(("label/", "metadata")) else ("GET",):
        ours, theirs = (ask(f"{url}/api/v1/{path}", parameters, method=method) for url in peers)
        assert ours.status == theirs.status, (ours.body, theirs.body)
        if ours.status == 200:
            assert ours.json == theirs.json
        else:
            assert (ours.json["status"], ours.json["errorType"]) == ("error", theirs.json["errorType"])


def test_federation_is_the_same_but_for_the_times(peers):
    matchers = [("match[]", "broker_up"), ("match[]", '{__name__=~"trading_.*"}'), ("match[]", "up")]
    ours, theirs = (ask(f"{url}/federate", matchers) for url in peers)
    assert (ours.status, theirs.status) == (200, 200)
    shown, wanted = (
        sorted(re.sub(r" \d+$", "", line) for line in found.body.decode().splitlines()) for found in (ours, theirs)
    )
    assert shown == wanted
    assert 'desk="nyc"' in ours.body.decode()
    assert ask(f"{peers[0]}/federate", {"match[]": "sum("}).status == ask(f"{peers[1]}/federate", {"match[]": "sum("}).status


@pytest.mark.parametrize(
    "command",
    [
        ["instant", "SERVER", "trading_orders_filled_total"],
        ["range", "--step=1s", "SERVER", "broker_up"],
        ["series", "--match=trading_orders_filled_total", "SERVER"],
        ["labels", "SERVER", "strategy"],
    ],
    ids=lambda command: command[0],
)
def test_promtool_says_the_same_of_both(peers, command):
    outputs = []
    for url in peers:
        words = [url if word == "SERVER" else word for word in command]
        ran = subprocess.run(["promtool", "query", *words], capture_output=True, text=True, timeout=30, check=False)
        assert ran.returncode == 0, ran.stderr
        outputs.append(sorted({re.sub(r"@\[[\d.]+\]", "", line) for line in ran.stdout.splitlines()}))
    assert outputs[0] == outputs[1]
    assert outputs[0]
