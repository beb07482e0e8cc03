"""The staleness marker: one bit pattern of NaN that says "this series has ended".

Arithmetic and conversion to float32 destroy the pattern: compare bits (`values.view(np.uint64) == STALE_NAN_BITS`), mask,
then calculate.
"""

from __future__ import annotations

import struct

STALE_NAN_BITS = 0x7FF0000000000002
STALE_NAN: float = struct.unpack("<d", struct.pack("<Q", STALE_NAN_BITS))[0]


def is_stale(value: float) -> bool:
    """Whether a value is the staleness marker, and not merely a NaN."""
    bits: int = struct.unpack("<Q", struct.pack("<d", value))[0]
    return bits == STALE_NAN_BITS
