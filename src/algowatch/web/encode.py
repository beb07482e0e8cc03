"""Query results to the JSON of Prometheus's HTTP API, a row of values at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import orjson

from algowatch.model.protocols import QueryResult, SeriesMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode_result(result: QueryResult, instant: bool) -> bytes:
    """The `data` member of an answer: `{"resultType": …, "result": …}`."""
    return b"".join(encode_pieces(result, instant))


def encode_pieces(result: QueryResult, instant: bool, stats: dict[str, object] | None = None) -> Iterator[bytes]:
    """The same, a series at a time: the whole of a large answer is never in memory. `stats` stands behind the result."""
    yield b'{"resultType":"%b","result":' % result.type.encode()
    if result.type == "string":
        yield b"[%b,%b]" % (encode_time(int(result.steps_ms[-1])), orjson.dumps(result.text))
    elif result.type == "scalar" and instant:
        value = format_value(float(result.values[0, -1])).encode()
        yield b'[%b,"%b"]' % (encode_time(int(result.steps_ms[-1])), value)
    elif result.type == "vector" and instant:
        yield _encode_vector(result)
    elif result.matrices:
        yield from _as_list(series for matrix in result.matrices for series in _encode_matrix(matrix))
    else:
        yield from _as_list(_encode_steps(result))
    yield b"}" if stats is None else b',"stats":%b}' % orjson.dumps(stats)


def _as_list(elements: Iterable[bytes]) -> Iterator[bytes]:
    opening = b"["
    for element in elements:
        yield opening
        yield element
        opening = b","
    yield b"]" if opening == b"," else b"[]"


def _encode_vector(result: QueryResult) -> bytes:
    time = encode_time(int(result.steps_ms[-1])) if len(result.steps_ms) else b"0"
    samples = (
        b'{"metric":%b,"value":[%b,"%b"]}' % (orjson.dumps(dict(labels)), time, format_value(value).encode())
        for labels, value in result.samples()
    )
    return b"[" + b",".join(samples) + b"]"


def _encode_steps(result: QueryResult) -> Iterator[bytes]:
    openings = _time_openings(result.steps_ms)
    for row, labels in enumerate(result.labels):
        present = result.present[row]
        if present.all():
            yield _encode_series(dict(labels), openings, result.values[row])
        elif present.any():
            kept = np.flatnonzero(present)
            yield _encode_series(dict(labels), [openings[index] for index in kept.tolist()], result.values[row, kept])


def _encode_matrix(matrix: SeriesMatrix) -> Iterator[bytes]:
    openings = _time_openings(matrix.timestamps_ms)
    for row, labels in enumerate(matrix.labels):
        kept = range(len(openings)) if matrix.present is None else np.flatnonzero(matrix.present[row])
        if len(kept):
            values = matrix.values[row, kept] if matrix.present is not None else matrix.values[row]
            yield _encode_series(dict(labels), [openings[index] for index in kept], values)


def _time_openings(times_ms: NDArray[np.int64]) -> list[bytes]:
    """What stands before each value: the end of the pair before it, and this pair's time."""
    return [b'"],[%b,"' % encode_time(time_ms) for time_ms in times_ms.tolist()]


def _encode_series(metric: dict[str, str], openings: Sequence[bytes], values: NDArray[np.float64]) -> bytes:
    pairs = [b""] * (2 * len(openings))
    pairs[::2] = openings
    pairs[1::2] = format_values(values)
    pairs[0] = pairs[0][3:]  # the first opening closes a pair that is not there
    return b'{"metric":%b,"values":[%b"]]}' % (orjson.dumps(metric), b"".join(pairs))


def format_values(values: NDArray[np.float64]) -> list[bytes]:
    """Every value as text, by way of one call of the JSON encoder; the few that it spells otherwise one by one."""
    if not len(values):
        return []
    plain = np.ascontiguousarray(values, dtype=np.float64)
    size = np.abs(plain)
    odd = ~np.isfinite(plain) | (size >= 1e15) | ((size < 1e-4) & (size != 0))
    listed = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)
    texts = (listed[1:-1] + b",").replace(b".0,", b",")[:-1].split(b",")
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
