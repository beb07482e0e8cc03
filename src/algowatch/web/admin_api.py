"""Prometheus's administrative calls. They change history, so they take POST (and PUT), never GET."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.errors import StoreError
from algowatch.model.clock import Clock
from algowatch.store.schema import FILE_NAME
from algowatch.store.store import Store
from algowatch.web.query_api import matcher_sets_of, span_of
from algowatch.web.requests import answering_errors, bad_data, read_parameters, success
from algowatch.web.workers import Workers


class AdminApi:
    """/api/v1/admin/tsdb/…"""

    def __init__(self, store: Store, workers: Workers, clock: Clock) -> None:
        self._store = store
        self._workers = workers
        self._clock = clock

    def routes(self) -> list[BaseRoute]:
        methods = ["POST", "PUT"]
        root = "/api/v1/admin/tsdb"
        return [
            Route(f"{root}/compact", answering_errors(self.compact), methods=methods),
            Route(f"{root}/delete_series", answering_errors(self.delete_series), methods=methods),
            Route(f"{root}/clean_tombstones", answering_errors(self.clean_tombstones), methods=methods),
            Route(f"{root}/snapshot", answering_errors(self.snapshot), methods=methods),
        ]

    async def compact(self, request: Request) -> Response:
        """Seal, compress and merge everything now; answers when it is done."""
        await self._workers.run(self._store.compact)
        return Response(status_code=204)

    async def delete_series(self, request: Request) -> Response:
        """Delete for good; no tombstones stand in between. Both ends of the span are inclusive."""
        parameters = await read_parameters(request)
        matcher_sets, span = matcher_sets_of(parameters), span_of(parameters)
        if not matcher_sets:
            raise bad_data("no match[] parameter provided")
        await self._workers.run(lambda: self._store.delete(matcher_sets, *span))
        return Response(status_code=204)

    async def clean_tombstones(self, request: Request) -> Response:
        """What was deleted is gone already; the chunks that it left smaller are merged again."""
        return await self.compact(request)

    async def snapshot(self, request: Request) -> Response:
        """Copy the store into `snapshots/NAME` of the data directory; the answer names it. `skip_head` has nothing to skip."""
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        name = f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"
        folder = self._store.directory / "snapshots" / name
        try:
            folder.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}") from None
        await self._workers.run(lambda: self._store.backup(folder / FILE_NAME))
        return success({"name": name})
