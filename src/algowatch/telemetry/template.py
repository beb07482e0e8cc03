"""The source of recording methods, one set of labels at a time.

A method written out for its labels (`strategy: str = "", side: str = ""`) costs a third of one that takes `**labels`
and sorts them out. `groups.py` is written from here by `tools/generate_groups.py`; the user's own families are compiled
from here when they are declared.
"""

from __future__ import annotations

import keyword
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from algowatch.telemetry import recorders
from algowatch.telemetry.recorders import Counter, Gauge, Histogram, Recorder

BASES: dict[str, type[Recorder[Any]]] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}
RESERVED = ("self", "value", "amount", "extra", "unknown")
ACTIONS = {
    "counter": [("inc", "inc")],
    "gauge": [("set", "set"), ("inc", "add"), ("dec", "subtract")],
    "histogram": [("observe",) * 2],
}


def class_name(kind: str, labels: Sequence[str]) -> str:
    """`GaugeByStrategyCurrency`; without labels `PlainGauge`."""
    if not labels:
        return f"Plain{kind.capitalize()}"
    words = "".join(part.capitalize() for label in labels for part in label.split("_"))
    return f"{kind.capitalize()}By{words}"


def signature(first: str, labels: Sequence[str]) -> str:
    """The parameters of a recording method, `self` included; what does not belong is taken, so that the call cannot fail."""
    keywords = "".join(f', {label}: str = ""' for label in labels)
    return f"self, {first}, *extra: Never{keywords}, **unknown: Never"


def values(labels: Sequence[str]) -> str:
    """The label values as a tuple expression."""
    return f"({', '.join(labels)}{',' if len(labels) == 1 else ''})"


def method_source(name: str, action: str, labels: Sequence[str], owner: str, doc: str = "") -> list[str]:
    """One recording method. `owner` is the expression that gives the recorder: `self`, or `self._submitted` in a group."""
    argument, default = ("value", "MISSING") if action in ("set", "observe") else ("amount", "1")
    cell = f"{owner}.cells[{', '.join(labels)}{',' if len(labels) == 1 else ''}]" if labels else f"{owner}.only"
    return [
        f"def {name}({signature(f'{argument}: SupportsFloat = {default}', labels)}) -> None:",
        *([f'    """{doc}"""'] if doc else []),
        "    try:",
        "        if extra or unknown:",
        "            raise Unexpected",
        f"        {cell}.{action}({argument})",
        "    except Exception:",
        f'        {owner}.repair("{action}", {argument}, {values(labels)}, extra, unknown)',
    ]


def plain_set_source() -> list[str]:
    """`set` without labels is short enough that one call less shows: it writes into the cell itself.

    A surplus argument by position is looked for in strict mode only, where `only` is never set and `repair` does it all.
    """
    return [
        "def set(self, value: SupportsFloat = MISSING, *extra: Never, **unknown: Never) -> None:",
        "    try:",
        "        if value.__class__ is float:",
        "            self.only.v = value",
        "        else:",
        "            self.only.set(value)",
        "        if unknown:",
        "            raise Unexpected",
        "    except Exception:",
        '        self.repair("set", value, (), extra, unknown)',
    ]


def plain_observe_source() -> list[str]:
    """`observe` without labels, in one call too. `bare_only` is set where additions need no lock."""
    return [
        "def observe(self, value: SupportsFloat = MISSING, *extra: Never, **unknown: Never) -> None:",
        "    try:",
        "        if unknown:",
        "            raise Unexpected",
        "        cell = self.bare_only",
        "        if value.__class__ is float and -1e999 < value < 1e999:",
        "            index = bisect_left(cell.bounds, value)",
        "            cell.sum += value",
        "            cell.counts[index] += 1",
        "        else:",
        "            cell.observe(value)",
        "    except Exception:",
        '        self.repair("observe", value, (), extra, unknown)',
    ]


def time_source(labels: Sequence[str]) -> list[str]:
    given = ", ".join([*(f'"{label}": {label}' for label in labels), "**unknown"])
    return [
        f"def time({signature('', labels).replace('self, , ', 'self, ')}) -> Timer:",
        f"    return Timer(self.observe, {{{given}}})",
    ]


def class_source(kind: str, labels: Sequence[str]) -> list[str]:
    """A recorder's class for one set of labels."""
    methods = [method_source(name, action, labels, "self") for name, action in ACTIONS[kind]]
    if kind == "gauge" and not labels:
        methods[0] = plain_set_source()
    if kind == "histogram" and not labels:
        methods[0] = plain_observe_source()
    if kind == "histogram":
        methods.append(time_source(labels))
    if kind == "counter":
        methods.append([line.replace("def inc(", "def __call__(") for line in methods[0]])
    lines = [f"class {class_name(kind, labels)}({kind.capitalize()}):", "    __slots__ = ()"]
    for method in methods:
        lines += ["", *("    " + line for line in method)]
    return lines


class Unexpected(Exception):  # noqa: N818 (never leaves a recording method)
    """An argument that the family has no place for."""


def check_labels(labels: Sequence[str]) -> None:
    """Raises: ValueError where a name cannot be a label and a keyword of a recording method."""
    for label in labels:
        if not label.isascii() or not label.isidentifier() or keyword.iskeyword(label) or label.startswith("__"):
            raise ValueError(f"{label!r} cannot be a label; use letters, digits and underscores")
        if label in RESERVED or label == "le":
            raise ValueError(f"the label name {label!r} is taken; choose another")
    if len(set(labels)) < len(labels):
        raise ValueError(f"a label is named twice: {', '.join(labels)}")


@lru_cache(maxsize=1024)
def recorder_class(kind: str, labels: tuple[str, ...]) -> type[Recorder[Any]]:
    """The class for a family of one's own. Raises: ValueError where a label's name cannot be used."""
    check_labels(labels)
    scope: dict[str, Any] = {**vars(recorders), "bisect_left": bisect_left, "Unexpected": Unexpected, "__name__": __name__}
    source = "\n".join(["from __future__ import annotations", *class_source(kind, labels)])
    exec(compile(source, f"<recorder {class_name(kind, labels)}>", "exec"), scope)
    return cast("type[Recorder[Any]]", scope[class_name(kind, labels)])
