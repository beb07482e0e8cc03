"""Alertmanager's HTTP API v2: alerts come in, silences are kept, the state is shown; and our delivery record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from algowatch.model.clock import Clock
from algowatch.model.timestamps import format_time
from algowatch.model.version import VERSION
from algowatch.notify.notifier import Notifier
from algowatch.notify.silences import Silence
from algowatch.notify.status import AlertStatus
from algowatch.web.alertmanager_bodies import (
    RefusalError,
    answering_refusals,
    read_alerts,
    read_filter,
    read_id,
    read_json,
    read_receiver,
    read_silence,
)
from algowatch.web.requests import Parameters, answering_errors, json_response, read_parameters, success

_MOST_NOTIFICATIONS = 10_000


class AlertmanagerApi:
    """The endpoints under /api/v2, and /api/notifications."""

    def __init__(self, notifier: Notifier, clock: Clock) -> None:
        self._notifier = notifier
        self._clock = clock
        self._started_ms = clock.now_ms()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v2/alerts", answering_refusals(self.get_alerts)),
            Route("/api/v2/alerts", answering_refusals(self.post_alerts), methods=["POST"]),
            Route("/api/v2/alerts/groups", answering_refusals(self.groups)),
            Route("/api/v2/silences", answering_refusals(self.get_silences)),
            Route("/api/v2/silences", answering_refusals(self.post_silence), methods=["POST"]),
            Route("/api/v2/silence/{silence_id}", answering_refusals(self.get_silence)),
            Route("/api/v2/silence/{silence_id}", answering_refusals(self.expire_silence), methods=["DELETE"]),
            Route("/api/v2/receivers", answering_refusals(self.receivers)),
            Route("/api/v2/status", answering_refusals(self.status)),
            Route("/api/notifications", answering_errors(self.notifications)),
        ]

    async def get_alerts(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        receiver, wanted = read_receiver(parameters), _switches(parameters)
        return json_response(
            [
                alert.as_json()
                for alert in self._notifier.alerts(read_filter(parameters))
                if wanted(alert) and (receiver is None or any(map(receiver.matches, alert.receivers)))
            ]
        )

    async def post_alerts(self, request: Request) -> Response:
        """Take alerts; answers once they cannot be lost any more. Good ones of a batch are taken, bad ones reported."""
        posted = await read_json(request, "alerts")
        alerts, problems = read_alerts(posted, self._clock.now_ms(), self._notifier.routing.resolve_timeout_ms)
        if alerts:
            await self._notifier.accept(alerts)
        if problems:
            raise RefusalError(400, "; ".join(problems[:20]))
        return Response(status_code=200)

    async def groups(self, request: Request) -> Response:
        parameters = await read_parameters(request)
        receiver, wanted = read_receiver(parameters), _switches(parameters)
        groups = self._notifier.groups(read_filter(parameters), wanted)
        muted = _switch(parameters, "muted")
        return json_response(
            [
                group.as_json()
                for group in groups
                if (receiver is None or receiver.matches(group.receiver)) and (muted or not group.muted)
            ]
        )

    async def get_silences(self, request: Request) -> Response:
        now_ms = self._clock.now_ms()
        found = self._notifier.silences(read_filter(await read_parameters(request)))
        return json_response([silence.as_json(now_ms) for silence in in_order(found, now_ms)])

    async def get_silence(self, request: Request) -> Response:
        found = self._notifier.silence(read_id(request.path_params["silence_id"]))
        if found is None:
            raise RefusalError(404, "silence not found")
        return json_response(found.as_json(self._clock.now_ms()))

    async def post_silence(self, request: Request) -> Response:
        wanted = read_silence(await read_json(request, "silence"), self._clock.now_ms())
        try:
            silence = self._notifier.put_silence(wanted)
        except KeyError:
            raise RefusalError(404, "silence not found") from None
        except ValueError as error:
            raise RefusalError(400, str(error)) from None
        return json_response({"silenceID": silence.id})

    async def expire_silence(self, request: Request) -> Response:
        try:
            self._notifier.expire_silence(read_id(request.path_params["silence_id"]))
        except KeyError:
            raise RefusalError(404, "silence not found") from None
        except ValueError as error:
            raise RefusalError(500, str(error)) from None
        return Response(status_code=200)

    async def receivers(self, request: Request) -> Response:
        return json_response([{"name": name} for name in self._notifier.receivers()])

    async def status(self, request: Request) -> Response:
        return json_response(
            {
                "cluster": {"peers": [], "status": "disabled"},
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
        return success(self._notifier.notifications(min(limit, _MOST_NOTIFICATIONS)))


def _switches(parameters: Parameters) -> Callable[[AlertStatus], bool]:
    """Which alerts the parameters active, silenced and inhibited let through; each kind is, unless it is told not to be."""
    shown = {name: _switch(parameters, name) for name in ("active", "silenced", "inhibited")}

    def wanted(alert: AlertStatus) -> bool:
        if alert.silenced_by and not shown["silenced"]:
            return False
        if alert.inhibited_by and not shown["inhibited"]:
            return False
        return alert.state != "active" or shown["active"]

    return wanted


_TRUE = ("true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled")


def _switch(parameters: Parameters, name: str) -> bool:
    """go-openapi's reading: any word that is not one for true is false."""
    return parameters.get(name, "true").lower() in _TRUE


def in_order(silences: Sequence[Silence], now_ms: int) -> list[Silence]:
    """As Alertmanager lists them: active ones by their end, then pending ones by their start, then expired ones by their end,
    the latest first.
    """

    def place(silence: Silence) -> tuple[Any, ...]:
        state = silence.state(now_ms)
        if state == "active":
            return 0, silence.ends_at_ms
        return (1, silence.starts_at_ms) if state == "pending" else (2, -silence.ends_at_ms)

    return sorted(silences, key=place)
