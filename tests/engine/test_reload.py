"""The configuration read again in a running engine: what changed counts, what did not goes on, what is wrong is left out."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest

from engine.conftest import environment

HELD = """
groups:
  - name: desk
    rules:
      - alert: Held
        expr: depth > 5
        for: 2s
        labels: {severity: warning}
        annotations: {summary: "%s"}
"""


@pytest.fixture
def exporter():
    """Exports `depth 9`, and counts who asks."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = b"depth 9\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            asked.append("POST " + self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.asked = asked  # type: ignore[attr-defined]
    yield server
    server.shutdown()
    server.server_close()


def write_config(folder: Path, port: int, *jobs: str, rules: str = "rules.yml", shared: str = "") -> Path:
    lines = [f"global: {{scrape_interval: 200ms, scrape_timeout: 200ms{shared}}}", f"rule_files: [{rules}]", "scrape_configs:"]
    for job in jobs:
        target = f"static_configs: [{{targets: ['127.0.0.1:{port}']}}]"
        lines.append(f"  - {{job_name: {job}, metrics_path: /{job}, {target}}}")
    path = folder / "prometheus.yml"
    path.write_text("\n".join(lines) + "\n")
    return path


def reload(engine, method: str = "POST", **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"{engine.url}/-/reload", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def own_metric(engine, name: str) -> float:
    with urllib.request.urlopen(f"{engine.url}/metrics", timeout=5) as response:
        text = response.read().decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


def alert_of(engine, name: str) -> dict:
    found = [alert for alert in engine.get("/api/v1/alerts")["alerts"] if alert["labels"]["alertname"] == name]
    assert len(found) == 1, found
    return found[0]


def alerts_of_job(engine, job: str) -> dict[str, dict]:
    found = engine.get("/api/v1/alerts")["alerts"]
    return {alert["labels"]["alertname"]: alert for alert in found if alert["labels"].get("job") == job}


def wait_for(what, timeout_s: float = 8.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s")


def test_a_reload_takes_over_rules_and_jobs_and_keeps_pending_and_firing(start_engine, exporter, tmp_path, receiver):
    (tmp_path / "rules.yml").write_text(HELD % "old words" + "      - {alert: Waiting, expr: depth > 5, for: 1h}\n")
    config = write_config(tmp_path, exporter.server_address[1], "kept", "gone")
    engine = start_engine("--config", str(config), "--webhook", receiver.url)
    wait_for(lambda: alerts_of_job(engine, "kept").get("Held", {}).get("state") == "firing")
    before = alerts_of_job(engine, "kept")
    started = engine.get("/api/v1/status/runtimeinfo")["lastConfigTime"]
    text = (HELD % "new words").replace("depth > 5", "depth > 6") + "      - {alert: Waiting, expr: depth > 4, for: 1h}\n"
    (tmp_path / "rules.yml").write_text(text + "      - {alert: Fresh, expr: depth > 7, labels: {severity: info}}\n")
    write_config(tmp_path, exporter.server_address[1], "kept", "added", shared=", evaluation_interval: 300ms")
    kept_before = engine.query('count_over_time(up{job="kept"}[1m])')[0][1]
    assert reload(engine) == (200, "")
    wait_for(lambda: {t["labels"]["job"] for t in engine.get("/api/v1/targets")["activeTargets"]} == {"kept", "added"})
    receiver.wait_for("Fresh")
    after = alerts_of_job(engine, "kept")
    assert {name: (a["state"], a["activeAt"]) for name, a in before.items()} == {
        name: (after[name]["state"], after[name]["activeAt"]) for name in before
    }
    assert {name: a["state"] for name, a in before.items()} == {"Held": "firing", "Waiting": "pending"}
    assert after["Held"]["annotations"] == {"summary": "new words"}
    assert [group["interval"] for group in engine.get("/api/v1/rules")["groups"] if group["name"] == "desk"] == [0.3]
    assert engine.query('up{job="gone"}') == [], "the end of a job's series is marked"
    wait_for(lambda: engine.query('count_over_time(up{job="kept"}[1m])')[0][1] > kept_before)
    assert engine.get("/api/v1/status/runtimeinfo")["reloadConfigSuccess"] is True
    assert engine.get("/api/v1/status/runtimeinfo")["lastConfigTime"] > started


def test_an_unchanged_job_goes_on_without_a_gap_at_its_own_moments(start_engine, exporter, tmp_path):
    (tmp_path / "rules.yml").write_text("groups: []\n")
    config = write_config(tmp_path, exporter.server_address[1], "kept")
    engine = start_engine("--config", str(config))
    engine.wait_for_query("depth")
    for number in range(6):
        write_config(tmp_path, exporter.server_address[1], "kept", shared=f", external_labels: {{run: '{number}'}}")
        assert reload(engine)[0] == 200
        time.sleep(0.11)
    time.sleep(0.5)
    [series] = engine.get("/api/v1/query", query="depth[1m]")["result"]
    times = [time_s for time_s, _ in series["values"]]
    gaps = [round(b - a, 3) for a, b in pairwise(times[1:])]
    assert len(gaps) > 4
    assert max(gaps) < 0.35, gaps
    assert min(gaps) > 0.1, "a job that begins anew scrapes between its moments"


def test_wrong_files_leave_all_as_it_was_and_say_every_fault(start_engine, exporter, tmp_path):
    (tmp_path / "rules.yml").write_text(HELD % "words")
    config = write_config(tmp_path, exporter.server_address[1], "kept")
    routing = tmp_path / "alertmanager.yml"
    routing.write_text("route: {receiver: log}\nreceivers: [{name: log}]\n")
    engine = start_engine("--config", str(config), "--alertmanager-config", str(routing))
    wait_for(lambda: [a for a in engine.get("/api/v1/alerts")["alerts"] if a["state"] == "firing"])
    started = own_metric(engine, "algowatch_engine_config_last_reload_success_timestamp_seconds")
    assert own_metric(engine, "algowatch_engine_config_last_reload_successful") == 1
    (tmp_path / "rules.yml").write_text(HELD.replace("depth > 5", "ratee(depth)") % "words")
    routing.write_text("route: {receiver: lgo}\nreceivers: [{name: log}]\n")
    write_config(tmp_path, exporter.server_address[1], "other")
    status, answer = reload(engine)
    assert status == 500
    assert answer.startswith("failed to reload config: ")
    assert (
        'rules.yml:6: groups[0].rules[0].expr: could not parse expression: 1:1: parse error: unknown function with name "ratee"'
        in answer
    )
    assert "alertmanager.yml:1: " in answer
    assert "lgo" in answer
    log = engine.output.read_text()
    assert all(line in log for line in answer.removeprefix("failed to reload config: ").splitlines())
    assert alert_of(engine, "Held")["state"] == "firing"
    assert [target["labels"]["job"] for target in engine.get("/api/v1/targets")["activeTargets"]] == ["kept"]
    assert own_metric(engine, "algowatch_engine_config_last_reload_successful") == 0
    assert own_metric(engine, "algowatch_engine_config_last_reload_success_timestamp_seconds") == started
    assert engine.get("/api/v1/status/runtimeinfo")["reloadConfigSuccess"] is False
    (tmp_path / "rules.yml").write_text(HELD % "mended")
    routing.write_text("route: {receiver: log}\nreceivers: [{name: log}]\n")
    assert reload(engine, "PUT")[0] == 200
    assert own_metric(engine, "algowatch_engine_config_last_reload_successful") == 1
    wait_for(lambda: alert_of(engine, "Held")["annotations"] == {"summary": "mended"})


def test_another_sites_page_cannot_reload(start_engine):
    engine = start_engine()
    assert reload(engine, Origin="http://evil.example")[0] == 403
    assert reload(engine, "GET")[0] == 405


def test_another_routing_counts_for_what_fires_after_the_reload(start_engine, start_bot, receiver, tmp_path):
    routing = tmp_path / "alertmanager.yml"
    routing.write_text("route: {receiver: nobody, group_wait: 0s}\nreceivers: [{name: nobody}]\n")
    engine = start_engine("--alertmanager-config", str(routing))
    bot = start_bot()
    engine.wait_for_query("up == 1")
    routing.write_text(json.dumps({
        "route": {"receiver": "hook", "group_wait": "0s"},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": receiver.url}]}],
    }))  # fmt: skip
    assert reload(engine)[0] == 200
    bot.run("watch.kill_switches.trip(switch='daily_loss')")
    receiver.wait_for("KillSwitchActive")


def test_external_labels_stand_on_what_receivers_get_and_not_on_the_rules_alerts(start_engine, exporter, tmp_path, receiver):
    (tmp_path / "rules.yml").write_text(HELD.replace("for: 2s", "for: 0s") % "from {{ $externalLabels.site }}")
    shared = ", external_labels: {site: home, severity: info}"
    config = write_config(tmp_path, exporter.server_address[1], "kept", shared=shared)
    engine = start_engine("--config", str(config), "--webhook", receiver.url)
    _, alert = receiver.wait_for("Held")
    assert (alert["labels"]["site"], alert["labels"]["severity"]) == ("home", "warning")
    assert alert["annotations"]["summary"] == "from home"
    assert "site" not in alert_of(engine, "Held")["labels"]
    assert all("site" not in labels for labels, _ in engine.query("ALERTS"))


def test_remote_write_begins_and_ends_with_a_reload(start_engine, exporter, tmp_path):
    (tmp_path / "rules.yml").write_text("groups: []\n")
    config = write_config(tmp_path, exporter.server_address[1], "kept")
    engine = start_engine("--config", str(config))
    engine.wait_for_query("depth")
    alone = config.read_text()
    url = f"http://127.0.0.1:{exporter.server_address[1]}/write"
    config.write_text(alone + f"remote_write: [{{url: '{url}', queue_config: {{batch_send_deadline: 100ms}}}}]\n")
    assert reload(engine)[0] == 200
    wait_for(lambda: "POST /write" in exporter.asked)
    config.write_text(alone)
    assert reload(engine)[0] == 200
    time.sleep(0.3)
    sent = exporter.asked.count("POST /write")
    time.sleep(1)
    assert exporter.asked.count("POST /write") == sent


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_sighup_reloads_and_does_not_end_the_engine_when_files_are_wrong(start_engine, tmp_path):
    (tmp_path / "rules.yml").write_text("groups: [{name: one, rules: []}]\n")
    config = tmp_path / "prometheus.yml"
    config.write_text("rule_files: [rules.yml]\n")
    engine = start_engine("--config", str(config))
    (tmp_path / "rules.yml").write_text("groups: [{name: two, rules: [{alert: A, expr: up}]}]\n")
    engine.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "two" in {group["name"] for group in engine.get("/api/v1/rules")["groups"]})
    config.write_text("rule_filez: [rules.yml]\n")
    engine.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "did you mean 'rule_files'?" in engine.output.read_text())
    assert engine.process.poll() is None
    assert "two" in {group["name"] for group in engine.get("/api/v1/rules")["groups"]}


def test_check_asks_the_running_engine_for_families_that_the_catalogue_does_not_have(start_engine, exporter, tmp_path):
    (tmp_path / "rules.yml").write_text(
        HELD % "words" + "      - {alert: Never, expr: 'width > 5', labels: {severity: info}}\n"
    )
    config = write_config(tmp_path, exporter.server_address[1], "kept")
    engine = start_engine("--config", str(config))
    engine.wait_for_query("depth")
    command = [sys.executable, "-m", "algowatch", "check", "--strict", "--url", engine.url, str(config)]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1, done.stderr
    assert "Never: nothing known exports 'width'" in done.stdout
    assert "depth" not in done.stdout
