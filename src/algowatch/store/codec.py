"""Chunks as bytes: a matrix of values, a mask of what is present, a list of times, a list of series ids.

Every bit comes back: NaN payloads (the staleness marker is one), infinities, the sign of zero. A matrix is cut into
sections of rows that are alike: constant rows keep one value, rows of short decimals are stored as integers once the
way back was verified, the rest as they are; integers and floats are then compressed by pcodec.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, cast

import numpy as np
from pcodec import ChunkConfig, standalone

if TYPE_CHECKING:
    from algowatch.model.protocols import BoolMatrix, FloatMatrix, TimeVector

_HEADER = struct.Struct("<BIIIH")  # version, rows, columns, bytes of the mask, sections
_SECTION = struct.Struct("<BBIII")  # kind, decimal places, rows, patched cells, bytes of the payload
_VERSION = 1
_CONSTANT, _DECIMAL, _FLOAT = 0, 1, 2
_EXACT_INTEGER = 2.0**53
_MAX_PLACES = 9
_PROBE = 16
_CONFIG = ChunkConfig()


def encode_matrix(values: FloatMatrix, present: BoolMatrix | None) -> bytes:
    """The bytes of float64 [series, samples]; cells that are not present may come back as anything."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    mask = b""
    if present is not None:
        mask = zlib.compress(np.packbits(present).tobytes(), 6)
        values = _fill_gaps(values, present)
    sections = [_encode_section(kind, places, rows, values) for kind, places, rows in _sections(values)]
    header = _HEADER.pack(_VERSION, *values.shape, len(mask), len(sections))
    return b"".join([header, mask, *sections])


def decode_matrix(data: bytes) -> tuple[FloatMatrix, BoolMatrix | None]:
    """The matrix and its mask; None where every cell is present.

    Raises: ValueError if the bytes are not a chunk of a known version. Check the crc before: not all damage shows.
    """
    version, rows, columns, mask_size, sections = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise ValueError(f"chunk version {version}; this release reads version {_VERSION}")
    offset = _HEADER.size
    present = _decode_mask(data[offset : offset + mask_size], rows, columns) if mask_size else None
    offset += mask_size
    values = np.empty((rows, columns))
    for _ in range(sections):
        offset = _decode_section(data, offset, values)
    return values, present


def encode_integers(numbers: TimeVector) -> bytes:
    """The bytes of int64 [n], for times and series ids."""
    return bytes(standalone.simple_compress(np.ascontiguousarray(numbers, dtype=np.int64), _CONFIG)) if len(numbers) else b""


def decode_integers(data: bytes) -> TimeVector:
    return cast("TimeVector", standalone.simple_decompress(data)) if data else np.empty(0, np.int64)


def checksum(data: bytes) -> int:
    return zlib.crc32(data)


def _fill_gaps(values: FloatMatrix, present: BoolMatrix) -> FloatMatrix:
    """Repeat the last present value over gaps (the first one before it), since that compresses best."""
    columns = np.where(present, np.arange(values.shape[1]), -1)
    np.maximum.accumulate(columns, axis=1, out=columns)
    first = present.argmax(axis=1)
    columns = np.where(columns < 0, first[:, None], columns)
    return cast("FloatMatrix", np.take_along_axis(values, columns, axis=1))


def _sections(values: FloatMatrix) -> list[tuple[int, int, TimeVector]]:
    """(kind, decimal places, row numbers) of each section; every row is in exactly one."""
    if not values.size:
        return []
    bits = values.view(np.int64)
    constant = (bits == bits[:, :1]).all(axis=1)
    sections = [(_CONSTANT, 0, constant.nonzero()[0])] if constant.any() else []
    rest = (~constant).nonzero()[0]
    for places in range(_MAX_PLACES + 1):
        if not len(rest):
            break
        fits = _fits_decimal(values, rest, places)
        if fits.any():
            sections.append((_DECIMAL, places, rest[fits]))
            rest = rest[~fits]
    if len(rest):
        sections.append((_FLOAT, 0, rest))
    return sections


def _fits_decimal(values: FloatMatrix, rows: TimeVector, places: int) -> BoolMatrix:
    """Which rows survive the way to integers and back; a look at the first columns rules out most of the others."""
    fits = _survives(values[rows, :_PROBE], places)
    if fits.any() and values.shape[1] > _PROBE:
        fits[fits] = _survives(values[rows[fits]], places)
    return fits


def _survives(values: FloatMatrix, places: int) -> BoolMatrix:
    ordinary, _ = _split_special(values)
    scale = 10.0**places
    with np.errstate(over="ignore"):
        whole = np.rint(ordinary * scale)
    fits: BoolMatrix = ((np.abs(whole) < _EXACT_INTEGER) & (whole / scale == ordinary)).all(axis=1)
    return fits


def _split_special(values: FloatMatrix) -> tuple[FloatMatrix, BoolMatrix | None]:
    """Values with NaN, ±Inf and -0 replaced by an ordinary neighbour, and where they stood; None where there are none."""
    special = ~np.isfinite(values) | ((values == 0) & np.signbit(values))
    if not special.any():
        return values, None
    ordinary = _fill_gaps(values, ~special)
    ordinary[special.all(axis=1)] = 0.0
    return ordinary, special


def _encode_section(kind: int, places: int, rows: TimeVector, values: FloatMatrix) -> bytes:
    chosen = values[rows]
    patches = b""
    patched = 0
    if kind == _CONSTANT:
        payload = chosen[:, 0].astype("<f8").tobytes()
    elif kind == _FLOAT:
        payload = bytes(standalone.simple_compress(chosen.ravel(), _CONFIG))
    else:
        ordinary, special = _split_special(chosen)
        payload = bytes(standalone.simple_compress(np.rint(ordinary * 10.0**places).astype(np.int64).ravel(), _CONFIG))
        if special is not None:
            cells = special.ravel().nonzero()[0]
            patched = len(cells)
            patches = cells.astype("<u4").tobytes() + chosen.ravel()[cells].view(np.uint64).astype("<u8").tobytes()
    places_of_rows = rows.astype("<u4").tobytes() if len(rows) < len(values) else b""
    head = _SECTION.pack(kind, places, len(rows), patched, len(payload))
    return b"".join([head, places_of_rows, patches, payload])


def _decode_section(data: bytes, offset: int, values: FloatMatrix) -> int:
    """Fill the section's rows into `values`; returns where the next section begins."""
    kind: int
    places: int
    count: int
    patched: int
    size: int
    kind, places, count, patched, size = _SECTION.unpack_from(data, offset)
    offset += _SECTION.size
    rows: TimeVector | slice = slice(None)
    if count < len(values):
        rows = np.frombuffer(data, "<u4", count, offset).astype(np.int64)
        offset += 4 * count
    cells = np.frombuffer(data, "<u4", patched, offset)
    offset += 4 * patched
    bits = np.frombuffer(data, "<u8", patched, offset)
    offset += 8 * patched
    if kind == _CONSTANT:
        values[rows] = np.frombuffer(data, "<f8", count, offset)[:, None]
        return offset + size
    decoded = standalone.simple_decompress(data[offset : offset + size]).reshape(count, -1)
    if kind == _DECIMAL and places:
        decoded = np.divide(decoded, 10.0**places, out=values if isinstance(rows, slice) else None)
    if decoded is not values:
        values[rows] = decoded
    if patched:
        lines, columns = np.divmod(cells.astype(np.int64), values.shape[1])
        values.view(np.uint64)[lines if isinstance(rows, slice) else rows[lines], columns] = bits
    return offset + size


def _decode_mask(data: bytes, rows: int, columns: int) -> BoolMatrix:
    bits = np.frombuffer(zlib.decompress(data), np.uint8)
    return np.unpackbits(bits, count=rows * columns).reshape(rows, columns).astype(np.bool_)
