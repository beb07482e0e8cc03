"""What people ask makes no scrape and no rule late: the heaviest queries run in a loop beside scrapes each second."""

import concurrent.futures
import http.server
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest

from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions

SECONDS = float(os.environ.get("ALGOWATCH_ISOLATION_SECONDS", "6"))
TARGETS, SERIES, HOURS = 20, 3000, 24
HEAVIEST = [
    # As many points as an answer may have; a sort in each of many windows; every sample read, and again for each step.
    {"query": "orders_total", "step": "8"},
    {"query": "quantile_over_time(0.9, orders_total[1h])", "step": "60"},
    {"query": "max_over_time(rate(orders_total[5m])[1h:1m])", "step": "30"},
    {"query": "sum by (symbol) (rate(orders_total[1h])) / ignoring (x) sum by (symbol) (orders_total)", "step": "8"},
]
RULES = """\
groups:
  - name: landing
    rules:
      - {record: 'targets:up', expr: 'sum(up)'}
  - name: each-second
    interval: 1s
    rules:
      - {record: 'targets:each_second', expr: 'time()'}
      - {alert: Down, expr: 'up == 0'}
"""


class Targets:
    """A few hundred series that change, on one address per target."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = "".join(f'fills_total{{symbol="S{number}"}} {time.time()}\n' for number in range(100)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def configuration(self) -> str:
        jobs = "".join(
            f"  - {{job_name: t{number}, static_configs: [{{targets: ['{self.address}']}}]}}\n" for number in range(TARGETS)
        )
        return f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n{jobs}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def targets():
    opened = Targets()
    yield opened
    opened.close()


def fill(directory, end_ms: int) -> None:
    """A day of history, at 15 s."""
    with Store.open(directory, StoreOptions(retention_ms=0)) as store:
        random = np.random.default_rng(7)
        times = np.arange(end_ms - HOURS * 3_600_000, end_ms, 15_000)
        for stream in range(SERIES // 200):
            layout = Layout(
                [
                    Labels.of({"__name__": "orders_total", "instance": f"bot{stream}", "symbol": f"S{number}"})
                    for number in range(200)
                ]
            )
            store.append_block(f"bot{stream}", times, layout, random.poisson(2, (200, len(times))).cumsum(axis=1).astype(float))


def newest_evaluations(engine, until: float) -> list[float]:
    """How old the newest evaluation of the group of each second was, each time somebody looked."""
    ages = []
    while time.monotonic() < until:
        looked_at = time.time()
        ((_, evaluated_at),) = engine.query("targets:each_second")
        ages.append(looked_at - evaluated_at)
        time.sleep(0.02)
    return ages


def ask_in_a_loop(url: str, first: int, until: float) -> list[int]:
    """Statuses of the answers; a client that does not read every byte would leave the engine less to do."""
    statuses = []
    while time.monotonic() < until:
        parameters = HEAVIEST[(first + len(statuses)) % len(HEAVIEST)]
        end = time.time()
        query = urllib.parse.urlencode({**parameters, "start": end - HOURS * 3600, "end": end, "timeout": SECONDS + 2})
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query_range?{query}", timeout=300) as response:
                while response.read(1 << 20) and time.monotonic() < until:
                    pass
                statuses.append(response.status)
        except urllib.error.HTTPError as error:
            statuses.append(error.code)
    return statuses


@pytest.mark.timeout(max(120, SECONDS * 3))
def test_no_scrape_is_missed_and_no_rule_late_while_the_heaviest_queries_run(start_engine, targets, tmp_path):
    """`make soak` does this for minutes."""
    fill(tmp_path / "data", int(time.time() * 1000) - 60_000)
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "prometheus.yml").write_text(targets.configuration())
    engine = start_engine("--config", str(tmp_path / "prometheus.yml"), "--no-discovery")
    engine.wait_for_query(f"sum(up) == {TARGETS}")
    engine.wait_for_query("targets:each_second")
    began, until = time.time(), time.monotonic() + SECONDS
    with concurrent.futures.ThreadPoolExecutor(5) as clients:
        asked = [clients.submit(ask_in_a_loop, engine.url, first, until) for first in range(4)]
        ages = clients.submit(newest_evaluations, engine, until).result()
        answers = [status for future in asked for status in future.result()]
    # Some may have come too late for so short a time, in a queue behind the others.
    assert 200 in answers
    assert set(answers) <= {200, 503}
    window = int(time.time() - began) - 1
    up = raw(engine, f"up[{window}s]")
    assert len(up) == TARGETS
    assert {len(series["values"]) >= window - 1 for series in up} == {True}
    gaps = [np.diff([float(at) for at, _ in series["values"]]).max() for series in up]
    assert max(gaps) < 1.5, "a scrape is missing, or half a second late"
    (evaluated,) = raw(engine, f"targets:each_second[{window}s]")
    assert np.diff([float(at) for at, _ in evaluated["values"]]).max() == pytest.approx(1), "an evaluation is missing"
    assert max(ages) < 1.5, "an evaluation came more than half a second after its second"
    print(f"{answers}; longest between two scrapes {max(gaps):.3f} s, oldest newest evaluation {max(ages):.3f} s")


def raw(engine, expr: str) -> list[dict]:
    return engine.get("/api/v1/query", query=expr)["result"]
