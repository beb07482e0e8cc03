"""API v2 and amtool: the same requests to a real Alertmanager and to the engine."""

import json
import re
import time

import pytest

from engine.alertmanager_peer import alertmanager, amtool, call, prometheus

pytestmark = [pytest.mark.peer("prometheus-alertmanager"), pytest.mark.peer("amtool")]

ROUTING = """
route:
  receiver: default
  group_by: [alertname]
  group_wait: 50ms
  routes:
    - {matchers: ['severity="critical"'], receiver: pager}
    - {matchers: ['severity="info"'], receiver: default, active_time_intervals: [long ago]}
receivers: [{name: default}, {name: pager}]
time_intervals: [{name: long ago, time_intervals: [{years: ['1999']}]}]
inhibit_rules:
  - {source_matchers: ['alertname=Down'], target_matchers: ['alertname=Stale'], equal: [instance]}
"""
ALERTS = [
    {"labels": {"alertname": "Down", "instance": "a", "severity": "critical"}, "annotations": {"summary": "it is down"}},
    {"labels": {"alertname": "Stale", "instance": "a", "severity": "warning"}, "generatorURL": "http://p.example/graph"},
    {"labels": {"alertname": "Stale", "instance": "b", "severity": "warning"}},
    {"labels": {"alertname": "Quiet", "instance": "b", "severity": "info"}},
]
SWITCHES = (
    "",
    "active=false",
    "silenced=false",
    "inhibited=false",
    "active=no&inhibited=1",
    "receiver=pag.*",
    "receiver=pag",
    "filter=alertname=%22Stale%22&filter=instance!=b",
    "filter=severity=~crit.*",
    "filter=nothing=%22%22",
    "unprocessed=false",
)
SILENCES = ("/api/v2/silences", "/api/v2/silences?filter=instance=b", "/api/v2/silences?filter=instance=c")
UNKNOWN = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def both(tmp_path, start_engine):
    """The addresses of a real Alertmanager and of an engine with the same file."""
    with alertmanager(tmp_path / "peer", ROUTING) as peer:
        engine = start_engine("--alertmanager-config", str(tmp_path / "peer" / "alertmanager.yml"), "--no-discovery")
        yield peer, engine.url


def moment(offset_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset_s))


def silence(**changed):
    body = {
        "matchers": [{"name": "instance", "value": "b", "isRegex": False, "isEqual": True}],
        "startsAt": moment(0),
        "endsAt": moment(600),
        "createdBy": "desk",
        "comment": "maintenance",
        **changed,
    }
    return {key: value for key, value in body.items() if value is not None}


def matcher(**changed):
    return [{"name": "a", "value": "b", "isRegex": False, **changed}]


def still(answer):
    """An answer without what differs from run to run: moments and ids; lists of alerts in one order."""
    text = json.dumps(answer, sort_keys=True)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "MOMENT", text)
    return json.loads(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text))


def test_the_same_answers_as_alertmanager(both):
    peer, ours = both
    for url in both:
        assert call(url, "POST", "/api/v2/alerts", ALERTS)[0] == 200
        assert call(url, "POST", "/api/v2/silences", silence())[0] == 200
    time.sleep(0.3)
    asked = [f"{path}?{text}" for path in ("/api/v2/alerts", "/api/v2/alerts/groups") for text in SWITCHES]
    for path in (*asked, *SILENCES, "/api/v2/receivers"):
        theirs, got = call(peer, "GET", path), call(ours, "GET", path)
        assert still(got) == still(theirs), path
    assert len(call(ours, "GET", "/api/v2/alerts")[1]) == 4
    assert call(ours, "GET", "/api/v2/alerts?silenced=false")[1] != call(ours, "GET", "/api/v2/alerts")[1]


@pytest.mark.parametrize(
    "changed",
    [
        {"matchers": []},
        {"matchers": None},
        {"comment": None},
        {"createdBy": None},
        {"startsAt": None},
        {"endsAt": None},
        {"comment": ""},
        {"endsAt": "PAST"},
        {"startsAt": "LATER"},
        {"startsAt": "LONG PAST", "endsAt": "PAST"},
        {"matchers": matcher(value="")},
        {"matchers": matcher(value=".*", isRegex=True)},
        {"matchers": matcher(name="a b")},
        {"matchers": matcher(name="")},
        {"matchers": [{"name": "a", "value": "b"}]},
        {"id": UNKNOWN},
    ],
    ids=str,
)
def test_silences_are_refused_in_the_same_words(silence_servers, changed):
    peer, ours = silence_servers
    moments = {"PAST": moment(-60), "LONG PAST": moment(-120), "LATER": moment(6000)}
    body = silence(**{key: moments.get(value, value) if isinstance(value, str) else value for key, value in changed.items()})
    theirs, got = call(peer, "POST", "/api/v2/silences", body), call(ours, "POST", "/api/v2/silences", body)
    assert still(got) == still(theirs)


@pytest.fixture(scope="module")
def silence_servers(tmp_path_factory, start_shared_engine):
    folder = tmp_path_factory.mktemp("silences")
    with alertmanager(folder / "peer", ROUTING) as peer:
        configuration = str(folder / "peer" / "alertmanager.yml")
        yield peer, start_shared_engine(folder, "--alertmanager-config", configuration, "--no-discovery").url


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v2/alerts", [{}]),
        ("POST", "/api/v2/alerts", [{"labels": {}}]),
        ("POST", "/api/v2/alerts", [{"labels": {"a b": "c"}}]),
        ("POST", "/api/v2/alerts", [{"labels": {"a": ""}}, {"labels": {"good": "1"}}]),
        ("POST", "/api/v2/alerts", [{"labels": {"a": "b"}, "startsAt": moment(0), "endsAt": moment(-10)}]),
        ("GET", f"/api/v2/silence/{UNKNOWN}", None),
        ("GET", "/api/v2/silence/nope", None),
        ("DELETE", "/api/v2/silence/nope", None),
    ],
)
def test_what_is_wrong_is_refused_alike(silence_servers, method, path, body):
    peer, ours = silence_servers
    theirs, got = call(peer, method, path, body), call(ours, method, path, body)
    assert got[0] == theirs[0]
    assert theirs[1] is None or got[1] == theirs[1]


def test_amtool_adds_asks_and_routes(both):
    for url in both:
        amtool(url, "alert", "add", "Down", "instance=a", "severity=critical", "--annotation=summary=it is down")
        amtool(url, "alert", "add", "alertname=Stale", "instance=a", "severity=warning")
        time.sleep(0.2)
    commands = [
        ["alert", "query", "-o", "json"],
        ["alert", "query", "--inhibited", "-o", "json"],
        ["alert", "query", "severity=~crit.*", "-o", "json"],
        ["alert", "query", "-o", "simple"],
        ["config", "routes", "show"],
        ["config", "routes", "test", "severity=critical"],
        ["config", "routes", "test", "severity=warning", "--verify.receivers=default"],
        ["cluster", "show"],
    ]
    for command in commands:
        theirs, got = (amtool(url, *command).stdout for url in both)
        if "json" in command:
            assert still(json.loads(got)) == still(json.loads(theirs)), command
        else:
            assert without_moments(got) == without_moments(theirs), command
        assert got.strip(), command
    assert "receiver: pager" in amtool(both[1], "config", "show").stdout
    wrong = amtool(both[1], "config", "routes", "test", "severity=info", "--verify.receivers=pager", check=False)
    assert wrong.returncode != 0


def query(url, *matchers):
    """The alerts that amtool lists: those that nothing keeps quiet."""
    return json.loads(amtool(url, "alert", "query", "-o", "json", *matchers).stdout)


def without_moments(text):
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "MOMENT", text)


def test_amtool_keeps_silences(both, tmp_path):
    shown = []
    for url in both:
        call(url, "POST", "/api/v2/alerts", ALERTS)
        made = amtool(
            url, "silence", "add", "instance=b", "severity=~w.*", "--duration=2h", "--author=me", "--comment=why"
        ).stdout
        assert amtool(url, "silence", "query", "-q").stdout == made
        assert [alert["labels"]["alertname"] for alert in query(url, "instance=b")] == ["Quiet"]
        amtool(url, "silence", "update", made.strip(), "--duration=3h", "--comment=longer")
        listed = json.loads(amtool(url, "silence", "query", "-o", "json").stdout)
        (tmp_path / "silences.json").write_text(json.dumps(listed))
        amtool(url, "silence", "expire", made.strip())
        assert amtool(url, "silence", "query", "-q").stdout == ""
        assert made in amtool(url, "silence", "query", "-q", "--expired").stdout
        amtool(url, "silence", "import", str(tmp_path / "silences.json"), "--force")
        again = json.loads(amtool(url, "silence", "query", "-o", "json", "instance=b").stdout)
        refused = amtool(url, "silence", "add", "a=~.*", "--author=me", "--comment=c", check=False)
        shown.append((still(listed), still(again), refused.returncode, refused.stderr.splitlines()[-1:]))
    assert shown[1] == shown[0]
    assert shown[1][2] != 0


@pytest.mark.peer("prometheus")
def test_a_real_prometheus_delivers_through_the_engine(tmp_path, start_engine, receiver):
    engine = start_engine("--webhook", receiver.url, "--no-discovery")
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: g, rules: [{alert: FromPrometheus, expr: vector(1), labels: {severity: critical}}]}]"
    )
    configuration = f"""
global: {{evaluation_interval: 1s}}
rule_files: ['{tmp_path}/rules.yml']
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{engine.port}']}}], api_version: v2}}]}}
"""
    with prometheus(tmp_path / "prometheus", configuration) as url:
        _, alert = receiver.wait_for("FromPrometheus", timeout_s=20)
        assert alert["generatorURL"].partition("/graph")[2], alert
        known = json.loads(json.dumps(call(url, "GET", "/api/v1/alertmanagers")[1]))["data"]["activeAlertmanagers"]
        assert known == [{"url": f"http://127.0.0.1:{engine.port}/api/v2/alerts"}]
