"""How long from a breach in a scraped metric to the webhook: `python benchmarks/alert_latency.py [breaches]`.

algowatch with its built-in routing and Prometheus + Alertmanager (1 s scrape, 1 s evaluation, group_wait 0 s, group_interval
1 s) watch the same exporter in the same run: each breach is one moment, and both webhooks are timed from it.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

AIM_MEDIAN_S = 0.7
RULES = """
groups:
  - name: latency
    rules:
      - {alert: Breach, expr: breach == 1, labels: {severity: critical}}
"""
TARGET = "scrape_configs: [{job_name: bench, static_configs: [{targets: ['127.0.0.1:%d']}]}]\nrule_files: [rules.yml]\n"
ALERTMANAGER = """
route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: "%s", send_resolved: true}]}]
"""


class Listener:
    """An exporter of `breach` at /metrics, and two webhooks whose moments are kept, by path."""

    def __init__(self) -> None:
        self.breach = 0
        self.arrived: dict[tuple[str, str], float] = {}
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = f"# TYPE breach gauge\nbreach {listener.breach}\n".encode()
                self.answer(body)

            def do_POST(self) -> None:
                at = time.time()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    if alert["labels"]["alertname"] == "Breach":
                        listener.arrived.setdefault((self.path, alert["status"]), at)
                self.answer(b"")

            def answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hook(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def change(self, value: int, status: str, sides: list[str], timeout_s: float = 20) -> dict[str, float]:
        """Set the metric; returns for each side how long until its webhook told so."""
        self.arrived.clear()
        began, self.breach = time.time(), value
        while any((f"/{side}", status) not in self.arrived for side in sides):
            if time.time() - began > timeout_s:
                raise SystemExit(f"no {status} within {timeout_s} s from {set(sides)}: {self.arrived}")
            time.sleep(0.005)
        return {side: self.arrived[f"/{side}", status] - began for side in sides}


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def wait_ready(url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"{url} is not ready")


@contextlib.contextmanager
def running(*command: str, folder: Path) -> Iterator[None]:
    source = Path(__file__).resolve().parents[1] / "src"
    environment = {**os.environ, "ALGOWATCH_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(source)}
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def start(stack: contextlib.ExitStack, listener: Listener, folder: Path) -> list[str]:
    """Start both sides; returns their names. Without the peers' programs there is one."""
    (folder / "rules.yml").write_text(RULES)
    (folder / "own.yml").write_text("global: {scrape_interval: 1s}\n" + TARGET % listener.port)
    port = free_port()
    own = ["up", "--listen", f"127.0.0.1:{port}", "--data", str(folder / "data"), "--config", "own.yml", "--no-discovery"]
    own += ["--webhook", listener.hook("algowatch")]
    stack.enter_context(running(sys.executable, "-m", "algowatch", *own, folder=folder))
    wait_ready(f"http://127.0.0.1:{port}/-/ready")
    alertmanager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    prometheus = shutil.which("prometheus")
    if not alertmanager or not prometheus:
        print("prometheus and alertmanager are not installed: measuring algowatch alone")
        return ["algowatch"]
    routes, server = free_port(), free_port()
    (folder / "alertmanager.yml").write_text(ALERTMANAGER % listener.hook("prometheus"))
    manager = f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{routes}']}}]}}]}}\n"
    shared = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
    (folder / "peer.yml").write_text(shared + manager + TARGET % listener.port)
    listen = f"--web.listen-address=127.0.0.1:{routes}"
    command = [
        alertmanager,
        "--config.file=alertmanager.yml",
        f"--storage.path={folder}/am",
        listen,
        "--cluster.listen-address=",
    ]
    stack.enter_context(running(*command, folder=folder))
    wait_ready(f"http://127.0.0.1:{routes}/-/ready")
    listen = f"--web.listen-address=127.0.0.1:{server}"
    command = [prometheus, "--config.file=peer.yml", f"--storage.tsdb.path={folder}/tsdb", listen]
    stack.enter_context(running(*command, folder=folder))
    wait_ready(f"http://127.0.0.1:{server}/-/ready")
    return ["algowatch", "prometheus"]


def main(breaches: int) -> int:
    listener = Listener()
    firing: dict[str, list[float]] = {}
    resolved: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        sides = start(stack, listener, Path(name))
        time.sleep(5)
        for _ in range(breaches):
            time.sleep(random.uniform(0.2, 1.2))  # at another moment of the scrape's second each time
            for value, status, found in ((1, "firing", firing), (0, "resolved", resolved)):
                for side, delay_s in listener.change(value, status, sides).items():
                    found.setdefault(side, []).append(delay_s)
                time.sleep(random.uniform(0.0, 1.0))
    listener.server.shutdown()
    for what, found in (("breach to webhook", firing), ("mended to webhook", resolved)):
        for side, delays in found.items():
            p95 = statistics.quantiles(delays, n=20)[-1]
            print(f"{what}  {side:11} n={len(delays)}  median {statistics.median(delays):.2f} s  p95 {p95:.2f} s")
    good = statistics.median(firing["algowatch"]) <= AIM_MEDIAN_S
    print(f"median <= {AIM_MEDIAN_S} s: {'ok' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
