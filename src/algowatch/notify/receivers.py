"""Receivers of an `alertmanager.yml`: what their sections look like, and the channels that come of them."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from algowatch.config import Document, Section
from algowatch.errors import Fault, TemplateError
from algowatch.notify.wording import Escape, Wording
from algowatch.senders import (
    discord,
    email,
    msteams,
    opsgenie,
    pagerduty,
    pushover,
    slack,
    sns,
    telegram,
    victorops,
    webhook,
)
from algowatch.senders.channels import Channel

Place = tuple[str | int, ...]


class BasicAuth(Section):
    username: str = ""
    password: str = ""
    password_file: str = ""


class Authorization(Section):
    type: str = "Bearer"
    credentials: str = ""
    credentials_file: str = ""


class HttpConfig(Section):
    not_supported: ClassVar[dict[str, str]] = {
        "oauth2": "put a relay in front that signs in",
        "proxy_url": "set HTTPS_PROXY in the environment instead",
        "no_proxy": "set NO_PROXY in the environment instead",
        "proxy_from_environment": "leave it out; the environment's proxy is used anyway",
        "proxy_connect_header": "set HTTPS_PROXY in the environment instead",
        "tls_config": "add the authority to the system's certificates instead",
    }

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    follow_redirects: bool = True
    enable_http2: bool = True


class WebhookConfig(Section):
    not_supported: ClassVar[dict[str, str]] = {"timeout": "every try ends after 10 s"}

    send_resolved: bool = True
    url: str = ""
    url_file: str = ""
    max_alerts: int = 0
    http_config: HttpConfig | None = None


_CHOSEN = "leave it out; algowatch chooses it"
_NOT_DONE = "send to a webhook_configs address instead"


class SlackConfig(Section):
    not_supported: ClassVar[dict[str, str]] = dict.fromkeys(
        ("actions", "callback_id", "color", "fallback", "fields", "footer", "icon_emoji", "icon_url", "image_url", "link_names",
         "mrkdwn_in", "pretext", "short_fields", "thumb_url", "title_link", "username"), _CHOSEN,
    )  # fmt: skip

    send_resolved: bool = False
    api_url: str = ""
    api_url_file: str = ""
    channel: str = ""
    title: str = ""
    text: str = ""
    http_config: HttpConfig | None = None


class EmailConfig(Section):
    not_supported: ClassVar[dict[str, str]] = {
        "auth_secret": "use auth_username and auth_password",
        "auth_identity": "use auth_username and auth_password",
        "html": "write text: instead; mails are plain text",
        "tls_config": "name an authority beside the system's in the environment's SSL_CERT_FILE",
    }

    send_resolved: bool = False
    to: str
    from_address: str = Field("", alias="from")
    smarthost: str = ""
    hello: str = ""
    auth_username: str = ""
    auth_password: str = ""
    auth_password_file: str = ""
    require_tls: bool | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    text: str = ""


class PagerdutyConfig(Section):
    not_supported: ClassVar[dict[str, str]] = {
        "service_key": "use routing_key, of an Events API v2 integration",
        "service_key_file": "use routing_key_file, of an Events API v2 integration",
        **dict.fromkeys(
            ("class", "client", "client_url", "component", "details", "group", "images", "links", "severity", "source"), _CHOSEN
        ),
    }

    send_resolved: bool = True
    routing_key: str = ""
    routing_key_file: str = ""
    url: str = ""
    description: str = ""
    http_config: HttpConfig | None = None


class TelegramConfig(Section):
    not_supported: ClassVar[dict[str, str]] = {"disable_notifications": _CHOSEN, "message_thread_id": _CHOSEN}

    send_resolved: bool = True
    api_url: str = ""
    bot_token: str = ""
    bot_token_file: str = ""
    chat_id: int | str
    message: str = ""
    parse_mode: Literal["", "HTML", "MarkdownV2"] = ""
    http_config: HttpConfig | None = None


class DiscordConfig(Section):
    not_supported: ClassVar[dict[str, str]] = dict.fromkeys(("avatar_url", "content", "username"), _CHOSEN)

    send_resolved: bool = True
    webhook_url: str = ""
    webhook_url_file: str = ""
    title: str = ""
    message: str = ""
    http_config: HttpConfig | None = None


class PushoverConfig(Section):
    not_supported: ClassVar[dict[str, str]] = dict.fromkeys(
        ("device", "expire", "html", "monospace", "priority", "retry", "sound", "ttl", "url", "url_title"), _CHOSEN
    )

    send_resolved: bool = True
    user_key: str = ""
    user_key_file: str = ""
    token: str = ""
    token_file: str = ""
    title: str = ""
    message: str = ""
    http_config: HttpConfig | None = None


class MsteamsConfig(Section):
    not_supported: ClassVar[dict[str, str]] = {"summary": _CHOSEN}

    send_resolved: bool = True
    webhook_url: str = ""
    webhook_url_file: str = ""
    title: str = ""
    text: str = ""
    http_config: HttpConfig | None = None


class OpsgenieConfig(Section):
    not_supported: ClassVar[dict[str, str]] = dict.fromkeys(
        ("actions", "details", "entity", "note", "responders", "source", "update_alerts"), _CHOSEN
    )

    send_resolved: bool = True
    api_key: str = ""
    api_key_file: str = ""
    api_url: str = ""
    message: str = ""
    description: str = ""
    priority: Literal["", "P1", "P2", "P3", "P4", "P5"] = ""
    tags: str = ""
    http_config: HttpConfig | None = None


class VictoropsConfig(Section):
    not_supported: ClassVar[dict[str, str]] = {"monitoring_tool": _CHOSEN, "custom_fields": _CHOSEN}

    send_resolved: bool = True
    api_key: str = ""
    api_key_file: str = ""
    api_url: str = ""
    routing_key: str
    message_type: str = "CRITICAL"
    entity_display_name: str = ""
    state_message: str = ""
    http_config: HttpConfig | None = None


class Sigv4(Section):
    not_supported: ClassVar[dict[str, str]] = dict.fromkeys(
        ("profile", "role_arn"),
        "give access_key and secret_key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )

    region: str = ""
    access_key: str = ""
    secret_key: str = ""


class SnsConfig(Section):
    not_supported: ClassVar[dict[str, str]] = {"attributes": _CHOSEN}

    send_resolved: bool = True
    api_url: str = ""
    sigv4: Sigv4 = Field(default_factory=Sigv4)
    topic_arn: str = ""
    phone_number: str = ""
    target_arn: str = ""
    subject: str = ""
    message: str = ""
    http_config: HttpConfig | None = None


class ReceiverSection(Section):
    not_supported: ClassVar[dict[str, str]] = {
        **{
            f"{service}_configs": _NOT_DONE for service in ("incidentio", "jira", "mattermost", "rocketchat", "webex", "wechat")
        },
        "ntfy_configs": "Alertmanager has no such key: set NTFY_TOPIC in the environment, or run algowatch alerts add ntfy",
        "twilio_configs": "Alertmanager has no such key: set TWILIO_ACCOUNT_SID and the others in the environment",
        "apprise_configs": "Alertmanager has no such key: set APPRISE_URLS in the environment",
        "file_configs": "Alertmanager has no such key: set ALGOWATCH_ALERT_FILE in the environment",
    }

    name: str
    webhook_configs: tuple[WebhookConfig, ...] = ()
    email_configs: tuple[EmailConfig, ...] = ()
    pagerduty_configs: tuple[PagerdutyConfig, ...] = ()
    slack_configs: tuple[SlackConfig, ...] = ()
    pushover_configs: tuple[PushoverConfig, ...] = ()
    telegram_configs: tuple[TelegramConfig, ...] = ()
    discord_configs: tuple[DiscordConfig, ...] = ()
    msteams_configs: tuple[MsteamsConfig, ...] = ()
    msteamsv2_configs: tuple[MsteamsConfig, ...] = ()
    opsgenie_configs: tuple[OpsgenieConfig, ...] = ()
    victorops_configs: tuple[VictoropsConfig, ...] = ()
    sns_configs: tuple[SnsConfig, ...] = ()


class Defaults(Section):
    """What `global` says for all receivers."""

    not_supported: ClassVar[dict[str, str]] = {
        "smtp_auth_secret": "use smtp_auth_username and smtp_auth_password",
        "smtp_auth_identity": "use smtp_auth_username and smtp_auth_password",
    }

    http_config: HttpConfig | None = None
    smtp_from: str = ""
    smtp_smarthost: str = ""
    smtp_hello: str = ""
    smtp_auth_username: str = ""
    smtp_auth_password: str = ""
    smtp_auth_password_file: str = ""
    smtp_require_tls: bool = True
    slack_api_url: str = ""
    slack_api_url_file: str = ""
    pagerduty_url: str = ""
    telegram_api_url: str = ""
    opsgenie_api_url: str = ""
    opsgenie_api_key: str = ""
    opsgenie_api_key_file: str = ""
    victorops_api_url: str = ""
    victorops_api_key: str = ""
    victorops_api_key_file: str = ""


@dataclass
class Building:
    """What the builders of channels need beside their own section; collects faults."""

    document: Document
    directory: Path
    defaults: Defaults
    templates: Sequence[str] = ()
    faults: list[Fault] = field(default_factory=list)

    def fault(self, place: Place, problem: str, mend: str = "") -> None:
        self.faults.append(self.document.fault(place, problem, mend))

    def secret(self, section: Section, key: str, place: Place) -> str:
        """The value of a key, or of the file that its `_file` twin names; the file is read relative to the configuration."""
        value, path = str(getattr(section, key)), str(getattr(section, f"{key}_file"))
        if value and path:
            self.fault(place, f"{key} and {key}_file exclude each other", "keep one of the two")
        if not path:
            return value
        try:
            return (self.directory / path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            self.fault((*place, f"{key}_file"), f"{path}: cannot be read: {reason}", "check the path and its permissions")
            return ""

    def required(self, value: str, place: Place, key: str) -> str:
        if not value:
            self.fault(place, f"key {key!r} is missing", f"add {key}: or {key}_file:")
        return value

    def headers(self, own: HttpConfig | None, place: Place) -> dict[str, str]:
        """The Authorization header that a section's http_config, or the global one, asks for."""
        config = own or self.defaults.http_config
        where = (*place, "http_config") if own else ("global", "http_config")
        if config is None:
            return {}
        if config.basic_auth and config.authorization:
            self.fault(where, "basic_auth and authorization exclude each other", "keep one of the two")
        if config.basic_auth:
            password = self.secret(config.basic_auth, "password", (*where, "basic_auth"))
            pair = base64.b64encode(f"{config.basic_auth.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        if config.authorization:
            credentials = self.secret(config.authorization, "credentials", (*where, "authorization"))
            return {"Authorization": f"{config.authorization.type} {credentials}"}
        return {}

    def http_address(self, url: str, place: Place) -> str:
        if url and not url.startswith(("http://", "https://")):
            self.fault(place, "not an http or https address", "write for example http://127.0.0.1:9000/alerts")
        return url

    def no_authorization(self, own: HttpConfig | None, place: Place) -> None:
        """Services with keys of their own have no use for another Authorization."""
        if own is not None and (own.basic_auth or own.authorization):
            self.fault((*place, "http_config"), "this service has its own keys", "leave authorization out")

    def wording(self, place: Place, title: str, text: str, escape: Escape | None = None) -> Wording | None:
        if not title and not text:
            return None
        try:
            return Wording(title, text, self.templates, escape)
        except TemplateError as error:
            self.fault(place, f"template: {error}", "see the notification template reference of Prometheus")
            return None


def _webhook(config: WebhookConfig, building: Building, place: Place) -> Channel:
    url = building.required(building.secret(config, "url", place), place, "url")
    building.http_address(url, (*place, "url"))
    settings = webhook.Settings(url, max(0, config.max_alerts), building.headers(config.http_config, place))
    return Channel("webhook", settings, webhook.send, send_resolved=config.send_resolved)


def _slack(config: SlackConfig, building: Building, place: Place) -> Channel:
    url = building.secret(config, "api_url", place) or building.secret(building.defaults, "slack_api_url", ("global",))
    building.required(url, place, "api_url")
    building.http_address(url, (*place, "api_url"))
    token = building.headers(config.http_config, place).get("Authorization", "").removeprefix("Bearer ")
    wording = building.wording(place, config.title, config.text, slack.escape)
    settings = slack.Settings(url, config.channel, token)
    return Channel("slack", settings, slack.send, send_resolved=config.send_resolved, wording=wording)


def _email(config: EmailConfig, building: Building, place: Place) -> Channel:
    defaults = building.defaults
    sender = building.required(config.from_address or defaults.smtp_from, place, "from")
    smarthost = building.required(config.smarthost or defaults.smtp_smarthost, place, "smarthost")
    host, _, port = smarthost.rpartition(":")
    if smarthost and not (host and port.isdigit()):
        building.fault((*place, "smarthost"), f"not host:port: {smarthost!r}", "write for example smtp.gmail.com:587")
    subject = next((value for name, value in config.headers.items() if name.lower() == "subject"), "")
    for name in (name for name in config.headers if name.lower() != "subject"):
        building.fault((*place, "headers", name), "only the subject can be set", _CHOSEN)
    own = building.secret(config, "auth_password", place)
    security: Literal["tls", "starttls", "none"] = "tls" if port == "465" else "starttls"
    if not (defaults.smtp_require_tls if config.require_tls is None else config.require_tls) and port != "465":
        security = "none"
    settings = email.Settings(
        host=host.strip("[]"),
        port=int(port) if port.isdigit() else 587,
        sender=sender,
        to=tuple(address.strip() for address in config.to.split(",") if address.strip()),
        username=config.auth_username or defaults.smtp_auth_username,
        password=own or building.secret(defaults, "smtp_auth_password", ("global",)),
        security=security,
        hello=config.hello or defaults.smtp_hello,
    )
    wording = building.wording(place, subject, config.text)
    return Channel("email", settings, email.send, send_resolved=config.send_resolved, wording=wording)


def _pagerduty(config: PagerdutyConfig, building: Building, place: Place) -> Channel:
    key = building.required(building.secret(config, "routing_key", place), place, "routing_key")
    building.no_authorization(config.http_config, place)
    url = config.url or building.defaults.pagerduty_url or "https://events.pagerduty.com/v2/enqueue"
    settings = pagerduty.Settings(key, building.http_address(url, (*place, "url")))
    wording = building.wording(place, config.description, "")
    return Channel("pagerduty", settings, pagerduty.send, send_resolved=config.send_resolved, wording=wording)


_TELEGRAM_ESCAPES: dict[str, Escape | None] = {"": None, "HTML": telegram.escape_html, "MarkdownV2": telegram.escape_markdown}


def _telegram(config: TelegramConfig, building: Building, place: Place) -> Channel:
    token = building.required(building.secret(config, "bot_token", place), place, "bot_token")
    building.no_authorization(config.http_config, place)
    url = config.api_url or building.defaults.telegram_api_url or "https://api.telegram.org"
    building.http_address(url, (*place, "api_url"))
    settings = telegram.Settings(token, str(config.chat_id), url.rstrip("/"), config.parse_mode)
    wording = building.wording(place, "", config.message, _TELEGRAM_ESCAPES[config.parse_mode])
    return Channel("telegram", settings, telegram.send, send_resolved=config.send_resolved, wording=wording)


def _discord(config: DiscordConfig, building: Building, place: Place) -> Channel:
    url = building.required(building.secret(config, "webhook_url", place), place, "webhook_url")
    building.http_address(url, (*place, "webhook_url"))
    building.no_authorization(config.http_config, place)
    wording = building.wording(place, config.title, config.message, discord.escape)
    return Channel("discord", discord.Settings(url), discord.send, send_resolved=config.send_resolved, wording=wording)


def _pushover(config: PushoverConfig, building: Building, place: Place) -> Channel:
    token = building.required(building.secret(config, "token", place), place, "token")
    user = building.required(building.secret(config, "user_key", place), place, "user_key")
    building.no_authorization(config.http_config, place)
    wording = building.wording(place, config.title, config.message)
    settings = pushover.Settings(token, user)
    return Channel("pushover", settings, pushover.send, send_resolved=config.send_resolved, wording=wording)


def _msteams(config: MsteamsConfig, building: Building, place: Place) -> Channel:
    url = building.required(building.secret(config, "webhook_url", place), place, "webhook_url")
    building.http_address(url, (*place, "webhook_url"))
    building.no_authorization(config.http_config, place)
    wording = building.wording(place, config.title, config.text)
    return Channel("msteams", msteams.Settings(url), msteams.send, send_resolved=config.send_resolved, wording=wording)


def _opsgenie(config: OpsgenieConfig, building: Building, place: Place) -> Channel:
    defaults = building.defaults
    key = building.secret(config, "api_key", place) or building.secret(defaults, "opsgenie_api_key", ("global",))
    building.required(key, place, "api_key")
    building.no_authorization(config.http_config, place)
    url = config.api_url or defaults.opsgenie_api_url or "https://api.opsgenie.com"
    building.http_address(url, (*place, "api_url"))
    tags = tuple(tag.strip() for tag in config.tags.split(",") if tag.strip())
    settings = opsgenie.Settings(key, url, config.priority, tags)
    wording = building.wording(place, config.message, config.description)
    return Channel("opsgenie", settings, opsgenie.send, send_resolved=config.send_resolved, wording=wording)


def _victorops(config: VictoropsConfig, building: Building, place: Place) -> Channel:
    defaults = building.defaults
    key = building.secret(config, "api_key", place) or building.secret(defaults, "victorops_api_key", ("global",))
    building.required(key, place, "api_key")
    building.no_authorization(config.http_config, place)
    url = config.api_url or defaults.victorops_api_url or "https://alert.victorops.com/integrations/generic/20131114/alert"
    building.http_address(url, (*place, "api_url"))
    settings = victorops.Settings(key, config.routing_key, url, config.message_type)
    wording = building.wording(place, config.entity_display_name, config.state_message)
    return Channel("victorops", settings, victorops.send, send_resolved=config.send_resolved, wording=wording)


def _sns(config: SnsConfig, building: Building, place: Place) -> Channel:
    building.no_authorization(config.http_config, place)
    named = [key for key in ("topic_arn", "phone_number", "target_arn") if getattr(config, key)]
    if len(named) != 1:
        building.fault(place, "one of topic_arn, phone_number and target_arn is needed", "give exactly one")
    arn = (config.topic_arn or config.target_arn).split(":")
    region = config.sigv4.region or (arn[3] if len(arn) > 3 else "") or os.environ.get("AWS_REGION", "")
    access = config.sigv4.access_key or os.environ.get("AWS_ACCESS_KEY_ID", "")
    secret = config.sigv4.secret_key or os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not (region and access and secret):
        building.fault((*place, "sigv4"), "region, access_key or secret_key is missing", "give all three")
    building.http_address(config.api_url, (*place, "api_url"))
    token = "" if config.sigv4.access_key else os.environ.get("AWS_SESSION_TOKEN", "")
    settings = sns.Settings(
        region, access, secret, config.topic_arn, config.phone_number, config.target_arn, token, config.api_url
    )
    wording = building.wording(place, config.subject, config.message)
    return Channel("sns", settings, sns.send, send_resolved=config.send_resolved, wording=wording)


Builder = Callable[[Any, Building, Place], Channel]

BUILDERS: dict[str, Builder] = {
    "webhook_configs": _webhook,
    "email_configs": _email,
    "pagerduty_configs": _pagerduty,
    "slack_configs": _slack,
    "pushover_configs": _pushover,
    "telegram_configs": _telegram,
    "discord_configs": _discord,
    "msteams_configs": _msteams,
    "msteamsv2_configs": _msteams,
    "opsgenie_configs": _opsgenie,
    "victorops_configs": _victorops,
    "sns_configs": _sns,
}
"""By the key of the receiver's section, in the order in which a receiver's channels are tried."""


def build_channels(receiver: ReceiverSection, building: Building, place: Place) -> tuple[Channel, ...]:
    """All channels of one receiver. Faults go to `building`."""
    channels = []
    for key, build in BUILDERS.items():
        configs: Sequence[Section] = getattr(receiver, key)
        channels += [build(config, building, (*place, key, index)) for index, config in enumerate(configs)]
    return tuple(channels)
