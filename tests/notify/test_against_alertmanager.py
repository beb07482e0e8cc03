"""The same alertmanager.yml and the same alerts through the real Alertmanager and through ours: the same webhooks."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from algowatch.errors import ConfigError
from algowatch.model.alerts import Alert
from algowatch.model.clock import SystemClock
from algowatch.model.labels import Labels
from algowatch.model.timestamps import format_time
from algowatch.notify import Notifier, NotifyOptions, built_in_routing, load_routing, parse_routing
from algowatch.notify.spelled import spelled
from algowatch.senders.channels import log_channel

EXTERNAL_URL = "http://desk.example:9093"

CONFIGURATION = """
global: {resolve_timeout: 1m}
route:
  receiver: default
  group_by: [alertname, instance]
  group_wait: 200ms
  group_interval: 700ms
  repeat_interval: 1h
  routes:
    - matchers: ['severity=~"critical|error"', 'team != "a \\"quoted\\" one"']
      receiver: desk.oncall
      group_by: ['...']
      continue: true
    - match: {severity: critical}
      match_re: {instance: 'gamma.*'}
      receiver: pager
      group_by: [severity]
    - matchers: ['{mute="yes"}']
      receiver: default
      mute_time_intervals: [always]
    - matchers: ['hours="never"']
      receiver: default
      active_time_intervals: [long ago]
time_intervals:
  - name: always
    time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]
  - name: long ago
    time_intervals: [{years: ['1999']}]
inhibit_rules:
  - source_matchers: ['alertname=BrokerDisconnected']
    target_match: {alertname: MarketDataStale}
    equal: [instance]
receivers:
  - name: default
    webhook_configs: [{url: 'URL/default', max_alerts: 2}]
  - name: desk.oncall
    webhook_configs: [{url: 'URL/desk', max_alerts: 2}]
  - name: pager
    webhook_configs: [{url: 'URL/pager', max_alerts: 2, send_resolved: false}]
"""


def require(program):
    path = shutil.which(program)
    if path is None and os.environ.get("ALGOWATCH_REQUIRE_PEERS") == "1":
        pytest.fail(f"{program} is required (ALGOWATCH_REQUIRE_PEERS=1) and not on the PATH")
    if path is None:
        pytest.skip(f"{program} is not on the PATH")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def alertmanager(directory, configuration):
    program, port = require("prometheus-alertmanager"), free_port()
    (directory / "alertmanager.yml").write_text(configuration)
    with (directory / "alertmanager.log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={directory / 'alertmanager.yml'}",
                f"--storage.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--web.external-url={EXTERNAL_URL}",
                "--web.route-prefix=/",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_ready(url + "/-/ready", process, directory / "alertmanager.log")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def wait_ready(url, process, log):
    end = time.monotonic() + 15
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.02)


def post(url, alerts):
    body = [
        {
            "labels": alert.labels.as_dict(),
            "annotations": alert.annotations.as_dict(),
            "startsAt": format_time(alert.starts_at_ms),
            "endsAt": format_time(alert.ends_at_ms),
            "generatorURL": alert.generator_url,
        }
        for alert in alerts
    ]
    request = urllib.request.Request(
        url + "/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=5):
        pass


def alert(now_ms, name, severity, instance="gamma-bot", lasts_s=60.0, **labels):
    return Alert(
        Labels.of({"alertname": name, "severity": severity, "instance": instance, **labels}),
        Labels.of(summary=f"{name} at {instance}", runbook="see the wiki"),
        now_ms,
        now_ms + int(lasts_s * 1000),
        generator_url="http://prometheus.example/graph?g0.expr=up",
    )


def batches(now_ms):
    """Two batches of alerts, the second one second after the first."""
    short = alert(now_ms, "DailyLossLimit", "critical", lasts_s=2.0, strategy='gamma "scalping"\n{evil}\\')
    first = [
        alert(now_ms, "BrokerDisconnected", "critical"),
        alert(now_ms, "MarketDataStale", "warning", symbol="SPY"),
        alert(now_ms, "MarketDataStale", "warning", instance="other-bot", symbol="QQQ"),
        alert(now_ms, "MarketDataStale", "warning", instance="other-bot", symbol="Ünï"),
        short,
        alert(now_ms, "KillSwitchActive", "critical", job="bots"),
        alert(now_ms, "Quiet", "warning", mute="yes"),
        alert(now_ms, "Quiet", "warning", hours="never"),
        alert(now_ms, "QuotedTeam", "error", instance="b", team='a "quoted" one'),
    ]
    second = [
        alert(now_ms + 1000, "MarketDataStale", "warning", instance="other-bot", symbol="IWM"),
        alert(now_ms + 1000, "LatencyHigh", "error", instance="other-bot"),
    ]
    return first, second


def by_group(bodies):
    """The bodies of each group in the order of arrival; groups come in any order."""
    found = {}
    for body in bodies:
        found.setdefault((body["receiver"], body["groupKey"]), []).append(body)
    return found


@pytest.mark.peer("prometheus-alertmanager")
def test_the_same_webhooks_as_alertmanager(tmp_path, receiver, second_receiver):
    async def scenario(peer):
        options = NotifyOptions(
            tmp_path / "ours",
            parse_routing(CONFIGURATION.replace("URL", second_receiver.url)),
            environ={},
            external_url=EXTERNAL_URL,
        )
        notifier = Notifier(options)
        await notifier.start()
        first, second = batches(SystemClock().now_ms())
        for batch in (first, second):
            await asyncio.to_thread(post, peer, batch)
            await notifier.accept(batch)
            await asyncio.sleep(1.0)
        await asyncio.sleep(2.5)
        await notifier.stop()

    with alertmanager(tmp_path, CONFIGURATION.replace("URL", receiver.url)) as peer:
        asyncio.run(scenario(peer))
    theirs, ours = by_group(receiver.bodies), by_group(second_receiver.bodies)
    assert ours.keys() == theirs.keys()
    for group, expected in theirs.items():
        assert ours[group] == expected, group
    assert len(theirs) >= 6
    assert any(body["truncatedAlerts"] for body in receiver.bodies)


def check_config(path):
    return subprocess.run([require("amtool"), "check-config", str(path)], capture_output=True, text=True)


@pytest.mark.peer("amtool")
def test_amtool_accepts_the_configuration_that_we_accept(tmp_path):
    text = CONFIGURATION.replace("URL", "http://127.0.0.1:9000")
    parse_routing(text)
    (tmp_path / "alertmanager.yml").write_text(text)
    found = subprocess.run(
        [require("amtool"), "check-config", str(tmp_path / "alertmanager.yml")], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.peer("amtool")
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        (["severity=critical", "instance=gamma-1"], "desk.oncall,pager"),
        (["severity=critical", "instance=x"], "desk.oncall"),
        (["severity=info"], "default"),
    ],
)
def test_amtool_routes_alike_by_the_configuration_that_we_show(tmp_path, labels, receivers):
    routing = parse_routing(CONFIGURATION.replace("URL", "http://127.0.0.1:9000/s3cr3t"))
    (tmp_path / "shown.yml").write_text(spelled(routing))
    assert "s3cr3t" not in spelled(routing)
    command = [require("amtool"), "config", "routes", "test", f"--config.file={tmp_path / 'shown.yml'}", *labels]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == receivers
    matched = routing.route.match(Labels.of(label.split("=") for label in labels))
    assert ",".join(route.options.receiver for route in matched) == receivers


@pytest.mark.peer("amtool")
def test_amtool_reads_the_built_in_routing(tmp_path):
    (tmp_path / "shown.yml").write_text(spelled(built_in_routing([log_channel()])))
    found = check_config(tmp_path / "shown.yml")
    assert found.returncode == 0, found.stdout + found.stderr
    command = [require("amtool"), "config", "routes", "test", f"--config.file={tmp_path / 'shown.yml'}", "severity=P0"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "critical"


@pytest.mark.peer("amtool")
@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("route: {receiver: b}\nreceivers: [{name: a}]", 'unknown receiver "b"; receivers: a'),
        ("route: {receiver: a, group_by: [x, '...']}\nreceivers: [{name: a}]", "stands for all labels"),
        ("route: {receiver: a, group_by: [x, x]}\nreceivers: [{name: a}]", "is there twice"),
        ("route: {receiver: a, group_interval: 0s}\nreceivers: [{name: a}]", "cannot be zero"),
        ("route: {receiver: a, matchers: [a=b]}\nreceivers: [{name: a}]", "must not have matchers"),
        ("route: {receiver: a, routes: [{mute_time_intervals: [x]}]}\nreceivers: [{name: a}]", "unknown time interval"),
        ("route: {receiver: a, routes: [{matchers: ['a=\"b']}]}\nreceivers: [{name: a}]", "do not pair up"),
        ("route: {receiver: a, routes: [{match_re: {a: '('}}]}\nreceivers: [{name: a}]", "bad regular expression"),
        ("route: {receiver: a}\nreceivers: [{name: a}, {name: a}]", "is there twice"),
        ("route: {receiver: a, group_wait: 5q}\nreceivers: [{name: a}]", "not a valid duration"),
        ("route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{max_alerts: 1}]}]", "'url' is missing"),
    ],
)
def test_what_amtool_refuses_we_refuse(tmp_path, wrong, problem):
    (tmp_path / "alertmanager.yml").write_text(wrong)
    found = subprocess.run(
        [require("amtool"), "check-config", str(tmp_path / "alertmanager.yml")], capture_output=True, text=True
    )
    assert found.returncode != 0, found.stdout
    with pytest.raises(ConfigError, match=re.escape(problem)):
        parse_routing(wrong)


WORDS = """
global: {slack_api_url: 'URL/slack', smtp_smarthost: 'mx.example.org:587', smtp_from: 'bot@example.org'}
templates: ['*.tmpl']
route: {receiver: slack, group_by: [alertname], group_wait: 0s, group_interval: 10s}
receivers:
  - name: slack
    slack_configs:
      - channel: '#desk'
        title: '{{ template "desk.title" . }}'
        text: |-
          {{ range .Alerts -}}
          {{ .Labels.alertname | toLower }} {{ .Labels.nothing }}{{ with .Annotations.summary }}{{ . | title }}{{ end }}
          {{ range .Labels.SortedPairs }}{{ .Name }}={{ .Value }};{{ end }} {{ .Fingerprint }} {{ .StartsAt.Unix }} {{ .EndsAt.IsZero }}
          {{ end -}}
          {{ (.CommonLabels.Remove (stringSlice "alertname")).Names | join "," }}
          {{ reReplaceAll "([a-z]+)-bot" "$1" .CommonLabels.instance }} {{ match "^ga" .CommonLabels.instance }}
          {{ if gt (len .Alerts.Firing) 1 }}many{{ else }}one{{ end }} of {{ .Receiver }}, {{ .GroupLabels.Values }}
  - name: others
    email_configs: [{to: 'a@example.org, b@example.org', headers: {Subject: '{{ .Status }}'}, text: 'x'}]
    pagerduty_configs: [{routing_key: k3y, description: '{{ .Status }}'}]
    pushover_configs: [{user_key: u, token: t, title: '{{ .Status }}', message: 'x'}]
    telegram_configs: [{bot_token: '1:x', chat_id: -100, message: '<b>{{ .Status }}</b>', parse_mode: HTML}]
    discord_configs: [{webhook_url: 'http://127.0.0.1:1/', title: '{{ .Status }}', message: '{{ template "desk.title" . }}'}]
"""  # noqa: E501 - a line of the template is a line of its output

DESK = """{{ define "desk.title" -}}
[{{ .Status | toUpper }}:{{ .Alerts.Firing | len }}] {{ .CommonLabels.alertname }} at {{ .CommonAnnotations.runbook }}
{{- end }}"""


@pytest.mark.peer("prometheus-alertmanager")
def test_templates_word_the_same(tmp_path, receiver, second_receiver):
    (tmp_path / "desk.tmpl").write_text(DESK)
    path = tmp_path / "ours.yml"
    path.write_text(WORDS.replace("URL", second_receiver.url))
    now_ms = SystemClock().now_ms()
    alerts = [alert(now_ms, "LatencyHigh", "error", symbol=symbol) for symbol in ("SPY", "QQQ")]

    async def scenario():
        notifier = Notifier(NotifyOptions(tmp_path / "state", load_routing(path)))
        await notifier.start()
        await notifier.accept(alerts)
        await asyncio.to_thread(second_receiver.wait_count, 1)
        await notifier.stop()

    asyncio.run(scenario())
    with alertmanager(tmp_path, WORDS.replace("URL", receiver.url)) as peer:
        post(peer, alerts)
        receiver.wait_count(1)
    theirs = receiver.bodies[0]["attachments"][0]
    (title, text) = second_receiver.bodies[0]["attachments"][0]["blocks"]
    assert second_receiver.bodies[0]["channel"] == receiver.bodies[0]["channel"] == "#desk"
    assert title["text"]["text"] == theirs["title"]
    assert text["text"] == {"type": "mrkdwn", "text": theirs["text"]}
