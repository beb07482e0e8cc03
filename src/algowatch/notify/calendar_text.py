"""Time intervals as `alertmanager.yml` writes them: `monday:friday`, `-3:-1`, `09:30`."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from algowatch.notify.intervals import Span

_TIME = re.compile(r"(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)\Z")
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = tuple(name.lower() for name in calendar.month_name)


def time_of_day(text: str) -> int:
    """Minutes since midnight; `24:00` is the day's end. Raises: ValueError."""
    found = _TIME.match(text)
    if found is None:
        raise ValueError(f"not a time of day: {text!r}; write HH:MM, for example 09:30 or 24:00")
    return 1440 if found.group(1) is None else int(found.group(1)) * 60 + int(found.group(2))


def weekdays(text: str) -> Span:
    """`monday` or `monday:friday`; Sunday is day 0, so a span runs within Sunday to Saturday. Raises: ValueError."""
    return _span(text, lambda word: _named(word, _WEEKDAYS, "day of the week"))


def months(text: str) -> Span:
    """`january`, `3` or `january:3`. Raises: ValueError."""
    return _span(text, lambda word: _number(word, 1, 12) if word.isdigit() else _named(word, _MONTHS, "month"))


def years(text: str) -> Span:
    """`2026` or `2026:2030`. Raises: ValueError."""
    return _span(text, lambda word: _number(word, 0, 9999))


def days_of_month(text: str) -> Span:
    """`1:5` or `-3:-1`, counted from the month's end. Raises: ValueError."""
    start, end = _span(text, lambda word: _number(word, -31, 31), ordered=False)
    if start == 0 or end == 0:
        raise ValueError(f"not a span of days: {text!r}; days count from 1, or from -1 at the month's end")
    if start < 0 < end:
        raise ValueError(f"not a span of days: {text!r}; a start counted from the month's end needs such an end too")
    if (start < 0) == (end < 0) and start > end:
        raise ValueError(f"not a span of days: {text!r}; the start is after the end")
    return start, end


def zone(text: str) -> tzinfo:
    """A zone by its name in the time zone database. Raises: ValueError."""
    if text == "UTC":
        return UTC
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {text!r}; write for example America/New_York") from None


def _span(text: str, read: Callable[[str], int], *, ordered: bool = True) -> Span:
    words = [word.strip().lower() for word in text.split(":")]
    if len(words) > 2 or not all(words):
        raise ValueError(f"not a span: {text!r}; write one value, or start:end")
    start, end = read(words[0]), read(words[-1])
    if ordered and start > end:
        raise ValueError(f"not a span: {text!r}; the start is after the end")
    return start, end


def _named(word: str, names: Sequence[str], what: str) -> int:
    if word not in names or not word:
        raise ValueError(f"not a {what}: {word!r}; write one of {', '.join(filter(None, names))}")
    return names.index(word)


def _number(word: str, lowest: int, highest: int) -> int:
    try:
        value = int(word)
    except ValueError:
        raise ValueError(f"not a number: {word!r}") from None
    if not lowest <= value <= highest:
        raise ValueError(f"out of range: {word}; from {lowest} to {highest}")
    return value
