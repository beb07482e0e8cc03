"""What the rooms hand each other.

`promql` is given a `Select`; `rules` an `InstantQuery` and a `Deliver`; `scrape` and `rules` an `Append`. So a remote
backend fits where the embedded store does, and a test's lambda fits where either does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels, Matcher

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatMatrix = NDArray[np.float64]
    TimeVector = NDArray[np.int64]
    BoolMatrix = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesMatrix:
    """Some series that share their timestamps.

    labels:        one label set per row, with `__name__`.
    timestamps_ms: int64 [samples], ascending, no value twice.
    values:        float64 [series, samples]; may hold staleness markers. Read only: it may be a view of the store's own.
    present:       bool [series, samples], False where a series has no sample at that time; None: every sample is there.
    """

    labels: Sequence[Labels]
    timestamps_ms: TimeVector
    values: FloatMatrix
    present: BoolMatrix | None = None


class Select(Protocol):
    """Reads stored samples."""

    def __call__(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Sequence[SeriesMatrix]:
        """Every series that fulfils all matchers and has a sample in [start_ms, end_ms], both ends inclusive.

        No series stands in two matrices. Samples outside the span may come along; staleness markers do come.
        Raises: StoreError; re.error where a matcher's regular expression is wrong.
        """


class Layout:
    """The ordered list of series that one scrape of one target brings, kept by identity.

    A scrape whose series did not change hands over the very same object, so the store recognises it by `is`.
    """

    __slots__ = ("series",)

    def __init__(self, series: Sequence[Labels]) -> None:
        self.series = tuple(series)

    def __len__(self) -> int:
        return len(self.series)


class Append(Protocol):
    """Writes the samples that one scrape or one rule evaluation brings."""

    def __call__(self, stream: str, timestamp_ms: int, layout: Layout, values: FloatMatrix) -> None:
        """Append one row; when this returns, the row survives `kill -9` and queries see it.

        stream: who writes, for example the target's identity; timestamps within a stream ascend.
        values: float64 [len(layout)].
        Raises: StoreError when nothing was stored (disk full, row not newer than the stream's last one …).
        """


ResultType = Literal["vector", "matrix", "scalar", "string"]


@dataclass(frozen=True, slots=True, eq=False)
class QueryResult:
    """What a query answers: instant queries have one step, range queries as many as were asked for.

    labels:   one per series; a scalar has one empty set.
    steps_ms: int64 [steps]. For the range vector of an instant query (`x[5m]`) `matrices` holds the raw samples instead.
    values:   float64 [series, steps].
    present:  bool [series, steps]; a value where this is False means nothing.
    """

    type: ResultType
    labels: Sequence[Labels]
    steps_ms: TimeVector
    values: FloatMatrix
    present: BoolMatrix
    text: str = ""
    matrices: Sequence[SeriesMatrix] = ()
    warnings: Sequence[str] = ()
    infos: Sequence[str] = ()

    def samples(self) -> list[tuple[Labels, float]]:
        """Labels and value of each series at the last step: the instant vector, as rules want it."""
        here = self.present[:, -1].nonzero()[0].tolist()
        return [(self.labels[row], float(self.values[row, -1])) for row in here]


class InstantQuery(Protocol):
    """Answers a PromQL expression at one moment."""

    def __call__(self, expr: str, at_ms: int, /) -> QueryResult:
        """Raises: QueryError."""


class Deliver(Protocol):
    """Takes alerts on their way to the receivers; a resolved one has its end in the past."""

    def __call__(self, alerts: Sequence[Alert], /) -> None: ...
