"""What each service gets, and that a label cannot say more than a label."""

import json
import logging
import sys
import xml.etree.ElementTree
from datetime import UTC, datetime

import pytest

from algowatch.errors import ConfigError, DeliveryError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.senders import (
    apprise,
    discord,
    file,
    log,
    msteams,
    ntfy,
    opsgenie,
    pagerduty,
    pushover,
    slack,
    sns,
    telegram,
    twilio,
    victorops,
    webhook,
)
from algowatch.senders.channels import from_environment
from algowatch.senders.message import Message, from_json, to_json

TIMEOUT_S = 2.0


def test_a_message_survives_the_outbox(hostile):
    assert from_json(to_json(hostile)) == hostile


def test_a_single_alert_makes_a_message_without_an_engine():
    alert = Alert(Labels.of(alertname="KillSwitch", severity="P0"), Labels(), 1000, 9000)
    message = Message.single(alert, "direct", 2000)
    assert (message.status, message.severity, message.group_labels) == ("firing", "P0", alert.labels)
    assert Message.single(alert, "direct", 9000).status == "resolved"


def test_webhook_sends_version_4(service, message):
    webhook.send(webhook.Settings(f"{service.url}/hook", headers={"Authorization": "Bearer x"}), message("resolved"), TIMEOUT_S)
    path, headers, _ = service.requests[0]
    assert (path, headers["content-type"], headers["authorization"]) == ("/hook", "application/json", "Bearer x")
    body = service.json()
    assert (body["version"], body["status"], body["truncatedAlerts"]) == ("4", "resolved", 0)
    assert body["alerts"][0]["startsAt"] == "2023-11-14T22:13:20.5Z"
    assert body["alerts"][0]["endsAt"] == "2023-11-14T22:13:25.5Z"


def test_log_writes_one_line_per_alert(hostile, caplog):
    lines = []
    log.send(log.Settings(write=lines.append), hostile, TIMEOUT_S)
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert "\r" not in lines[0]
    with caplog.at_level(logging.INFO, "algowatch.alerts"):
        log.send(log.Settings(), hostile, TIMEOUT_S)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("CRITICAL", lines[0])]


def test_file_appends_a_line_of_json_per_alert(tmp_path, message, hostile):
    settings = file.Settings(tmp_path / "alerts.jsonl")
    file.send(settings, message("resolved"), TIMEOUT_S)
    file.send(settings, hostile, TIMEOUT_S)
    first, second = (json.loads(line) for line in settings.path.read_text().splitlines())
    assert (first["status"], first["endsAt"]) == ("resolved", "2023-11-14T22:13:25.500Z")
    assert (second["status"], second["endsAt"]) == ("firing", None)
    assert second["labels"]["symbol"].endswith("\r\nBcc: a@b")
    with pytest.raises(DeliveryError, match="No such file"):
        file.send(file.Settings(tmp_path / "none" / "x"), hostile, TIMEOUT_S)


def test_slack_gets_plain_text_that_mentions_nobody(service, hostile):
    slack.send(slack.Settings(f"{service.url}/T0/B0"), hostile, TIMEOUT_S)
    body = service.json()
    assert "<!channel>" not in json.dumps(body)
    blocks = body["attachments"][0]["blocks"]
    assert blocks[0]["text"] == {"type": "plain_text", "text": "CRITICAL: DailyLossLimit (gamma-bot)", "emoji": False}
    assert "&lt;!channel&gt;" in blocks[1]["text"]["text"]


def test_slack_stays_within_its_limits_even_where_everything_is_escaped(message):
    body = slack.payload(message(summary="<&>" * 5000))
    assert len(body["attachments"][0]["blocks"][1]["text"]["text"]) <= 3000


def test_slack_that_says_no_in_the_body_did_not_accept(service, message):
    settings = slack.Settings(f"{service.url}/api/chat.postMessage", "#desk", "xoxb-secret")
    for said, retryable in (
        (b'{"ok":false,"error":"channel_not_found"}', False),
        (b'{"ok":false,"error":"ratelimited"}', True),
    ):
        service.answer = (200, {}, said)
        with pytest.raises(DeliveryError, match="Slack says") as caught:
            slack.send(settings, message(), TIMEOUT_S)
        assert caught.value.retryable is retryable
    assert service.requests[0][1]["authorization"] == "Bearer xoxb-secret"
    assert service.json()["channel"] == "#desk"


def test_pagerduty_triggers_and_resolves_the_same_incident(service, message):
    settings = pagerduty.Settings("R0UT1NG", f"{service.url}/v2/enqueue")
    pagerduty.send(settings, message(severity="P0"), TIMEOUT_S)
    trigger = service.json()
    pagerduty.send(settings, message("resolved"), TIMEOUT_S)
    resolve = service.json()
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["source"] == "gamma-bot"
    assert trigger["payload"]["timestamp"] == "2023-11-14T22:13:20.5Z"
    assert trigger["client_url"] == "http://desk.example:5174"


def test_telegram_reads_no_markup_and_hides_its_token(service, hostile):
    settings = telegram.Settings("123:t0k3n-hidden", "-100", service.url)
    telegram.send(settings, hostile, TIMEOUT_S)
    body = service.json()
    assert service.requests[0][0] == "/bot123:t0k3n-hidden/sendMessage"
    assert "parse_mode" not in body
    assert body["text"].startswith("CRITICAL: DailyLossLimit (gamma-bot)\n\n")
    assert body["entities"] == [{"type": "bold", "offset": 0, "length": 36}]
    service.answer = (401, {}, b'{"ok":false,"description":"Unauthorized"}')
    with pytest.raises(DeliveryError) as caught:
        telegram.send(settings, hostile, TIMEOUT_S)
    assert "t0k3n" not in str(caught.value) + repr(settings)


def test_telegram_counts_in_utf16_units(message):
    body = telegram.payload(message(instance="bot-🚀"), "1")
    assert body["entities"][0]["length"] == len("CRITICAL: DailyLossLimit (bot-🚀)") + 1


def test_discord_escapes_markup_and_mentions_nobody(service, hostile):
    discord.send(discord.Settings(f"{service.url}/api/webhooks/1/x"), hostile, TIMEOUT_S)
    body = service.json()
    assert body["allowed_mentions"] == {"parse": []}
    assert r"\*x\*" in body["embeds"][0]["description"]
    assert r"\@everyone" in body["embeds"][0]["description"]


def test_ntfy_gets_priority_and_at_most_4096_bytes(service, message):
    ntfy.send(ntfy.Settings("desk", service.url, "tk_x"), message(summary="ü" * 5000), TIMEOUT_S)
    body = service.json()
    assert (body["topic"], body["priority"], body["tags"]) == ("desk", 5, ["rotating_light"])
    assert len(body["message"].encode()) <= 4096
    assert service.requests[0][1]["authorization"] == "Bearer tk_x"
    assert ntfy.payload(message("resolved"), "desk")["priority"] == 3


def test_pushover_repeats_what_is_critical(service, message):
    pushover.send(pushover.Settings("app", "user", f"{service.url}/1/messages.json"), message(), TIMEOUT_S)
    form = service.form()
    assert (form["token"], form["user"], form["priority"], form["retry"], form["expire"]) == ("app", "user", "2", "60", "3600")
    assert "retry" not in pushover.payload(message(severity="error"))
    assert pushover.payload(message("resolved"))["priority"] == "0"


def test_twilio_writes_and_calls(service, hostile, message):
    settings = twilio.Settings("AC1", "t0k", "+1555", "+1666", url=service.url)
    twilio.send(settings, hostile, TIMEOUT_S)
    assert service.requests[0][0] == "/2010-04-01/Accounts/AC1/Messages.json"
    assert service.requests[0][1]["authorization"] == "Basic QUMxOnQwaw=="
    assert service.form()["To"] == "+1666"
    caller = twilio.Settings("AC1", "t0k", "+1555", "+1666", call=True, url=service.url)
    twilio.send(caller, message(instance="<Hangup/>&"), TIMEOUT_S)
    assert service.requests[1][0] == "/2010-04-01/Accounts/AC1/Calls.json"
    spoken = xml.etree.ElementTree.fromstring(service.form()["Twiml"])
    assert [child.tag for child in spoken] == ["Say"]
    assert "<Hangup/>&" in spoken[0].text
    twilio.send(caller, message("resolved"), TIMEOUT_S)
    assert len(service.requests) == 2


def test_the_environment_describes_channels_from_a_severity_up():
    environ = {
        "ALGOWATCH_WEBHOOK_URL": "http://a/ http://b/",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/x",
        "SMTP_USER": "trader@gmail.com",
        "SMTP_PASSWORD": "hunter2",
        "PAGERDUTY_API_KEY": "k3y",
        "TELEGRAM_BOT_TOKEN": "without a chat it is not complete",
        "TWILIO_ACCOUNT_SID": "AC1",
        "TWILIO_AUTH_TOKEN": "t",
        "TWILIO_FROM": "+1555",
        "ALERT_SMS_TO": "+1666",
        "ALERT_CALL_TO": "+1777",
    }
    channels = from_environment(environ)
    assert [(channel.integration, channel.lowest_severity) for channel in channels] == [
        ("webhook", "info"),
        ("webhook", "info"),
        ("slack", "warning"),
        ("email", "warning"),
        ("twilio", "error"),
        ("twilio_call", "critical"),
        ("pagerduty", "critical"),
    ]
    mail = channels[3].settings
    assert (mail.host, mail.port, mail.security, mail.to) == ("smtp.gmail.com", 587, "starttls", ("trader@gmail.com",))
    assert "hunter2" not in repr(channels)
    assert "k3y" not in repr(channels)


def test_a_wrong_port_in_the_environment_is_named():
    environ = {"SMTP_USER": "a@gmail.com", "SMTP_PASSWORD": "x", "SMTP_PORT": "mail"}
    with pytest.raises(ConfigError, match="SMTP_PORT: not a port: 'mail'"):
        from_environment(environ)


def test_teams_gets_an_adaptive_card_without_markup(service, hostile, message):
    assert msteams.send(msteams.Settings(service.url), hostile, 5) == "200 ok"
    sent = service.json()
    (attachment,) = sent["attachments"]
    card = attachment["content"]
    assert (sent["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert card["body"][0]["inlines"][0]["text"].startswith("CRITICAL: DailyLossLimit")
    assert card["actions"][0]["url"] == "http://desk.example:5174"
    assert msteams.payload(message("resolved"))["attachments"][0]["content"]["body"][0]["inlines"][0]["color"] == "good"


def test_opsgenie_opens_and_closes_the_same_alert(service, message):
    settings = opsgenie.Settings("k3y", service.url, tags=("desk",))
    opsgenie.send(settings, message(), 5)
    opened, (path, headers, _) = service.json(), service.requests[-1]
    assert (path, headers["authorization"]) == ("/v2/alerts", "GenieKey k3y")
    assert (opened["priority"], opened["tags"], opened["details"]["instance"]) == ("P1", ["desk"], "gamma-bot")
    assert len(opened["message"]) <= 130
    opsgenie.send(settings, message("resolved"), 5)
    assert service.requests[-1][0] == f"/v2/alerts/{opened['alias']}/close?identifierType=alias"
    assert "k3y" not in repr(settings)


def test_victorops_opens_and_recovers_the_same_incident(service, message):
    settings = victorops.Settings("k3y", "desk", service.url)
    victorops.send(settings, message(), 5)
    opened = service.json()
    victorops.send(settings, message("resolved"), 5)
    closed = service.json()
    assert service.requests[-1][0] == "/k3y/desk"
    assert (opened["message_type"], closed["message_type"]) == ("CRITICAL", "RECOVERY")
    assert opened["entity_id"] == closed["entity_id"]


def test_sns_publishes_a_signed_form(service, message):
    topic = "arn:aws:sns:eu-west-1:123456789012:desk"
    settings = sns.Settings("eu-west-1", "AKID", "s3cret", topic, session_token="t0ken", url=service.url + "/")
    sns.send(settings, message(), 5)
    form, headers = service.form(), service.requests[-1][1]
    assert (form["Action"], form["TopicArn"], form["Subject"]) == ("Publish", topic, "CRITICAL: DailyLossLimit (gamma-bot)")
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token" in headers["authorization"]
    assert "s3cret" not in repr(settings) + repr(service.requests)
    sms = sns.payload(message(summary="x" * 5000), sns.Settings("r", "a", "s", phone_number="+15551234567"))
    assert len(sms["Message"]) == 1600
    assert "Subject" not in sms


def test_the_signature_is_that_of_amazons_own_example():
    """The case post-x-www-form-urlencoded of Amazon's test suite for Signature Version 4."""
    settings = sns.Settings("us-east-1", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    headers = sns.signed(settings, "https://example.amazonaws.com/", b"Param1=value1", now, "service")
    signature = headers["Authorization"].partition("Signature=")[2]
    assert signature == "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"


@pytest.mark.peer("apprise")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise_hands_on_to_whatever_its_url_names(service, message, monkeypatch):
    url = f"json://127.0.0.1:{service.port}/s3cret"
    assert apprise.send(apprise.Settings(url), message(), 5) == "taken by json"
    assert service.json()["type"] == "failure"
    service.answer = (500, {}, b"no")
    with pytest.raises(DeliveryError, match="json:// did not take") as refused:
        apprise.send(apprise.Settings(url), message(), 5)
    assert refused.value.retryable
    with pytest.raises(DeliveryError, match="is not a URL that Apprise knows") as unknown:
        apprise.send(apprise.Settings("nothing://s3cret"), message(), 5)
    assert "s3cret" not in str(unknown.value)
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(DeliveryError, match="install it with: pip install") as missing:
        apprise.send(apprise.Settings(url), message(), 5)
    assert not missing.value.retryable


def test_the_environment_names_the_other_services_too(tmp_path):
    environ = {
        "ALGOWATCH_ALERT_FILE": str(tmp_path / "alerts.json"),
        "TEAMS_WEBHOOK_URL": "https://t.example/x",
        "APPRISE_URLS": "json://a json://b",
        "SNS_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:desk",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "OPSGENIE_API_KEY": "k",
        "VICTOROPS_API_KEY": "k",
        "VICTOROPS_ROUTING_KEY": "r",
    }
    found = [(channel.integration, channel.lowest_severity) for channel in from_environment(environ)]
    assert found == [
        ("file", "info"),
        ("msteams", "warning"),
        ("apprise", "warning"),
        ("apprise", "warning"),
        ("sns", "error"),
        ("opsgenie", "critical"),
        ("victorops", "critical"),
    ]
    with pytest.raises(ConfigError, match="SNS_TOPIC_ARN"):
        from_environment({**environ, "SNS_TOPIC_ARN": "desk"})
