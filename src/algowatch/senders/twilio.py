"""Twilio: a text message, or a call that reads the headline out."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from algowatch.senders.http import post_form
from algowatch.senders.message import Message
from algowatch.senders.text import body, one_line, shorten, title


@dataclass(frozen=True, slots=True)
class Settings:
    """sender, to: telephone numbers, `+15551234567`. call: call instead of writing."""

    account_sid: str
    token: str = field(repr=False)
    sender: str
    to: str
    call: bool = False
    url: str = "https://api.twilio.com"


def payload(message: Message, *, call: bool = False) -> dict[str, str]:
    """The field that holds the words: `Body` of a text message, `Twiml` of a call, which says the headline twice.

    Source: Twilio, "Messages resource" (1600 characters), "TwiML for Programmable Voice", Say.
    """
    if not call:
        return {"Body": shorten(f"{title(message)}\n{body(message)}", 1600)}
    said = escape(one_line(shorten(title(message), 500)))
    return {"Twiml": f'<Response><Say loop="2">{said}</Say></Response>'}


def send(settings: Settings, message: Message, timeout_s: float) -> str:
    """Raises: DeliveryError. Nobody is called for the end of an alert."""
    if settings.call and message.status == "resolved":
        return ""
    resource = "Calls" if settings.call else "Messages"
    pair = base64.b64encode(f"{settings.account_sid}:{settings.token}".encode()).decode()
    return post_form(
        f"{settings.url}/2010-04-01/Accounts/{settings.account_sid}/{resource}.json",
        {"From": settings.sender, "To": settings.to, **payload(message, call=settings.call)},
        timeout_s,
        {"Authorization": f"Basic {pair}"},
    ).said()
