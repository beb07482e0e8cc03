"""From cells to the text that a scraper reads: Prometheus text 0.0.4 and OpenMetrics 1.0.

What stands before a value is kept with its cell, so that a scrape costs little more than writing the numbers. Between
slices of series the global lock is handed over, so that a trading thread waits for a slice and not for the body.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from math import isfinite
from typing import Any, Literal

from algowatch.catalog.families import Family
from algowatch.telemetry.cells import Cell, HistogramCell
from algowatch.telemetry.recorders import series_prefix
from algowatch.telemetry.registry import Registry

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: dict[Format, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
SLICE = 2000


def negotiate(accept: str) -> Format:
    """OpenMetrics 1.0 where the client prefers it or likes it as much as text, text otherwise."""
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        media, *parameters = (part.strip() for part in item.split(";"))
        options = dict(part.partition("=")[::2] for part in parameters)
        if media == "application/openmetrics-text" and options.get("version", "1.0.0") != "1.0.0":
            continue
        try:
            weight = float(options.get("q", "1"))
        except ValueError:
            weight = 0.0
        weights[media] = max(weight, weights.get(media, 0.0))
    wanted = weights.get("application/openmetrics-text", 0.0)
    return "openmetrics" if wanted > 0 and wanted >= weights.get("text/plain", 0.0) else "text"


def format_value(value: Any) -> str:
    """A number as both formats write it.

    >>> format_value(5.0), format_value(float("inf")), format_value(float("nan"))
    ('5.0', '+Inf', 'NaN')
    """
    number = float(value)
    if isfinite(number):
        return repr(number)
    return "NaN" if number != number else "+Inf" if number > 0 else "-Inf"


def header(family: Family, form: Format) -> str:
    """The lines before a family's samples."""
    name = family.name
    meaning = family.help.replace("\\", "\\\\").replace("\n", "\\n")
    if form == "text":
        return f"# HELP {name} {meaning}\n# TYPE {name} {family.type}\n"
    name = name.removesuffix("_total") if family.type == "counter" else name
    unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
    meaning = meaning.replace('"', '\\"')
    return f"# HELP {name} {meaning}\n# TYPE {name} {family.type}\n{unit}"


def scalar_lines(cells: list[Cell]) -> str:
    """One line per cell; the sum says at the speed of C whether any value needs care."""
    if isfinite(sum([cell.v for cell in cells])):
        return "".join([f"{cell.prefix}{cell.v!r}\n" for cell in cells])
    return "".join([f"{cell.prefix}{format_value(cell.v)}\n" for cell in cells])


def histogram_lines(cell: HistogramCell) -> str:
    """The cumulated buckets, the sum and the count of one series; count and +Inf bucket are the same number."""
    cumulated = list(accumulate(cell.counts))
    numbers = [f"{number}.0" for number in cumulated]
    numbers += [format_value(cell.sum), numbers[-1]]
    return "".join([f"{prefix}{number}\n" for prefix, number in zip(cell.prefixes, numbers, strict=True)])


def family_chunks(family: Family, cells: list[Any], form: Format) -> Iterator[str]:
    """A family in slices; nothing at all where it has no series."""
    if not cells:
        return
    yield header(family, form)
    size = SLICE if family.type != "histogram" else max(1, SLICE // (len(family.buckets) + 3))
    for start in range(0, len(cells), size):
        part = cells[start : start + size]
        yield "".join([histogram_lines(cell) for cell in part]) if family.type == "histogram" else scalar_lines(part)


def negative_histogram_chunks(family: Family, cells: list[HistogramCell]) -> Iterator[str]:
    """A histogram with bounds below 0 in OpenMetrics, which forbids it a sum: the same samples as families of no known type."""
    lines = [histogram_lines(cell).splitlines(keepends=True) for cell in cells]
    meaning = family.help.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    for suffix, part in (("bucket", slice(None, -2)), ("sum", slice(-2, -1)), ("count", slice(-1, None))):
        yield f"# HELP {family.name}_{suffix} {meaning}\n# TYPE {family.name}_{suffix} unknown\n"
        yield "".join(line for each in lines for line in each[part])


def render_chunks(registry: Registry, form: Format) -> Iterator[str]:
    """The whole exposition in slices, the end marker of OpenMetrics not included."""
    taken = set()
    for recorder in list(registry.recorders.values()):
        taken.add(recorder.family.name)
        cells = [cell for _, cell in recorder.snapshot()]
        if form == "openmetrics" and cells and recorder.family.buckets and recorder.family.buckets[0] < 0:
            yield from negative_histogram_chunks(recorder.family, cells)
        else:
            yield from family_chunks(recorder.family, cells, form)
    for family, samples in registry.collect():
        taken.add(family.name)
        lines = [f"{series_prefix(family.name, family.labels, values)}{format_value(value)}\n" for values, value in samples]
        if lines:
            yield header(family, form) + "".join(lines)
    yield foreign_exposition(taken, form, registry)


def render(registry: Registry, form: Format = "text", pause: Callable[[], None] | None = None) -> bytes:
    """The body of /metrics. `pause` runs between slices; by default it hands over the global lock for a moment."""
    wait = pause or (lambda: time.sleep(0.00002))
    parts: list[bytes] = []
    lines = 0
    for chunk in render_chunks(registry, form):
        parts.append(chunk.encode("utf-8", "replace"))
        lines += chunk.count("\n")
        if lines >= SLICE:
            wait()
            lines = 0
    if form == "openmetrics":
        parts.append(b"# EOF\n")
    return b"".join(parts)


def foreign_exposition(taken: set[str], form: Format, registry: Registry) -> str:
    """What the user exports with prometheus_client, if that is in use, without the families that are ours already."""
    client = sys.modules.get("prometheus_client")
    if client is None:
        return ""
    try:
        return _foreign(client, taken, form)
    except Exception as error:
        registry.note_quietly("foreign_registry", "prometheus_client's default registry", error)
        return ""


class _Filtered:
    """As much of a registry as prometheus_client's encoders ask for."""

    def __init__(self, families: list[Any]) -> None:
        self.families = families

    def collect(self) -> list[Any]:
        return self.families


def _foreign(client: Any, taken: set[str], form: Format) -> str:
    registry = client.REGISTRY
    stems = {name.removesuffix("_total") for name in taken}
    families = [each for each in registry.collect() if each.name not in stems and each.name not in taken]
    if not families:
        return ""
    if form == "text":
        encoded: bytes = client.generate_latest(_Filtered(families))
    else:
        from importlib import import_module

        encoded = import_module("prometheus_client.openmetrics.exposition").generate_latest(_Filtered(families))
    return encoded.decode("utf-8").removesuffix("# EOF\n")
