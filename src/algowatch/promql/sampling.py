"""Which series `limit_ratio` takes: decided by a hash of the labels, so that the same series are taken at every step.

Source: Prometheus, `HashRatioSampler`; the hash is XXH64 of the label set in its compact encoding, so that the same series
are chosen here and there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from algowatch.model.labels import Labels
from algowatch.promql.vectors import FloatArray

_MASK = 0xFFFFFFFFFFFFFFFF
_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def sampling_offsets(labels: Sequence[Labels]) -> FloatArray:
    """A number in [0, 1] for each label set."""
    return np.array([xxh64(_encoded(row)) / float(_MASK) for row in labels])


def _encoded(labels: Labels) -> bytes:
    parts = []
    for pair in labels:
        for text in pair:
            data = text.encode("utf-8", "surrogateescape")
            size = len(data)
            parts.append(bytes([size]) if size < 255 else b"\xff" + size.to_bytes(3, "little"))
            parts.append(data)
    return b"".join(parts)


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0. Source: the xxHash specification."""
    size, at = len(data), 0
    if size >= 32:
        lanes = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        while at + 32 <= size:
            for lane in range(4):
                word = int.from_bytes(data[at + 8 * lane : at + 8 * lane + 8], "little")
                lanes[lane] = _round(lanes[lane], word)
            at += 32
        value = sum(_rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        value = _P5
    return _avalanche(_tail(data[at:], (value + size) & _MASK))


def _tail(data: bytes, value: int) -> int:
    at = 0
    while at + 8 <= len(data):
        value ^= _round(0, int.from_bytes(data[at : at + 8], "little"))
        value = (_rotated(value, 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= len(data):
        value ^= int.from_bytes(data[at : at + 4], "little") * _P1 & _MASK
        value = (_rotated(value, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        value ^= byte * _P5 & _MASK
        value = _rotated(value, 11) * _P1 & _MASK
    return value


def _avalanche(value: int) -> int:
    value = (value ^ value >> 33) * _P2 & _MASK
    value = (value ^ value >> 29) * _P3 & _MASK
    return value ^ value >> 32


def _round(lane: int, word: int) -> int:
    return _rotated((lane + word * _P2) & _MASK, 31) * _P1 & _MASK


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _MASK
