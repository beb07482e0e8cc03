"""The families of one bot: its recorders, and what is computed when somebody scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, TypeVar

from algowatch.catalog.families import Family
from algowatch.telemetry.cells import CellTypes, cell_types
from algowatch.telemetry.faults import Faults, Reason, shown
from algowatch.telemetry.recorders import Recorder
from algowatch.telemetry.template import recorder_class

Samples = list[tuple[tuple[str, ...], float]]
Collected = Iterable[tuple[Family, Samples]]
R = TypeVar("R", bound=Recorder[Any])

MAX_SERIES = 5_000


class Registry:
    """Recorders by name, in the order of their declaration, and collectors that are asked at every scrape."""

    def __init__(self, faults: Faults | None = None, max_series: int = MAX_SERIES, types: CellTypes | None = None) -> None:
        self.faults = faults or Faults()
        self.types = types or cell_types()
        self.max_series = max_series
        self.recorders: dict[str, Recorder[Any]] = {}
        self.collectors: list[Callable[[], Collected]] = []
        self._lock = Lock()

    def declare(self, family: Family, make: type[R]) -> R:
        """The recorder of a family, made on the first call. Raises: ValueError if the name stands for another family."""
        with self._lock:
            found = self.recorders.get(family.name)
            if found is None:
                found = self.recorders[family.name] = make(family, self.types, self.faults, self.max_series)
            elif found.family != family or not isinstance(found, make):
                raise ValueError(f"{family.name} is declared already, as {found.family.type} with labels {found.family.labels}")
            return found

    def declare_own(self, family: Family) -> Recorder[Any]:
        """A family of the user's. Raises: ValueError for a label that cannot be, or a name that is taken."""
        return self.declare(family, recorder_class(family.type, family.labels))

    def detached(self, family: Family) -> Recorder[Any]:
        """A recorder that works and is not exported: what a bot gets for a declaration that cannot stand."""
        return recorder_class(family.type, ())(family, self.types, Faults(), self.max_series)

    def collect(self) -> list[tuple[Family, Samples]]:
        """What the collectors say now; one that fails costs only itself."""
        found: list[tuple[Family, Samples]] = []
        for collector in self.collectors:
            try:
                found.extend(collector())
            except Exception as error:
                self.note_quietly("collector", getattr(collector, "__qualname__", shown(collector)), error)
        return found

    def note_quietly(self, reason: Reason, where: str, error: Exception) -> None:
        """Count a fault that nobody's call caused, so that strict mode has nobody to raise at."""
        strict, self.faults.strict = self.faults.strict, False
        try:
            self.faults.note(reason, where, shown(error))
        finally:
            self.faults.strict = strict

    def reset(self) -> None:
        """For a forked child: everything from zero."""
        self._lock = Lock()
        self.faults.reset()
        for recorder in list(self.recorders.values()):
            recorder.reset()
