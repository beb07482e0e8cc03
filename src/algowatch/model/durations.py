"""Durations as Prometheus writes them: `1h30m`, `15s`, `500ms`; units in falling order, each at most once."""

from __future__ import annotations

import re

_UNITS_MS = {"y": 31_536_000_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d+){unit})?" for unit in _UNITS_MS) + r"\Z")


def parse_duration(text: str) -> int:
    """Milliseconds of a Prometheus duration.

    >>> parse_duration("1h30m"), parse_duration("0"), parse_duration("1s500ms")
    (5400000, 0, 1500)

    Raises: ValueError if the text is not a duration.
    Source: Prometheus, `model.ParseDuration`.
    """
    if text == "0":
        return 0
    found = _DURATION.match(text) if text else None
    if found is None:
        raise ValueError(f"not a valid duration: {text!r}; write for example 15s, 1m30s or 500ms")
    return sum(int(amount) * _UNITS_MS[unit] for unit, amount in found.groupdict().items() if amount)


def format_duration(duration_ms: int) -> str:
    """The shortest Prometheus duration for a number of milliseconds; years and weeks only where they come out even.

    >>> format_duration(5_400_000), format_duration(0), format_duration(1_209_600_000)
    ('1h30m', '0s', '2w')
    """
    if duration_ms == 0:
        return "0s"
    parts, rest = ["-" if duration_ms < 0 else ""], abs(duration_ms)
    for unit, size in _UNITS_MS.items():
        if unit in ("y", "w") and rest % size:
            continue
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
