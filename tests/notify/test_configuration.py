import re
import subprocess

import pytest

from algowatch.errors import ConfigError
from algowatch.model.labels import Labels
from algowatch.notify import load_routing, parse_routing


def faults(text):
    with pytest.raises(ConfigError) as caught:
        parse_routing(text)
    return [str(fault) for fault in caught.value.faults]


def test_every_fault_has_its_line_and_names_what_is_known():
    text = """\
route:
  receiver: desk
  routes:
    - receiver: desk-oncal
    - matchers: ['severity=']
      mute_time_intervals: [nights]
    - matchers: ['=x']
receivers:
  - name: desk
    webhook_configs:
      - url: ftp://x/
        tmeout: 3s
"""
    assert faults(text) == [
        "alertmanager.yml:12: receivers[0].webhook_configs[0].tmeout: unknown key; known keys: http_config, max_alerts, "
        "send_resolved, url, url_file"
    ]
    assert faults(text.replace("        tmeout: 3s\n", "")) == [
        'alertmanager.yml:4: route.routes[0].receiver: unknown receiver "desk-oncal"; receivers: desk',
        'alertmanager.yml:6: route.routes[1].mute_time_intervals[0]: unknown time interval "nights"; time intervals: none',
        "alertmanager.yml:7: route.routes[2].matchers[0]: bad matcher format: '=x'; write for example severity=\"critical\"",
        "alertmanager.yml:11: receivers[0].webhook_configs[0].url: not an http or https address; "
        "write for example http://127.0.0.1:9000/alerts",
    ]


def test_what_alertmanager_has_and_we_do_not_is_refused_by_name():
    found = faults("route: {receiver: a}\nreceivers:\n  - name: a\n    wechat_configs: []\n")
    assert found == [
        "alertmanager.yml:4: receivers[0].wechat_configs: not supported by the embedded engine; "
        "send to a webhook_configs address instead"
    ]


def test_children_inherit_what_they_do_not_set():
    routing = parse_routing("""
route:
  receiver: a
  group_by: [alertname]
  group_wait: 1s
  routes:
    - receiver: b
      matchers: [x=y]
      group_interval: 2s
      routes: [{matchers: [z=1], repeat_interval: 3h}]
receivers: [{name: a}, {name: b}]
""")
    (leaf,) = routing.route.match(Labels.of(x="y", z="1"))
    assert leaf.options.receiver == "b"
    assert leaf.options.group_by == {"alertname"}
    assert (leaf.options.group_wait_ms, leaf.options.group_interval_ms) == (1000, 2000)
    assert leaf.options.repeat_interval_ms == 3 * 3_600_000
    assert leaf.key == '{}/{x="y"}/{z="1"}'


def test_a_secret_is_read_from_a_file_beside_the_configuration(tmp_path):
    (tmp_path / "hook").write_text("http://127.0.0.1:1/secret\n")
    path = tmp_path / "alertmanager.yml"
    path.write_text("route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url_file: hook}]}]\n")
    (channel,) = load_routing(path).receivers["a"]
    assert channel.settings.url == "http://127.0.0.1:1/secret"
    assert "secret" not in repr(channel)


def test_basic_auth_becomes_a_header():
    routing = parse_routing(
        "global: {http_config: {basic_auth: {username: desk, password: pw}}}\n"
        "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]\n"
    )
    assert routing.receivers["a"][0].settings.headers == {"Authorization": "Basic ZGVzazpwdw=="}


@pytest.mark.parametrize(
    ("interval", "problem"),
    [
        ("times: [{start_time: '17:00', end_time: '09:00'}]", "the start is not before the end"),
        ("times: [{start_time: '9:00', end_time: '10:00'}]", "not a time of day: '9:00'"),
        ("weekdays: ['saturday:monday']", "the start is after the end"),
        ("weekdays: [funday]", "not a day of the week"),
        ("days_of_month: ['0']", "days count from 1"),
        ("days_of_month: ['-1:5']", "needs such an end too"),
        ("months: ['13']", "out of range: 13; from 1 to 12"),
        ("location: Mars/Olympus", "unknown time zone 'Mars/Olympus'"),
    ],
)
def test_a_wrong_time_interval_says_what_is_wrong(interval, problem):
    (found,) = faults(
        f"route: {{receiver: a}}\nreceivers: [{{name: a}}]\ntime_intervals:\n- name: t\n  time_intervals:\n  - {interval}\n"
    )
    assert problem in found
    assert found.startswith("alertmanager.yml:6: ")


OTHERS = """
global: {opsgenie_api_key: k3y, victorops_api_key: v}
route: {receiver: r}
receivers:
  - name: r
    opsgenie_configs: [{message: '{{ .Status }}', tags: 'a, b', priority: P2}]
    victorops_configs: [{routing_key: desk, state_message: x}]
    sns_configs: [{topic_arn: 'arn:aws:sns:eu-west-1:1:desk', sigv4: {access_key: a, secret_key: s3cret}, subject: x}]
"""


@pytest.mark.peer("amtool")
def test_opsgenie_victorops_and_sns_are_read_as_alertmanager_reads_them(tmp_path):
    (tmp_path / "alertmanager.yml").write_text(OTHERS)
    ran = subprocess.run(["amtool", "check-config", str(tmp_path / "alertmanager.yml")], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    opsgenie, victorops, sns = parse_routing(OTHERS).receivers["r"]
    assert (opsgenie.settings.tags, opsgenie.settings.priority, victorops.settings.routing_key) == (("a", "b"), "P2", "desk")
    assert sns.settings.region == "eu-west-1"
    assert "s3cret" not in repr(sns)


@pytest.mark.parametrize(
    ("receiver", "problem"),
    [
        ("msteamsv2_configs: [{title: x}]", "key 'webhook_url' is missing"),
        ("sns_configs: [{sigv4: {access_key: a, secret_key: b, region: r}}]", "one of topic_arn, phone_number and target_arn"),
        ("ntfy_configs: [{topic: x}]", "Alertmanager has no such key: set NTFY_TOPIC"),
        ("opsgenie_configs: [{api_key: k, priority: P9}]", "priority"),
    ],
)
def test_what_is_wrong_with_other_receivers_is_named(receiver, problem):
    text = f"route: {{receiver: r}}\nreceivers:\n  - name: r\n    {receiver}\n"
    with pytest.raises(ConfigError, match=re.escape(problem)):
        parse_routing(text)
