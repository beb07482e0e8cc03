"""When a target is scraped: slots on a fixed grid of the wall clock, moved by an offset of the target's own."""

from __future__ import annotations

import hashlib

_TOLERANCE_MS = 2
_FIRST_WITHIN_MS = 1000


def offset_ms(stream: str, interval_ms: int) -> int:
    """Where in its interval a target has its slot: spread by a hash, and the same after a restart."""
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "big") % interval_ms


def next_slot_ms(now_ms: int, interval_ms: int, offset: int) -> int:
    """The first slot after now.

    >>> next_slot_ms(1_250, 1000, 250), next_slot_ms(1_249, 1000, 250)
    (2250, 1250)
    """
    return now_ms - (now_ms - offset) % interval_ms + interval_ms


def first_delay_ms(offset: int, interval_ms: int) -> int:
    """How long a new target waits for its first scrape: spread likewise, but never more than a second."""
    return offset * min(interval_ms, _FIRST_WITHIN_MS) // interval_ms


def aligned_timestamp_ms(now_ms: int, slot_ms: int | None, interval_ms: int) -> int:
    """The time that a row gets: the slot's own where the scrape began within a hair of it, so that spacing stays even."""
    if slot_ms is not None and abs(now_ms - slot_ms) <= min(_TOLERANCE_MS, interval_ms // 100):
        return slot_ms
    return now_ms
