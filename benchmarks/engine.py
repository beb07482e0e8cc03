"""The engine beside Prometheus and VictoriaMetrics, in one run on the same data: `python benchmarks/engine.py [--quick]`.

All three run at the same time while scraping, and take turns at answering, so that a busy machine hurts all alike.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import statistics
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path

from peers import Algowatch, Data, Exporter, Peer, available, trading_data

RATE = "sum by (strategy) (rate(orders_filled_total[5m]))"
P99 = "histogram_quantile(0.99, sum by (le) (rate(fill_seconds_bucket[5m])))"
PANELS = [
    "sum(unrealized_pnl)",
    "sum by (strategy) (unrealized_pnl)",
    "sum(rate(orders_filled_total[1m]))",
    "sum by (strategy) (rate(orders_filled_total[1m]))",
    "topk(5, unrealized_pnl)",
    "max by (instance) (unrealized_pnl)",
    "histogram_quantile(0.5, sum by (le) (rate(fill_seconds_bucket[5m])))",
    P99,
    "count(unrealized_pnl > 0) / count(unrealized_pnl)",
    "sum by (instance) (increase(orders_filled_total[5m]))",
] * 2
Row = tuple[str, str, dict[str, float]]


def scraping(directory: Path, series: int, seconds: float) -> list[Row]:
    """All three scrape the same targets each second."""
    exporter = Exporter(10, series // 10)
    peers = [kind(directory / f"scrape-{kind.name}") for kind in available()]
    try:
        for peer in peers:
            peer.config.write_text(exporter.configuration())
            peer.start()
        time.sleep(min(15, seconds / 2))
        before = [peer.cpu_s() for peer in peers]
        began = time.monotonic()
        time.sleep(seconds)
        millions = (time.monotonic() - began) * series / 1e6
        spent = {peer.name: (peer.cpu_s() - start) / millions for peer, start in zip(peers, before, strict=True)}
        memory = {peer.name: peer.rss_mib() for peer in peers}
        for peer in peers:
            (_, up) = json.loads(peer.get("/api/v1/query", query="sum(up)"))["data"]["result"][0]["value"]
            assert up == "10", f"{peer.name} has {up} of 10 targets up"
    finally:
        for peer in peers:
            peer.stop()
        exporter.stop()
    return [
        (f"processor s per million samples, {series} series at 1 s", "s", spent),
        (f"memory at {series} series", "MiB", memory),
    ]


def loaded(directory: Path, data: Data) -> list[Peer]:
    peers: list[Peer] = []
    for kind in available():
        peer = kind(directory / kind.name)
        if isinstance(peer, Algowatch):
            peer.load(data)
            peer.start()
        else:
            peer.start()
            peer.load(data)
        peers.append(peer)
    return peers


def settled(directory: Path, what: str, data: Data) -> Row:
    peers = loaded(directory, data)
    try:
        return f"settled bytes per sample, {what}", "B", {peer.name: peer.settle() / data.samples for peer in peers}
    finally:
        for peer in peers:
            peer.stop()


def querying(directory: Path, data: Data, rounds: int) -> list[Row]:
    peers = loaded(directory, data)
    end = int(data.times_ms[-1]) // 60_000 * 60
    day = {"start": end - 86_400, "end": end, "step": 60}
    rows: list[Row] = []
    try:
        for peer in peers:
            peer.settle()
        cold: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for _ in range(max(2, rounds // 4)):
            for peer in peers:
                peer.stop()
                peer.start()
                cold[peer.name].append(timed(peer, [("/api/v1/query_range", {"query": RATE, **day})]))
        rows.append(("sum by (rate[5m]), 24 h at 60 s, first after a start", "ms", medians(cold)))
        for what, expr in (("sum by (rate[5m]), 24 h at 60 s, warm", RATE), ("p99 of a histogram, 24 h at 60 s, warm", P99)):
            asked = [("/api/v1/query_range", {"query": expr, **day})]
            rows.append((what, "ms", in_turns(peers, lambda peer, asked=asked: timed(peer, asked), rounds)))
        moved = itertools.count()

        def a_minute_earlier(peer: Peer) -> float:
            return timed(peer, [("/api/v1/query_range", {"query": RATE, **shifted(day, next(moved))})])

        rows.append(("the same rate, the span moved by a minute each time", "ms", in_turns(peers, a_minute_earlier, rounds)))
        hour = {"start": end - 3600, "end": end, "step": 15}
        board = [("/api/v1/query_range", {"query": expr, **hour}) for expr in PANELS]
        rows.append(("dashboard of 20 panels, the last hour", "ms", in_turns(peers, lambda peer: timed(peer, board), rounds)))
        one = [("/api/v1/query", {"query": 'unrealized_pnl{symbol="SYM1"}', "time": end})]
        rows.append(("instant query over HTTP", "ms", in_turns(peers, lambda peer: timed(peer, one), rounds * 10)))
    finally:
        for peer in peers:
            peer.stop()
    return rows


def starting(directory: Path, series: int, end_ms: int, rounds: int) -> Row:
    """From the start of the process to the first answer, with so many series stored."""
    peers = loaded(directory, trading_data(series, 600, 15, end_ms))
    for peer in peers:
        peer.settle()
    took: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            peer.stop()
            began = time.perf_counter()
            peer.start()
            peer.get("/api/v1/query", query="count(unrealized_pnl)", time=end_ms / 1000 - 15)
            took[peer.name].append((time.perf_counter() - began) * 1000)
    for peer in peers:
        peer.stop()
    return f"cold start to first answer, {series} series stored", "ms", medians(took)


def shifted(span: dict[str, int], minutes: int) -> dict[str, int]:
    return {**span, "start": span["start"] - 60 * minutes, "end": span["end"] - 60 * minutes}


def timed(peer: Peer, asked: Sequence[tuple[str, dict[str, object]]]) -> float:
    """Milliseconds for all of them, one after the other on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=120)
    connection.connect()
    began = time.perf_counter()
    for path, parameters in asked:
        connection.request("GET", f"{path}?{urllib.parse.urlencode(parameters)}")
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, (peer.name, body[:500])
        assert b'"result":[]' not in body, (peer.name, parameters, body[:200])
    took = (time.perf_counter() - began) * 1000
    connection.close()
    return took


def in_turns(peers: Sequence[Peer], measure: Callable[[Peer], float], rounds: int) -> dict[str, float]:
    took: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for number in range(rounds + 2):
        for peer in peers:
            found = measure(peer)
            if number >= 2:
                took[peer.name].append(found)
    return medians(took)


def medians(took: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in took.items()}


def show(rows: Sequence[Row]) -> None:
    for what, unit, found in rows:
        ours = found["algowatch"]
        cells = "  ".join(f"{name} {value:9.3f} {unit} ({ours / value:5.2f} x)" for name, value in found.items())
        print(f"{what:62} {cells}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds on little data: shows that it runs, not how fast")
    parser.add_argument("--large", action="store_true", help="also 100,000 series")
    parser.add_argument("--only", choices=["scraping", "settled", "querying", "starting"])
    options = parser.parse_args()
    quick, only = options.quick, options.only
    end_ms = int(time.time() - 120) // 60 * 60_000
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if only in (None, "scraping"):
            for series in [1000 if quick else 10_000, *([100_000] if options.large else [])]:
                show(scraping(directory / f"scraping-{series}", series, 6 if quick else 60))
        if only in (None, "settled"):
            few = 100 if quick else 1000
            show([settled(directory / "a", "2 h at 1 s", trading_data(few, 7200 if not quick else 1800, 1, end_ms))])
            show([settled(directory / "b", "24 h at 15 s", trading_data(few, 86_400, 15, end_ms))])
        if only in (None, "querying"):
            show(querying(directory / "c", trading_data(200 if quick else 3750, 86_400, 15, end_ms), 4 if quick else 12))
        if only in (None, "starting"):
            show([starting(directory / "d", 1000 if quick else 10_000, end_ms, 3 if quick else 7)])
    print(f"load average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
