"""What Alertmanager's API v2 is posted, and how it words what it refuses.

Two kinds of refusal, as there: a body that is not of the schema is `{"code": 602, "message": …}`; one that is and makes no
sense is a bare JSON text. amtool and other clients of API v2 decode both.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from algowatch.errors import AlgowatchError
from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels, Matcher, is_legacy_label_name
from algowatch.model.timestamps import parse_time
from algowatch.notify.matchers import parse_matcher
from algowatch.notify.silences import Silence, check, matcher_from_json
from algowatch.web.requests import ApiError, Parameters, json_response, read_body

_MAX_ALERTS = 10_000
_MAX_TEXT = 16_384
_NEEDED = 602
_WRONG_TYPE = 601
_TOO_FEW = 612


class RefusalError(AlgowatchError):
    """An answer of API v2 that is an error. code: of go-openapi's validation, 0 where the words alone are the body."""

    def __init__(self, status: int, problem: str, code: int = 0) -> None:
        self.status = status
        self.code = code
        super().__init__(problem)

    def response(self) -> Response:
        return json_response({"code": self.code, "message": str(self)} if self.code else str(self), self.status)


def answering_refusals(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Turn errors into API v2's error answers."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RefusalError as error:
            return error.response()
        except ApiError as error:
            return json_response(str(error), error.status)
        except AlgowatchError as error:
            return json_response(str(error), 500)

    return answer


async def read_json(request: Request, what: str) -> Any:
    """Raises: RefusalError"""
    try:
        return orjson.loads(await read_body(request))
    except orjson.JSONDecodeError as error:
        raise RefusalError(400, f'parsing {what} body from "" failed, because {error}', 400) from None


def read_filter(parameters: Parameters) -> list[Matcher]:
    """The matchers of all `filter` parameters. Raises: RefusalError"""
    try:
        return [parse_matcher(text) for text in parameters.all("filter")]
    except ValueError as error:
        raise RefusalError(400, str(error)) from None


def read_receiver(parameters: Parameters) -> Matcher | None:
    """The `receiver` parameter, an anchored regular expression, as a matcher for names. Raises: RefusalError"""
    if not (text := parameters.get("receiver")):
        return None
    matcher = Matcher("receiver", "=~", text)
    try:
        matcher.matches("")
    except re.error as error:
        raise RefusalError(400, f"failed to parse receiver param: error parsing regexp: {error}") from None
    return matcher


def read_id(text: str) -> str:
    """The id of a silence in a path. Raises: RefusalError"""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise RefusalError(422, f'silenceID in path must be of type uuid: "{text[:80]}"', _WRONG_TYPE) from None


def read_alerts(posted: Any, now_ms: int, resolve_timeout_ms: int = 300_000) -> tuple[list[Alert], list[str]]:
    """Alerts as API v2 takes them; the second value says what is wrong with those that are none.

    Without startsAt an alert starts now, without endsAt it lasts resolve_timeout_ms unless it is sent again. A wrong
    generatorURL or annotation name does not keep an alert from being taken, other than in Alertmanager.
    Raises: RefusalError where the whole is not a list of alerts.
    """
    if not isinstance(posted, list) or len(posted) > _MAX_ALERTS:
        raise RefusalError(
            400, f'parsing alerts body from "" failed, because it is not a list of at most {_MAX_ALERTS} alerts', 400
        )
    for index, entry in enumerate(posted):
        if not isinstance(entry, dict) or "labels" not in entry:
            raise RefusalError(422, f"{index}.labels in body is required", _NEEDED)
    alerts, problems = [], []
    for entry in posted:
        try:
            alerts.append(_read_alert(entry, now_ms, resolve_timeout_ms))
        except (TypeError, ValueError) as error:
            problems.append(str(error))
    return alerts, problems


def _read_alert(entry: dict[str, Any], now_ms: int, resolve_timeout_ms: int) -> Alert:
    labels = _read_texts(entry["labels"], "labels")
    if not labels:
        raise ValueError("at least one label pair required")
    for name in (name for name, _ in labels if not is_legacy_label_name(name)):
        raise ValueError(f'invalid label set: invalid name "{name[:80]}"')
    starts_at_ms = _read_time(entry, "startsAt")
    ends_at_ms = _read_time(entry, "endsAt")
    starts_at_ms = starts_at_ms or (min(ends_at_ms, now_ms) if ends_at_ms else now_ms)
    ends_at_ms = ends_at_ms or max(now_ms, starts_at_ms) + resolve_timeout_ms
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


_SILENCE_KEYS = ("comment", "createdBy", "endsAt", "matchers", "startsAt")


def read_silence(posted: Any, now_ms: int) -> Silence:
    """A silence as API v2 takes it. Raises: RefusalError"""
    if not isinstance(posted, dict):
        raise RefusalError(400, 'parsing silence body from "" failed, because it is not an object', 400)
    for key in (key for key in _SILENCE_KEYS if posted.get(key) is None):
        raise RefusalError(422, f"{key} in body is required", _NEEDED)
    if not isinstance(posted["matchers"], list) or not posted["matchers"]:
        raise RefusalError(422, "matchers in body should have at least 1 items", _TOO_FEW)
    matchers = tuple(_read_matcher(entry, index) for index, entry in enumerate(posted["matchers"]))
    try:
        starts_at_ms, ends_at_ms = parse_time(str(posted["startsAt"])), parse_time(str(posted["endsAt"]))
    except ValueError as error:
        raise RefusalError(400, f'parsing silence body from "" failed, because {error}', 400) from None
    author, comment = str(posted["createdBy"])[:256], str(posted["comment"])[:_MAX_TEXT]
    silence = Silence(str(posted.get("id") or ""), matchers, starts_at_ms, ends_at_ms, author, comment)
    try:
        check(silence, now_ms)
    except ValueError as error:
        raise RefusalError(400, str(error)) from None
    return silence


def _read_matcher(entry: Any, index: int) -> Matcher:
    for key in ("isRegex", "name", "value"):
        if not isinstance(entry, dict) or entry.get(key) is None:
            raise RefusalError(422, f"matchers.{index}.{key} in body is required", _NEEDED)
    matcher = matcher_from_json(entry)
    if not is_legacy_label_name(matcher.name):
        raise RefusalError(400, f'silence invalid: invalid label matcher {index}: invalid label name "{matcher.name[:80]}"')
    try:
        matcher.matches("")
    except re.error as error:
        problem = f'invalid regular expression "{matcher.value[:200]}": error parsing regexp: {error}'
        raise RefusalError(400, f"silence invalid: invalid label matcher {index}: {problem}") from None
    return matcher
