"""A real Prometheus finds a bot by its file and sees what it recorded."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: bots
    file_sd_configs:
      - {{files: ["{bots}/*.json"], refresh_interval: 1s}}
"""


@pytest.fixture
def prometheus(tmp_path: Path, state: Path) -> Iterator[str]:
    """The address of a Prometheus that watches the state directory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(bots=state / "bots"))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def query(prometheus: str, expression: str) -> list[dict]:
    address = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []


def eventually(prometheus: str, expression: str) -> list[dict]:
    deadline = time.monotonic() + 20
    while not (found := query(prometheus, expression)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.mark.peer("prometheus")
def test_prometheus_discovers_the_bot_and_sees_the_same_values(start_bot, prometheus):
    watch = start_bot("gamma-bot", labels={"desk": "vol"})
    watch.orders.submitted(7, strategy='a "quoted" \\ name', side="BUY")
    watch.fills.slippage.observe(-0.0005, strategy="s", side="BUY")
    (orders,) = eventually(prometheus, "trading_orders_submitted_total")
    assert orders["value"][1] == "7"
    labels = {"instance": "gamma-bot", "job": "bots", "desk": "vol", "strategy": 'a "quoted" \\ name', "side": "BUY"}
    assert orders["metric"] == {"__name__": "trading_orders_submitted_total", **labels}
    (slippage,) = eventually(prometheus, "trading_slippage_ratio_sum / trading_slippage_ratio_count")
    assert float(slippage["value"][1]) == -0.0005
    (bucket,) = eventually(prometheus, 'trading_slippage_ratio_bucket{le="-0.0005"}')
    assert bucket["value"][1] == "1"
    exported = {line.split("{")[0].split(" ")[0] for line in watch.exposition().decode().splitlines() if line[0] != "#"}
    stored = {each["metric"]["__name__"] for each in eventually(prometheus, '{instance="gamma-bot"}')}
    assert exported <= stored
