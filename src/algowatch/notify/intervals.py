"""Time intervals, in which routes are mute or active: times of day, days, months, years, in a time zone."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TimeInterval:
    """All parts given must hold; of the spans within a part, one.

    times:         minutes of the day, the end exclusive.
    weekdays:      0 is Sunday, both ends inclusive, as are all of the following.
    days_of_month: 1 to 31, or -31 to -1 counted from the month's end.
    """

    times: tuple[Span, ...] = ()
    weekdays: tuple[Span, ...] = ()
    days_of_month: tuple[Span, ...] = ()
    months: tuple[Span, ...] = ()
    years: tuple[Span, ...] = ()
    zone: tzinfo = UTC

    def contains(self, at_ms: int) -> bool:
        """Source: Prometheus, "Alerting configuration", time_interval."""
        at = datetime.fromtimestamp(at_ms / 1000, self.zone)
        minute = at.hour * 60 + at.minute
        if self.times and not any(start <= minute < end for start, end in self.times):
            return False
        if self.days_of_month and not any(_holds_day(span, at) for span in self.days_of_month):
            return False
        return (
            _within(self.months, at.month) and _within(self.weekdays, (at.weekday() + 1) % 7) and _within(self.years, at.year)
        )


def _within(spans: Sequence[Span], value: int) -> bool:
    return not spans or any(start <= value <= end for start, end in spans)


def _holds_day(span: Span, at: datetime) -> bool:
    """Days that the month does not have are cut to those that it has."""
    days = calendar.monthrange(at.year, at.month)[1]
    start, end = (day if day > 0 else days + day + 1 for day in span)
    if start > days or end < 1:
        return False
    return max(1, start) <= at.day <= min(days, end)
