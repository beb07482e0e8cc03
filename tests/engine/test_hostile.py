"""An engine on a full disk, on a read-only one, and with a clock that is set back: it goes on and says so."""

import asyncio
import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from algowatch.engine.build import Engine
from algowatch.engine.options import EngineOptions, Listen
from algowatch.model.clock import SystemClock
from engine.conftest import environment


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB where engines keep their data."""
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def read(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def metric(url, name):
    return next(float(line.split()[-1]) for line in read(f"{url}/metrics").splitlines() if line.startswith(name + " "))


def targets(url):
    return json.loads(read(f"{url}/api/v1/targets"))["data"]["activeTargets"]


def wait_for(condition, timeout_s=15):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, condition
        time.sleep(0.1)
    return found


def test_a_full_disk_is_said_and_survived(small_disk, start_engine, start_bot):
    engine = start_engine()
    start_bot().run("watch.pnl.daily.set(-125.5, currency='USD')")
    engine.wait_for_query("count_over_time(trading_daily_pnl[1h]) >= 2")
    shown = engine.get("/api/v1/query", query="trading_daily_pnl[1h]")["result"][0]["values"]
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    (target,) = wait_for(lambda: [found for found in targets(engine.url) if "is full" in found["lastError"]])
    assert target["lastError"].startswith("the samples were not stored: ")
    wait_for(lambda: metric(engine.url, "algowatch_store_failed_appends_total") >= 3)
    assert engine.get("/api/v1/query", query="trading_daily_pnl[1h]")["result"][0]["values"][: len(shown)] == shown
    ballast.unlink()
    wait_for(lambda: targets(engine.url)[0]["lastError"] == "")
    engine.wait_for_query("time() - timestamp(trading_daily_pnl) < 2")
    assert engine.output.read_text().count("were not stored") < 5


def test_a_read_only_disk_is_refused_at_the_start_and_can_still_be_checked(small_disk, start_engine, start_bot, tmp_path):
    engine = start_engine()
    start_bot()
    engine.wait_for_query("up == 1")
    engine.terminate()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    command = [sys.executable, "-m", "algowatch"]
    run = {"env": environment(tmp_path), "capture_output": True, "text": True, "timeout": 30, "check": False}
    refused = subprocess.run([*command, "up", "--listen", "127.0.0.1:0", "--data", str(small_disk)], **run)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert str(small_disk) in refused.stderr
    assert "--data" in refused.stderr
    checked = subprocess.run([*command, "check", "--data", str(small_disk)], **run)
    assert (checked.returncode, "all well" in checked.stdout) == (0, True), checked.stderr


class JumpingClock(SystemClock):
    ahead_ms = 0

    def now_ms(self):
        return super().now_ms() + self.ahead_ms


@pytest.fixture
def exporter():
    """A target that always answers the same."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"probe 1\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_clock_that_is_set_back_an_hour_is_said_and_survived(exporter, tmp_path, monkeypatch):
    monkeypatch.setenv("ALGOWATCH_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "prometheus.yml").write_text(
        f"scrape_configs: [{{job_name: probe, scrape_interval: 200ms, static_configs: [{{targets: ['{exporter}']}}]}}]\n"
    )
    clock = JumpingClock()

    async def run():
        options = EngineOptions(
            tmp_path / "data",
            Listen("127.0.0.1", 0),
            config_file=tmp_path / "prometheus.yml",
            discovery=False,
            log_alerts=False,
        )
        engine = Engine(options, clock)
        await engine.start()

        def look(condition):
            return asyncio.to_thread(wait_for, condition)

        try:
            await look(lambda: metric(engine.url, "algowatch_store_samples") > 10)
            clock.ahead_ms = -3_600_000
            await look(lambda: "is not newer than the last one" in targets(engine.url)[0]["lastError"])
            await look(lambda: metric(engine.url, "algowatch_store_failed_appends_total") > 3)
            held = await asyncio.to_thread(metric, engine.url, "algowatch_store_samples")
            await asyncio.to_thread(engine.store.maintain)
            assert await asyncio.to_thread(metric, engine.url, "algowatch_store_samples") == held
            clock.ahead_ms = 0
            await look(lambda: targets(engine.url)[0]["lastError"] == "")
            await look(lambda: metric(engine.url, "algowatch_store_samples") > held)
        finally:
            await engine.stop()

    asyncio.run(run())
