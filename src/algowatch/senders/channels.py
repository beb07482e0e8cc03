"""A channel is one way to one receiver: a service with its settings filled in. The environment can name some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from algowatch.errors import ConfigError, Fault
from algowatch.senders import (
    apprise,
    discord,
    email,
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
from algowatch.senders.http import is_address
from algowatch.senders.message import Message


class Send(Protocol):
    """Hands one message to a service; when it returns, the service has accepted it."""

    def __call__(self, settings: Any, message: Message, timeout_s: float) -> str:
        """Returns: what the service answered, in a few words without secrets. Raises: DeliveryError."""


@dataclass(frozen=True, slots=True)
class Channel:
    """integration:       the service's name, as Alertmanager's metrics spell it ("webhook", "slack" …).
    settings:          the sender's own settings; their repr shows no secret.
    lowest_severity:   with the built-in routing, alerts below this severity do not go here.
    send_resolved:     whether the end of an alert is told too.
    wording:           puts the receiver's own title and text into a message; None: the sender words it.
    """

    integration: str
    settings: Any
    send: Send
    lowest_severity: str = "info"
    send_resolved: bool = True
    wording: Callable[[Message], Message] | None = None

    def deliver(self, message: Message, timeout_s: float) -> str:
        """Returns: what the service answered. Raises: DeliveryError."""
        return self.send(self.settings, self.wording(message) if self.wording else message, timeout_s)


def log_channel(write: Callable[[str], None] | None = None) -> Channel:
    return Channel("log", log.Settings(write=write), log.send)


def webhook_channel(url: str) -> Channel:
    return Channel("webhook", webhook.Settings(url), webhook.send)


Environ = Mapping[str, str]


def from_environment(environ: Environ) -> list[Channel]:
    """Every channel that the environment describes, in this order; each line names what has to be set, the rest may be.

    ALGOWATCH_WEBHOOK_URL                             webhooks, one or more (spaces or commas between), all severities
    SLACK_WEBHOOK_URL                                 Slack, from warning up
    DISCORD_WEBHOOK_URL                               Discord, from warning up
    ALGOWATCH_ALERT_FILE                              a file that gets a line of JSON per alert, all severities
    TEAMS_WEBHOOK_URL                                 Microsoft Teams, from warning up
    APPRISE_URLS                                      whatever Apprise knows, from warning up
    TELEGRAM_BOT_TOKEN, TELEGRAM_CHAT_ID              Telegram, from warning up
    NTFY_TOPIC (NTFY_URL, NTFY_TOKEN)                 ntfy, from warning up
    SMTP_USER, SMTP_PASSWORD (SMTP_HOST, SMTP_PORT,   e-mail, from warning up; by default through the provider of the
      ALERT_EMAIL_TO, ALERT_EMAIL_FROM)               user's address, to the user
    PUSHOVER_TOKEN, PUSHOVER_USER                     Pushover, from error up
    TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN,            text messages from error up, calls for critical
      TWILIO_FROM, ALERT_SMS_TO and/or ALERT_CALL_TO
    SNS_TOPIC_ARN, AWS_ACCESS_KEY_ID,                 Amazon SNS, from error up; the region is the topic's
      AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN)
    PAGERDUTY_API_KEY                                 PagerDuty (an Events v2 routing key), critical
    OPSGENIE_API_KEY (OPSGENIE_API_URL)               Opsgenie, critical
    VICTOROPS_API_KEY, VICTOROPS_ROUTING_KEY          VictorOps, critical

    Raises: ConfigError where a variable cannot be read.
    """
    return [channel for read in _READERS for channel in read(environ)]


def _webhooks(environ: Environ) -> list[Channel]:
    return [webhook_channel(url) for url in _urls(environ, "ALGOWATCH_WEBHOOK_URL")]


def _slack(environ: Environ) -> list[Channel]:
    return [Channel("slack", slack.Settings(url), slack.send, "warning") for url in _urls(environ, "SLACK_WEBHOOK_URL")]


def _discord(environ: Environ) -> list[Channel]:
    urls = _urls(environ, "DISCORD_WEBHOOK_URL")
    return [Channel("discord", discord.Settings(url), discord.send, "warning") for url in urls]


def _telegram(environ: Environ) -> list[Channel]:
    token = environ.get("TELEGRAM_BOT_TOKEN", "")
    chats = _words(environ, "TELEGRAM_CHAT_ID") if token else []
    return [Channel("telegram", telegram.Settings(token, chat), telegram.send, "warning") for chat in chats]


def _ntfy(environ: Environ) -> list[Channel]:
    server, token = environ.get("NTFY_URL") or "https://ntfy.sh", environ.get("NTFY_TOKEN", "")
    topics = _words(environ, "NTFY_TOPIC")
    return [Channel("ntfy", ntfy.Settings(topic, server, token), ntfy.send, "warning") for topic in topics]


_MAIL_SERVERS = {
    "gmail.com": "smtp.gmail.com",
    "googlemail.com": "smtp.gmail.com",
    "outlook.com": "smtp-mail.outlook.com",
    "hotmail.com": "smtp-mail.outlook.com",
    "live.com": "smtp-mail.outlook.com",
    "yahoo.com": "smtp.mail.yahoo.com",
    "icloud.com": "smtp.mail.me.com",
    "me.com": "smtp.mail.me.com",
}


def _email(environ: Environ) -> list[Channel]:
    user, password = environ.get("SMTP_USER", ""), environ.get("SMTP_PASSWORD", "")
    domain = user.rpartition("@")[2].lower()
    host = environ.get("SMTP_HOST") or _MAIL_SERVERS.get(domain) or (f"smtp.{domain}" if "@" in user else "")
    to = tuple(_words(environ, "ALERT_EMAIL_TO")) or ((user,) if "@" in user else ())
    if not (user and password and host and to):
        return []
    port = _port(environ.get("SMTP_PORT") or "587")
    settings = email.Settings(
        host=host,
        port=port,
        sender=environ.get("ALERT_EMAIL_FROM") or (user if "@" in user else to[0]),
        to=to,
        username=user,
        password=password,
        security="tls" if port == 465 else "starttls",
    )
    return [Channel("email", settings, email.send, "warning")]


def _port(text: str) -> int:
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise ConfigError([Fault("environment", None, f"SMTP_PORT: not a port: {text!r}", "set it to 587 or 465")])


def _pushover(environ: Environ) -> list[Channel]:
    token, user = environ.get("PUSHOVER_TOKEN", ""), environ.get("PUSHOVER_USER", "")
    return [Channel("pushover", pushover.Settings(token, user), pushover.send, "error")] if token and user else []


def _twilio(environ: Environ) -> list[Channel]:
    sid, token, sender = (environ.get(name, "") for name in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM"))
    if not (sid and token and sender):
        return []
    texts = [twilio.Settings(sid, token, sender, number) for number in _words(environ, "ALERT_SMS_TO")]
    calls = [twilio.Settings(sid, token, sender, number, call=True) for number in _words(environ, "ALERT_CALL_TO")]
    return [
        *(Channel("twilio", settings, twilio.send, "error") for settings in texts),
        *(Channel("twilio_call", settings, twilio.send, "critical", send_resolved=False) for settings in calls),
    ]


def _pagerduty(environ: Environ) -> list[Channel]:
    key = environ.get("PAGERDUTY_API_KEY", "")
    return [Channel("pagerduty", pagerduty.Settings(key), pagerduty.send, "critical")] if key else []


def _file(environ: Environ) -> list[Channel]:
    path = environ.get("ALGOWATCH_ALERT_FILE", "")
    return [Channel("file", file.Settings(Path(path)), file.send)] if path else []


def _msteams(environ: Environ) -> list[Channel]:
    return [Channel("msteams", msteams.Settings(url), msteams.send, "warning") for url in _words(environ, "TEAMS_WEBHOOK_URL")]


def _apprise(environ: Environ) -> list[Channel]:
    urls = environ.get("APPRISE_URLS", "").split()
    return [Channel("apprise", apprise.Settings(url), apprise.send, "warning") for url in urls]


def _sns(environ: Environ) -> list[Channel]:
    topic, key, secret = (environ.get(name, "") for name in ("SNS_TOPIC_ARN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    if not (topic and key and secret):
        return []
    parts = topic.split(":")
    if len(parts) != 6 or not parts[3]:
        mend = "set it to arn:aws:sns:REGION:ACCOUNT:NAME"
        raise ConfigError([Fault("environment", None, "SNS_TOPIC_ARN: not the ARN of a topic", mend)])
    settings = sns.Settings(parts[3], key, secret, topic, session_token=environ.get("AWS_SESSION_TOKEN", ""))
    return [Channel("sns", settings, sns.send, "error")]


def _opsgenie(environ: Environ) -> list[Channel]:
    key, url = environ.get("OPSGENIE_API_KEY", ""), environ.get("OPSGENIE_API_URL") or "https://api.opsgenie.com"
    return [Channel("opsgenie", opsgenie.Settings(key, url), opsgenie.send, "critical")] if key else []


def _victorops(environ: Environ) -> list[Channel]:
    key, route = environ.get("VICTOROPS_API_KEY", ""), environ.get("VICTOROPS_ROUTING_KEY", "")
    return [Channel("victorops", victorops.Settings(key, route), victorops.send, "critical")] if key and route else []


_READERS: tuple[Callable[[Environ], list[Channel]], ...] = (
    _webhooks,
    _slack,
    _discord,
    _telegram,
    _ntfy,
    _email,
    _pushover,
    _twilio,
    _pagerduty,
    _file,
    _msteams,
    _apprise,
    _sns,
    _opsgenie,
    _victorops,
)


def _urls(environ: Environ, name: str) -> list[str]:
    """Addresses; what is wrong with one is told without it, since it is a secret."""
    urls = _words(environ, name)
    if not all(is_address(url) for url in urls):
        raise ConfigError([Fault("environment", None, f"{name}: not an http(s) address", "set it to https://HOST/PATH")])
    return urls


def _words(environ: Environ, name: str) -> list[str]:
    return environ.get(name, "").replace(",", " ").split()
