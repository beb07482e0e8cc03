"""Parameters of an API call, from the query string or a form body, and errors as Prometheus's API words them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response

from algowatch.errors import (
    AlgowatchError,
    EvaluationError,
    NotSupportedError,
    ParseError,
    QueryError,
    QueryLimitError,
    QueryTimeoutError,
    StoreError,
)
from algowatch.model.durations import parse_duration
from algowatch.model.timestamps import parse_time

_MAX_BODY_BYTES = 4 << 20
# What Prometheus takes where no start or end is given: the whole of time, kept inside int64 milliseconds.
MIN_TIME_MS = -(1 << 62) // 1_000_000 * 1_000
MAX_TIME_MS = -MIN_TIME_MS


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
            return parse_time(text)
        except ValueError as error:
            raise bad_data(f'invalid parameter "{name}": {error}') from None

    def duration_ms(self, name: str, default_ms: int | None = None) -> int:
        """A duration, as a number of seconds or as Prometheus writes durations.

        Raises: ApiError
        """
        text = self.get(name)
        if not text and default_ms is not None:
            return default_ms
        try:
            return round(float(text) * 1000) if re.fullmatch(r"[-+.0-9eE]+", text) else parse_duration(text)
        except (ValueError, OverflowError):
            raise bad_data(f'invalid parameter "{name}": cannot parse {text!r} to a valid duration') from None

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


async def read_body(request: Request) -> bytes:
    """The body, as long as it is not longer than any honest call's.

    Raises: ApiError
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BODY_BYTES:
            raise ApiError("bad_data", f"the body is longer than {_MAX_BODY_BYTES} bytes", 413)
    return b"".join(chunks)


def json_response(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def success(data: object, warnings: list[str] | None = None) -> Response:
    answer: dict[str, object] = {"status": "success", "data": data}
    if warnings:
        answer["warnings"] = warnings
    return json_response(answer)


Endpoint = Callable[[Request], Awaitable[Response]]


def answering_errors(endpoint: Endpoint) -> Endpoint:
    """Turn the errors that a caller can do something about into Prometheus's error answers."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except AlgowatchError as error:
            error_type, status = classify(error)
            return json_response({"status": "error", "errorType": error_type, "error": str(error)}, status)

    return answer


def classify(error: AlgowatchError) -> tuple[str, int]:
    """Prometheus's error type and HTTP status for an error of ours."""
    statuses: Mapping[type[AlgowatchError], tuple[str, int]] = {
        ParseError: ("bad_data", 400),
        QueryTimeoutError: ("timeout", 503),
        QueryLimitError: ("execution", 422),
        EvaluationError: ("execution", 422),
        NotSupportedError: ("execution", 422),
        QueryError: ("execution", 422),
        StoreError: ("internal", 500),
    }
    if isinstance(error, ApiError):
        return error.error_type, error.status
    return next((found for kind, found in statuses.items() if isinstance(error, kind)), ("internal", 500))
