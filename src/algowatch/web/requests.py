"""Parameters of an API call, from the query string or a form body, and errors as Prometheus's API words them."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response

from algowatch.errors import AlgowatchError, QueryError
from algowatch.model.durations import parse_duration
from algowatch.model.labels import quote
from algowatch.model.timestamps import parse_time
from algowatch.web.workers import ClientGoneError

_log = logging.getLogger(__name__)
_MAX_BODY_BYTES = 4 << 20
# The whole of time, where no start or end is given and the most that one may name: far enough inside int64 milliseconds
# that a lookback or an offset may be added.
MAX_TIME_MS = 1 << 61
MIN_TIME_MS = -MAX_TIME_MS
_STATUS_OF_QUERY_ERROR = {"bad_data": 400, "execution": 422, "timeout": 503}
_CLIENT_CLOSED_REQUEST = 499


class ApiError(AlgowatchError):
    """An answer that is an error: Prometheus's error type and the HTTP status that goes with it."""

    def __init__(self, error_type: str, problem: str, status: int) -> None:
        self.error_type = error_type
        self.status = status
        super().__init__(problem)


def bad_data(problem: str) -> ApiError:
    return ApiError("bad_data", problem, 400)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one call; a name may stand several times."""

    pairs: tuple[tuple[str, str], ...] = field(default=())

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.pairs if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key == name]

    def time_ms(self, name: str, default_ms: int | None = None) -> int:
        """A time parameter; without a default it must be there.

        Raises: ApiError
        """
        text = self.get(name)
        if not text and default_ms is not None:
            return default_ms
        try:
            time_ms = parse_time(text)
        except ValueError as error:
            raise bad_data(f'invalid parameter "{name}": {error}') from None
        if not MIN_TIME_MS <= time_ms <= MAX_TIME_MS:
            raise bad_data(f'invalid parameter "{name}": cannot parse {quote(text)} to a valid timestamp')
        return time_ms

    def duration_ms(self, name: str, default_ms: int | None = None) -> int:
        """A duration, as a number of seconds or as Prometheus writes durations.

        Raises: ApiError
        """
        text = self.get(name)
        if not text and default_ms is not None:
            return default_ms
        try:
            found_ms = round(float(text) * 1000) if re.fullmatch(r"[-+.0-9eE]+", text) else parse_duration(text)
        except (ValueError, OverflowError):
            raise bad_data(f'invalid parameter "{name}": cannot parse {quote(text)} to a valid duration') from None
        if abs(found_ms) > MAX_TIME_MS:
            problem = f"cannot parse {quote(text)} to a valid duration. It overflows int64"
            raise bad_data(f'invalid parameter "{name}": {problem}')
        return found_ms

    def limit(self, name: str = "limit") -> int:
        """A count; 0 means no limit.

        Raises: ApiError
        """
        text = self.get(name)
        if not text:
            return 0
        if not text.isascii() or not text.isdigit():
            raise bad_data(f'invalid parameter "{name}": limit must be non-negative')
        return int(text)


async def read_parameters(request: Request) -> Parameters:
    """The query string's parameters, and a form body's before them.

    Raises: ApiError when the body is too long or not a form.
    """
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        body = await read_body(request)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000) + pairs
        except (ValueError, UnicodeDecodeError):
            raise bad_data("the body is not a form: send application/x-www-form-urlencoded in UTF-8") from None
    return Parameters(tuple(pairs))


async def read_body(request: Request, max_bytes: int = _MAX_BODY_BYTES) -> bytes:
    """The body, as long as it is not longer than any honest call's.

    Raises: ApiError
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise ApiError("bad_data", f"the body is longer than {max_bytes} bytes", 413)
    return b"".join(chunks)


def json_response(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def success(data: object, warnings: list[str] | None = None) -> Response:
    answer: dict[str, object] = {"status": "success", "data": data}
    if warnings:
        answer["warnings"] = warnings
    return json_response(answer)


def error_response(error_type: str, problem: str, status: int) -> Response:
    return json_response({"status": "error", "errorType": error_type, "error": problem}, status)


Endpoint = Callable[[Request], Awaitable[Response]]


def answering_errors(endpoint: Endpoint) -> Endpoint:
    """Turn errors into Prometheus's error answers; one that nobody expected is logged and is "internal"."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AlgowatchError as error:
            error_type, status = classify(error)
            return error_response(error_type, str(error), status)
        except Exception as error:  # noqa: BLE001 - the client must be told, and other requests go on
            _log.exception("%s %s failed", request.method, request.url.path)
            return error_response("internal", f"{type(error).__name__}: {error}; the engine's log says more", 500)

    return answer


def classify(error: AlgowatchError) -> tuple[str, int]:
    """Prometheus's error type and HTTP status for an error of ours."""
    if isinstance(error, ApiError):
        return error.error_type, error.status
    if isinstance(error, QueryError):
        return error.error_type, _STATUS_OF_QUERY_ERROR[error.error_type]
    if isinstance(error, ClientGoneError):
        return "canceled", _CLIENT_CLOSED_REQUEST
    return "internal", 500
