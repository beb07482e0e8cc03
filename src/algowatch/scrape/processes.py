"""Whether the process behind a bot still lives."""

from __future__ import annotations

import psutil

from algowatch.scrape.target import Process

_START_TOLERANCE_S = 2.0
"""The clock that start times are counted from may be set between two looks."""


def is_alive(process: Process) -> bool:
    """False where no such process runs, where it is only waiting to be reaped, or where its pid now names a later one."""
    try:
        found = psutil.Process(process.pid)
        with found.oneshot():
            if found.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return False
            started_s = found.create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    return process.started_s is None or abs(started_s - process.started_s) <= _START_TOLERANCE_S
