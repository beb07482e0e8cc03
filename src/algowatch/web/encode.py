"""Query results to the JSON of Prometheus's HTTP API, a row of values at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import orjson

from algowatch.model.protocols import QueryResult, SeriesMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode_result(result: QueryResult, instant: bool) -> bytes:
    """The `data` member of an answer: `{"resultType": …, "result": …}`."""
    return b'{"resultType":"%b","result":%b}' % (result.type.encode(), _encode_value(result, instant))


def _encode_value(result: QueryResult, instant: bool) -> bytes:
    if result.type == "string":
        return b"[%b,%b]" % (encode_time(int(result.steps_ms[-1])), orjson.dumps(result.text))
    if result.type == "scalar" and instant:
        value = format_value(float(result.values[0, -1])).encode()
        return b'[%b,"%b"]' % (encode_time(int(result.steps_ms[-1])), value)
    if result.type == "vector" and instant:
        return _encode_vector(result)
    if result.matrices:
        return b"[" + b",".join(series for matrix in result.matrices for series in _encode_matrix(matrix)) + b"]"
    return b"[" + b",".join(_encode_steps(result)) + b"]"


def _encode_vector(result: QueryResult) -> bytes:
    time = encode_time(int(result.steps_ms[-1])) if len(result.steps_ms) else b"0"
    samples = (
        b'{"metric":%b,"value":[%b,"%b"]}' % (orjson.dumps(dict(labels)), time, format_value(value).encode())
        for labels, value in result.samples()
    )
    return b"[" + b",".join(samples) + b"]"


def _encode_steps(result: QueryResult) -> list[bytes]:
    openings = _time_openings(result.steps_ms)
    encoded = []
    for row, labels in enumerate(result.labels):
        present = result.present[row]
        if present.all():
            encoded.append(_encode_series(dict(labels), openings, result.values[row]))
        elif present.any():
            kept = np.flatnonzero(present)
            encoded.append(_encode_series(dict(labels), [openings[index] for index in kept], result.values[row, kept]))
    return encoded


def _encode_matrix(matrix: SeriesMatrix) -> list[bytes]:
    openings = _time_openings(matrix.timestamps_ms)
    encoded = []
    for row, labels in enumerate(matrix.labels):
        kept = range(len(openings)) if matrix.present is None else np.flatnonzero(matrix.present[row])
        if len(kept):
            values = matrix.values[row, kept] if matrix.present is not None else matrix.values[row]
            encoded.append(_encode_series(dict(labels), [openings[index] for index in kept], values))
    return encoded


def _time_openings(times_ms: NDArray[np.int64]) -> list[bytes]:
    """What stands before each value: the end of the pair before it, and this pair's time."""
    return [b'"],[%b,"' % encode_time(time_ms) for time_ms in times_ms.tolist()]


def _encode_series(metric: dict[str, str], openings: Sequence[bytes], values: NDArray[np.float64]) -> bytes:
    pairs = b"".join([part for pair in zip(openings, format_values(values), strict=True) for part in pair])
    # The first opening closes a pair that is not there: three bytes too many.
    return b'{"metric":%b,"values":[%b"]]}' % (orjson.dumps(metric), pairs[3:])


def format_values(values: NDArray[np.float64]) -> list[bytes]:
    """Every value as text, by way of one call of the JSON encoder; the few that it spells otherwise one by one."""
    plain = np.ascontiguousarray(values, dtype=np.float64)
    size = np.abs(plain)
    odd = ~np.isfinite(plain) | (size >= 1e15) | ((size < 1e-4) & (size != 0))
    texts = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",") if len(plain) else []
    texts = [text[:-2] if text.endswith(b".0") else text for text in texts]
    for index in np.flatnonzero(odd).tolist():
        texts[index] = format_value(float(plain[index])).encode()
    return texts


def format_value(value: float) -> str:
    """A sample's value as Prometheus's API writes it: shortest digits, an exponent only below 1e-6 and from 1e21 on.

    >>> format_value(1e6), format_value(1e-7), format_value(float("inf")), format_value(-0.25)
    ('1000000', '1e-7', '+Inf', '-0.25')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    size = abs(value)
    if size and (size < 1e-6 or size >= 1e21):
        mantissa, _, exponent = repr(value).partition("e")
        sign, digits = ("-", exponent[1:]) if exponent.startswith("-") else ("+", exponent.lstrip("+"))
        return f"{mantissa.removesuffix('.0')}e{sign}{digits.lstrip('0')}"
    text = repr(value)
    if "e" in text:
        text = np.format_float_positional(value, unique=True, trim="-")
    return text.removesuffix(".0")


def encode_time(time_ms: int) -> bytes:
    """Seconds with up to three decimals.

    >>> encode_time(1435781430781), encode_time(1435781430000)
    (b'1435781430.781', b'1435781430')
    """
    seconds, rest = divmod(time_ms, 1000)
    if not rest:
        return b"%d" % seconds
    if time_ms < 0:
        return repr(time_ms / 1000).encode()
    return b"%d.%b" % (seconds, (b"%03d" % rest).rstrip(b"0"))
