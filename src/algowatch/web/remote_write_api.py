"""Remote write 1.0 in: what another Prometheus, an agent or a script sends becomes samples of the store.

The messages are read by `store.remote_write`, by hand: 10,000 series take about 71 ms, where the protobuf library takes 28 and
costs 1.4 MB and 30 ms of import. What a desk's Prometheus sends in a second is a fraction of that: it does not earn its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from algowatch.errors import StoreError
from algowatch.model.labels import Labels
from algowatch.store.remote_write import decode_write_request
from algowatch.store.store import Store
from algowatch.store.writer import AppendOutcome
from algowatch.web.requests import MAX_TIME_MS, ApiError, classify, read_body
from algowatch.web.workers import Workers

STREAM = "remote_write"
_MAX_BODY_BYTES = 32 << 20
_MESSAGE_1 = "prometheus.WriteRequest"


class RemoteWriteApi:
    """/api/v1/write.

    out_of_order_ms: how much older than its series' newest a sample may be, as `storage.tsdb.out_of_order_time_window` says.
    written:         called on the loop once samples are stored.
    """

    def __init__(self, store: Store, workers: Workers, out_of_order_ms: Callable[[], int], written: Callable[[], None]) -> None:
        self._store = store
        self._workers = workers
        self._out_of_order_ms = out_of_order_ms
        self._written = written

    def routes(self) -> list[BaseRoute]:
        return [Route("/api/v1/write", self.write, methods=["POST"])]

    async def write(self, request: Request) -> Response:
        """204 once everything is stored and would survive a crash; errors are plain text, as in Prometheus.

        400 says that a repetition would not help: what was good in the request is stored. 5xx says: send it again.
        """
        try:
            _check_headers(request)
            body = await read_body(request, _MAX_BODY_BYTES)
            window_ms = self._out_of_order_ms()
            outcome = await self._workers.run(lambda: self._store_all(body, window_ms))
        except (ApiError, StoreError) as error:
            return PlainTextResponse(f"{error}\n", classify(error)[1])
        if outcome.stored:
            self._written()
        problem = _problem(outcome)
        return PlainTextResponse(f"{problem}\n", 400) if problem else Response(status_code=204)

    def _store_all(self, body: bytes, out_of_order_ms: int) -> AppendOutcome:
        try:
            series = decode_write_request(body)
        except StoreError as error:
            raise ApiError("bad_data", str(error), 400) from None
        samples = [(labels, timestamp_ms, value) for labels, found in series for timestamp_ms, value in found]
        for labels, timestamp_ms, _ in samples:
            if abs(timestamp_ms) > MAX_TIME_MS:
                raise ApiError("bad_data", f"out of bounds: series {labels} has a sample at {timestamp_ms} ms", 400)
        return self._store.append_samples(STREAM, samples, out_of_order_ms)


def _check_headers(request: Request) -> None:
    """Raises: ApiError, 415 as the specification asks for it, for what is not a snappy block of message 1."""
    encoding = request.headers.get("content-encoding", "snappy").lower()
    if encoding != "snappy":
        raise ApiError("bad_data", f"{encoding} encoding is not accepted; the body must be a snappy block", 415)
    media, _, parameters = request.headers.get("content-type", "application/x-protobuf").partition(";")
    message = parameters.strip().removeprefix("proto=") or _MESSAGE_1
    if media.strip().lower() != "application/x-protobuf" or message != _MESSAGE_1:
        raise ApiError(
            "bad_data", f"content type {media}{parameters and ';' + parameters} is not accepted; send {_MESSAGE_1}", 415
        )


def _problem(outcome: AppendOutcome) -> str:
    """What was not stored, in Prometheus's words with the first series; empty where all is well."""
    found = [
        _listed("out of order sample", outcome.out_of_order),
        _listed("duplicate sample for timestamp", outcome.conflicts),
    ]
    return "; ".join(text for text in found if text)


def _listed(what: str, refused: Sequence[tuple[Labels, int]]) -> str:
    if not refused:
        return ""
    labels, timestamp_ms = refused[0]
    return f"{what}: {labels} at {timestamp_ms} ms" + (f" and {len(refused) - 1} more" if len(refused) > 1 else "")
