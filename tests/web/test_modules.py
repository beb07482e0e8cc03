"""The page's own arithmetic, run where it will run: each module is imported into Chromium under the page's real policy."""

from __future__ import annotations

import math
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

from algowatch.web.static_files import static_mount

pytestmark = [pytest.mark.peer("chromium", "playwright"), pytest.mark.xdist_group("chromium")]

NARROW_SPACE = "\u202f"
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        app = Starlette(routes=[static_mount()])
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def call(address: str) -> Iterator[Call]:
    """call("format.js", "money", 1.5, "USD"): a function of a module with JSON arguments and result."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page(locale="de-DE", timezone_id="Asia/Tokyo")
        page.goto(f"{address}/vendor/preact.LICENSE.txt")

        def invoke(module: str, function: str, *arguments: Any) -> Any:
            script = "async ([module, name, values]) => (await import(module))[name](...values)"
            return page.evaluate(script, [f"/{module}", function, list(arguments)])

        yield invoke
        browser.close()


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        ("money", [1234.5, "USD"], "+1,234.50 USD"),
        ("money", [-1234.567, "EUR"], "−1,234.57 EUR"),
        ("money", [-0.004, "USD"], "0.00 USD"),
        ("money", [None, "USD"], "—"),
        ("money", [125.5, ""], "+125.50"),
        ("percent", [-0.0042], "−0.42 %"),
        ("percent", [0.5, {"digits": 0, "sign": True}], "+50 %"),
        ("duration", [0.0123], "12.3 ms"),
        ("duration", [0.00085], "850 µs"),
        ("duration", [0.9996], "1.00 s"),
        ("duration", [1.254], "1.25 s"),
        ("duration", [240], "4.0 min"),
        ("duration", [0], "0 s"),
        ("duration", [None], "—"),
        ("compact", [12_345], "12.3k"),
        ("compact", [-4_560_000], "−4.56M"),
        ("compact", [999_600], "1.00M"),
        ("compact", [9_994], "9,994"),
        ("compact", [9_996], "10.00k"),
        ("compact", [2], "2"),
        ("compact", [0.256], "0.26"),
        ("rate", [3.4], "3.40/s"),
        ("rate", [0.2], "12/min"),
        ("rate", [0], "0/s"),
        ("age", [59.9], "59 s"),
        ("age", [3600 * 2 + 5 * 60], "2 h 05 min"),
        ("age", [3600 * 76], "3 d 4 h"),
        ("age", [-3], "0 s"),
        ("decimal", [math.nan], "—"),
    ],
)
def test_figures_read_as_traders_write_them(call: Call, function: str, arguments: list[Any], text: str):
    assert call("format.js", function, *arguments).replace(NARROW_SPACE, " ") == text


def test_range_is_aligned_and_gaps_are_null(call: Call):
    matrix = [{"metric": {"a": "b"}, "values": [[100, "1"], [104, "NaN"], [106, "+Inf"], [108, "-2.5"]]}]
    found = call("api.js", "toRange", matrix, 100, 108, 2)
    assert found["times"] == [100, 102, 104, 106, 108]
    assert found["series"] == [{"labels": {"a": "b"}, "values": [1, None, None, None, -2.5]}]


RANGE = {"times": [100, 102, 104], "series": [{"labels": {"a": "b"}, "values": [1, 2, 3]}]}
TWO_COLUMNS_BACK = {"seconds": 4, "step": 2}


def extended(call: Call, at: float, value: float, labels: dict[str, str] | None = None) -> dict[str, Any]:
    sample = {"labels": labels or {"a": "b"}, "time": at, "value": value}
    return call("history.js", "extendRange", RANGE, [sample], at, TWO_COLUMNS_BACK)


def test_newest_value_replaces_the_running_column(call: Call):
    for at in (102.1, 103.0, 104.0):
        assert extended(call, at, 9)["series"][0]["values"] == [1, 2, 9]


def test_newest_value_opens_a_column_when_time_has_moved_on(call: Call):
    found = extended(call, 104.5, 9)
    assert found["times"] == [102, 104, 106]
    assert found["series"][0]["values"] == [2, 3, 9]


def test_silence_leaves_a_gap(call: Call):
    found = extended(call, 108.0, 9)
    assert found["times"] == [104, 106, 108]
    assert found["series"][0]["values"] == [3, None, 9]


def test_older_value_changes_nothing(call: Call):
    assert extended(call, 102.0, 9) == RANGE


def test_new_series_begins_where_it_appeared(call: Call):
    series = extended(call, 104.0, 9, {"a": "c"})["series"]
    assert series == [*RANGE["series"], {"labels": {"a": "c"}, "values": [None, None, 9]}]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("market_data_stale_seconds > 10", [(10, "warning")]),
        ('max by (symbol) (market_data_stale_seconds{symbol!="X"}) >= 1.5e1', [(15, "warning")]),
        ("market_data_stale_seconds_sum > 10", []),
        ("market_data_stale_seconds / 60 > 10", []),
        ("market_data_stale_seconds > 10 unless on (job) (max(up) == 0)", [(10, "warning")]),
        ("(market_data_stale_seconds) > 12", [(12, "warning")]),
        ("up == 1 and market_data_stale_seconds > 10", []),
        ("rate(market_data_stale_seconds[5m]) > 10", []),
    ],
)
def test_limit_is_read_only_from_a_plain_comparison(call: Call, query: str, found: list[tuple[float, str]]):
    rules = [{"type": "alerting", "name": "Stale", "query": query, "labels": {}}]
    limits = call("limits.js", "limitsOf", rules, "market_data_stale_seconds")
    assert [(limit["value"], limit["severity"]) for limit in limits] == found


def test_mildest_limit_stands_first(call: Call):
    rules = [
        {"type": "alerting", "name": name, "query": f"drawdown > {value}", "labels": {"severity": severity}}
        for name, value, severity in [("a", 0.1, "critical"), ("b", 0.05, "P2"), ("c", 0.07, "high")]
    ]
    assert [limit["value"] for limit in call("limits.js", "limitsOf", rules, "drawdown")] == [0.05, 0.07, 0.1]


def test_state_runs_bridge_a_missed_sample_but_not_a_silence(call: Call):
    found = call("panels/timeline.js", "segments", [1, 1, None, 1, 0, None, None, 0])
    assert [(run["from"], run["to"], run["value"]) for run in found] == [(0, 4, 1), (4, 5, 0), (5, 7, None), (7, 8, 0)]


def test_state_began_where_it_last_changed(call: Call):
    values = [1, 1, 0, None, 1, 1]
    found = {"times": [10, 20, 30, 40, 50, 60], "series": [{"labels": {"instance": "a"}, "values": values}]}
    assert call("panels/bots.js", "stateSince", found, "a", 1) == {"time": 50, "atLeast": False}
    assert call("panels/bots.js", "stateSince", found, "b", 1) is None


def test_alert_raised_by_a_bot_itself_stands_beside_those_of_the_rules(call: Call):
    ruled = [{"labels": {"alertname": "A", "x": "1"}, "annotations": {}, "activeAt": "2026-01-01T00:00:00Z"}]
    received = [
        {"labels": labels, "annotations": {}, "startsAt": "2026-01-02T00:00:00Z", "status": {"state": state}}
        for labels, state in [
            ({"alertname": "A", "x": "1", "external": "e"}, "suppressed"),
            ({"alertname": "Direct"}, "active"),
        ]
    ]
    merged = call("store.js", "mergeAlerts", ruled, received)
    assert [(alert["labels"]["alertname"], alert["silenced"]) for alert in merged] == [("A", True), ("Direct", False)]


def test_name_of_a_bot_is_matched_literally(call: Call):
    assert call("panels/lost.js", "exactly", 'a.b"c') == 'a\\\\.b\\"c'
    assert call("panels/lost.js", "exactly", "(x)|y") == "\\\\(x\\\\)\\\\|y"


def test_value_of_a_series_that_ended_is_not_current(call: Call):
    assert call("format.js", "current", [1, 2, None]) == 2
    assert call("format.js", "current", [1, 2, None, None, None]) is None


def test_unrealised_amounts_are_added_within_a_currency_only(call: Call):
    samples = [{"labels": {"currency": currency}, "value": value} for currency, value in [("USD", 2), ("EUR", 5), ("USD", -3)]]
    assert call("panels/positions.js", "byCurrency", samples) == [["EUR", 5], ["USD", -1]]


def test_alerts_of_one_name_stand_together_the_worst_first(call: Call):
    alerts = [
        {"labels": {"alertname": name, "severity": severity}, "annotations": {}, "since": since, "silenced": silenced}
        for name, severity, since, silenced in [
            ("Stale", "warning", "2026-01-01T00:00:01Z", False),
            ("Quiet", "critical", "2026-01-01T00:00:09Z", True),
            ("Down", "critical", "2026-01-01T00:00:00Z", False),
            ("Stale", "warning", "2026-01-01T00:00:02Z", False),
        ]
    ]
    found = [
        [(a["labels"]["alertname"], a["since"][-3:]) for a in group] for group in call("panels/alerts.js", "grouped", alerts)
    ]
    assert found == [[("Down", "00Z")], [("Stale", "02Z"), ("Stale", "01Z")], [("Quiet", "09Z")]]


@pytest.mark.parametrize(
    ("word", "severity"),
    [("P0", "critical"), ("High", "error"), ("medium", "warning"), ("info", "info"), ("purple", "warning")],
)
def test_severity_words_mean_what_the_engine_means(call: Call, word: str, severity: str):
    assert call("severity.js", "parse", word) == severity
