"""Prometheus's table of functions: what each takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

from algowatch.promql.nodes import ValueType

TYPE_NAMES: dict[ValueType, str] = {
    "scalar": "scalar",
    "vector": "instant vector",
    "matrix": "range vector",
    "string": "string",
}
"""The types as Prometheus's messages name them."""


@dataclass(frozen=True, slots=True)
class Signature:
    """variadic: 0: exactly `args`; n > 0: the last of `args` may be absent or come up to n times; -1: any number of times."""

    name: str
    args: tuple[ValueType, ...]
    returns: ValueType = "vector"
    variadic: int = 0
    experimental: bool = False

    @property
    def min_args(self) -> int:
        return len(self.args) - (1 if self.variadic else 0)

    @property
    def max_args(self) -> int | None:
        """None: as many as one likes."""
        return None if self.variadic < 0 else self.min_args + self.variadic

    def arg_type(self, index: int) -> ValueType:
        return self.args[min(index, len(self.args) - 1)]


def _table() -> dict[str, Signature]:
    found: dict[str, Signature] = {}

    def add(names: str, *args: ValueType, returns: ValueType = "vector", variadic: int = 0, experimental: bool = False) -> None:
        for name in names.split():
            found[name] = Signature(name, args, returns, variadic, experimental)

    add("abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor ln log10 log2 rad sgn sin sinh", "vector")
    add("sort sort_desc sqrt tan tanh timestamp", "vector")
    add("histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar", "vector")
    add("days_in_month day_of_month day_of_week day_of_year hour minute month year", "vector", variadic=1)
    add("absent_over_time avg_over_time changes count_over_time delta deriv idelta increase irate last_over_time", "matrix")
    add("max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time sum_over_time", "matrix")
    add("first_over_time mad_over_time ts_of_first_over_time ts_of_last_over_time", "matrix", experimental=True)
    add("ts_of_max_over_time ts_of_min_over_time", "matrix", experimental=True)
    add("clamp", "vector", "scalar", "scalar")
    add("clamp_max clamp_min", "vector", "scalar")
    add("round", "vector", "scalar", variadic=1)
    add("histogram_fraction", "scalar", "scalar", "vector")
    add("histogram_quantile", "scalar", "vector")
    add("histogram_quantiles", "vector", "string", "scalar", "scalar", variadic=9, experimental=True)
    add("double_exponential_smoothing holt_winters", "matrix", "scalar", "scalar", experimental=True)
    add("integral", "matrix", "scalar", variadic=1, experimental=True)
    add("predict_linear", "matrix", "scalar")
    add("quantile_over_time", "scalar", "matrix")
    add("label_replace", "vector", "string", "string", "string", "string")
    add("label_join", "vector", "string", "string", "string", variadic=-1)
    add("sort_by_label sort_by_label_desc", "vector", "string", variadic=-1, experimental=True)
    add("info", "vector", "vector", variadic=1, experimental=True)
    add("pi time", returns="scalar")
    add("start end step range", returns="scalar", experimental=True)
    add("min_of max_of", "scalar", "scalar", returns="scalar", experimental=True)
    add("scalar", "vector", returns="scalar")
    add("vector", "scalar")
    return found


SIGNATURES: dict[str, Signature] = _table()

RENAMED = {"holt_winters": "double_exponential_smoothing"}
"""Names of Prometheus 2 that version 3 spells differently."""
