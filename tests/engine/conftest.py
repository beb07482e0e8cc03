"""A real engine in a process of its own, a webhook receiver, and bots to watch: everything on loopback, everything ended."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def unused_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


class Receiver:
    """Takes webhooks; `wait_for` gives the alert and the moment when it came."""

    def __init__(self) -> None:
        arrived: queue.Queue[tuple[float, dict]] = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.time()
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    arrived.put((at, alert))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._arrived = arrived
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, name: str, status: str = "firing", timeout_s: float = 10.0) -> tuple[float, dict]:
        deadline, others = time.monotonic() + timeout_s, []
        while (left := deadline - time.monotonic()) > 0:
            try:
                at, alert = self._arrived.get(timeout=left)
            except queue.Empty:
                break
            if alert["labels"]["alertname"] == name and alert["status"] == status:
                return at, alert
            others.append((alert["labels"]["alertname"], alert["status"]))
        raise AssertionError(f"{name} ({status}) did not arrive within {timeout_s} s; what came: {others}")

    def received(self) -> list[tuple[float, dict]]:
        """Everything that has come and was not waited for."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._arrived.get_nowait())
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class RunningEngine:
    """`algowatch up` as a user runs it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = environment(folder)
        self._arguments = arguments
        self.output = folder / "engine.log"
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "algowatch", "up", "--listen", f"127.0.0.1:{self.port}"]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--data", str(self.folder / "data"), *self._arguments],
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        self.wait_ready()

    def wait_ready(self, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the engine ended with {self.process.returncode}:\n{self.output.read_text()}")
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"the engine is not ready after {timeout_s} s:\n{self.output.read_text()}")

    def get(self, path: str, **parameters: str) -> dict:
        """The `data` of an API answer."""
        text = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}{path}?{text}", timeout=10) as response:
            return json.load(response)["data"]

    def query(self, expr: str) -> list[tuple[dict, float]]:
        """The instant vector: labels and value of each series."""
        result = self.get("/api/v1/query", query=expr)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def wait_for_query(self, expr: str, timeout_s: float = 10.0) -> list[tuple[dict, float]]:
        """The answer as soon as there is one."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if found := self.query(expr):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{expr} has no answer after {timeout_s} s; targets: {self.get('/api/v1/targets')}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> float:
        """End it as a user does; returns how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)
        return time.monotonic() - began

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()


def environment(folder: Path) -> dict[str, str]:
    """This process's, with the test's own state directory and without receivers that the machine's user has set up."""
    foreign = ("ALGOWATCH_", "SLACK_", "SMTP_", "PAGERDUTY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "ALGOWATCH_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(ROOT / "src")}


class Bot:
    """A bot in a process of its own, which runs the lines that it is given."""

    def __init__(self, folder: Path, name: str = "gamma-bot") -> None:
        script = (
            "import os, sys, algowatch\n"
            f"watch = algowatch.start({name!r})\n"
            "print('ready', flush=True)\n"
            "for line in sys.stdin:\n"
            "    exec(line)\n"
            "    print('done', flush=True)\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            env=environment(folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._line() == "ready"

    def run(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self._line() == "done"

    def die(self, line: str) -> None:
        """Run a line that ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self.process.wait(10)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """A clean exit."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


@pytest.fixture
def receiver():
    opened = Receiver()
    yield opened
    opened.close()


@pytest.fixture
def start_engine(tmp_path):
    """Starts engines that end with the test."""
    started: list[RunningEngine] = []

    def start(*arguments: str) -> RunningEngine:
        started.append(RunningEngine(tmp_path, *arguments))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


@pytest.fixture(scope="module")
def start_shared_engine():
    """Starts engines, each in the folder that it is given, that end with the module's tests."""
    started: list[RunningEngine] = []

    def start(folder: Path, *arguments: str) -> RunningEngine:
        started.append(RunningEngine(folder, *arguments))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


@pytest.fixture
def start_bot(tmp_path):
    started: list[Bot] = []

    def start(name: str = "gamma-bot") -> Bot:
        started.append(Bot(tmp_path, name))
        return started[-1]

    yield start
    for bot in started:
        bot.close()


@pytest.fixture
def free_port():
    return unused_port
