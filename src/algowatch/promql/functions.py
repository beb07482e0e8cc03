"""The table of functions: name → implementation. Arguments have been checked by the parser's signatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from algowatch.model.labels import EMPTY, METRIC_NAME, Labels, Matcher
from algowatch.promql import dates, histograms, info, label_functions, ordering, over_time, rate
from algowatch.promql.extended import anchored_rate
from algowatch.promql.nodes import Call, Expr, MatrixSelector, Paren, VectorSelector
from algowatch.promql.vectors import BoolArray, FloatArray, Scalar, Value, Vector, drop_names, metric_names, single

if TYPE_CHECKING:
    from algowatch.promql.evaluate import Evaluator

Implementation = Callable[["Evaluator", Call], Value]

_COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")


def unwrapped(expr: Expr) -> Expr:
    """The expression without parentheses around it."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr


def _each(function: Callable[[FloatArray], FloatArray]) -> Implementation:
    """A function of one number, applied to every value."""

    def implementation(evaluator: Evaluator, call: Call) -> Value:
        vector = evaluator.vector(call.args[0])
        with np.errstate(all="ignore"):
            values = function(vector.values)
        return _unnamed(evaluator, replace(vector, values=values, ordered=False))

    return implementation


def _unnamed(evaluator: Evaluator, vector: Vector) -> Vector:
    return evaluator.per_step(drop_names(vector, evaluator.delayed))


def _over(function: over_time.Function, *, keep_name: bool = False) -> Implementation:
    def implementation(evaluator: Evaluator, call: Call) -> Value:
        return evaluator.over_windows(call.args[0], function, keep_name=keep_name)

    return implementation


def _rate(*, counter: bool, per_second: bool) -> Implementation:
    """rate, increase and delta; an info where a counter's function meets a metric whose name is not a counter's."""

    def implementation(evaluator: Evaluator, call: Call) -> Value:
        ranges = unwrapped(call.args[0])
        selector = ranges.selector if isinstance(ranges, MatrixSelector) else None
        if isinstance(ranges, MatrixSelector) and ranges.selector.smoothed:
            vector = evaluator.smoothed_rates(ranges, counter=counter, per_second=per_second)
        else:
            function = anchored_rate if selector is not None and selector.anchored else rate.extrapolated
            vector = evaluator.over_windows(
                ranges, lambda windows: function(windows, counter=counter, per_second=per_second), keep_name=True
            )
        if counter:
            _note_non_counters(evaluator, vector, call.args[0])
        return evaluator.unnamed_ranges(vector)

    return implementation


def _note_non_counters(evaluator: Evaluator, vector: Vector, expr: Expr) -> None:
    for name in sorted(metric_names(vector.labels)):
        if name and not name.endswith(_COUNTER_SUFFIXES):
            evaluator.query.annotations.possible_non_counter(name, expr.span)


def _round(evaluator: Evaluator, call: Call) -> Value:
    nearest = evaluator.scalar(call.args[1]) if len(call.args) > 1 else np.ones(len(evaluator.steps_ms))
    with np.errstate(all="ignore"):
        inverse = 1.0 / nearest
        vector = evaluator.vector(call.args[0])
        values = np.floor(vector.values * inverse + 0.5) / inverse
    return _unnamed(evaluator, replace(vector, values=values, ordered=False))


def _clamp(lowest: int | None, highest: int | None) -> Implementation:
    """lowest, highest: which argument is the bound; None for no bound. Nothing comes out where min > max."""

    def implementation(evaluator: Evaluator, call: Call) -> Value:
        steps = len(evaluator.steps_ms)
        low = np.full(steps, -np.inf) if lowest is None else evaluator.scalar(call.args[lowest])
        high = np.full(steps, np.inf) if highest is None else evaluator.scalar(call.args[highest])
        vector = evaluator.vector(call.args[0])
        clamped = replace(vector, values=np.maximum(low, np.minimum(high, vector.values)), ordered=False)
        crossed = high < low
        if crossed.any():
            clamped = clamped.only_where(np.broadcast_to(~crossed, clamped.values.shape)).occupied()
        return _unnamed(evaluator, clamped)

    return implementation


def _sign(values: FloatArray) -> FloatArray:
    return np.where(values < 0, -1.0, np.where(values > 0, 1.0, values))


def _scalar(evaluator: Evaluator, call: Call) -> Value:
    vector = evaluator.vector(call.args[0])
    mask = vector.mask()
    alone = mask.sum(axis=0) == 1
    values = np.where(mask, vector.values, 0.0).sum(axis=0) if len(vector) != 1 else vector.values[0]
    return Scalar(np.where(alone, values, np.nan))


def _vector(evaluator: Evaluator, call: Call) -> Value:
    return single(evaluator.scalar(call.args[0]))


def _time(evaluator: Evaluator, call: Call) -> Value:
    return Scalar(evaluator.steps_ms / 1000)


def _constant(value: Callable[[Evaluator], float]) -> Implementation:
    return lambda evaluator, call: Scalar(np.full(len(evaluator.steps_ms), value(evaluator)))


def _of_two(choose: Callable[[FloatArray, FloatArray], FloatArray]) -> Implementation:
    return lambda evaluator, call: Scalar(choose(evaluator.scalar(call.args[0]), evaluator.scalar(call.args[1])))


def _timestamp(evaluator: Evaluator, call: Call) -> Value:
    """Of a plain selector the times of the samples themselves; of anything else the time of evaluation."""
    inner = unwrapped(call.args[0])
    if isinstance(inner, VectorSelector):
        vector, times = evaluator.instant(inner)
        return _unnamed(evaluator, replace(vector, values=times))
    vector = evaluator.vector(inner)
    return _unnamed(evaluator, replace(vector, values=np.tile(evaluator.steps_ms / 1000, (len(vector), 1)), ordered=False))


def _absent(evaluator: Evaluator, call: Call) -> Value:
    vector = evaluator.vector(call.args[0])
    return _where_none(vector, call.args[0], len(evaluator.steps_ms))


def _absent_over_time(evaluator: Evaluator, call: Call) -> Value:
    vector = evaluator.over_windows(call.args[0], over_time.present, keep_name=True)
    return _where_none(vector, call.args[0], len(evaluator.steps_ms))


def _where_none(vector: Vector, expr: Expr, steps: int) -> Vector:
    gone: BoolArray = ~np.any(vector.mask(), axis=0)
    return single(np.ones(steps), _labels_asked_for(expr), gone).occupied()


def _labels_asked_for(expr: Expr) -> Labels:
    """The labels that a selector demands by equality, each exactly once."""
    matchers: tuple[Matcher, ...] = ()
    expr = unwrapped(expr)
    if isinstance(expr, VectorSelector):
        matchers = expr.matchers
    elif isinstance(expr, MatrixSelector):
        matchers = expr.selector.matchers
    asked: dict[str, str] = {}
    for matcher in matchers:
        if matcher.name == METRIC_NAME:
            continue
        asked[matcher.name] = matcher.value if matcher.op == "=" and matcher.name not in asked else ""
    return Labels.of(asked) if asked else EMPTY


def _quantile_over_time(evaluator: Evaluator, call: Call) -> Value:
    quantiles = evaluator.scalar(call.args[0])
    vector = evaluator.over_windows(call.args[1], lambda windows: over_time.quantile(windows, quantiles))
    if len(vector):
        evaluator.check_quantiles(quantiles, call.args[0])
    return vector


def _predict_linear(evaluator: Evaluator, call: Call) -> Value:
    ahead = evaluator.scalar(call.args[1])
    return evaluator.over_windows(call.args[0], lambda windows: over_time.predict(windows, evaluator.steps_ms, ahead))


def _smoothing(evaluator: Evaluator, call: Call) -> Value:
    smoothing, trend = evaluator.scalar(call.args[1]), evaluator.scalar(call.args[2])
    return evaluator.over_windows(call.args[0], lambda windows: over_time.smooth(windows, smoothing, trend))


FUNCTIONS: dict[str, Implementation] = {
    "abs": _each(np.abs),
    "absent": _absent,
    "absent_over_time": _absent_over_time,
    "acos": _each(np.arccos),
    "acosh": _each(np.arccosh),
    "asin": _each(np.arcsin),
    "asinh": _each(np.arcsinh),
    "atan": _each(np.arctan),
    "atanh": _each(np.arctanh),
    "avg_over_time": _over(over_time.average),
    "ceil": _each(np.ceil),
    "changes": _over(over_time.changes),
    "clamp": _clamp(1, 2),
    "clamp_max": _clamp(None, 1),
    "clamp_min": _clamp(1, None),
    "cos": _each(np.cos),
    "cosh": _each(np.cosh),
    "count_over_time": _over(over_time.count),
    "deg": _each(lambda values: values * 180 / np.pi),
    "delta": _rate(counter=False, per_second=False),
    "deriv": _over(over_time.slope),
    "double_exponential_smoothing": _smoothing,
    "end": _constant(lambda evaluator: evaluator.query.span.end_ms / 1000),
    "exp": _each(np.exp),
    "first_over_time": _over(over_time.first, keep_name=True),
    "floor": _each(np.floor),
    "idelta": _over(lambda windows: rate.instant(windows, counter=False)),
    "increase": _rate(counter=True, per_second=False),
    "info": info.info,
    "irate": _over(lambda windows: rate.instant(windows, counter=True)),
    "label_join": label_functions.label_join,
    "label_replace": label_functions.label_replace,
    "last_over_time": _over(over_time.last, keep_name=True),
    "ln": _each(np.log),
    "log10": _each(np.log10),
    "log2": _each(np.log2),
    "mad_over_time": _over(over_time.absolute_deviation),
    "max_of": _of_two(np.maximum),
    "max_over_time": _over(over_time.maximum),
    "min_of": _of_two(np.minimum),
    "min_over_time": _over(over_time.minimum),
    "pi": _constant(lambda evaluator: float(np.pi)),
    "predict_linear": _predict_linear,
    "present_over_time": _over(over_time.present),
    "quantile_over_time": _quantile_over_time,
    "rad": _each(lambda values: values * np.pi / 180),
    "range": _constant(lambda evaluator: (evaluator.query.span.end_ms - evaluator.query.span.start_ms) / 1000),
    "rate": _rate(counter=True, per_second=True),
    "resets": _over(over_time.resets),
    "round": _round,
    "scalar": _scalar,
    "sgn": _each(_sign),
    "sin": _each(np.sin),
    "sinh": _each(np.sinh),
    "sqrt": _each(np.sqrt),
    "start": _constant(lambda evaluator: evaluator.query.span.start_ms / 1000),
    "stddev_over_time": _over(over_time.deviation),
    "stdvar_over_time": _over(over_time.variance),
    "step": _constant(lambda evaluator: evaluator.query.span.step_ms / 1000),
    "sum_over_time": _over(over_time.total),
    "tan": _each(np.tan),
    "tanh": _each(np.tanh),
    "time": _time,
    "timestamp": _timestamp,
    "ts_of_first_over_time": _over(over_time.time_of_first),
    "ts_of_last_over_time": _over(over_time.time_of_last),
    "ts_of_max_over_time": _over(over_time.time_of_maximum),
    "ts_of_min_over_time": _over(over_time.time_of_minimum),
    "vector": _vector,
    **dates.FUNCTIONS,
    **histograms.FUNCTIONS,
    **ordering.FUNCTIONS,
}
