"""The page in real Chromium, served by a real engine that watches real bots."""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import algowatch
from algowatch.web.static_files import static_mount

pytestmark = [pytest.mark.peer("chromium", "playwright"), pytest.mark.xdist_group("chromium")]

HOSTILE = "<img src=x onerror=alert(1)>"
SOURCE = Path(algowatch.__file__).parents[1]

BOT = f"""
import time, algowatch
watch = algowatch.start("gamma-bot", profile="options", host_metrics=False)
watch.exposure.capital_total.set(500_000, currency="USD")
watch.exposure.gross.set(250_000, strategy="gamma", currency="USD")
watch.pnl.drawdown.set(0.02, strategy="gamma")
watch.positions.hold(-1500, strategy="gamma", symbol={HOSTILE!r})
watch.broker.connected(broker="ibkr")
watch.kill_switches.trip(switch="daily_loss")
watch.market_data.tick({HOSTILE!r}, "trade")
watch.alerts.critical({HOSTILE!r}, {HOSTILE!r}, component="risk")
while True:
    watch.pnl.daily.set(-(time.time() % 10_000), strategy="gamma", currency="USD")
    watch.orders.submitted(strategy="gamma", symbol="SPY", side="BUY", order_type="LMT")
    time.sleep(0.1)
"""
DEAD_BOT = """
import time, algowatch
watch = algowatch.start("dead-bot", host_metrics=False)
watch.pnl.daily.set(7.25, strategy="vol", currency="EUR")
watch.positions.hold(300, strategy="vol", symbol="SAP")
time.sleep(600)
"""


class Engine:
    """`algowatch up` and the bots that it finds, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self._folder = folder
        foreign = ("ALGOWATCH_", "SLACK_", "SMTP_", "PAGERDUTY_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self._environment = {**kept, "ALGOWATCH_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(SOURCE)}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start()

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "output.log").open("ab") as output:
            process = subprocess.Popen([sys.executable, *arguments], env=self._environment, stdout=output, stderr=output)
        self._processes.append(process)
        return process

    def start(self) -> None:
        data = str(self._folder / "data")
        self._engine = self.run("-m", "algowatch", "up", "--listen", f"127.0.0.1:{self.port}", "--data", data)
        self.wait(lambda: self._ready())

    def kill(self) -> None:
        self._engine.kill()
        self._engine.wait(10)

    def _ready(self) -> bool:
        assert self._engine.poll() is None, (self._folder / "output.log").read_text()
        try:
            return httpx2.get(f"{self.url}-/ready", timeout=1).status_code == 200
        except httpx2.TransportError:
            return False

    def query(self, expression: str) -> list[Any]:
        found = httpx2.get(f"{self.url}api/v1/query", params={"query": expression}, timeout=5).json()
        return list(found["data"]["result"])

    def wait(self, holds: Callable[[], object], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, (self._folder / "output.log").read_text()
            time.sleep(0.05)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with a bot whose values move and one that was killed; a rule and the bot itself have raised alerts."""
    running = Engine(tmp_path_factory.mktemp("trading"))
    try:
        doomed = running.run("-c", DEAD_BOT)
        running.run("-c", BOT)
        running.wait(lambda: running.query('trading_position_quantity{instance="dead-bot"}'))
        doomed.kill()
        running.wait(lambda: running.query('algowatch_bot_up{instance="dead-bot"} == 0'))
        running.wait(lambda: running.query('ALERTS{alertname="KillSwitchActive",alertstate="firing"}'))
        running.wait(lambda: running.query("rate(trading_orders_submitted_total[30s]) > 0"))
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def address(engine: Engine) -> str:
    return engine.url


@contextmanager
def without_stream(engine: Engine) -> Iterator[str]:
    """The engine's query API behind the page, and nothing else: what a plain Prometheus offers."""

    def forward(request: Request) -> Response:
        answer = client.get(f"{engine.url}{request.url.path[1:]}?{request.url.query}")
        return Response(answer.content, answer.status_code, media_type="application/json")

    with socket.socket() as listening, httpx2.Client(timeout=5) as client:
        listening.bind(("127.0.0.1", 0))
        app = Starlette(routes=[Route("/api/v1/{path:path}", forward), static_mount()])
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(10)


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
    def first_lines() -> list[list[str]]:
        return [tab.page.locator(".bot").nth(index).inner_text().split("\n")[:3] for index in (0, 1)]

    dead_one_first = [["dead-bot", "base", "State"], ["gamma-bot", "options", "State"]]
    tab.wait(lambda: first_lines() == dead_one_first)
    assert tab.text(".bot.down .state dd").startswith("down")
    assert tab.text(".bot.alive .state dd").startswith("alive")
    assert tab.page.locator(".strip .tile").nth(0).inner_text().split("\n")[1] == "1 / 2"
    tab.wait(lambda: "daily_loss · gamma-bot" in tab.page.locator(".strip .tile").nth(3).inner_text())


def test_positions_of_a_dead_bot_stay_as_last_known(tab: Tab):
    tab.wait(lambda: "down, last known" in tab.text(".panel.positions"))
    assert re.search(r"SAP\s+\+300", tab.text(".panel.positions"))
    tab.wait(lambda: "+7.25 EUR" in tab.text(".bot.down"))


def test_total_says_which_bot_is_missing_from_it(tab: Tab):
    tab.wait(lambda: tab.page.locator(".totals .without").count() == 1)
    assert tab.text(".totals .without") == "without dead-bot, which is down"


def test_figures_are_at_most_a_scrape_and_a_second_old(tab: Tab):
    tab.page.wait_for_selector('.connection[data-state="live"]')
    lags = []
    for _ in range(10):
        shown = float(tab.text(".pnl .stat-value").removesuffix("USD").strip().replace(",", "").replace("−", "-"))
        lags.append((time.time() + shown) % 10_000)
        tab.page.wait_for_timeout(200)
    assert statistics.median(lags) < 2.0, lags


def test_limit_comes_from_the_rule_that_watches(tab: Tab):
    tab.wait(lambda: tab.page.locator(".panel.market .limit-note").count() == 1)
    assert tab.text(".panel.market .limit-note") == "limit 10 s"


def test_delivery_record_shows_how_long_the_message_took(tab: Tab):
    tab.wait(lambda: re.search(r"\d.(µs|ms|s)$", tab.text(".message:not(.dimmed) .delay")) is not None)


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
        deadline = time.monotonic() + 5
        while not any("query_range" in url for url in asked) and time.monotonic() < deadline:
            tab.page.wait_for_timeout(50)
        assert any("query_range" in url for url in asked), "what was missed is not asked for"


def test_values_are_polled_where_there_is_no_stream(browser: Any, engine: Engine):
    with without_stream(engine) as url, Tab(browser, url) as tab:
        tab.page.wait_for_selector('.connection[data-state="polling"]')
        first = tab.text(".pnl .stat-value")
        tab.wait(lambda: tab.text(".pnl .stat-value") != first)


def test_first_visit_without_bots_shows_what_to_add(browser: Any, tmp_path: Path):
    engine = Engine(tmp_path)
    try:
        with Tab(browser, engine.url) as tab:
            assert 'algowatch.start("my-bot")' in tab.page.locator(".welcome pre").inner_text()
            assert tab.complaints == []
            engine.run("-c", BOT)
            tab.page.wait_for_selector(".pnl .stat-value")
    finally:
        engine.close()


def test_lost_connection_is_shown_and_heals(browser: Any, engine: Engine):
    with Tab(browser, engine.url) as tab:
        tab.page.wait_for_selector('.connection[data-state="live"]')
        tab.page.wait_for_selector(".pnl .stat-value")
        tab.wait(lambda: tab.text(".pnl .stat-value") != "—")
        engine.kill()
        tab.page.wait_for_selector('.connection[data-state="lost"]')
        assert "last that was known" in tab.page.locator('[role="alert"]').inner_text()
        assert tab.text(".pnl .stat-value") != "—", "the last figures stay"
        engine.start()
        tab.page.wait_for_selector('.connection[data-state="live"]')
        assert tab.page.locator('[role="alert"]').count() == 0
        last = tab.text(".pnl .stat-value")
        tab.wait(lambda: tab.text(".pnl .stat-value") != last)
