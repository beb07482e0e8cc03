"""Checks by name, and what /healthz and /readyz answer from them.

/healthz says that the process lives and answers; nothing outside the process may make it fail. /readyz says whether the
bot may trade: every check has to pass.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from algowatch.telemetry.server import Request, Response
from algowatch.telemetry.watch import Watch


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; `details` go into the answer as they are."""

    healthy: bool
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)


Check = Callable[[], "CheckResult | bool"]


class HealthRegistry:
    """Checks of one bot."""

    def __init__(self, name: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._started = clock()
        self._checks: dict[str, Check] = {}
        self._lock = Lock()

    def add(self, name: str, check: Check) -> None:
        """Have a check decide about readiness; a name given twice replaces the check."""
        with self._lock:
            self._checks[name] = check

    def remove(self, name: str) -> None:
        with self._lock:
            self._checks.pop(name, None)

    def run(self) -> dict[str, CheckResult]:
        """Every check's result; one that raises is unhealthy and says why."""
        with self._lock:
            checks = dict(self._checks)
        return {name: _run(check) for name, check in checks.items()}

    def liveness(self) -> dict[str, Any]:
        return {"status": "ok", "name": self._name(), "uptime_seconds": round(self._clock() - self._started, 3)}

    def readiness(self) -> dict[str, Any]:
        results = self.run()
        ready = all(result.healthy for result in results.values())
        return {
            **self.liveness(),
            "status": "ok" if ready else "unavailable",
            "checks": {
                name: {"status": "ok" if each.healthy else "failed", "message": each.message, **each.details}
                for name, each in results.items()
            },
        }

    def healthz(self, request: Request) -> Response:
        return _json(self.liveness())

    def readyz(self, request: Request) -> Response:
        return _json(self.readiness())


def _run(check: Check) -> CheckResult:
    try:
        result = check()
    except Exception as error:  # noqa: BLE001 (a failing check is an answer)
        return CheckResult(False, repr(error))
    return result if isinstance(result, CheckResult) else CheckResult(bool(result))


def _json(document: dict[str, Any]) -> Response:
    body = json.dumps(document, default=str).encode() + b"\n"
    return Response(body, "application/json", 200 if document["status"] == "ok" else 503)


def attach(watch: Watch) -> HealthRegistry:
    """Give a watch its health endpoints; again, and the registry that it has comes back."""
    existing = getattr(watch, "health", None)
    if isinstance(existing, HealthRegistry):
        return existing
    registry = HealthRegistry(lambda: watch.instance)
    watch.health = registry
    watch.routes["/healthz"] = registry.healthz
    watch.routes["/readyz"] = registry.readyz
    return registry
