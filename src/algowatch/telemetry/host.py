"""What the machine and the process do, read by psutil when somebody scrapes. Where psutil is missing, nothing.

Nothing here waits: the CPU share is the difference to the scrape before, and file systems, which may hang, are asked in
a thread of their own. Counters are the kernel's own totals, so they are true after any number of scrapes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from algowatch.catalog.families import Family, family
from algowatch.telemetry.registry import Samples

_CPU_SPAN_S = 0.5
_DISK_SPAN_S = 15.0
_DISK_STUCK_S = 5.0


class HostCollector:
    """A collector for Registry.collectors."""

    def __init__(self, psutil: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._psutil = psutil
        self._clock = clock
        self._process = psutil.Process()
        self._cpu_at = clock()
        self._cpu_times = psutil.cpu_times()
        self._cpu_ratio = 0.0
        self._disks = DiskUsage(psutil, clock)

    def __call__(self) -> Iterator[tuple[Family, Samples]]:
        for read in (self._cpu, self._memory, self._network, self._own_process):
            try:
                for name, value in read().items():
                    yield family(name), [((), float(value))]
            except (self._psutil.Error, OSError, RuntimeError, AttributeError, NotImplementedError):
                continue  # this platform does not tell, or the moment was bad; the others still count
        yield family("system_disk_usage_ratio"), [((mount,), ratio) for mount, ratio in self._disks.ratios().items()]

    def restart(self) -> None:
        """In a forked child: another process, and no thread that came along."""
        self._process = self._psutil.Process()
        self._disks = DiskUsage(self._psutil, self._clock)

    def _cpu(self) -> dict[str, float]:
        now = self._clock()
        if now - self._cpu_at >= _CPU_SPAN_S:
            times = self._psutil.cpu_times()
            self._cpu_ratio = busy_ratio(self._cpu_times, times)
            self._cpu_at, self._cpu_times = now, times
        return {"system_cpu_usage_ratio": self._cpu_ratio, "system_cpu_cores_available": self._psutil.cpu_count() or 1}

    def _memory(self) -> dict[str, float]:
        memory = self._psutil.virtual_memory()
        return {
            "system_memory_used_bytes": memory.used,
            "system_memory_available_bytes": memory.available,
            "system_memory_usage_ratio": (memory.total - memory.available) / memory.total,
        }

    def _network(self) -> dict[str, float]:
        counters = self._psutil.net_io_counters()
        return {
            "system_network_sent_bytes_total": counters.bytes_sent,
            "system_network_received_bytes_total": counters.bytes_recv,
        }

    def _own_process(self) -> dict[str, float]:
        process = self._process
        with process.oneshot():
            times = process.cpu_times()
            found = {
                "process_cpu_seconds_total": times.user + times.system,
                "process_resident_memory_bytes": process.memory_info().rss,
                "process_threads": process.num_threads(),
                "process_start_time_seconds": process.create_time(),
            }
            if hasattr(process, "num_fds"):
                found["process_open_fds"] = process.num_fds()
        return found


def busy_ratio(before: Any, after: Any) -> float:
    """The share of CPU time between two readings that was neither idle nor waiting for a disk, 0 to 1."""

    def idle(times: Any) -> float:
        return float(times.idle) + float(getattr(times, "iowait", 0.0))

    def total(times: Any) -> float:
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # Linux counts them in user and nice too
        return float(sum(times)) - guests

    span = total(after) - total(before)
    if span <= 0:
        return 0.0
    return min(1.0, max(0.0, 1.0 - (idle(after) - idle(before)) / span))


class DiskUsage:
    """The used share by mount, from the last reading that came to its end; a mount that hangs or refuses is left out."""

    def __init__(self, psutil: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._psutil = psutil
        self._clock = clock
        self._ratios: dict[str, float] = {}
        self._stuck: set[str] = set()
        self._asking = ""
        self._asked_at = -_DISK_SPAN_S
        self._thread: threading.Thread | None = None

    def ratios(self) -> dict[str, float]:
        """What is known now; starts a reading where the last one is old. The very first call waits 50 ms at most."""
        now = self._clock()
        first = self._thread is None
        if self._thread is not None and self._thread.is_alive() and now - self._asked_at > _DISK_STUCK_S:
            self._stuck.add(self._asking)
            self._ratios.pop(self._asking, None)
            self._thread = None
        if (self._thread is None or not self._thread.is_alive()) and (first or now - self._asked_at >= _DISK_SPAN_S):
            self._asked_at = now
            self._thread = threading.Thread(target=self.read, name="algowatch-disks", daemon=True)
            self._thread.start()
            if first:
                self._thread.join(0.05)
        return dict(self._ratios)

    def read(self) -> None:
        found: dict[str, float] = {}
        for mount in self._mounts():
            if mount in self._stuck:
                continue
            self._asking = mount
            try:
                usage = self._psutil.disk_usage(mount)
            except Exception:
                continue  # unreadable: costs only itself
            if usage.total > 0:
                found[mount] = usage.used / (usage.used + usage.free) if usage.used + usage.free else 0.0
        if threading.current_thread() is self._thread or self._thread is None:
            self._ratios = found

    def _mounts(self) -> list[str]:
        """The root and every mounted device once, files that are mounted into a container left out."""
        mounts = {"/": "/"} if os.name == "posix" else {}
        try:
            for part in self._psutil.disk_partitions(all=False):
                if part.mountpoint != "/" and os.path.isdir(part.mountpoint):
                    mounts.setdefault(part.device or part.mountpoint, part.mountpoint)
        except Exception:
            return list(mounts.values())
        return list(mounts.values())
