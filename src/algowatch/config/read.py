"""YAML to checked, frozen objects; all faults of one file come out together, each with its line and its mend.

The YAML is that of 1.2's core schema: `16:00` stays text (1.1 makes it 960), `on` and `yes` stay text, a key written twice is
a fault. Rule files, `prometheus.yml`, `alertmanager.yml` and `algowatch.yml` are all read here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from algowatch.errors import ConfigError, Fault
from algowatch.model.durations import format_duration, parse_duration

Location = tuple[str | int, ...]


class Section(BaseModel):
    """Base of every part of a configuration: frozen, and a key that nobody knows is a fault.

    not_supported: keys that the file's own program (Prometheus, Alertmanager) knows and algowatch does not do, with what to
    do instead. Such a key is refused by name instead of being ignored.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, arbitrary_types_allowed=True)

    not_supported: ClassVar[dict[str, str]] = {}


def _duration_ms(value: object) -> object:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int) and not isinstance(value, bool) and value == 0:
        return 0
    raise ValueError(f"not a valid duration: {value!r}; write for example 15s, 1m30s or 500ms")


Duration = Annotated[int, BeforeValidator(_duration_ms), PlainSerializer(format_duration, return_type=str, when_used="json")]
"""A field written as a Prometheus duration (`1m30s`) and held as int milliseconds."""


class _Loader(yaml.CSafeLoader):
    """Safe YAML with the core schema's plain scalars only."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML declares it without ClassVar

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        """`012` is twelve, as in YAML 1.2; PyYAML's own reading would make it ten."""
        return int(self.construct_scalar(node))


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+\Z"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_decimal)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file as plain dicts, lists and scalars, with the line on which each of them stands (from 1)."""

    path: str
    data: Any
    lines: dict[Location, int]

    def line(self, location: Location) -> int | None:
        """The line of a place such as ("route", "routes", 2, "receiver"), or of the nearest place around it."""
        for length in range(len(location), -1, -1):
            line = self.lines.get(location[:length])
            if line is not None:
                return line
        return None

    def fault(self, location: Location, problem: str, mend: str = "") -> Fault:
        """A fault at a place of this file; the place is spelled out in front of the problem."""
        spelled = spell_location(location)
        return Fault(self.path, self.line(location), f"{spelled}: {problem}" if spelled else problem, mend)


def spell_location(location: Location) -> str:
    """A place as people write it.

    >>> spell_location(("route", "routes", 2, "receiver"))
    'route.routes[2].receiver'
    """
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else str(step))
    return text


def read_document(text: str, path: str) -> Document:
    """Read one YAML document; an empty one is `{}`.

    Raises: ConfigError with every duplicate key, or with the place where the text stops being YAML.
    """
    try:
        _refuse_bombs(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([_yaml_fault(path, error)]) from None
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        faults: list[Fault] = []
        lines: dict[Location, int] = {(): 1}
        if node is None:
            return Document(path, {}, lines)
        for location, line, duplicate in _walk(node, ()):
            if duplicate:
                faults.append(Fault(path, line, f"{spell_location(location)}: key written twice", "keep one of the two"))
            lines.setdefault(location, line)
        if faults:
            raise ConfigError(faults)
        return Document(path, loader.construct_document(node), lines)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([_yaml_fault(path, error)]) from None
    finally:
        loader.dispose()


def _yaml_fault(path: str, error: Exception) -> Fault:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error) or type(error).__name__
    return Fault(path, mark.line + 1 if mark else None, f"not valid YAML: {problem}", "check indentation, colons and quotes")


_MAX_DEPTH = 60
_MAX_NODES = 1_000_000


def _refuse_bombs(text: str) -> None:
    """Read the text event by event, which needs no stack, before it is composed, which does: in C, where deep nesting kills
    the process. Aliases count with all that they stand for, so that a few lines cannot stand for millions.

    Raises: ValueError; yaml.YAMLError where the text is not YAML.
    """
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        size = 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            if len(open_nodes) > _MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ValueError(f"nested more than {_MAX_DEPTH} levels deep (line {line})")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            size = sizes.get(event.anchor or "", 1)
        total += size
        if total > _MAX_NODES:
            raise ValueError(f"more than {_MAX_NODES} keys and values, aliases spelled out")


def _walk(node: yaml.Node, location: Location) -> Iterator[tuple[Location, int, bool]]:
    """Every place with its line; the flag says that a mapping has the key a second time."""
    if len(location) > _MAX_DEPTH:
        raise ValueError(f"nested more than {_MAX_DEPTH} levels deep")
    yield location, node.start_mark.line + 1, False
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*location, key)
            line = key_node.start_mark.line + 1
            yield here, line, key in seen and key != "<<"
            seen.add(key)
            yield from _walk(value_node, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield from _walk(child, (*location, index))


SectionT = TypeVar("SectionT", bound=Section)


def read_text(model: type[SectionT], text: str, path: str) -> tuple[SectionT, Document]:
    """Read and check one YAML text.

    Raises: ConfigError with every fault, in the order of the file.
    """
    document = read_document(text, path)
    if not isinstance(document.data, dict):
        raise ConfigError(
            [Fault(path, 1, "the file must be a mapping of keys to values", "start with a key such as 'global:'")]
        )
    try:
        return model.model_validate(document.data), document
    except ValidationError as error:
        faults = [_fault(model, document, found) for found in error.errors()]
        raise ConfigError(sorted(faults, key=lambda fault: fault.line or 0)) from None


def read_file(model: type[SectionT], path: Path | str) -> tuple[SectionT, Document]:
    """Read and check one YAML file.

    Raises: ConfigError, also when the file cannot be read.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise ConfigError([Fault(str(path), None, "is not a file", "name a file")])
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            [Fault(str(path), None, f"cannot be read: {error.strerror}", "check the path and its permissions")]
        ) from None
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
        raise ConfigError([Fault(str(path), None, problem, "save it as UTF-8")]) from None
    return read_text(model, text, str(path))


def _fault(model: type[Section], document: Document, found: Any) -> Fault:
    location = tuple(step for step in found["loc"] if (*_parents(document, step, found["loc"]),))
    kind = found["type"]
    if kind == "extra_forbidden":
        return _unknown_key(model, document, location)
    if kind == "missing":
        parent, key = location[:-1], location[-1]
        return document.fault(parent, f"key {key!r} is missing", f"add {key}:")
    message = str(found["msg"]).removeprefix("Value error, ")
    problem, _, mend = message.partition("; ")
    if kind not in ("value_error", "assertion_error"):
        problem = f"{problem[0].lower()}{problem[1:]}, got {_shown(found.get('input'))}"
    return document.fault(location, problem, mend)


def _shown(value: object) -> str:
    """A wrong value for a message; a mapping or list is named, never printed: it may hold a secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value)[:60]


def _parents(document: Document, step: str | int, loc: tuple[str | int, ...]) -> Iterator[bool]:
    """Yields once where a step of pydantic's location is a place of the file and not the name of a union's branch."""
    if isinstance(step, int) or any(step in place for place in document.lines) or step == loc[-1]:
        yield True


def _unknown_key(model: type[Section], document: Document, location: Location) -> Fault:
    section = _section_at(model, location[:-1])
    key = str(location[-1])
    if section is not None and key in section.not_supported:
        return document.fault(location, "not supported by the embedded engine", section.not_supported[key])
    known = sorted(field.alias or name for name, field in section.model_fields.items()) if section else []
    near = difflib.get_close_matches(key, known, n=1)
    mend = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}" if known else ""
    return document.fault(location, "unknown key", mend)


def _section_at(model: type[Section], location: Location) -> type[Section] | None:
    """The model that describes a place, found by walking the annotations."""
    current: type[Section] | None = model
    for step in location:
        if isinstance(step, int) or current is None:
            continue
        field = next((f for name, f in current.model_fields.items() if step in (name, f.alias)), None)
        current = _section_in(field.annotation) if field else None
    return current


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _section_in(inner)
        if found is not None:
            return found
    return None
