"""Counters, gauges and histograms inside the bot.

A recorder holds the cells of one family, by the tuple of their label values. Its recording methods take the labels as
keywords and never raise: the quick way is one look into the dictionary, and whatever the quick way trips over goes to
`repair`, which makes a new series, mends what can be mended and counts the rest. The methods themselves are compiled
from one template for each set of labels (`typed.py`), so that a call costs what a hand-written one would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, Never, SupportsFloat, TypeVar

from algowatch.catalog.families import Family
from algowatch.model.labels import quote
from algowatch.telemetry.cells import BARE, CellTypes, CounterCell, GaugeCell, HistogramCell
from algowatch.telemetry.faults import Faults, Misuse, shown

C = TypeVar("C", CounterCell, GaugeCell, HistogramCell)
LabelValues = tuple[str, ...]

MISSING: Any = object()
_LONGEST_LABEL_VALUE = 512
_SURROGATES = re.compile("[\ud800-\udfff]")


def as_number(value: object) -> float:
    """A float from anything that is a number: Decimal, Fraction, a numpy scalar, a bool. Raises: Misuse."""
    if value is MISSING:
        raise Misuse("bad_value", "no value was given")
    if isinstance(value, (str, bytes, bytearray)):
        raise Misuse("bad_value", f"{shown(value)} is text; give a number")
    try:
        return float(value)  # type: ignore[arg-type]
    except Exception as error:
        raise Misuse("bad_value", f"a value of type {type(value).__name__} is not a number") from error


def as_label_value(value: object) -> str:
    """Text for a label: None is absent, an enumeration counts by its value, over-long text is cut. Raises: Misuse."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        value = value.value
    try:
        text = str.__str__(value) if isinstance(value, str) else str(value)
    except Exception as error:
        raise Misuse("bad_label", f"a label value of type {type(value).__name__} has no text") from error
    return _SURROGATES.sub("\ufffd", text[:_LONGEST_LABEL_VALUE])


def series_prefix(name: str, labels: tuple[str, ...], values: LabelValues, le: str = "") -> str:
    """What stands before a sample's value, the blank included; empty labels are left out."""
    pairs = [f"{label}={quote(value)}" for label, value in zip(labels, values, strict=True) if value]
    if le:
        pairs.append(f'le="{le}"')
    return f"{name}{{{','.join(pairs)}}} " if pairs else f"{name} "


class Recorder(Generic[C]):
    """One family and its series.

    cells: by label values in the family's order; the quick way of the recording methods reads it without a lock.
    only:  the one cell of a family without labels, unset until the first recording and in strict mode; `bare_only` is
           the same one, where its type needs no lock.
    """

    only: C
    bare_only: C

    __slots__ = ("_lock", "_types", "bare_only", "cells", "family", "faults", "max_series", "only")

    def __init__(self, family: Family, types: CellTypes, faults: Faults, max_series: int) -> None:
        self.family = family
        self.faults = faults
        self.max_series = max_series
        self.cells: dict[LabelValues, C] = {}
        self._types = types
        self._lock = Lock()

    def new_cell(self, values: LabelValues) -> C:
        raise NotImplementedError

    def cell(self, values: LabelValues) -> C:
        """The cell of a series, made where it is new. Raises: Misuse past the family's bound."""
        with self._lock:
            found = self.cells.get(values)
            if found is None:
                if len(self.cells) >= self.max_series:
                    raise Misuse(
                        "too_many_series",
                        f"more than {self.max_series} series; is an order id or a time among the label values?",
                    )
                found = self.cells[values] = self.new_cell(values)
                if not values and not self.faults.strict:
                    self.only = found
                    if self._types is BARE:
                        self.bare_only = found
            return found

    def repair(self, method: str, value: object, labels: tuple[object, ...], extra: object = (), unknown: Any = None) -> None:
        """Do what the quick way could not. Raises: UsageError in strict mode, nothing otherwise."""
        where = self.family.name
        try:
            number = as_number(value)
            cell = self.cell(tuple(as_label_value(each) for each in labels))
            getattr(cell, method)(number)
            if extra:
                raise Misuse("unknown_label", f"labels go by keyword: {', '.join(self.family.labels) or 'there are none'}")
            if unknown:
                names = ", ".join(sorted(map(str, unknown)))
                raise Misuse("unknown_label", f"unknown label {names}; labels: {', '.join(self.family.labels) or 'none'}")
        except Misuse as misuse:
            self.faults.note(misuse.reason, where, str(misuse))
        except Exception as error:
            self.faults.note("bad_value", where, f"{error} (was {shown(value)})" if type(error) is ValueError else shown(error))

    def record(self, method: str, value: object, extra: object, labels: dict[str, Any]) -> None:
        """The way of a recorder whose methods were not written out for its labels: right, and three times as slow."""
        values = tuple(labels.pop(name, "") for name in self.family.labels)
        self.repair(method, value, values, extra, labels)

    def remove(self, *extra: Never, **labels: object) -> None:
        """Stop exporting a series, for example of a symbol that is traded no more."""
        try:
            if extra:
                raise Misuse("unknown_label", "labels go by keyword")
            values = tuple(as_label_value(labels.get(name)) for name in self.family.labels)
        except Misuse as misuse:
            self.faults.note(misuse.reason, self.family.name, str(misuse))
            return
        with self._lock:
            if self.cells.pop(values, None) is not None and hasattr(self, "only"):
                del self.only
                if self._types is BARE:
                    del self.bare_only

    def kept_cell(self, labels: dict[str, object], extra: object = ()) -> C:
        """The cell for a kept child; where it cannot be had, one that is not exported."""
        names = self.family.labels
        try:
            values = tuple(as_label_value(labels.get(name)) for name in names)
            unknown = sorted(labels.keys() - set(names)) + (["without a name"] if extra else [])
            if unknown:
                self.faults.note(
                    "unknown_label",
                    self.family.name,
                    f"unknown label {', '.join(unknown)}; labels: {', '.join(names) or 'none'}",
                )
            return self.cell(values)
        except Misuse as misuse:
            self.faults.note(misuse.reason, self.family.name, str(misuse))
            return self.new_cell(tuple("" for _ in names))

    def snapshot(self) -> list[tuple[LabelValues, C]]:
        """The series now, in the order in which they came to be; copied in one step that no other thread can split."""
        return list(self.cells.items())

    def reset(self) -> None:
        """For a forked child: from zero, and no lock held by a thread that did not come along."""
        self._lock = Lock()
        for _, cell in self.snapshot():
            cell.reset()

    def __iter__(self) -> Iterator[tuple[LabelValues, C]]:
        return iter(self.snapshot())


class Counter(Recorder[CounterCell]):
    """Counts what only grows."""

    __slots__ = ()

    def inc(self, amount: SupportsFloat = 1, *extra: Any, **labels: Any) -> None:
        """Add an amount that is not negative; labels go by keyword."""
        self.record("inc", amount, extra, labels)

    def __call__(self, amount: SupportsFloat = 1, *extra: Any, **labels: Any) -> None:
        """The same as `inc`."""
        self.record("inc", amount, extra, labels)

    def new_cell(self, values: LabelValues) -> CounterCell:
        return self._types.counter(series_prefix(self.family.name, self.family.labels, values))

    def bind(self, *extra: Never, **labels: object) -> BoundCounter:
        """One series, kept, for the hottest places."""
        return BoundCounter(self, self.kept_cell(labels, extra))


class Gauge(Recorder[GaugeCell]):
    """Holds what rises and falls."""

    __slots__ = ()

    def set(self, value: SupportsFloat = MISSING, *extra: Any, **labels: Any) -> None:
        """Store a value; labels go by keyword."""
        self.record("set", value, extra, labels)

    def inc(self, amount: SupportsFloat = 1, *extra: Any, **labels: Any) -> None:
        """Add an amount; labels go by keyword."""
        self.record("add", amount, extra, labels)

    def dec(self, amount: SupportsFloat = 1, *extra: Any, **labels: Any) -> None:
        """Take an amount away; labels go by keyword."""
        self.record("subtract", amount, extra, labels)

    def new_cell(self, values: LabelValues) -> GaugeCell:
        return self._types.gauge(series_prefix(self.family.name, self.family.labels, values))

    def bind(self, *extra: Never, **labels: object) -> BoundGauge:
        """One series, kept, for the hottest places."""
        return BoundGauge(self, self.kept_cell(labels, extra))


class Histogram(Recorder[HistogramCell]):
    """Counts observations per bucket."""

    __slots__ = ()

    def observe(self, value: SupportsFloat = MISSING, *extra: Any, **labels: Any) -> None:
        """Count a value; labels go by keyword."""
        self.record("observe", value, extra, labels)

    def time(self, *extra: Any, **labels: Any) -> Timer:
        """Observes the seconds that a `with` block, or every call of a decorated function, takes."""
        return Timer(self.observe, labels)

    def new_cell(self, values: LabelValues) -> HistogramCell:
        name, labels, bounds = self.family.name, self.family.labels, self.family.buckets
        buckets = [series_prefix(f"{name}_bucket", labels, values, le) for le in (*map(repr, bounds), "+Inf")]
        ends = [series_prefix(f"{name}_{end}", labels, values) for end in ("sum", "count")]
        return self._types.histogram(bounds, (*buckets, *ends))

    def bind(self, *extra: Never, **labels: object) -> BoundHistogram:
        """One series, kept, for the hottest places."""
        return BoundHistogram(self, self.kept_cell(labels, extra))


class Timer:
    """Observes the seconds from entering to leaving, also when the block raises; usable again and around functions."""

    __slots__ = ("_labels", "_observe", "_started")

    def __init__(self, observe: Callable[..., None], labels: dict[str, Any]) -> None:
        self._observe = observe
        self._labels = labels
        self._started: list[float] = []

    def __enter__(self) -> Timer:
        self._started.append(perf_counter())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._started:
            self._observe(perf_counter() - self._started.pop(), **self._labels)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._observe(perf_counter() - started, **self._labels)

        return timed


class BoundCounter:
    """One counter series."""

    __slots__ = ("_cell", "_recorder")

    def __init__(self, recorder: Counter, cell: CounterCell) -> None:
        self._recorder = recorder
        self._cell = cell

    def inc(self, amount: SupportsFloat = 1, *extra: Any, **unknown: Any) -> None:
        try:
            if extra or unknown:
                raise ValueError("a kept series takes no labels")
            self._cell.inc(amount)
        except Exception:
            _repair_bound(self._recorder, self._cell, "inc", amount, extra, unknown)


class BoundGauge:
    """One gauge series."""

    __slots__ = ("_cell", "_recorder")

    def __init__(self, recorder: Gauge, cell: GaugeCell) -> None:
        self._recorder = recorder
        self._cell = cell

    def set(self, value: SupportsFloat = MISSING, *extra: Any, **unknown: Any) -> None:
        if value.__class__ is float:
            self._cell.v = value
            if not unknown and not extra:
                return
        _repair_bound(self._recorder, self._cell, "set", value, extra, unknown)

    def inc(self, amount: SupportsFloat = 1, *extra: Any, **unknown: Any) -> None:
        _repair_bound(self._recorder, self._cell, "add", amount, extra, unknown)

    def dec(self, amount: SupportsFloat = 1, *extra: Any, **unknown: Any) -> None:
        _repair_bound(self._recorder, self._cell, "subtract", amount, extra, unknown)


class BoundHistogram:
    """One histogram series."""

    __slots__ = ("_cell", "_recorder")

    def __init__(self, recorder: Histogram, cell: HistogramCell) -> None:
        self._recorder = recorder
        self._cell = cell

    def observe(self, value: SupportsFloat = MISSING, *extra: Any, **unknown: Any) -> None:
        try:
            if extra or unknown:
                raise ValueError("a kept series takes no labels")
            self._cell.observe(value)
        except Exception:
            _repair_bound(self._recorder, self._cell, "observe", value, extra, unknown)

    def time(self, *extra: Any, **unknown: Any) -> Timer:
        return Timer(self.observe, unknown)


def _repair_bound(
    recorder: Recorder[Any],
    cell: CounterCell | GaugeCell | HistogramCell,
    method: str,
    value: object,
    extra: object,
    unknown: object,
) -> None:
    try:
        getattr(cell, method)(as_number(value))
        if extra or unknown:
            raise Misuse("unknown_label", "a kept series takes no labels: they were given to bind()")
    except Misuse as misuse:
        recorder.faults.note(misuse.reason, recorder.family.name, str(misuse))
    except Exception as error:
        recorder.faults.note("bad_value", recorder.family.name, f"{error} (was {shown(value)})")
