"""Commands about alerts: try receivers, set one up, silence, acknowledge."""

from __future__ import annotations

import getpass
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from algowatch.cli.client import call, send
from algowatch.engine.options import EngineOptions
from algowatch.engine.receivers_file import write_receivers
from algowatch.engine.reload import read_routing
from algowatch.errors import UsageError
from algowatch.model.timestamps import format_time
from algowatch.notify.matchers import parse_matchers
from algowatch.notify.silences import matcher_to_json
from algowatch.notify.trial import try_channels
from algowatch.scrape.sections import ScrapeFile
from algowatch.senders.channels import from_environment
from algowatch.telemetry.registration import read_engine

_TIMEOUT_S = 15.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def try_receivers(url: str | None, options: EngineOptions, as_json: bool) -> int:
    """Through the receivers of the running engine, or, with none, of the options and the environment; 1 if one failed."""
    if url or read_engine() is not None:
        found = send(url, "POST", "/api/receivers/test", {})["data"]
    else:
        routing = read_routing(options, ScrapeFile())
        found = [trial.as_json() for trial in try_channels(routing.receivers, now_ms(), _TIMEOUT_S)]
    return report(found, as_json)


def report(found: Sequence[Mapping[str, Any]], as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(found, indent=2))
    for one in [] if as_json else found:
        word = "ok    " if one["taken"] else "FAILED"
        names = ", ".join(one["receivers"])
        click.echo(f"{word} {one['integration']} ({names}): {one['answered'] or 'taken'}, {one['seconds']:.2f} s")
    return 0 if all(one["taken"] for one in found) else 1


SERVICES: dict[str, tuple[tuple[str, str], ...]] = {
    "ntfy": (("NTFY_TOPIC", "Topic (who knows it can read it)"),),
    "telegram": (("TELEGRAM_BOT_TOKEN", "Token of the bot, from @BotFather"), ("TELEGRAM_CHAT_ID", "Id of the chat")),
    "slack": (("SLACK_WEBHOOK_URL", "Address of the incoming webhook"),),
    "discord": (("DISCORD_WEBHOOK_URL", "Address of the channel's webhook"),),
    "teams": (("TEAMS_WEBHOOK_URL", "Address of the workflow"),),
    "pushover": (("PUSHOVER_TOKEN", "Token of the application"), ("PUSHOVER_USER", "Key of the user")),
    "pagerduty": (("PAGERDUTY_API_KEY", "Integration key, of Events API v2"),),
    "opsgenie": (("OPSGENIE_API_KEY", "Key of the API integration"),),
    "email": (("SMTP_USER", "Address to send from"), ("SMTP_PASSWORD", "Its password, an app password where there is one")),
    "apprise": (("APPRISE_URLS", "Apprise URLs, spaces between"),),
}
_SECRET = ("TOKEN", "PASSWORD", "KEY", "URL")


def add_receiver(service: str, given: Sequence[str], data_dir: Path, environ: Mapping[str, str], asks: bool) -> int:
    """Ask for what the service needs, keep it where the engine reads it, send a test; 1 if that does not arrive."""
    variables = _variables(service, given, asks)
    channels = from_environment({**_without_receivers(environ), **variables})
    if not channels:
        raise UsageError(f"{service}: these settings make no receiver; give {', '.join(name for name, _ in SERVICES[service])}")
    found = [trial.as_json() for trial in try_channels({service: channels}, now_ms(), _TIMEOUT_S)]
    bad = report(found, as_json=False)
    if bad:
        click.echo("nothing was kept; mend the settings and try again", err=True)
        return 1
    if service == "ntfy":
        server = environ.get("NTFY_URL") or "https://ntfy.sh"
        click.echo(f"Subscribe to {server}/{variables['NTFY_TOPIC']} in the ntfy app, or open that address in a browser.")
    if asks and not click.confirm("Did the test arrive?", default=True):
        click.echo("nothing was kept", err=True)
        return 1
    path = write_receivers(data_dir, variables)
    click.echo(f"kept in {path}")
    if read_engine() is not None:
        send(None, "POST", "/-/reload", None)
        click.echo("the running engine uses it from now on")
    return 0


def _variables(service: str, given: Sequence[str], asks: bool) -> dict[str, str]:
    wanted = SERVICES[service]
    found = dict(zip((name for name, _ in wanted), given, strict=False))
    if service == "ntfy" and not given:
        found["NTFY_TOPIC"] = f"algowatch-{secrets.token_urlsafe(12)}"
    for name, question in wanted[len(found) :]:
        if not asks:
            raise UsageError(f"{service}: {name} is missing; give it after the service's name")
        found[name] = click.prompt(question, hide_input=name.rpartition("_")[2] in _SECRET)
    return found


def _without_receivers(environ: Mapping[str, str]) -> dict[str, str]:
    """What may modify a receiver (an SMTP host, an ntfy server) without the variables that make others."""
    makers = {name for variables in SERVICES.values() for name, _ in variables} | {"ALGOWATCH_WEBHOOK_URL"}
    return {name: value for name, value in environ.items() if name not in makers and not name.startswith("TWILIO_")}


def add_silence(url: str | None, matchers: Sequence[str], lasts_ms: int, by: str, comment: str) -> int:
    try:
        parsed = [matcher_to_json(matcher) for text in matchers for matcher in parse_matchers(text)]
    except ValueError as error:
        raise UsageError(str(error)) from None
    body = {
        "matchers": parsed,
        "startsAt": format_time(now_ms()),
        "endsAt": format_time(now_ms() + lasts_ms),
        "createdBy": by or getpass.getuser(),
        "comment": comment,
    }
    click.echo(send(url, "POST", "/api/v2/silences", body)["silenceID"])
    return 0


def list_silences(url: str | None, as_json: bool) -> int:
    """Those that are not over."""
    found = [one for one in call(url, "/api/v2/silences", {}) if one["status"]["state"] != "expired"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return 0
    for one in found:
        matchers = ", ".join(_spelled(matcher) for matcher in one["matchers"])
        words = f" ({one['comment']})" if one["comment"] else ""
        click.echo(f"{one['id']}  {one['status']['state']} until {one['endsAt']}: {matchers}, by {one['createdBy']}{words}")
    if not found:
        click.echo("Nothing is silenced.")
    return 0


def _spelled(matcher: Mapping[str, Any]) -> str:
    op = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
    return f"{matcher['name']}{op[matcher['isRegex'], matcher['isEqual']]}{json.dumps(matcher['value'])}"


def end_silence(url: str | None, silence_id: str) -> int:
    send(url, "DELETE", f"/api/v2/silence/{silence_id}", None)
    click.echo("ended")
    return 0


def acknowledge(url: str | None, names: Sequence[str], by: str, comment: str) -> int:
    """Take care of alerts, by alert name or fingerprint; 1 where one does not fire."""
    firing = call(url, "/api/v2/alerts", {})
    bad = 0
    for name in names:
        found = [alert for alert in firing if name in (alert["fingerprint"], alert["labels"].get("alertname"))]
        if not found:
            click.echo(f"{name}: no such alert fires; `algowatch alerts` lists them", err=True)
            bad = 1
        for alert in found:
            body = {"fingerprint": alert["fingerprint"], "by": by or getpass.getuser(), "comment": comment}
            send(url, "POST", "/api/acks", body)
            click.echo(f"acknowledged {alert['labels'].get('alertname')} {alert['fingerprint']}")
    return bad
