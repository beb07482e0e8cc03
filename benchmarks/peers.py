"""algowatch, Prometheus and VictoriaMetrics as processes of their own on loopback, and the same data for all three."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cramjam
import numpy as np
import psutil

from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions

ROOT = Path(__file__).resolve().parents[1]
BUCKETS = ["0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "+Inf"]


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


class Peer:
    """One server. `start` returns the seconds until it was ready."""

    name = ""
    ready = "/-/ready"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = directory / "prometheus.yml"
        self.config.write_text("global: {scrape_interval: 1h}\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> float:
        began = time.perf_counter()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "ALGOWATCH_STATE_DIR": str(self.directory / "state"),
        }
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=environment)
        while True:
            try:
                self.get(self.ready)
                return time.perf_counter() - began
            except OSError:
                if self._process.poll() is not None or time.perf_counter() - began > 60:
                    raise SystemExit(f"{self.name} did not start:\n{(self.directory / 'log').read_text()[-2000:]}") from None
                time.sleep(0.005)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def get(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None, **parameters: object) -> bytes:
        text = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        request = urllib.request.Request(f"{self.url}{path}{text}", data, headers or {})
        with urllib.request.urlopen(request, timeout=120) as response:
            return bytes(response.read())

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_s(self) -> float:
        """Processor time so far, of user and system, of the server and of the processes that it has started."""
        return sum(sum(process.cpu_times()[:2]) for process in self._family())

    def rss_mib(self) -> float:
        return sum(process.memory_info().rss for process in self._family()) / 2**20

    def load(self, data: Data) -> None:
        """Remote write in the order of time, half an hour at a time."""
        per_batch = max(1, 1_800_000 // data.step_ms)
        headers = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        labels = [_encoded_labels(series) for series in data.layout.series]
        for first in range(0, len(data.times_ms), per_batch):
            times = data.times_ms[first : first + per_batch]
            for part in range(0, len(labels), 500):
                values = data.values[part : part + 500, first : first + per_batch]
                body = b"".join(
                    _field(1, head + _encoded_samples(times, row)) for head, row in zip(labels[part:], values, strict=False)
                )
                self.get("/api/v1/write", bytes(cramjam.snappy.compress_raw(body)), headers)

    def settle(self) -> int:
        """Compact, and return the bytes that the samples and their index take."""
        raise NotImplementedError


class Algowatch(Peer):
    name = "algowatch"

    def command(self) -> list[str]:
        arguments = ["--listen", f"127.0.0.1:{self.port}", "--data", str(self.data), "--config", str(self.config)]
        return [sys.executable, "-m", "algowatch", "up", "--no-discovery", "--retention", "0", *arguments]

    def load(self, data: Data) -> None:
        """Must not be running."""
        with Store.open(self.data, StoreOptions(retention_ms=0)) as store:
            for first in range(0, len(data.layout), 500):
                layout = Layout(data.layout.series[first : first + 500])
                store.append_block(f"load{first}", data.times_ms, layout, data.values[first : first + 500])

    def settle(self) -> int:
        self.get("/api/v1/admin/tsdb/compact", b"")
        return sum(path.stat().st_size for path in self.data.glob("algowatch.db*"))


class Prometheus(Peer):
    name = "Prometheus"

    def command(self) -> list[str]:
        flags = ["--web.enable-remote-write-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=100y"]
        listen = [f"--web.listen-address=127.0.0.1:{self.port}", f"--config.file={self.config}"]
        return ["prometheus", *listen, f"--storage.tsdb.path={self.data}", *flags, "--log.level=error"]

    def settle(self) -> int:
        """A snapshot writes the head as blocks too."""
        self.get("/api/v1/admin/tsdb/snapshot", b"")
        return _size(self.data / "snapshots")


class VictoriaMetrics(Peer):
    name = "VictoriaMetrics"
    ready = "/health"

    def command(self) -> list[str]:
        flags = [
            "-retentionPeriod=100y",
            "-search.latencyOffset=0s",
            "-loggerLevel=ERROR",
        ]
        listen = [f"-httpListenAddr=127.0.0.1:{self.port}", f"-promscrape.config={self.config}"]
        return ["victoria-metrics", f"-storageDataPath={self.data}", *listen, *flags]

    def settle(self) -> int:
        self.get("/internal/force_flush")
        self.get("/internal/force_merge")
        sizes = [0]
        while len(sizes) < 4 or len(set(sizes[-3:])) > 1:
            time.sleep(1)
            sizes.append(_size(self.data / "data") + _size(self.data / "indexdb"))
        return sizes[-1]


def available() -> list[type[Peer]]:
    found: list[type[Peer]] = [Algowatch]
    found += [kind for kind, name in ((Prometheus, "prometheus"), (VictoriaMetrics, "victoria-metrics")) if shutil.which(name)]
    return found


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Data:
    """Series [series, samples] on shared timestamps."""

    layout: Layout
    times_ms: np.ndarray
    values: np.ndarray
    step_ms: int

    @property
    def samples(self) -> int:
        return int(self.values.size)


def trading_data(series: int, length_s: int, step_s: int, end_ms: int, seed: int = 7) -> Data:
    """A mix as bots have it: four tenths counters, three tenths gauges with two decimals, three tenths histograms."""
    random = np.random.default_rng(seed)
    times = np.arange(end_ms - length_s * 1000, end_ms, step_s * 1000, dtype=np.int64)
    rows: list[np.ndarray] = []
    names: list[Labels] = []
    for number, kind in enumerate(_kinds(series)):
        labels = {"job": "bots", "instance": f"bot-{number % 20}", "strategy": f"s{number % 10}", "symbol": f"SYM{number}"}
        if kind == "counter":
            names.append(Labels.of({"__name__": "orders_filled_total", **labels}))
            rows.append(random.poisson(0.4 * step_s, len(times)).cumsum().astype(float))
        elif kind == "gauge":
            names.append(Labels.of({"__name__": "unrealized_pnl", **labels}))
            rows.append(np.round(random.normal(0, 5, len(times)).cumsum() * 0.2, 2))
        else:
            spans = random.poisson(step_s * 0.2 * np.array([[1], [2], [3], [3], [2], [1], [0.5], [0.1]]), (8, len(times)))
            for bound, row in zip(BUCKETS, spans.cumsum(axis=1).cumsum(axis=0), strict=True):
                names.append(Labels.of({"__name__": "fill_seconds_bucket", **labels, "le": bound}))
                rows.append(row.astype(float))
    return Data(Layout(names[:series]), times, np.array(rows[:series]), step_s * 1000)


def _kinds(series: int) -> Iterator[str]:
    made = number = 0
    while made < series:
        kind = ("counter", "gauge", "counter", "gauge", "counter", "gauge", "counter", "histogram")[number % 8]
        made += 8 if kind == "histogram" else 1
        number += 1
        yield kind


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _encoded_labels(labels: Labels) -> bytes:
    return b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in labels)


def _encoded_samples(times_ms: np.ndarray, values: np.ndarray) -> bytes:
    """All samples at once: a time of today takes six bytes as a varint, so every sample takes eighteen."""
    out = np.empty((len(times_ms), 18), np.uint8)
    out[:, :3] = (0x12, 16, 0x09)
    out[:, 3:11] = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)
    out[:, 11] = 0x10
    for place in range(6):
        out[:, 12 + place] = times_ms >> (7 * place) & 0x7F | (0x80 if place < 5 else 0)
    return out.tobytes()


EXPORTER = """
import http.server, itertools, sys
targets, series = int(sys.argv[1]), int(sys.argv[2])
def body(target, round):
    lines = ["# TYPE orders_filled_total counter", "# TYPE unrealized_pnl gauge"]
    for n in range(series):
        labels = f'{{strategy="s{n % 10}",symbol="SYM{n}",side="BUY"}}'
        counter, gauge = f"orders_filled_total{labels} {1000 * n + 3 * round}", f"unrealized_pnl{labels} {n + round * 0.25}"
        lines.append(counter if n % 2 else gauge)
    return ("\\n".join(lines) + "\\n").encode()
bodies = [itertools.cycle([body(t, r) for r in range(8)]) for t in range(min(targets, 4))]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        text = next(bodies[int(self.path.rsplit("/", 1)[1]) % len(bodies)])
        head = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain; version=0.0.4\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(text)
        self.wfile.write(head + text)
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class Exporter:
    """Some targets, each with so many series; bodies are rendered beforehand and change with each scrape."""

    def __init__(self, targets: int, series: int) -> None:
        self.targets = targets
        self._process = subprocess.Popen(
            [sys.executable, "-c", EXPORTER, str(targets), str(series)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def configuration(self) -> str:
        jobs = "".join(
            f"  - {{job_name: job{number}, metrics_path: /m/{number}, "
            f"static_configs: [{{targets: ['127.0.0.1:{self.port}']}}]}}\n"
            for number in range(self.targets)
        )
        return f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
