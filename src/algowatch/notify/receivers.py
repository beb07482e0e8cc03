"""Receivers of an `alertmanager.yml`: what their sections look like, and the channels that come of them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from algowatch.config import Document, Section
from algowatch.errors import Fault
from algowatch.senders import webhook
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


_NOT_DONE = "send to a webhook_configs address instead"


class ReceiverSection(Section):
    not_supported: ClassVar[dict[str, str]] = {
        f"{service}_configs": _NOT_DONE
        for service in (
            "discord", "email", "incidentio", "jira", "mattermost", "msteams", "msteamsv2", "opsgenie", "pagerduty", "pushover",
            "rocketchat", "slack", "sns", "telegram", "victorops", "webex", "wechat",
        )
    }  # fmt: skip

    name: str
    webhook_configs: tuple[WebhookConfig, ...] = ()


@dataclass
class Building:
    """What the builders of channels need beside their own section; collects faults."""

    document: Document
    directory: Path
    http: HttpConfig | None = None
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
        config = own or self.http
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


def _webhook(config: WebhookConfig, building: Building, place: Place) -> Channel:
    url = building.required(building.secret(config, "url", place), place, "url")
    if url and not url.startswith(("http://", "https://")):
        building.fault((*place, "url"), "not an http or https address", "write for example http://127.0.0.1:9000/alerts")
    settings = webhook.Settings(url, max(0, config.max_alerts), building.headers(config.http_config, place))
    return Channel("webhook", settings, webhook.send, send_resolved=config.send_resolved)


Builder = Callable[[Any, Building, Place], Channel]

BUILDERS: dict[str, Builder] = {"webhook_configs": _webhook}
"""By the key of the receiver's section, in the order in which a receiver's channels are tried."""


def build_channels(receiver: ReceiverSection, building: Building, place: Place) -> tuple[Channel, ...]:
    """All channels of one receiver. Faults go to `building`."""
    channels = []
    for key, build in BUILDERS.items():
        configs: Sequence[Section] = getattr(receiver, key)
        channels += [build(config, building, (*place, key, index)) for index, config in enumerate(configs)]
    return tuple(channels)
