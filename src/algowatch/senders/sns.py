"""Amazon SNS: publish to a topic, a telephone number or an endpoint, with a request signed by Signature Version 4."""

from __future__ import annotations

import hashlib
import hmac
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from algowatch.senders.http import post
from algowatch.senders.message import Message
from algowatch.senders.text import body, one_line, shorten, title

_MAX_BYTES = 256 * 1024
_MAX_SMS = 1_600
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Settings:
    """One of topic_arn, phone_number and target_arn. url: another endpoint than the region's."""

    region: str
    access_key: str
    secret_key: str = field(repr=False)
    topic_arn: str = ""
    phone_number: str = ""
    target_arn: str = ""
    session_token: str = field(default="", repr=False)
    url: str = ""


def payload(message: Message, settings: Settings) -> dict[str, str]:
    """Source: Amazon, "SNS API Reference", Publish (subject 100 ASCII characters, message 256 KiB, text message 1600)."""
    text = f"{title(message)}\n\n{body(message)}"
    text = shorten(text, _MAX_SMS) if settings.phone_number else text.encode()[:_MAX_BYTES].decode("utf-8", "ignore")
    fields = {"Action": "Publish", "Version": "2010-03-31", "Message": text}
    subject = one_line(title(message)).encode("ascii", "ignore").decode().strip()[:100]
    if subject and not settings.phone_number:
        fields["Subject"] = subject
    where = {"TopicArn": settings.topic_arn, "PhoneNumber": settings.phone_number, "TargetArn": settings.target_arn}
    fields |= {name: value for name, value in where.items() if value}
    if settings.topic_arn.endswith(".fifo"):
        fields["MessageGroupId"] = hashlib.sha256(message.group_key.encode()).hexdigest()
        fields["MessageDeduplicationId"] = hashlib.sha256(text.encode()).hexdigest()
    return fields


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError."""
    url = settings.url or f"https://sns.{settings.region}.amazonaws.com/"
    encoded = urllib.parse.urlencode(payload(message, settings)).encode()
    return post(url, encoded, timeout_s, signed(settings, url, encoded, datetime.now(UTC))).said()


def signed(settings: Settings, url: str, encoded: bytes, now: datetime, service: str = "sns") -> Mapping[str, str]:
    """The headers of a signed POST to an address without a query. Source: Amazon, "Create a signed AWS API request"."""
    parts = urllib.parse.urlsplit(url)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {"content-type": _FORM, "host": parts.netloc.rpartition("@")[2], "x-amz-date": stamp}
    if settings.session_token:
        headers["x-amz-security-token"] = settings.session_token
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    query = urllib.parse.urlencode(
        sorted(urllib.parse.parse_qsl(parts.query, keep_blank_values=True)), quote_via=urllib.parse.quote
    )
    request = "\n".join(["POST", parts.path or "/", query, listed, names, hashlib.sha256(encoded).hexdigest()])
    scope = f"{day}/{settings.region}/{service}/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{settings.secret_key}".encode()
    for part in (day, settings.region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    credential = f"AWS4-HMAC-SHA256 Credential={settings.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "Authorization": credential}
