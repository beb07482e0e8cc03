"""E-mail through an SMTP server, with TLS from the start or by STARTTLS."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Literal

from algowatch.errors import DeliveryError
from algowatch.senders.message import Message
from algowatch.senders.text import body, one_line, shorten, title

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """security: "tls" from the start (port 465), "starttls" (587; refused where the server does not offer it), or "none".

    A password is never sent without TLS, except to this machine. Authorities beside the system's: SSL_CERT_FILE.
    """

    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 587
    username: str = ""
    password: str = field(default="", repr=False)
    security: Literal["tls", "starttls", "none"] = "starttls"
    hello: str = ""


def payload(message: Message, sender: str = "", to: tuple[str, ...] = ()) -> EmailMessage:
    """A text mail; mails about one group of alerts form a thread."""
    mail = EmailMessage()
    mail["Subject"] = shorten(one_line(title(message)), 200)
    if sender:
        mail["From"] = sender
    if to:
        mail["To"] = ", ".join(to)
    mail["Date"] = formatdate(localtime=True)
    domain = one_line(sender.rpartition("@")[2].strip(" >")) or "algowatch"
    mail["Message-ID"] = make_msgid(domain=domain)
    thread = f"<{hashlib.sha256(message.group_key.encode()).hexdigest()[:32]}@{domain}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    if message.severity == "critical" and message.status == "firing":
        mail["X-Priority"] = "1"
    address = f"\n\n{message.external_url}" if message.external_url else ""
    mail.set_content(body(message) + address + "\n")
    return mail


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """timeout_s: for each exchange with the server, not for all of them together.

    Raises: DeliveryError, also where the server took the mail for some of the recipients only.
    """
    where = f"smtp://{settings.host}:{settings.port}"
    try:
        with _connected(settings, timeout_s) as server:
            if settings.username:
                _log_in(server, settings, where)
            refused = server.send_message(payload(message, settings.sender, settings.to))
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(_answered(where, error.smtp_code, error.smtp_error), retryable=error.smtp_code < 500) from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError(f"{where} offers no STARTTLS or no log-in; check port and security", retryable=False) from None
    except TimeoutError:
        raise DeliveryError(f"{where} did not answer in time", retryable=True) from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "failed"
        raise DeliveryError(f"{where}: TLS: {reason}", retryable=True) from None
    except (smtplib.SMTPException, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DeliveryError(f"{where}: {reason}", retryable=True) from None
    if refused:
        code, said = next(iter(refused.values()))
        temporary = any(one_code < 500 for one_code, _ in refused.values())
        who = f"{len(refused)} of {len(settings.to)} recipients"
        raise DeliveryError(f"{_answered(where, code, said)} ({who})", retryable=temporary)
    return f"taken for {len(settings.to)} recipient{'s' if len(settings.to) > 1 else ''}"


def _connected(settings: Settings, timeout_s: float) -> smtplib.SMTP:
    hello = settings.hello or None
    if settings.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(settings.host, settings.port, hello, timeout=timeout_s, context=context)
    server = smtplib.SMTP(settings.host, settings.port, hello, timeout=timeout_s)
    if settings.security == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _log_in(server: smtplib.SMTP, settings: Settings, where: str) -> None:
    if settings.security == "none" and settings.host not in _LOOPBACK:
        raise DeliveryError(f"{where}: a password is not sent without TLS; set security to starttls or tls", retryable=False)
    server.login(settings.username, settings.password)


def _answered(where: str, code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{where} answered {code}: {shorten(one_line(text), 200)}"
