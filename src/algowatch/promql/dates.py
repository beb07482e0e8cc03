"""Functions of the calendar: what day, hour or month (UTC) a value in Unix seconds is; without an argument, the step itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from algowatch.promql.nodes import Call
from algowatch.promql.vectors import FloatArray, Value, drop_names, single

if TYPE_CHECKING:
    from algowatch.promql.evaluate import Evaluator

Moments = np.ndarray
"""datetime64[s]."""

_LIMIT_S = 2.0**55
"""Beyond this numpy's calendar overflows; such values and NaN are no dates."""


def _date(part: Callable[[Moments], np.ndarray]) -> Callable[[Evaluator, Call], Value]:
    def implementation(evaluator: Evaluator, call: Call) -> Value:
        if not call.args:
            return single(_parts((evaluator.steps_ms // 1000).astype(np.float64), part))
        vector = evaluator.vector(call.args[0])
        dated = replace(vector, values=_parts(vector.values, part), ordered=False)
        return evaluator.per_step(drop_names(dated, evaluator.delayed))

    return implementation


def _parts(seconds: FloatArray, part: Callable[[Moments], np.ndarray]) -> FloatArray:
    known = np.abs(seconds) < _LIMIT_S
    moments = np.where(known, seconds, 0.0).astype(np.int64).astype("datetime64[s]")
    return np.where(known, part(moments).astype(np.float64), np.nan)


def _day(moments: Moments) -> Moments:
    return moments.astype("datetime64[D]")


def _month(moments: Moments) -> np.ndarray:
    return moments.astype("datetime64[M]")


def _year(moments: Moments) -> np.ndarray:
    return moments.astype("datetime64[Y]")


def _day_of_month(moments: Moments) -> np.ndarray:
    return np.asarray(_day(moments) - _month(moments).astype("datetime64[D]")).astype(np.int64) + 1


def _days_in_month(moments: Moments) -> np.ndarray:
    month = _month(moments)
    return np.asarray((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)


def _day_of_year(moments: Moments) -> np.ndarray:
    return np.asarray(_day(moments) - _year(moments).astype("datetime64[D]")).astype(np.int64) + 1


FUNCTIONS = {
    "day_of_month": _date(_day_of_month),
    "day_of_week": _date(lambda moments: (_day(moments).astype(np.int64) + 4) % 7),
    "day_of_year": _date(_day_of_year),
    "days_in_month": _date(_days_in_month),
    "hour": _date(lambda moments: moments.astype(np.int64) // 3600 % 24),
    "minute": _date(lambda moments: moments.astype(np.int64) // 60 % 60),
    "month": _date(lambda moments: _month(moments).astype(np.int64) % 12 + 1),
    "year": _date(lambda moments: _year(moments).astype(np.int64) + 1970),
}
