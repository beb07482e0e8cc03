"""`alerting.alertmanagers`: the engine's alerts reach a real Alertmanager; a queue and a retry for one that is away."""

import asyncio
import time

import pytest

from algowatch.engine.alertmanagers import Alertmanagers, ForwardOptions
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.scrape.configuration import load_config
from engine.alertmanager_peer import alertmanager, call

CONFIGURATION = """
global: {evaluation_interval: 1s, external_labels: {site: home, severity: unused}}
rule_files: ['FOLDER/rules.yml']
alerting:
  alert_relabel_configs: [{regex: secret_.*, action: labeldrop}]
  alertmanagers:
    - path_prefix: /am/
      timeout: 2s
      static_configs: [{targets: ['ADDRESS', 'drop.example:9093']}]
      relabel_configs:
        - {source_labels: [__address__], regex: 'drop.*', action: drop}
        - {target_label: __alerts_path__, replacement: /api/v2/alerts}
"""


@pytest.mark.peer("prometheus-alertmanager")
def test_alerts_of_rules_and_of_bots_reach_a_real_alertmanager(tmp_path, start_engine):
    rule = "{alert: Up, expr: vector(1), labels: {severity: critical, secret_key: x}, annotations: {summary: it is up}}"
    (tmp_path / "rules.yml").write_text(f"groups: [{{name: g, rules: [{rule}]}}]")
    with alertmanager(tmp_path / "peer", "route: {receiver: d}\nreceivers: [{name: d}]") as peer:
        text = CONFIGURATION.replace("FOLDER", str(tmp_path)).replace("ADDRESS", peer.removeprefix("http://"))
        (tmp_path / "prometheus.yml").write_text(text)
        engine = start_engine("--config", str(tmp_path / "prometheus.yml"), "--no-discovery")
        call(engine.url, "POST", "/api/v2/alerts", [{"labels": {"alertname": "FromBot"}}])
        found = wait_for(
            lambda: {a["labels"]["alertname"]: a for a in call(peer, "GET", "/api/v2/alerts")[1]}, {"Up", "FromBot"}
        )
        assert found["Up"]["labels"] == {"alertname": "Up", "severity": "critical", "site": "home"}
        assert found["Up"]["annotations"] == {"summary": "it is up"}
        assert found["FromBot"]["labels"] == {"alertname": "FromBot", "site": "home", "severity": "unused"}
        assert {"Up", "FromBot"} <= by_name(engine.url).keys()
        listed = [entry["url"] for entry in engine.get("/api/v1/alertmanagers")["activeAlertmanagers"]]
        assert len(listed) == 2
        assert listed[0] == f"{engine.url}/api/v2/alerts"


def by_name(url):
    return {alert["labels"]["alertname"]: alert for alert in call(url, "GET", "/api/v2/alerts")[1]}


def wait_for(ask, names, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if names <= (found := ask()).keys():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{names} did not all arrive: {ask()}")


def forward(tmp_path, httpserver, options, alerts, until):
    """Send alerts, each in a call of its own, and wait until a condition of the Address holds."""
    address = httpserver.url_for("").removeprefix("http://").rstrip("/")
    (tmp_path / "prometheus.yml").write_text(f"""
alerting: {{alertmanagers: [{{basic_auth: {{username: u, password: p}}, static_configs: [{{targets: ['{address}']}}]}}]}}
""")

    async def run():
        sender = Alertmanagers(load_config(tmp_path / "prometheus.yml")[0].alerting, {}, options)
        sender.start()
        for alert in alerts:
            sender.put([alert])
        async with asyncio.timeout(5):
            while not until(sender.active[0]):
                await asyncio.sleep(0.01)
        await sender.stop()

    asyncio.run(run())


def alert(number):
    return Alert(Labels.of(alertname="A", number=str(number)), Labels(), 1_700_000_000_000, 1_700_000_600_000)


def test_a_batch_that_was_not_taken_is_sent_again_in_order(tmp_path, httpserver):
    httpserver.expect_ordered_request("/api/v2/alerts").respond_with_data(status=503)
    httpserver.expect_ordered_request("/api/v2/alerts").respond_with_data(status=200)
    forward(tmp_path, httpserver, ForwardOptions(first_backoff_s=0.01), [alert(1), alert(2)], lambda one: one.sent == 2)
    (first, _), (second, _) = httpserver.log
    assert [entry["labels"]["number"] for entry in second.json] == ["1", "2"]
    assert first.json == second.json
    assert second.authorization.username == "u"


def test_a_full_queue_lets_the_oldest_go_and_a_refusal_for_good_is_not_repeated(tmp_path, httpserver):
    httpserver.expect_request("/api/v2/alerts").respond_with_data(status=400)
    options = ForwardOptions(capacity=3, batch=2)
    forward(tmp_path, httpserver, options, [alert(number) for number in range(5)], lambda one: one.dropped == 5)
    assert [entry["labels"]["number"] for request, _ in httpserver.log for entry in request.json] == ["2", "3", "4"]
