"""Go's time.Time and time.Duration, as far as templates use them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

_LAYOUT = (
    ("January", "%B"), ("Jan", "%b"), ("Monday", "%A"), ("Mon", "%a"), ("MST", "%Z"), ("2006", "%Y"), ("-07:00", "zz:"),
    ("-0700", "%z"), ("Z07:00", "Z"), ("02", "%d"), ("01", "%m"),
    ("03", "%I"), ("04", "%M"), ("05", "%S"), ("06", "%y"), ("15", "%H"),
    ("PM", "%p"), ("pm", "ampm"), ("_2", "day"), ("1", "mon"), ("2", "d"), ("3", "h"), ("4", "min"), ("5", "s"),
)  # fmt: skip


class GoDuration:
    """A span of time in nanoseconds; prints as `1h2m3.5s`."""

    go_type: ClassVar[str] = "time.Duration"
    go_methods: ClassVar[Mapping[str, str]] = {
        "Seconds": "seconds", "Minutes": "minutes", "Hours": "hours", "Milliseconds": "milliseconds", "String": "__str__",
    }  # fmt: skip

    def __init__(self, nanoseconds: int) -> None:
        self.nanoseconds = nanoseconds

    def seconds(self) -> float:
        return self.nanoseconds / 1e9

    def minutes(self) -> float:
        return self.nanoseconds / 6e10

    def hours(self) -> float:
        return self.nanoseconds / 3.6e12

    def milliseconds(self) -> int:
        return int(self.nanoseconds / 1_000_000)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GoDuration) and self.nanoseconds == other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def __str__(self) -> str:
        sign, rest = ("-" if self.nanoseconds < 0 else ""), abs(self.nanoseconds)
        if rest < 1_000_000_000:
            unit, size = ("ns", 1) if rest < 1000 else ("µs", 1000) if rest < 1_000_000 else ("ms", 1_000_000)
            return f"{sign}{_decimal(rest, size)}{unit}" if rest else "0s"
        minutes, seconds = divmod(rest, 60_000_000_000)
        hours, minutes = divmod(minutes, 60)
        text = f"{_decimal(seconds, 1_000_000_000)}s"
        text = f"{minutes}m{text}" if minutes or hours else text
        return sign + (f"{hours}h{text}" if hours else text)


def _decimal(amount: int, size: int) -> str:
    whole, part = divmod(amount, size)
    digits = str(part).rjust(len(str(size)) - 1, "0").rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


class GoTime:
    """A moment with a time zone; prints as `2006-01-02 15:04:05.999 +0000 UTC`."""

    go_type: ClassVar[str] = "time.Time"
    go_methods: ClassVar[Mapping[str, str]] = {
        "Format": "format", "Unix": "unix", "UnixMilli": "unix_milli", "UTC": "utc", "String": "__str__", "IsZero": "is_zero",
        "Year": "year", "Day": "day", "Hour": "hour", "Minute": "minute", "Second": "second", "Weekday": "weekday",
        "Month": "month", "Sub": "sub", "Before": "before", "After": "after",
    }  # fmt: skip

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    @classmethod
    def of_ms(cls, time_ms: float) -> GoTime:
        """Raises: ValueError for a moment outside the years 1 to 9999."""
        try:
            return cls(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms))
        except OverflowError:
            raise ValueError(f"{time_ms} ms is not a representable timestamp") from None

    def format(self, layout: str) -> str:
        """The time in a layout such as `2006-01-02 15:04:05 MST`."""
        parts: list[str] = []
        at = 0
        while at < len(layout):
            if layout[at] in ".," and layout[at + 1 : at + 4] in ("000", "999"):
                end = at + 1
                while layout[end : end + 1] == layout[at + 1]:
                    end += 1
                digits = f"{self.moment.microsecond:06d}000"[: end - at - 1]
                digits = digits.rstrip("0") if layout[at + 1] == "9" else digits
                parts.append(layout[at] + digits if digits else "")
                at = end
                continue
            pattern, code = next((pair for pair in _LAYOUT if layout.startswith(pair[0], at)), (layout[at], ""))
            parts.append(self._part(code) if code else pattern)
            at += len(pattern)
        return "".join(parts)

    def _part(self, code: str) -> str:
        if code.startswith("%"):
            return f"{self.moment.year:04d}" if code == "%Y" else self.moment.strftime(code)
        moment = self.moment
        zone = moment.strftime("%z")
        zone = f"{zone[:3]}:{zone[3:5]}"
        return {
            "zz:": zone, "Z": "Z" if not moment.utcoffset() else zone, "ampm": "am" if moment.hour < 12 else "pm",
            "day": f"{moment.day:2d}", "mon": str(moment.month), "d": str(moment.day), "h": str((moment.hour + 11) % 12 + 1),
            "min": str(moment.minute), "s": str(moment.second),
        }[code]  # fmt: skip

    def unix(self) -> int:
        return int(self.moment.timestamp() // 1)

    def unix_milli(self) -> int:
        return (self.moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

    def utc(self) -> GoTime:
        return GoTime(self.moment.astimezone(UTC))

    def is_zero(self) -> bool:
        return self.moment == datetime(1, 1, 1, tzinfo=UTC)

    def year(self) -> int:
        return self.moment.year

    def month(self) -> str:
        return self.moment.strftime("%B")

    def day(self) -> int:
        return self.moment.day

    def hour(self) -> int:
        return self.moment.hour

    def minute(self) -> int:
        return self.moment.minute

    def second(self) -> int:
        return self.moment.second

    def weekday(self) -> str:
        return self.moment.strftime("%A")

    def sub(self, other: GoTime) -> GoDuration:
        return GoDuration((self.moment - other.moment) // timedelta(microseconds=1) * 1000)

    def before(self, other: GoTime) -> bool:
        return self.moment < other.moment

    def after(self, other: GoTime) -> bool:
        return self.moment > other.moment

    def __str__(self) -> str:
        return self.format("2006-01-02 15:04:05.999999999 -0700 MST")
