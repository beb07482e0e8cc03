"""What each service gets, and that a label cannot say more than a label."""

import json
import logging
import xml.etree.ElementTree

import pytest

from algowatch.errors import ConfigError, DeliveryError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.senders import discord, file, log, ntfy, pagerduty, pushover, slack, telegram, twilio, webhook
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
