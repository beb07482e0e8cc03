import pytest

from algowatch.errors import ConfigError, TemplateError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.notify import parse_routing
from algowatch.notify.wording import Wording
from algowatch.senders import slack
from algowatch.senders.message import Message

LABELS = Labels.of(alertname="Stale", severity="error", symbol="<!channel>")
MESSAGE = Message.single(Alert(LABELS, Labels.of(summary="late"), 0, 10**15), "desk", 0)


def test_values_are_escaped_and_the_template_is_not():
    worded = Wording("", "*{{ .CommonLabels.symbol }}*", escape=slack.escape)(MESSAGE)
    assert worded.text == "*&lt;!channel&gt;*"
    assert slack.payload(worded)["attachments"][0]["blocks"][1]["text"] == {"type": "mrkdwn", "text": "*&lt;!channel&gt;*"}


def test_a_template_that_fails_while_it_runs_leaves_the_words_to_the_sender(caplog):
    assert Wording("{{ index .Alerts 7 }}", "")(MESSAGE) == MESSAGE
    assert "receiver desk: template: " in caplog.text


def test_a_template_that_does_not_parse_is_an_error_at_once():
    with pytest.raises(TemplateError):
        Wording("{{ .Status", "")
    with pytest.raises(ConfigError, match=r"alertmanager.yml:2: receivers\[0\].slack_configs\[0\]: template: "):
        parse_routing(
            "route: {receiver: a}\n"
            "receivers: [{name: a, slack_configs: [{api_url: 'http://127.0.0.1:1', title: '{{ .Status'}]}]\n"
        )


def test_the_names_of_alertmanagers_own_templates_are_there():
    worded = Wording('{{ template "slack.default.title" . }}', '{{ template "discord.default.message" . }}')(MESSAGE)
    assert worded.title == "[FIRING:1] Stale error <!channel>"
    assert worded.text.startswith("Firing:\nsummary: late\n  alertname = Stale\n")


def test_what_a_receiver_may_not_say_is_refused_by_name():
    with pytest.raises(ConfigError) as caught:
        parse_routing(
            "route: {receiver: a}\n"
            "receivers:\n- name: a\n  slack_configs: [{color: red}]\n  pagerduty_configs: [{service_key: x}]\n"
        )
    assert [str(fault) for fault in caught.value.faults] == [
        "alertmanager.yml:4: receivers[0].slack_configs[0].color: not supported by the embedded engine; "
        "leave it out; algowatch chooses it",
        "alertmanager.yml:5: receivers[0].pagerduty_configs[0].service_key: not supported by the embedded engine; "
        "use routing_key, of an Events API v2 integration",
    ]
