"""Checks and what the health endpoints answer from them."""

from __future__ import annotations

import json

import pytest

from algowatch.health import CheckResult, HealthRegistry, attach
from algowatch.telemetry.server import Request
from algowatch.telemetry.watch import Watch, WatchOptions

ASKED = Request("GET", "/readyz", {}, {})


@pytest.fixture
def health() -> HealthRegistry:
    now = iter([100.0, 107.5, 108.0])
    return HealthRegistry(lambda: "gamma-bot", lambda: next(now, 110.0))


def test_liveness_tells_name_and_uptime(health):
    assert health.liveness() == {"status": "ok", "name": "gamma-bot", "uptime_seconds": 7.5}


def test_one_failing_check_makes_the_bot_not_ready_and_leaves_it_alive(health):
    health.add("broker", lambda: True)
    health.add("database", lambda: CheckResult(False, "locked", {"path": "/x.db"}))
    answer = health.readyz(ASKED)
    document = json.loads(answer.body)
    assert (answer.status, document["status"]) == (503, "unavailable")
    assert document["checks"]["database"] == {"status": "failed", "message": "locked", "path": "/x.db"}
    assert document["checks"]["broker"]["status"] == "ok"
    assert health.healthz(ASKED).status == 200


def test_a_check_that_raises_is_a_failed_check(health):
    def broken() -> bool:
        raise ValueError("no such host")

    health.add("broker", broken)
    assert health.readiness()["checks"]["broker"] == {"status": "failed", "message": "ValueError('no such host')"}
    health.remove("broker")
    assert health.readyz(ASKED).status == 200


def test_a_watch_has_one_registry():
    watch = Watch(WatchOptions("a", discover=False))
    assert attach(watch) is attach(watch) is watch.health
    assert set(watch.routes) == {"/metrics", "/healthz", "/readyz"}
