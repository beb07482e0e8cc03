"""Host and process figures."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import psutil

from algowatch.telemetry.host import DiskUsage, HostCollector, busy_ratio
from algowatch.telemetry.registry import Registry


def read(collector: HostCollector) -> dict[str, float]:
    return {family.name: samples[0][1] for family, samples in collector() if samples}


def test_figures_are_the_machines():
    figures = read(HostCollector(psutil))
    assert figures["system_cpu_cores_available"] == psutil.cpu_count()
    assert 0 < figures["system_memory_usage_ratio"] < 1
    assert figures["process_start_time_seconds"] == psutil.Process().create_time()
    assert figures["process_resident_memory_bytes"] > 1_000_000


def test_counters_stay_true_after_a_thousand_scrapes():
    collector = HostCollector(psutil)
    for _ in range(1000):
        seen = read(collector)["process_cpu_seconds_total"]
    times = psutil.Process().cpu_times()
    assert 0 <= times.user + times.system - seen < 0.5


def test_cpu_share_is_the_difference_between_two_readings():
    class Times(tuple):  # psutil's named tuple, as on Linux
        idle = property(lambda self: self[1])
        iowait = property(lambda self: self[2])

    assert busy_ratio(Times((10, 100, 5)), Times((14, 110, 7))) == 0.25
    assert busy_ratio(Times((10, 100, 5)), Times((10, 100, 5))) == 0.0


def fake_disks(usage: Any) -> SimpleNamespace:
    parts = [SimpleNamespace(device="/dev/b", mountpoint="/tmp")]
    return SimpleNamespace(disk_partitions=lambda all: parts, disk_usage=usage)


def test_an_unreadable_mount_costs_only_itself():
    def usage(mount: str) -> SimpleNamespace:
        if mount == "/":
            raise PermissionError(mount)
        return SimpleNamespace(total=100, used=25, free=75)

    disks = DiskUsage(fake_disks(usage))
    disks.read()
    assert disks.ratios() == {"/tmp": 0.25}


def test_a_mount_that_hangs_neither_delays_a_scrape_nor_hides_the_others():
    release = threading.Event()

    def usage(mount: str) -> SimpleNamespace:
        if mount == "/":
            release.wait(10)
        return SimpleNamespace(total=100, used=25, free=75)

    now = [0.0]
    disks = DiskUsage(fake_disks(usage), lambda: now[0])
    before = time.monotonic()
    assert disks.ratios() == {}
    now[0] = 20.0
    assert "/" not in disks.ratios()
    now[0] = 40.0
    deadline = time.monotonic() + 5
    while disks.ratios() != {"/tmp": 0.25} and time.monotonic() < deadline:
        time.sleep(0.01)
    assert disks.ratios() == {"/tmp": 0.25}
    assert time.monotonic() - before < 5
    release.set()


def test_a_collector_that_fails_costs_only_itself():
    registry = Registry()

    def broken() -> Any:
        raise RuntimeError("no")

    registry.collectors += [broken, HostCollector(psutil)]
    assert len(registry.collect()) > 5
    assert registry.faults.counts == {"collector": 1}
