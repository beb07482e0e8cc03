"""What only algowatch does with alerts, as a user runs it: settings, acknowledging, the commands."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from engine.alertmanager_peer import call

SETTINGS = """
external_url: https://desk.example
delivery:
  fallback: {receivers: [critical/log], after: 1s}
  flood: {messages: 30, per: 1m}
escalation:
  - matchers: [severity="critical"]
    steps: [{after: 1s, receiver: error}]
"""


@pytest.fixture
def engine(tmp_path, start_engine, receiver):
    (tmp_path / "algowatch.yml").write_text(SETTINGS)
    return start_engine("--webhook", receiver.url, "--settings", str(tmp_path / "algowatch.yml"), "--no-discovery")


@pytest.fixture
def algowatch(tmp_path):
    from engine.conftest import environment

    def run(*arguments, text=""):
        command = [sys.executable, "-m", "algowatch", *arguments]
        kept = {**environment(tmp_path), "ALGOWATCH_DATA_DIR": str(tmp_path / "data")}
        ran = subprocess.run(command, env=kept, input=text, capture_output=True, text=True, timeout=30, check=False)
        return ran.returncode, ran.stdout, ran.stderr

    return run


def fire(engine, name="KillSwitchActive"):
    alert = {"labels": {"alertname": name, "severity": "critical"}, "annotations": {"summary": "<b>loss</b>"}}
    call(engine.url, "POST", "/api/v2/alerts", [alert])
    return next(
        one["fingerprint"] for one in call(engine.url, "GET", "/api/v2/alerts")[1] if one["labels"]["alertname"] == name
    )


def page(url, body=None, **headers):
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_link_opens_a_page_whose_button_acknowledges(engine, receiver):
    mark = fire(engine)
    _, told = receiver.wait_for("KillSwitchActive")
    assert told["annotations"]["ack_url"] == f"https://desk.example/ack/{mark}"
    address = f"{engine.url}/ack/{mark}"
    status, shown = page(address, Host="desk.example")
    assert (status, "&lt;b&gt;loss" in shown, "<b>" in shown) == (200, True, False)
    assert engine.get("/api/acks") == []
    assert page(address, b"by=me", Origin="https://evil.example")[0] == 403
    assert page(address, b"by=me")[0] == 200
    assert [(ack["fingerprint"], ack["by"]) for ack in engine.get("/api/acks")] == [(mark, "me")]
    assert page(f"{engine.url}/ack/{'0' * 16}")[0] == page(f"{engine.url}/ack/{'0' * 16}", b"")[0] == 404


def test_what_nobody_acknowledges_escalates(engine, receiver):
    fire(engine)
    fire(engine, "Other")
    escalated = []
    while len(escalated) < 2:
        _, alert = receiver.wait_for("KillSwitchActive")
        escalated.append(alert["annotations"].get("escalation", ""))
    assert escalated == ["", "nobody acknowledged this within 1s"]


def test_the_commands_silence_acknowledge_and_try_receivers(engine, algowatch, receiver):
    mark = fire(engine)
    assert algowatch("ack", "KillSwitchActive", "--by", "me")[:2] == (0, f"acknowledged KillSwitchActive {mark}\n")
    assert algowatch("ack", "Nothing")[0] == 1
    code, made, _ = algowatch("silence", "add", "alertname=KillSwitchActive", "--for", "5m", "--comment", "known")
    assert code == 0
    assert "(known)" in algowatch("silence", "list")[1]
    assert [one["id"] for one in json.loads(algowatch("silence", "list", "--json")[1])] == [made.strip()]
    assert "suppressed" in algowatch("alerts")[1]
    assert algowatch("silence", "end", made.strip())[0] == 0
    assert algowatch("silence", "list")[1] == "Nothing is silenced.\n"
    assert algowatch("silence", "add", "nothing")[0] == 2
    assert algowatch("alerts")[0] == 1
    code, text, _ = algowatch("alerts", "test", "--json")
    assert (code, {one["integration"] for one in json.loads(text)}) == (0, {"log", "webhook"})
    assert "200" in algowatch("alerts", "test")[1]
    receiver.wait_for("AlgowatchTest")


def test_a_receiver_that_fails_the_test_is_named_with_its_answer(algowatch, httpserver):
    httpserver.expect_request("/hook").respond_with_data("no such channel", status=404)
    code, text, _ = algowatch("alerts", "test", "--webhook", httpserver.url_for("/hook"))
    assert code == 1
    assert "FAILED webhook" in text
    assert "answered 404: no such channel" in text


def test_adding_a_receiver_sends_a_test_keeps_it_and_the_running_engine_uses_it(engine, algowatch, httpserver, tmp_path):
    httpserver.expect_request("/slack/s3cret").respond_with_data("ok")
    address = httpserver.url_for("/slack/s3cret")
    assert algowatch("alerts", "add", "slack", httpserver.url_for("/nothing"), "--yes")[0] == 1
    assert not (tmp_path / "data" / "receivers.env").exists()
    code, text, problem = algowatch("alerts", "add", "slack", address, text="y\n")
    assert code == 0, text + problem
    assert "ok     slack" in text
    assert "s3cret" not in text
    kept = tmp_path / "data" / "receivers.env"
    assert f"SLACK_WEBHOOK_URL={address}\n" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "slack" in {one["integration"] for one in json.loads(algowatch("alerts", "test", "--json")[1])}
    assert algowatch("alerts", "add", "pigeon")[0] == 2


def test_settings_that_are_wrong_are_named_with_their_lines(algowatch, tmp_path):
    path = tmp_path / "algowatch.yml"
    path.write_text("escalation:\n  - matchers: ['a=\"b']\n    steps: [{after: 1s, receiver: boss}]\n")
    code, _, problem = algowatch("up", "--settings", str(path), "--listen", "127.0.0.1:0")
    assert code == 2
    assert f"{path}:2: escalation[0].matchers[0]: bad matcher format" in problem
    assert (
        f'{path}:3: escalation[0].steps[0].receiver: unknown receiver "boss"; receivers: info, warning, error, critical'
        in problem
    )
