from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from algowatch.notify.intervals import TimeInterval


def at_ms(text, zone=UTC):
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


@pytest.mark.parametrize(
    ("interval", "moment", "inside"),
    [
        (TimeInterval(times=((540, 1020),)), "2026-11-20T09:00", True),
        (TimeInterval(times=((540, 1020),)), "2026-11-20T16:59", True),
        (TimeInterval(times=((540, 1020),)), "2026-11-20T17:00", False),
        (TimeInterval(times=((0, 1440),)), "2026-11-20T23:59", True),
        (TimeInterval(weekdays=((1, 5),)), "2026-11-20T00:00", True),
        (TimeInterval(weekdays=((1, 5),)), "2026-11-21T00:00", False),
        (TimeInterval(weekdays=((0, 0),)), "2026-11-22T12:00", True),
        (TimeInterval(days_of_month=((-3, -1),)), "2026-02-26T00:00", True),
        (TimeInterval(days_of_month=((-3, -1),)), "2026-02-25T23:59", False),
        (TimeInterval(days_of_month=((30, 31),)), "2026-02-28T12:00", False),
        (TimeInterval(days_of_month=((28, 31),)), "2026-02-28T12:00", True),
        (TimeInterval(months=((11, 12),), years=((2026, 2026),)), "2026-11-20T00:00", True),
        (TimeInterval(months=((11, 12),), years=((2025, 2025),)), "2026-11-20T00:00", False),
    ],
)
def test_an_interval_holds_the_moments_it_names(interval, moment, inside):
    assert interval.contains(at_ms(moment)) is inside


def test_times_follow_the_zone_through_daylight_saving():
    zone = ZoneInfo("America/New_York")
    opening = TimeInterval(times=((570, 960),), zone=zone)
    for day in ("2026-03-06", "2026-03-09"):
        assert not opening.contains(at_ms(f"{day}T09:29", zone))
        assert opening.contains(at_ms(f"{day}T09:30", zone))
    assert opening.contains(at_ms("2026-03-09T13:30"))
    assert not opening.contains(at_ms("2026-03-06T13:30"))
