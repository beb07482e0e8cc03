"""Alertmanager's HTTP API v2: alerts come in, silences are kept, the state is shown; and our delivery record."""

from __future__ import annotations

import re
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.model.alerts import Alert
from algowatch.model.clock import Clock
from algowatch.model.labels import Labels, Matcher, is_legacy_label_name
from algowatch.model.timestamps import format_time, parse_time
from algowatch.model.version import VERSION
from algowatch.notify.matchers import parse_matcher
from algowatch.notify.notifier import Notifier
from algowatch.notify.silences import Silence, matcher_from_json
from algowatch.notify.status import AlertStatus
from algowatch.web.requests import (
    ApiError,
    Parameters,
    answering_errors,
    bad_data,
    json_response,
    read_body,
    read_parameters,
    success,
)

_MAX_ALERTS = 10_000
_MAX_TEXT = 16_384
_DEFAULT_RESOLVE_MS = 300_000


class AlertmanagerApi:
    """The endpoints under /api/v2, and /api/notifications."""

    def __init__(self, notifier: Notifier, clock: Clock) -> None:
        self._notifier = notifier
        self._clock = clock
        self._started_ms = clock.now_ms()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v2/alerts", answering_errors(self.get_alerts)),
            Route("/api/v2/alerts", answering_errors(self.post_alerts), methods=["POST"]),
            Route("/api/v2/alerts/groups", answering_errors(self.groups)),
            Route("/api/v2/silences", answering_errors(self.get_silences)),
            Route("/api/v2/silences", answering_errors(self.post_silence), methods=["POST"]),
            Route("/api/v2/silence/{silence_id}", answering_errors(self.get_silence)),
            Route("/api/v2/silence/{silence_id}", answering_errors(self.expire_silence), methods=["DELETE"]),
            Route("/api/v2/receivers", answering_errors(self.receivers)),
            Route("/api/v2/status", answering_errors(self.status)),
            Route("/api/notifications", answering_errors(self.notifications)),
        ]

    async def get_alerts(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        shown = self._notifier.alerts(_filter(parameters))
        return json_response([alert.as_json() for alert in shown if _wanted(alert, parameters)])

    async def post_alerts(self, request: Request) -> Response:
        """Take alerts; answers once they cannot be lost any more. Good ones of a batch are taken, bad ones reported."""
        now_ms = self._clock.now_ms()
        alerts, problems = read_alerts(await _read_json(request), now_ms)
        if alerts:
            await self._notifier.accept(alerts)
        if problems:
            raise bad_data("; ".join(problems[:20]))
        return json_response({})

    async def groups(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        return json_response([group.as_json() for group in self._notifier.groups(_filter(parameters))])

    async def get_silences(self, request: Request) -> Response:
        now_ms = self._clock.now_ms()
        found = self._notifier.silences(_filter(await read_parameters(request)))
        return json_response([silence.as_json(now_ms) for silence in found])

    async def get_silence(self, request: Request) -> Response:
        found = self._notifier.silence(request.path_params["silence_id"])
        if found is None:
            raise ApiError("not_found", "no silence has this id", 404)
        return json_response(found.as_json(self._clock.now_ms()))

    async def post_silence(self, request: Request) -> Response:
        wanted = read_silence(await _read_json(request))
        try:
            silence = self._notifier.put_silence(wanted)
        except KeyError:
            raise ApiError("not_found", "no silence has this id", 404) from None
        except ValueError as error:
            raise bad_data(str(error)) from None
        return json_response({"silenceID": silence.id})

    async def expire_silence(self, request: Request) -> Response:
        try:
            self._notifier.expire_silence(request.path_params["silence_id"])
        except KeyError:
            raise ApiError("not_found", "no silence has this id", 404) from None
        except ValueError as error:
            raise bad_data(str(error)) from None
        return json_response({})

    async def receivers(self, request: Request) -> Response:
        return json_response([{"name": name} for name in self._notifier.receivers()])

    async def status(self, request: Request) -> Response:
        return json_response(
            {
                "cluster": {"status": "disabled"},
                "config": {"original": self._notifier.configuration()},
                "uptime": format_time(self._started_ms),
                "versionInfo": {
                    "branch": "",
                    "buildDate": "",
                    "buildUser": "",
                    "goVersion": "",
                    "revision": "",
                    "version": VERSION,
                },
            }
        )

    async def notifications(self, request: Request) -> Response:
        limit = (await read_parameters(request)).limit() or 50
        return success(self._notifier.notifications(limit))


async def _read_json(request: Request) -> Any:
    try:
        return orjson.loads(await read_body(request))
    except orjson.JSONDecodeError as error:
        raise bad_data(f"the body is not JSON: {error}") from None


def _filter(parameters: Parameters) -> list[Matcher]:
    try:
        return [parse_matcher(text) for text in parameters.all("filter")]
    except ValueError as error:
        raise bad_data(f"bad matcher format: {error}") from None


def _wanted(alert: AlertStatus, parameters: Parameters) -> bool:
    """Alertmanager's switches: each kind is shown unless it is told not to be."""
    if parameters.get("receiver") and parameters.get("receiver") not in alert.receivers:
        return False
    if alert.silenced_by and parameters.get("silenced") == "false":
        return False
    if alert.inhibited_by and parameters.get("inhibited") == "false":
        return False
    return alert.state != "active" or parameters.get("active") != "false"


def read_alerts(posted: Any, now_ms: int) -> tuple[list[Alert], list[str]]:
    """Alerts as API v2 takes them; the second value says what is wrong with those that are none.

    Without startsAt an alert starts now, without endsAt it lasts five minutes unless it is sent again.
    Raises: ApiError where the whole is not a list of alerts.
    """
    if not isinstance(posted, list) or len(posted) > _MAX_ALERTS:
        raise bad_data(f"the body must be a list of at most {_MAX_ALERTS} alerts")
    alerts, problems = [], []
    for index, entry in enumerate(posted):
        try:
            alerts.append(_read_alert(entry, now_ms))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"alert {index}: {error}")
    return alerts, problems


def _read_alert(entry: Any, now_ms: int) -> Alert:
    if not isinstance(entry, dict):
        raise TypeError("is not an object")
    labels = _read_texts(entry.get("labels"), "labels")
    if not labels:
        raise ValueError("at least one label pair required")
    for name in (name for name, _ in labels if not is_legacy_label_name(name)):
        raise ValueError(f"invalid label name {name[:80]!r}")
    starts_at_ms = _read_time(entry, "startsAt") or now_ms
    ends_at_ms = _read_time(entry, "endsAt") or max(now_ms, starts_at_ms) + _DEFAULT_RESOLVE_MS
    if ends_at_ms < starts_at_ms:
        raise ValueError("start time must be before end time")
    annotations = _read_texts(entry.get("annotations") or {}, "annotations")
    return Alert(labels, annotations, starts_at_ms, ends_at_ms, str(entry.get("generatorURL") or "")[:_MAX_TEXT])


def _read_texts(pairs: Any, what: str) -> Labels:
    if not isinstance(pairs, dict) or not all(isinstance(value, str) for value in pairs.values()):
        raise TypeError(f"{what} must be an object of texts")
    return Labels.of((str(name)[:_MAX_TEXT], value[:_MAX_TEXT]) for name, value in pairs.items())


def _read_time(entry: dict[str, Any], name: str) -> int:
    """Milliseconds; 0 where the time is not given, also when it is Go's zero time."""
    text = entry.get(name)
    return 0 if not text or str(text).startswith("0001-") else parse_time(str(text))


def read_silence(posted: Any) -> Silence:
    """A silence as API v2 takes it.

    Raises: ApiError
    """
    try:
        matchers = tuple(matcher_from_json(matcher) for matcher in posted["matchers"])
        for matcher in matchers:
            matcher.matches("")
        starts_at_ms, ends_at_ms = parse_time(posted["startsAt"]), parse_time(posted["endsAt"])
        author, comment = str(posted.get("createdBy", "")), str(posted.get("comment", ""))
        return Silence(str(posted.get("id") or ""), matchers, starts_at_ms, ends_at_ms, author[:256], comment[:_MAX_TEXT])
    except (KeyError, TypeError, AttributeError) as error:
        raise bad_data(f"not a silence: {error}; matchers, startsAt and endsAt are needed") from None
    except (ValueError, re.error) as error:
        raise bad_data(f"not a silence: {error}") from None
