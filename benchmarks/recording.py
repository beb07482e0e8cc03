"""What recording and /metrics cost, beside prometheus_client in the same run: `python benchmarks/recording.py`.

Rounds of both sides alternate, and the medians are compared, so that a busy machine hurts both alike.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable

import prometheus_client

from algowatch.telemetry import exposition
from algowatch.telemetry.watch import Watch, WatchOptions

BUCKETS = [0.001 * 2**power for power in range(12)]
SERIES = 10_000


def compare(ours: str, theirs: str, names: dict[str, object], calls: int = 2_000, rounds: int = 151) -> tuple[float, float]:
    """Medians of many short alternating rounds, in nanoseconds per call: most rounds are then undisturbed on both sides."""
    timers = [timeit.Timer(statement, globals=names) for statement in (ours, theirs)]
    times = [[timer.timeit(calls) for timer in timers] for _ in range(rounds)]
    own, other = (statistics.median(column) / calls * 1e9 for column in zip(*times, strict=True))
    return own, other


def show(what: str, ours: float, theirs: float, unit: str, bound: float) -> bool:
    ratio = ours / theirs
    verdict = "ok" if ratio <= bound else "MISSED"
    print(f"{what:34} {ours:10.1f} {unit}  {theirs:10.1f} {unit}  {ratio:6.3f} x  (aim <= {bound})  {verdict}")
    return ratio <= bound


def recording() -> bool:
    watch = Watch(WatchOptions("bench", discover=False, host_metrics=False))
    registry = prometheus_client.CollectorRegistry()
    labels = ["strategy", "side", "order_type"]
    submitted = prometheus_client.Counter("submitted", "x", labels, registry=registry)
    plain = prometheus_client.Counter("plain", "x", registry=registry)
    level = prometheus_client.Gauge("level", "x", registry=registry)
    spans = prometheus_client.Histogram("spans", "x", buckets=BUCKETS, registry=registry)
    own_plain, own_level = watch.counter("plain"), watch.gauge("level")
    own_spans = watch.histogram("spans", buckets=BUCKETS)
    pairs = [
        ("counter", "own_plain.inc()", "plain.inc()", 0.6),
        (
            "counter, three labels",
            'watch.orders.submitted(strategy="gamma", side="BUY", order_type="LMT")',
            'submitted.labels("gamma", "BUY", "LMT").inc()',
            0.25,
        ),
        ("gauge", "own_level.set(1.5)", "level.set(1.5)", 0.25),
        ("histogram, 12 buckets", "own_spans.observe(0.07)", "spans.observe(0.07)", 0.25),
    ]
    names = dict(locals())
    results = [show(what, *compare(ours, theirs, names), "ns", bound) for what, ours, theirs, bound in pairs]
    return all(results)


def filled() -> tuple[Watch, prometheus_client.CollectorRegistry]:
    watch = Watch(WatchOptions("bench", discover=False, host_metrics=False, max_series=SERIES))
    registry = prometheus_client.CollectorRegistry()
    ours = watch.gauge("position_value", "x", labels=["strategy", "symbol"])
    theirs = prometheus_client.Gauge("position_value", "x", ["strategy", "symbol"], registry=registry)
    for number in range(SERIES):
        ours.set(number * 1.1, strategy=f"s{number % 10}", symbol=f"SYM{number}")
        theirs.labels(f"s{number % 10}", f"SYM{number}").set(number * 1.1)
    return watch, registry


def longest_stall_ms(work: Callable[[], object]) -> float:
    """How long a thread that only looks at the clock was kept waiting while `work` ran three times, at worst."""
    worst, stop, running = 0.0, threading.Event(), threading.Event()

    def look() -> None:
        nonlocal worst
        last = time.perf_counter()
        running.set()
        while not stop.is_set():
            now = time.perf_counter()
            worst = max(worst, now - last)
            last = now

    thread = threading.Thread(target=look)
    thread.start()
    running.wait()
    for _ in range(3):
        work()
    stop.set()
    thread.join()
    return worst * 1000


def metrics() -> bool:
    watch, registry = filled()
    gc.collect()
    render = lambda: exposition.render(watch.registry)  # noqa: E731
    latest = lambda: prometheus_client.generate_latest(registry)  # noqa: E731
    own, other = compare("render()", "latest()", {"render": render, "latest": latest}, calls=1, rounds=9)
    good = show(f"/metrics, {SERIES} series", own / 1e6, other / 1e6, "ms", 0.1)
    stalls = [(longest_stall_ms(render), longest_stall_ms(latest)) for _ in range(5)]
    ours, theirs = (statistics.median(column) for column in zip(*stalls, strict=True))
    return show("longest stall of another thread", ours, theirs, "ms", 0.6) and good


def import_ms(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print((time.perf_counter() - t) * 1000)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def importing() -> bool:
    rounds = [tuple(map(import_ms, ("algowatch", "algowatch.profiles.start", "prometheus_client"))) for _ in range(5)]
    bare, started, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{'all that start() imports':34} {started:10.1f} ms  {theirs:10.1f} ms  {started / theirs:6.3f} x  (once, no aim)")
    return show("import algowatch", bare, theirs, "ms", 0.7)


if __name__ == "__main__":
    print(f"{'':34} {'algowatch':>13}  {'prometheus_client':>13}")
    sys.exit(0 if all([recording(), metrics(), importing()]) else 1)
