"""The functions that Prometheus gives to annotations and labels of alerting rules.

Source: Prometheus documentation, "Template reference".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

from algowatch.errors import QueryError, TemplateError
from algowatch.gotemplate.formatting import sprintf
from algowatch.gotemplate.regex import matches, replace_all
from algowatch.gotemplate.times import GoDuration, GoTime
from algowatch.gotemplate.values import StringMap, Struct, type_name
from algowatch.model.durations import parse_duration
from algowatch.model.protocols import InstantQuery

_LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")
_LARGEST_INT64 = 9.223372036854775807e18


@dataclass(frozen=True, slots=True)
class PrometheusContext:
    """What the functions need to know: who answers `query`, as of when, and where algowatch is seen from outside."""

    query: InstantQuery | None = None
    at_ms: int = 0
    external_url: str = ""


def to_float(value: object) -> float:
    """A number from a number, a duration (its seconds) or text.

    Raises: TemplateError for anything else.
    """
    if isinstance(value, GoDuration):
        return value.seconds()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TemplateError(f"can't convert {type_name(value)} to float")
    try:
        return float(value)
    except ValueError:
        raise TemplateError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None


def _short(value: float, unit: str = "") -> str:
    return sprintf("%.4g", [value]) + unit


def _scaled_up(value: float, step: float, prefixes: Sequence[str]) -> tuple[float, str]:
    prefix = ""
    for candidate in prefixes:
        if abs(value) < step:
            break
        prefix, value = candidate, value / step
    return value, prefix


def _scaled_down(value: float) -> tuple[float, str]:
    prefix = ""
    for candidate in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = candidate, value * 1000
    return value, prefix


def humanize(value: object) -> str:
    """Metric prefixes: 1234567 is 1.235M."""
    number = to_float(value)
    if number == 0 or not math.isfinite(number):
        return _short(number)
    scaled, prefix = _scaled_up(number, 1000, _LARGE) if abs(number) >= 1 else _scaled_down(number)
    return _short(scaled, prefix)


def humanize1024(value: object) -> str:
    """Binary prefixes: 1048576 is 1Mi."""
    number = to_float(value)
    if abs(number) <= 1 or not math.isfinite(number):
        return _short(number)
    scaled, prefix = _scaled_up(number, 1024, ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"))
    return _short(scaled, prefix)


def humanize_duration(value: object) -> str:
    """Seconds as `1d 2h 3m 4s`; below a minute with four digits, below a second with a prefix."""
    number = to_float(value)
    if not math.isfinite(number):
        return _short(number)
    if number == 0:
        return "0s"
    if abs(number) < 1:
        scaled, prefix = _scaled_down(number)
        return _short(scaled, f"{prefix}s")
    sign, number = ("-" if number < 0 else ""), abs(number)
    minutes, seconds = divmod(int(number), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else sign + _short(number, "s")


def humanize_percentage(value: object) -> str:
    """A ratio as percentage: 0.128 is 12.8%."""
    return _short(to_float(value) * 100, "%")


def _moment(value: float) -> GoTime:
    if not abs(value * 1e9) < _LARGEST_INT64:
        raise TemplateError(f"{value} cannot be represented as a nanoseconds timestamp since it overflows int64")
    return GoTime.of_ms(int(value * 1e9) // 1_000_000)


def humanize_timestamp(value: object) -> str:
    """Unix seconds as a date in UTC."""
    number = to_float(value)
    return str(_moment(number)) if math.isfinite(number) else _short(number)


def to_time(value: object) -> GoTime:
    number = to_float(value)
    if not math.isfinite(number):
        raise TemplateError(f"cannot convert {_short(number)} to time.Time")
    return _moment(number)


def to_duration(value: object) -> GoDuration:
    number = to_float(value)
    if not abs(number * 1e9) < _LARGEST_INT64:
        raise TemplateError(f"cannot convert {_short(number)} to time.Duration")
    return GoDuration(int(number * 1e9))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"wrong type for value; expected string; got {type_name(value)}")
    return value


def title(value: object) -> str:
    """Each word with a capital letter in front."""
    text = _text(value)
    before = " "
    parts: list[str] = []
    for char in text:
        inside = before.isalnum() or before == "_" or (ord(before) >= 0x80 and not before.isspace())
        parts.append(char if inside else char.upper() if len(char.upper()) == 1 else char)
        before = char
    return "".join(parts)


def strip_port(value: object) -> str:
    """`host` of `host:port` and `[host]:port`; anything else stays as it is."""
    text = _text(value)
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        return text
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1]
    return text if ":" in host else host


def strip_domain(value: object) -> str:
    """The first part of a host name, with its port; an IP address stays."""
    text = _text(value)
    host = strip_port(text)
    rest = text[len(host) :] if text.startswith(host) else ""
    if ":" in host or host.replace(".", "").isdigit():
        return text
    return host.split(".", 1)[0] + rest


def _first(samples: object) -> Any:
    if not isinstance(samples, list):
        raise TemplateError(f"wrong type for value; expected template.queryResult; got {type_name(samples)}")
    if not samples:
        raise TemplateError("first() called on vector with no elements")
    return samples[0]


def _sample(value: object) -> Struct:
    if not isinstance(value, Struct) or "Labels" not in value.fields:
        raise TemplateError(f"wrong type for value; expected *template.sample; got {type_name(value)}")
    return value


def _label(name: object, sample: object) -> str:
    text: str = _sample(sample).fields["Labels"].get(_text(name), "")
    return text


def _sort_by_label(name: object, samples: object) -> list[Any]:
    if not isinstance(samples, list):
        raise TemplateError(f"wrong type for value; expected template.queryResult; got {type_name(samples)}")
    return sorted(samples, key=lambda sample: _label(name, sample))


def _run_query(context: PrometheusContext, expr: object) -> list[Struct]:
    if context.query is None:
        raise TemplateError("query is not available here")
    try:
        samples = context.query(_text(expr), context.at_ms).samples()
    except QueryError as error:
        raise TemplateError(str(error)) from None
    return [Struct(Labels=StringMap(labels), Value=value) for labels, value in samples]


_STATIC: Mapping[str, Callable[..., Any]] = {
    "first": _first,
    "label": _label,
    "value": lambda sample: _sample(sample).fields["Value"],
    "strvalue": lambda sample: _label("__value__", sample),
    "sortByLabel": _sort_by_label,
    "args": lambda *values: {f"arg{index}": value for index, value in enumerate(values)},
    "match": lambda pattern, text: matches(_text(pattern), _text(text)),
    "reReplaceAll": lambda pattern, replacement, text: replace_all(_text(pattern), _text(replacement), _text(text)),
    "safeHtml": _text,
    "title": title,
    "toUpper": lambda text: _text(text).upper(),
    "toLower": lambda text: _text(text).lower(),
    "graphLink": lambda expr: f"/graph?g0.expr={quote_plus(_text(expr))}&g0.tab=0",
    "tableLink": lambda expr: f"/graph?g0.expr={quote_plus(_text(expr))}&g0.tab=1",
    "urlQueryEscape": lambda text: quote_plus(_text(text)),
    "stripPort": strip_port,
    "stripDomain": strip_domain,
    "humanize": humanize,
    "humanize1024": humanize1024,
    "humanizeDuration": humanize_duration,
    "humanizePercentage": humanize_percentage,
    "humanizeTimestamp": humanize_timestamp,
    "toTime": to_time,
    "toDuration": to_duration,
    "parseDuration": lambda text: parse_duration(_text(text)) / 1000,
}


def prometheus_functions(context: PrometheusContext) -> dict[str, Callable[..., Any]]:
    """The whole table, bound to one moment."""
    return {
        **_STATIC,
        "query": lambda expr: _run_query(context, expr),
        "now": lambda: context.at_ms / 1000,
        "externalURL": lambda: context.external_url,
        "pathPrefix": lambda: urlsplit(context.external_url).path,
    }
