"""Remote write 1.0 on the wire: `prometheus.WriteRequest` in protobuf, compressed as a snappy block.

Only the fields that samples need are read and written; exemplars and metadata of a request are passed over. Source:
Prometheus, "Remote-Write 1.0 specification" and `prompb/{remote,types}.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from cramjam import DecompressionError, snappy

from algowatch.errors import StoreError
from algowatch.model.labels import Labels

CONTENT_TYPE = "application/x-protobuf"
CONTENT_ENCODING = "snappy"
VERSION = "0.1.0"
MAX_BYTES = 64 << 20

Sample = tuple[int, float]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_DOUBLE = struct.Struct("<d")


def decode_write_request(body: bytes, max_bytes: int = MAX_BYTES) -> list[tuple[Labels, list[Sample]]]:
    """The series of a request's body, each with its samples (timestamp in ms, value) as they came.

    max_bytes bounds what the body may unpack to.
    Raises: StoreError if the body is no such request, or names labels that no series can have; nothing of it counts then.
    """
    message = _unpack(body, max_bytes)
    return [_read_series(message, start, end) for number, _, start, end in _spans(message, 0, len(message)) if number == 1]


def encode_write_request(series: Iterable[tuple[Labels, Iterable[Sample]]]) -> bytes:
    """The body of a request; samples of one series ascend in time."""
    return pack(
        encode_series(encode_labels(labels), [encode_sample(timestamp_ms, value) for timestamp_ms, value in samples])
        for labels, samples in series
    )


def pack(series: Iterable[bytes]) -> bytes:
    """A body from series that `encode_series` wrote."""
    return bytes(snappy.compress_raw(b"".join(series)))


def encode_series(labels: bytes, samples: Sequence[bytes]) -> bytes:
    return _field(1, b"".join([labels, *samples]))


def encode_labels(labels: Labels) -> bytes:
    """The part of a series that is the same in every request, so that it can be kept."""
    return b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in labels)


def encode_sample(timestamp_ms: int, value: float) -> bytes:
    return encode_raw_sample(timestamp_ms, _DOUBLE.pack(value))


def encode_raw_sample(timestamp_ms: int, bits: bytes) -> bytes:
    """bits: the value as little-endian float64."""
    inner = b"\x09" + bits + b"\x10" + _varint(timestamp_ms)
    return b"\x12" + bytes((len(inner),)) + inner


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | _BYTES,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Base 128, least significant first; negative numbers as 64 bits of two's complement."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _unpack(body: bytes, max_bytes: int) -> bytes:
    try:
        size = snappy.decompress_raw_len(body)
        if size > max_bytes:
            raise StoreError(f"remote write: the request unpacks to {size} bytes, more than {max_bytes}; send smaller batches")
        return bytes(snappy.decompress_raw(body))
    except DecompressionError as error:
        raise StoreError(f"remote write: the body is not a snappy block: {error}") from None


def _spans(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of each field between two offsets; a varint's span holds its bytes."""
    while start < end:
        key, start = data[start], start + 1
        if key > 0x7F:
            key, start = _read_varint(data, start - 1, end)
        number, wire = key >> 3, key & 7
        if wire == _BYTES:
            size, start = (data[start], start + 1) if start < end and data[start] < 0x80 else _read_varint(data, start, end)
            stop = start + size
        elif wire == _VARINT:
            _, stop = _read_varint(data, start, end)
        elif wire in (_FIXED64, _FIXED32):
            stop = start + (8 if wire == _FIXED64 else 4)
        else:
            raise _malformed(f"wire type {wire}", start)
        if number == 0 or stop > end:
            raise _malformed("a field that runs past its message" if number else "field number 0", start)
        yield number, wire, start, stop
        start = stop


def _read_varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The number, below 2⁶⁴, and where it ends."""
    number = 0
    for place in range(start, min(end, start + _MAX_VARINT_BYTES)):
        byte = data[place]
        number |= (byte & 0x7F) << 7 * (place - start)
        if byte < 0x80:
            return number & ((1 << 64) - 1), place + 1
    raise _malformed("a number that does not end", start)


def _malformed(problem: str, offset: int) -> StoreError:
    return StoreError(f"remote write: the body is not a prometheus.WriteRequest: {problem} at byte {offset}")


def _read_series(data: bytes, start: int, end: int) -> tuple[Labels, list[Sample]]:
    pairs: list[tuple[str, str]] = []
    samples: list[Sample] = []
    for number, wire, first, stop in _spans(data, start, end):
        if number in (1, 2, 4) and wire != _BYTES:
            raise _malformed(f"wire type {wire} in field {number} of a series", first)
        if number == 1:
            pairs.append(_read_label(data, first, stop))
        elif number == 2:
            samples.append(_read_sample(data, first, stop))
        elif number == 4:
            raise StoreError(
                f"remote write: series {Labels.of(pairs)} is a native histogram, and these are not stored; "
                "send classic histograms"
            )
    return _checked(pairs), samples


def _checked(pairs: list[tuple[str, str]]) -> Labels:
    labels = Labels.of(pairs)
    names = {name for name, _ in pairs}
    if "" in names:
        raise StoreError(f"remote write: series {labels} has a label without a name")
    if len(names) < len(pairs):
        raise StoreError(f"remote write: series {labels} has a label twice")
    if not labels.metric_name:
        raise StoreError(f"remote write: series {labels} has no metric name")
    return labels


def _read_label(data: bytes, start: int, end: int) -> tuple[str, str]:
    if end - start > 4 and data[start] == 0x0A and data[start + 1] < 0x80:  # short texts in the usual order, the quick way
        middle = start + 2 + data[start + 1]
        if middle + 2 <= end and data[middle] == 0x12 and data[middle + 1] < 0x80 and middle + 2 + data[middle + 1] == end:
            return _text(data, start + 2, middle), _text(data, middle + 2, end)
    texts = {1: "", 2: ""}
    for number, wire, first, stop in _spans(data, start, end):
        if number in texts:
            if wire != _BYTES:
                raise _malformed(f"wire type {wire} in a label", first)
            texts[number] = _text(data, first, stop)
    return texts[1], texts[2]


def _text(data: bytes, start: int, end: int) -> str:
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        raise _malformed("a label that is not UTF-8", start) from None


def _read_sample(data: bytes, start: int, end: int) -> Sample:
    if end - start > 10 and data[start] == 0x09 and data[start + 9] == 0x10:  # both fields in the usual order
        timestamp_ms, stop = _read_varint(data, start + 10, end)
        if stop == end:
            return _signed(timestamp_ms), _DOUBLE.unpack_from(data, start + 1)[0]
    value, timestamp_ms = 0.0, 0
    for number, wire, first, _ in _spans(data, start, end):
        if number == 1 and wire == _FIXED64:
            (value,) = _DOUBLE.unpack_from(data, first)
        elif number == 2 and wire == _VARINT:
            timestamp_ms, _ = _read_varint(data, first, end)
        elif number in (1, 2):
            raise _malformed(f"wire type {wire} in a sample", first)
    return _signed(timestamp_ms), value


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
