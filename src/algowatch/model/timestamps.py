"""Time at the edges: int64 milliseconds inside, what Prometheus has outside."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from algowatch.model.labels import quote


def parse_time(text: str) -> int:
    """Milliseconds of a Unix time in seconds (`1700000000.123`) or an RFC 3339 time.

    Raises: ValueError if it is neither, or not finite.
    """
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if not math.isfinite(seconds):
            raise ValueError(f"cannot parse {quote(text)} to a valid timestamp")
        return round(seconds * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"cannot parse {quote(text)} to a valid timestamp") from None
    if moment.tzinfo is None:
        raise ValueError(f"cannot parse {quote(text)} to a valid timestamp: it has no time zone")
    return round(moment.timestamp() * 1000)


def format_time(time_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds, as Alertmanager and Prometheus write times."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"
