"""A real Prometheus on loopback, loaded by remote write: the peer that answers are compared with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import cramjam
import pytest

from algowatch.model.labels import Labels
from algowatch.model.protocols import SeriesMatrix

Answer = dict[Labels, dict[int, float]]
"""For each series the value at each time in milliseconds."""


def binary() -> str:
    """The program's path. Skips the test where it is missing, unless peers are required."""
    found = shutil.which("prometheus")
    if found is None:
        if os.environ.get("ALGOWATCH_REQUIRE_PEERS") == "1":
            pytest.fail("prometheus is not on the PATH, and ALGOWATCH_REQUIRE_PEERS=1 asks for it")
        pytest.skip("prometheus is not on the PATH")
    return found


class Prometheus:
    def __init__(self, directory: Path) -> None:
        config = directory / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1h}\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                binary(),
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--web.enable-remote-write-receiver",
                "--storage.tsdb.retention.time=100y",
                "--log.level=error",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_ready(self, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        pytest.fail(f"prometheus was not ready after {timeout_s} s")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def write(self, matrices: Sequence[SeriesMatrix], batch_ms: int = 1_800_000) -> None:
        """Remote write 1.0, in the order of time, since a head takes no samples that are much older than its newest."""
        start = min(int(matrix.timestamps_ms[0]) for matrix in matrices)
        end = max(int(matrix.timestamps_ms[-1]) for matrix in matrices)
        for at in range(start, end + 1, batch_ms):
            body = b"".join(_series(matrix, at, at + batch_ms) for matrix in matrices)
            headers = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
            data = bytes(cramjam.snappy.compress_raw(body))
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/v1/write", data, headers), timeout=30).close()

    def instant(self, expr: str, at_ms: int) -> Answer:
        return self._ask("query", query=expr, time=f"{at_ms / 1000:.3f}")

    def range(self, expr: str, start_ms: int, end_ms: int, step_ms: int) -> Answer:
        return self._ask(
            "query_range",
            query=expr,
            start=f"{start_ms / 1000:.3f}",
            end=f"{end_ms / 1000:.3f}",
            step=f"{step_ms / 1000:.3f}",
        )

    def _ask(self, path: str, **parameters: str) -> Answer:
        """Raises: ValueError with the error that Prometheus gave."""
        data = urllib.parse.urlencode(parameters).encode()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", data, timeout=60) as response:
                found = json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from error
        if found["resultType"] == "scalar":
            return {Labels(): dict([_point(found["result"])])}
        return {
            Labels.of(series["metric"]): dict(map(_point, series["values"] if "values" in series else [series["value"]]))
            for series in found["result"]
        }


def _point(pair: list[object]) -> tuple[int, float]:
    return round(float(str(pair[0])) * 1000), float(str(pair[1]))


def running(directory: Path) -> Iterator[Prometheus]:
    server = Prometheus(directory)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _series(matrix: SeriesMatrix, start_ms: int, end_ms: int) -> bytes:
    """The TimeSeries messages of a WriteRequest with the samples in [start, end)."""
    parts = []
    for row, labels in enumerate(matrix.labels):
        head = b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in labels)
        samples = b""
        for column, at in enumerate(matrix.timestamps_ms.tolist()):
            if start_ms <= at < end_ms and (matrix.present is None or matrix.present[row, column]):
                value = struct.pack("<d", matrix.values[row, column])
                samples += _field(2, b"\x09" + value + b"\x10" + _varint(at))
        if samples:
            parts.append(_field(1, head + samples))
    return b"".join(parts)
