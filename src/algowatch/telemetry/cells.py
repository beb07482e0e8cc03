"""The numbers behind the series: one small object each.

In CPython with its global lock `self.v += n` inside one method loses nothing between threads: a thread is only switched
at a call, at a backward jump or at a function's start, and none of these stands between reading and writing `v`. That is
an implementation's habit and no promise, so `cell_types` looks at the compiled code and at the lock, and gives cells
with a lock of their own where the habit does not hold.
"""

from __future__ import annotations

import opcode
import sys
from bisect import bisect_left
from itertools import pairwise
from threading import Lock
from types import CodeType
from typing import NamedTuple, SupportsFloat

# 1e999 below is infinity as a literal: a constant of the code costs less than a name that has to be looked up.


class Cell:
    """What a series of one number shares: the value and the text that stands before it in an exposition."""

    __slots__ = ("prefix", "v")

    def __init__(self, prefix: str = "") -> None:
        self.v = 0.0
        self.prefix = prefix

    def reset(self) -> None:
        self.v = 0.0


class CounterCell(Cell):
    __slots__ = ()

    def inc(self, amount: SupportsFloat) -> None:
        """Add an int or a float that is not negative and finite. Raises: ValueError for anything else."""
        if (amount.__class__ is int or amount.__class__ is float) and 0 <= amount < 1e999:
            self.v += amount
        else:
            raise ValueError("a counter takes a finite number that is not negative")


class GaugeCell(Cell):
    __slots__ = ()

    def set(self, value: SupportsFloat) -> None:
        """Store a float or an int. Raises: ValueError for anything else, OverflowError for an int past every float."""
        if value.__class__ is int or value.__class__ is float:
            self.v = float(value)
        else:
            raise ValueError("a gauge takes a number")

    def add(self, amount: SupportsFloat) -> None:
        if amount.__class__ is int or amount.__class__ is float:
            self.v += amount
        else:
            raise ValueError("a gauge takes a number")

    def subtract(self, amount: SupportsFloat) -> None:
        if amount.__class__ is int or amount.__class__ is float:
            self.add(-amount)
        else:
            raise ValueError("a gauge takes a number")


class HistogramCell:
    """Counts per bucket (not cumulative; the last is +Inf) and the sum of what was observed."""

    __slots__ = ("bounds", "counts", "prefixes", "sum")

    def __init__(self, bounds: tuple[float, ...], prefixes: tuple[str, ...] = ()) -> None:
        self.bounds = bounds
        self.prefixes = prefixes
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: SupportsFloat) -> None:
        """Count a finite int or float; a bound is inclusive. Raises: ValueError for anything else."""
        if (value.__class__ is float or value.__class__ is int) and -1e999 < value < 1e999:
            index = bisect_left(self.bounds, value)
            self.sum += value
            self.counts[index] += 1
        else:
            raise ValueError("a histogram takes a finite number")

    def reset(self) -> None:
        self.counts[:] = [0] * len(self.counts)
        self.sum = 0.0


class LockedCounterCell(CounterCell):
    __slots__ = ("lock",)

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix)
        self.lock = Lock()

    def inc(self, amount: SupportsFloat) -> None:
        with self.lock:
            super().inc(amount)


class LockedGaugeCell(GaugeCell):
    __slots__ = ("lock",)

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix)
        self.lock = Lock()

    def add(self, amount: SupportsFloat) -> None:
        with self.lock:
            super().add(amount)


class LockedHistogramCell(HistogramCell):
    __slots__ = ("lock",)

    def __init__(self, bounds: tuple[float, ...], prefixes: tuple[str, ...] = ()) -> None:
        super().__init__(bounds, prefixes)
        self.lock = Lock()

    def observe(self, value: SupportsFloat) -> None:
        with self.lock:
            super().observe(value)


class CellTypes(NamedTuple):
    """The classes that fit the interpreter that runs."""

    counter: type[CounterCell]
    gauge: type[GaugeCell]
    histogram: type[HistogramCell]


BARE = CellTypes(CounterCell, GaugeCell, HistogramCell)
LOCKED = CellTypes(LockedCounterCell, LockedGaugeCell, LockedHistogramCell)

_SWITCHES = ("CALL", "PRECALL", "JUMP_BACKWARD", "JUMP_ABSOLUTE", "RESUME", "YIELD", "SEND", "FOR_ITER")


def adds_without_a_switch(code: CodeType) -> bool:
    """Whether, from every in-place addition's load to its store, nothing stands at which a thread can be switched."""
    names = [name for name in (opcode.opname[number] for number in code.co_code[::2]) if name not in ("CACHE", "EXTENDED_ARG")]
    pending, additions = False, 0
    for name, following in pairwise(names):
        if name in ("COPY", "DUP_TOP", "DUP_TOP_TWO") and following in ("LOAD_ATTR", "BINARY_SUBSCR", "BINARY_OP"):
            pending, additions = True, additions + 1
        elif name in ("STORE_ATTR", "STORE_SUBSCR"):
            pending = False
        elif pending and name.startswith(_SWITCHES):
            return False
    return additions > 0


def cell_types() -> CellTypes:
    """Bare cells where an addition cannot be torn, locked ones elsewhere (free-threaded builds, other interpreters)."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return LOCKED
    methods = (CounterCell.inc, GaugeCell.add, HistogramCell.observe)
    return BARE if all(adds_without_a_switch(method.__code__) for method in methods) else LOCKED
