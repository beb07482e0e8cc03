"""What can be set about the store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """retention_ms:   samples older than this are deleted, in blocks of two hours; 0 keeps all.
    retention_bytes:   the oldest blocks are deleted above this size; 0 is no limit.
    cache_bytes:       memory for decoded chunks.
    seal_rows:         a stream's rows become chunks when it has this many …
    seal_min_rows, seal_cells: … or at least so many rows and so many samples in all.
    unsent_bytes:      what waits for a remote write receiver that is away; above it the oldest is not sent on any more.
    """

    retention_ms: int = 30 * 86_400_000
    retention_bytes: int = 0
    cache_bytes: int = 64 << 20
    seal_rows: int = 120
    seal_min_rows: int = 30
    seal_cells: int = 600_000
    unsent_bytes: int = 8 << 30
