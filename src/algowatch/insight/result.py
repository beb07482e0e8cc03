"""What `query` gives back: numpy arrays, and frames where pandas or polars is installed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algowatch.errors import UsageError
from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.model.protocols import QueryResult, SeriesMatrix

Points = Sequence[tuple[int, float]]
"""(time in ms, value), times ascending."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One answer. A scalar is one series without labels; an answer in text has `text` and nothing else.

    labels:  one dict per series.
    times:   datetime64[ms] [times], UTC, ascending.
    values:  float64 [series, times]; NaN where a series has no sample.
    present: bool [series, times]; tells a sample that is NaN from no sample.
    """

    labels: list[dict[str, str]]
    times: NDArray[np.datetime64]
    values: NDArray[np.float64]
    present: NDArray[np.bool_]
    text: str = ""
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Result: {len(self.labels)} series, {len(self.times)} times>"

    def label_names(self) -> list[str]:
        """The labels that any of the series has, the metric's name first."""
        names = {name for labels in self.labels for name in labels}
        return sorted(names, key=lambda name: (name != METRIC_NAME, name))

    def to_pandas(self) -> Any:
        """A DataFrame: a row per time (UTC), a column per series, named by its labels; NaN where there is no sample."""
        pandas = _import("pandas")
        names = self.label_names()
        if len(names) > 1:
            columns = pandas.MultiIndex.from_tuples(
                [tuple(labels.get(name, "") for name in names) for labels in self.labels], names=names
            )
        elif names:
            columns = pandas.Index([labels.get(names[0], "") for labels in self.labels], name=names[0])
        else:
            columns = pandas.Index(["value"] * len(self.labels))
        index = pandas.DatetimeIndex(self.times, name="time").tz_localize("UTC")
        return pandas.DataFrame(self.values.T, index=index, columns=columns)

    def to_polars(self) -> Any:
        """A DataFrame in long form: a row per sample, with the columns `time` (UTC), one per label, and `value`."""
        polars = _import("polars")
        rows, columns = np.nonzero(self.present)
        found: dict[str, Any] = {"time": self.times[columns]}
        for name in self.label_names():
            texts = [labels.get(name, "") for labels in self.labels]
            found[name] = [texts[row] for row in rows.tolist()]
        found["value"] = self.values[rows, columns]
        return polars.DataFrame(found).with_columns(polars.col("time").dt.replace_time_zone("UTC"))


def from_query_result(result: QueryResult) -> Result:
    """From the embedded engine's answer."""
    notes = (tuple(result.warnings), tuple(result.infos))
    if result.type == "string":
        return _result([], result.text, *notes)
    if result.matrices:
        return _result(((labels, points) for matrix in result.matrices for labels, points in _points(matrix)), "", *notes)
    values = np.where(result.present, result.values, np.nan)
    labels = [dict(found) for found in result.labels]
    return Result(labels, _times(result.steps_ms), values, np.asarray(result.present), "", *notes)


def from_json(answer: Any) -> Result:
    """From what Prometheus's API sent. Raises: UsageError where it is no such answer, or has native histograms."""
    notes = (tuple(answer.get("warnings") or ()), tuple(answer.get("infos") or ()))
    try:
        kind, found = answer["data"]["resultType"], answer["data"]["result"]
        if kind == "string":
            return _result([], str(found[1]), *notes)
        if kind == "scalar":
            return _result([(Labels(), [_point(found)])], "", *notes)
        series = [
            (Labels.of(entry["metric"]), [_point(pair) for pair in entry.get("values") or [entry["value"]]]) for entry in found
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UsageError(f"query: the answer is not one of Prometheus's, or holds native histograms ({error!r})") from None
    return _result(series, "", *notes)


def _point(pair: Any) -> tuple[int, float]:
    return round(float(pair[0]) * 1000), float(pair[1])


def _points(matrix: SeriesMatrix) -> Iterable[tuple[Labels, Points]]:
    times = matrix.timestamps_ms.tolist()
    for row, labels in enumerate(matrix.labels):
        there = None if matrix.present is None else matrix.present[row]
        yield (
            labels,
            [(at, float(matrix.values[row, column])) for column, at in enumerate(times) if there is None or there[column]],
        )


def _result(series: Iterable[tuple[Labels, Points]], text: str, warnings: tuple[str, ...], infos: tuple[str, ...]) -> Result:
    """Series that need not share their times, on the union of all their times."""
    found = list(series)
    times = sorted({at for _, points in found for at, _ in points})
    column = {at: place for place, at in enumerate(times)}
    values = np.full((len(found), len(times)), np.nan)
    present = np.zeros(values.shape, np.bool_)
    for row, (_, points) in enumerate(found):
        places = [column[at] for at, _ in points]
        values[row, places] = [value for _, value in points]
        present[row, places] = True
    labels = [dict(names) for names, _ in found]
    return Result(labels, _times(np.array(times, np.int64)), values, present, text, warnings, infos)


def _times(times_ms: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return times_ms.astype("datetime64[ms]")


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise UsageError(f"{name} is not installed; install it with: pip install {name}") from None
