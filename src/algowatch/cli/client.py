"""Commands that ask a running engine, or any Prometheus, over its HTTP API."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from algowatch.errors import AlgowatchError, UsageError
from algowatch.model.labels import Labels
from algowatch.model.timestamps import parse_time
from algowatch.promql.parser import parse
from algowatch.telemetry.registration import read_engine

_TIMEOUT_S = 130


def ask(expr: str, url: str | None, at: str | None, as_json: bool) -> int:
    """Print the answer to an instant query; 1 when there is none."""
    parse(expr)
    parameters = {"query": expr}
    if at:
        try:
            parameters["time"] = str(parse_time(at) / 1000)
        except ValueError as error:
            raise UsageError(f"--time: {error}") from None
    answer = call(url, "/api/v1/query", parameters)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print_result(answer["data"])
    for note in [*answer.get("warnings", ()), *answer.get("infos", ())]:
        click.echo(note, err=True)
    return 0 if answer["data"]["result"] else 1


def list_alerts(url: str | None, as_json: bool) -> int:
    """Print what is firing; 1 when something is."""
    answer = call(url, "/api/v2/alerts", {"active": "true", "silenced": "true", "inhibited": "true"})
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return 1 if answer else 0
    if not answer:
        click.echo("Nothing is firing.")
        return 0
    table = Table("alert", "severity", "instance", "state", "since", "summary", box=None, pad_edge=False)
    for alert in answer:
        labels, annotations = alert["labels"], alert["annotations"]
        table.add_row(
            labels.get("alertname", ""),
            labels.get("severity", ""),
            labels.get("instance", ""),
            alert["status"]["state"],
            alert["startsAt"],
            annotations.get("summary", ""),
        )
    Console(markup=False, highlight=False).print(table)
    return 1


def call(url: str | None, path: str, parameters: dict[str, str]) -> Any:
    """Ask an API and decode the answer.

    Raises: UsageError when no engine is there; AlgowatchError with the API's own words when it refuses.
    """
    return _ask(url, f"{path}?{urllib.parse.urlencode(parameters)}", "GET", None)


def send(url: str | None, method: str, path: str, body: object) -> Any:
    """Change something through an API; an answer without a body is None. Raises: as `call`."""
    return _ask(url, path, method, None if body is None else json.dumps(body).encode())


def _ask(url: str | None, path: str, method: str, body: bytes | None) -> Any:
    base = (url or _running_engine()).rstrip("/")
    if urllib.parse.urlsplit(base).scheme not in ("http", "https"):
        raise UsageError(f"--url {base!r} is not an http address; write for example http://127.0.0.1:5174")
    request = urllib.request.Request(base + path, body, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            text = response.read()
        return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise AlgowatchError(_refusal(error)) from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{base} does not answer ({error}); is `algowatch up` running?") from None


def _refusal(error: urllib.error.HTTPError) -> str:
    """The API's own words: Prometheus's API has them in an object, Alertmanager's as a bare text or under "message"."""
    try:
        said = json.load(error)
    except ValueError:
        said = None
    if isinstance(said, dict):
        said = said.get("error") or said.get("message")
    return said if isinstance(said, str) and said else f"{error.url} answered {error.code}"


def _running_engine() -> str:
    found = read_engine()
    if found is None:
        raise UsageError("no engine runs here; start one with `algowatch up`, or name one with --url")
    return found.url


def _print_result(data: dict[str, Any]) -> None:
    if data["resultType"] in ("scalar", "string"):
        click.echo(data["result"][1])
        return
    for series in data["result"]:
        labels = Labels.of(series["metric"])
        if "value" in series:
            click.echo(f"{labels} {series['value'][1]}")
            continue
        click.echo(str(labels))
        for time, value in series["values"]:
            click.echo(f"  {value} @ {time}")
