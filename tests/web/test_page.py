"""The page in real Chromium, served with its real headers, over a backend whose values move."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from algowatch.web.static_files import static_mount

pytestmark = [pytest.mark.peer("chromium", "playwright"), pytest.mark.xdist_group("chromium")]

HOSTILE = "<img src=x onerror=alert(1)>"
BOT = {"instance": "gamma-bot", "job": "bots"}

# Family → series as (labels, value at a time). The daily P&L is the time itself, so that a test can tell that it moved.
FAMILIES: dict[str, list[tuple[dict[str, str], Any]]] = {
    "algowatch_bot_up": [(BOT, 1), ({"instance": "dead-bot", "job": "bots"}, 0)],
    "algowatch_bot_info": [({**BOT, "profile": "options"}, 1)],
    "process_start_time_seconds": [(BOT, 1_700_000_000)],
    "trading_daily_pnl": [({**BOT, "strategy": "gamma", "currency": "USD"}, lambda now: -(now % 10_000))],
    "trading_drawdown_ratio": [({**BOT, "strategy": "gamma"}, 0.02)],
    "trading_position_quantity": [({**BOT, "strategy": "gamma", "symbol": HOSTILE}, -1500)],
    "trading_gross_exposure": [({**BOT, "strategy": "gamma", "currency": "USD"}, 250_000)],
    "trading_capital": [({**BOT, "currency": "USD"}, 500_000)],
    "trading_orders_submitted_total": [({}, 3.5)],
    "broker_connection_status": [({**BOT, "broker": "ibkr"}, 1)],
    "trading_kill_switch_active": [({**BOT, "switch": "daily_loss"}, 1)],
    "market_data_stale_seconds": [({**BOT, "symbol": HOSTILE}, 12.5)],
    "timestamp(up)": [({}, lambda now: now)],
}
ALERT = {
    "labels": {"alertname": "MarketDataStale", "severity": "warning", "symbol": HOSTILE, "instance": "gamma-bot"},
    "annotations": {"summary": f"{HOSTILE} is silent", "description": HOSTILE},
    "state": "firing",
    "activeAt": "2026-11-21T05:00:00Z",
    "value": "12.5",
}
RULE = {"type": "alerting", "name": "Stale", "query": "market_data_stale_seconds > 10", "labels": {"severity": "warning"}}


def series_of(expression: str) -> list[tuple[dict[str, str], Any]]:
    found = [(expression.find(name), name) for name in FAMILIES if name in expression]
    return FAMILIES[min(found)[1]] if found else []


def value_text(value: Any, now: float) -> str:
    return str(value(now) if callable(value) else value)


def vector(expression: str) -> dict[str, Any]:
    now = time.time()
    result = [{"metric": labels, "value": [now, value_text(value, now)]} for labels, value in series_of(expression)]
    return {"resultType": "vector", "result": result}


def matrix(expression: str, start: float, end: float, step: float) -> dict[str, Any]:
    times = [start + index * step for index in range(int((end - start) / step) + 1)]
    series = series_of(expression)
    return {
        "resultType": "matrix",
        "result": [{"metric": labels, "values": [[at, value_text(value, at)] for at in times]} for labels, value in series],
    }


def answer(data: Any) -> JSONResponse:
    return JSONResponse({"status": "success", "data": data})


async def query(request: Request) -> JSONResponse:
    return answer(vector(request.query_params["query"]))


async def query_range(request: Request) -> JSONResponse:
    bounds = [float(request.query_params[name]) for name in ("start", "end", "step")]
    return answer(matrix(request.query_params["query"], *bounds))


async def notifications(request: Request) -> JSONResponse:
    sent = {**ALERT, "id": 1, "status": "firing", "receiver": "desk", "integration": "webhook", "startsAt": ALERT["activeAt"]}
    return answer(
        [{**sent, "endsAt": None, "deliveredAt": ALERT["activeAt"], "delaySeconds": 0.42, "attempts": 1, "error": None}]
    )


async def live(request: Request) -> StreamingResponse:
    expressions = request.query_params.getlist("query")

    async def frames() -> Any:
        while True:
            body = JSONResponse({"time": time.time(), "results": [vector(expression) for expression in expressions]}).body
            yield b"data: " + bytes(body) + b"\n\n"
            await asyncio.sleep(0.3)

    return StreamingResponse(frames(), media_type="text/event-stream")


def routes(*, stream: bool) -> list[Any]:
    found = [
        Route("/api/v1/query", query),
        Route("/api/v1/query_range", query_range),
        Route("/api/v1/alerts", lambda request: answer({"alerts": [ALERT]})),
        Route("/api/v1/rules", lambda request: answer({"groups": [{"name": "a", "file": "a", "rules": [RULE]}]})),
        Route("/api/v2/alerts", lambda request: JSONResponse([])),
        Route("/api/notifications", notifications),
    ]
    return [*found, *([Route("/api/live", live)] if stream else []), static_mount()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(port: int, *, stream: bool = True) -> Iterator[str]:
    app = Starlette(routes=routes(stream=stream))
    options = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off")
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < deadline, "the server did not start within 10 s"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(free_port()) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield started
        started.close()


class Tab:
    """One page that remembers what it complained about."""

    def __init__(self, browser: Any, url: str, width: int = 1440, height: int = 900, scheme: str = "dark") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(8000)
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("a label value ran as script"), dialog.dismiss()))
        self.page.goto(url)

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *exception: object) -> None:
        self.context.close()

    def wait(self, holds: Callable[[], bool]) -> None:
        """Ask again and again; Playwright's own waiting for a script needs eval, which the page's policy forbids."""
        deadline = time.monotonic() + 8
        while not holds():
            assert time.monotonic() < deadline, "it did not come true within 8 s"
            self.page.wait_for_timeout(30)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.inner_text())


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    with Tab(browser, address) as opened:
        opened.page.wait_for_selector(".pnl .stat-value")
        yield opened


def test_page_loads_without_complaint_or_policy_violation(tab: Tab):
    tab.page.wait_for_selector(".orders canvas")
    tab.wait(lambda: tab.page.locator("canvas").count() >= 3)
    tab.page.wait_for_timeout(300)
    assert tab.complaints == []


def test_daily_pnl_follows_the_stream(tab: Tab):
    tab.page.wait_for_selector('.connection[data-state="live"]')
    first = tab.text(".pnl .stat-value")
    assert re.fullmatch(r"−[\d,]+\.\d\d\s*USD", first), first
    started = time.monotonic()
    tab.wait(lambda: tab.text(".pnl .stat-value") != first)
    assert time.monotonic() - started < 1.0


def test_hostile_label_is_text(tab: Tab):
    for area in ("positions", "market", "alerts"):
        tab.wait(lambda area=area: HOSTILE in tab.text(f".panel.{area}"))
    assert tab.page.locator("img").count() == 0
    assert tab.complaints == []


def test_state_of_the_bots_is_told_in_words(tab: Tab):
    names_and_states = [tab.page.locator(".bot").nth(index).inner_text().split("\n")[:3] for index in (0, 1)]
    assert names_and_states == [["dead-bot", "State", "down"], ["gamma-bot", "options", "State"]], "a dead bot stands first"
    assert tab.page.locator(".strip .tile").nth(0).inner_text().split("\n")[1] == "1 / 2"
    assert "daily_loss · gamma-bot" in tab.page.locator(".strip .tile").nth(3).inner_text()


def test_limit_comes_from_the_rule_that_watches(tab: Tab):
    assert tab.text(".panel.market .limit-note") == "limit 10 s"


def test_delivery_record_shows_breach_to_message(tab: Tab):
    assert "420 ms" in tab.page.locator(".message .delay").first.inner_text().replace("\u202f", " ")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_narrow_layout_does_not_scroll_sideways(browser: Any, address: str, scheme: str):
    with Tab(browser, address, 390, 844, scheme) as tab:
        tab.page.wait_for_selector(".orders canvas")
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
        assert tab.page.evaluate("document.documentElement.dataset.theme") == scheme


def test_desk_layout_needs_no_scrolling(tab: Tab):
    assert tab.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [1440, 900]


def test_theme_is_kept_over_a_reload(tab: Tab):
    button = tab.page.locator(".icon-button")
    button.click()
    button.click()
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "light"
    tab.page.reload()
    tab.page.wait_for_selector(".pnl .stat-value")
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "light"


def test_time_range_is_kept_and_asked_for(tab: Tab):
    with tab.page.expect_request(lambda request: "query_range" in request.url and "step=180" in request.url):
        tab.page.get_by_role("button", name="1d", exact=True).click()
    tab.page.reload()
    assert tab.page.get_by_role("button", name="1d", exact=True).get_attribute("aria-pressed") == "true"


def test_lost_connection_is_shown_and_heals(browser: Any):
    port = free_port()
    with serving(port) as url:
        tab = Tab(browser, url)
        tab.page.wait_for_selector('.connection[data-state="live"]')
    with tab:
        tab.page.wait_for_selector('.connection[data-state="lost"]')
        assert "last that was known" in tab.page.locator('[role="alert"]').inner_text()
        assert tab.text(".pnl .stat-value") != "—", "the last figures stay"
        with serving(port):
            tab.page.wait_for_selector('.connection[data-state="live"]')
            assert tab.page.locator('[role="alert"]').count() == 0


HIDING = """
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
window.hide = (value) => { hidden = value; document.dispatchEvent(new Event("visibilitychange")); };
"""


def test_hidden_tab_holds_no_connection_and_resumes(browser: Any, address: str):
    with Tab(browser, "about:blank") as tab:
        tab.page.add_init_script(HIDING)
        tab.page.goto(address)
        tab.page.wait_for_selector('.connection[data-state="live"]')
        tab.page.evaluate("hide(true)")
        tab.page.wait_for_selector('.connection[data-state="paused"]', state="attached")
        tab.page.wait_for_timeout(200)
        asked: list[str] = []
        tab.page.on("request", lambda request: asked.append(request.url))
        frozen = tab.text(".pnl .stat-value")
        tab.page.wait_for_timeout(1200)
        assert (asked, tab.text(".pnl .stat-value")) == ([], frozen)
        tab.page.evaluate("hide(false)")
        tab.page.wait_for_selector('.connection[data-state="live"]')
        assert [url for url in asked if "query_range" in url], "what was missed is asked for"


def test_values_are_polled_where_there_is_no_stream(browser: Any):
    with serving(free_port(), stream=False) as url, Tab(browser, url) as tab:
        tab.page.wait_for_selector('.connection[data-state="polling"]')
        first = tab.text(".pnl .stat-value")
        tab.wait(lambda: tab.text(".pnl .stat-value") != first)


def test_first_visit_without_bots_shows_what_to_add(browser: Any, address: str, monkeypatch: pytest.MonkeyPatch):
    for family in list(FAMILIES):
        monkeypatch.delitem(FAMILIES, family)
    with Tab(browser, address) as tab:
        assert 'algowatch.start("my-bot")' in tab.page.locator(".welcome pre").inner_text()
        assert tab.complaints == []
