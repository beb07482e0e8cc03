"""Alerts under attack: `kill -9` of the engine against a receiver that misbehaves, a flood against a cap, receivers that hang.

    python benchmarks/alerts_soak.py [kills|flood|unreachable] [--kills 300] [--minutes 10]

Everything runs on loopback; exit code 1 where something promised did not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import itertools
import json
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Chaos:
    """A webhook receiver; `moods` are what it does instead of answering 200, each with its share of the requests.

    Only what was answered with a whole 200 counts as delivered.
    """

    def __init__(self, moods: dict[str, float] | None = None, seed: int = 7) -> None:
        self.moods = moods or {}
        self.delivered: set[str] = set()
        self.messages: list[float] = []
        self.seen: dict[str, int] = {}
        self._random = random.Random(seed)
        chaos = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                chaos.messages.append(time.time())
                mood = chaos.mood()
                chaos.seen[mood] = chaos.seen.get(mood, 0) + 1
                getattr(self, mood.replace("-", "_"))(body)

            def good(self, body: dict) -> None:
                with contextlib.suppress(OSError):
                    self.answer(200)
                    chaos.delivered.update(alert["labels"].get("number", "") for alert in body["alerts"])

            def busy(self, body: dict) -> None:
                self.answer(429, ("Retry-After", "1"))

            def broken(self, body: dict) -> None:
                self.answer(500)

            def hang(self, body: dict) -> None:
                time.sleep(12)

            def reset(self, body: dict) -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

            def half_open(self, body: dict) -> None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
                time.sleep(12)

            def answer(self, status: int, *headers: tuple[str, str]) -> None:
                self.send_response(status)
                for name, value in (*headers, ("Content-Length", "0")):
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def mood(self) -> str:
        point = self._random.random()
        for mood, share in self.moods.items():
            point -= share
            if point < 0:
                return mood
        return "good"


class Engine:
    """`algowatch up` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder, self._arguments = folder, arguments
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_TOKEN", "_API_KEY"))}
        environ |= {"PYTHONPATH": str(ROOT / "src"), "ALGOWATCH_STATE_DIR": str(self._folder / "state")}
        command = [sys.executable, "-m", "algowatch", "up", "--listen", f"127.0.0.1:{self.port}"]
        with (self._folder / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data", str(self._folder / "data"), "--no-discovery", *self._arguments],
                env=environ,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise SystemExit((self._folder / "engine.log").read_text()[-3000:])

    def post(self, alerts: list[dict]) -> bool:
        """Whether the engine said that they cannot be lost any more."""
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts", json.dumps(alerts).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status == 200
        except OSError:
            return False

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


def alert(number: int, severity: str = "critical") -> dict:
    return {"labels": {"alertname": "Soak", "severity": severity, "number": str(number)}}


def kills(folder: Path, count: int, minutes: float) -> bool:
    chaos = Chaos({"hang": 0.01, "half-open": 0.01, "busy": 0.08, "broken": 0.08, "reset": 0.05})
    engine, chance = Engine(folder, "--webhook", chaos.url), random.Random(1)
    safe, number, done, began = set(), 0, 0, time.monotonic()
    while done < count and time.monotonic() - began < minutes * 60:
        engine.start()
        killing = threading.Timer(chance.uniform(0.01, 0.3), engine.end, [signal.SIGKILL])
        killing.start()
        while killing.is_alive():
            number += 1
            if engine.post([alert(number)]):
                safe.add(str(number))
        killing.join()
        done += 1
    engine.start()
    chaos.moods = {}
    deadline = time.monotonic() + 90
    while safe - chaos.delivered and time.monotonic() < deadline:
        time.sleep(0.1)
    engine.end()
    lost = safe - chaos.delivered
    print(f"kill -9: {done} times; {len(safe)} criticals taken, {len(lost)} lost; the receiver saw {chaos.seen}")
    return not lost


def flood(folder: Path, alerts: int = 10_000, cap: int = 60) -> bool:
    chaos = Chaos()
    (folder / "algowatch.yml").write_text(f"delivery: {{flood: {{messages: {cap}, per: 1m, channels: [webhook]}}}}\n")
    engine = Engine(folder, "--webhook", chaos.url, "--settings", str(folder / "algowatch.yml"))
    engine.start()
    criticals, began = set(), time.monotonic()
    for number in range(0, alerts, 20):
        batch = [alert(one, "critical" if one % 10 == 0 else "warning") for one in range(number, number + 20)]
        engine.post(batch)
        criticals |= {one["labels"]["number"] for one in batch if one["labels"]["severity"] == "critical"}
        time.sleep(max(0.0, began + 60 * (number + 20) / alerts - time.monotonic()))
    deadline = time.monotonic() + 30
    while criticals - chaos.delivered and time.monotonic() < deadline:
        time.sleep(0.1)
    engine.end()
    most = max(sum(start <= moment < start + 60 for moment in chaos.messages) for start in chaos.messages)
    missing = criticals - chaos.delivered
    print(
        f"flood: {alerts} alerts in a minute, {len(criticals)} critical: {len(chaos.messages)} messages, at most {most} in any"
    )
    print(f"       minute (cap {cap}), {len(missing)} criticals missing, {len(chaos.delivered)} alerts told")
    return most <= cap and not missing


def unreachable(folder: Path, seconds: float = 20.0) -> bool:
    """Scrapes and rule evaluations of a minute with receivers that hang beside the same without any trouble."""
    found = {}
    for name, moods in (("healthy", {}), ("hanging", {"hang": 1.0})):
        place = folder / name
        place.mkdir()
        chaos = Chaos(moods)
        engine = Engine(place, "--config", str(place / "prometheus.yml"), *("--webhook", chaos.url) * 3)
        rule = "{alert: A%d, expr: 'up >= 0', labels: {severity: critical}}"
        rules = ", ".join(rule % number for number in range(50))
        (place / "rules.yml").write_text(f"groups: [{{name: g, rules: [{rules}]}}]")
        target = f"{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{engine.port}']}}]}}"
        (place / "prometheus.yml").write_text(
            f"global: {{scrape_interval: 1s}}\nrule_files: ['{place}/rules.yml']\nscrape_configs: [{target}]\n"
        )
        engine.start()
        engine.post([alert(number) for number in range(500)])
        time.sleep(seconds)
        (series,) = engine.get("/api/v1/query?query=up[1h]")["data"]["result"]
        moments = [moment for moment, _ in series["values"]][3:]
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        groups = engine.get("/api/v1/rules")["data"]["groups"]
        cost = next(group["evaluationTime"] for group in groups if group["name"] == "g")
        found[name] = (statistics.median(gaps), max(gaps), cost)
        timing = f"scrapes every {found[name][0]:.3f} s, longest gap {max(gaps):.3f} s"
        print(f"{name}: {timing}, 50 rules in {cost * 1000:.1f} ms")
        engine.end()
    return found["hanging"][1] < found["healthy"][1] + 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=["kills", "flood", "unreachable"])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10)
    asked = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        for part in asked.parts:
            folder = Path(scratch) / part
            folder.mkdir()
            if part == "kills":
                good &= kills(folder, asked.kills, asked.minutes)
            else:
                good &= {"flood": flood, "unreachable": unreachable}[part](folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
