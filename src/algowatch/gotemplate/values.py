"""Go's values as Python holds them: what is a string map, a struct, and what a missing key is.

    string str · int64 int · float64 float · bool bool · nil None · slice list or tuple
    map[string]interface{} dict · map[string]string StringMap · struct Struct · func any callable

An object of any other class is opaque: it prints as `str` shows it, and offers the methods named in its class attribute
`go_methods`, which maps the name in templates to the Python method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar


class NoValue:
    """What a missing map key gives; prints as `<no value>`, and counts as false."""

    def __repr__(self) -> str:
        return "<no value>"


NO_VALUE = NoValue()


class StringMap(dict[str, str]):
    """A map[string]string: with missingkey=zero a missing key is the empty string."""

    go_methods: ClassVar[Mapping[str, str]] = {}


class Struct:
    """A struct with exported fields in their order; a field that is not there is an error, not `<no value>`.

    A subclass may name methods in `go_methods`, and its Go type in `go_type` for error texts.
    """

    go_methods: ClassVar[Mapping[str, str]] = {}
    go_type: ClassVar[str] = "struct"
    __slots__ = ("fields",)

    def __init__(self, **fields: Any) -> None:
        self.fields = fields


def method_of(value: object, name: str) -> Callable[..., Any] | None:
    """The method that a value offers to templates under a name."""
    methods: Mapping[str, str] = getattr(type(value), "go_methods", {})
    python_name = methods.get(name)
    return getattr(value, python_name) if python_name is not None else None


def is_true(value: object) -> bool:
    """Go's truth of a value in `if`, `with`, `and`, `or`, `not`: not empty, not zero; a struct is always true."""
    if value is None or value is NO_VALUE:
        return False
    if isinstance(value, bool | int | float | str | list | tuple | dict):
        return bool(value) or (isinstance(value, float) and math.isnan(value))
    return True


def type_name(value: object) -> str:
    """The Go type, for error texts and %T."""
    if value is None or value is NO_VALUE:
        return "<nil>"
    for python, name in ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string"), (StringMap, "map[string]string")):
        if isinstance(value, python):
            return name
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list | tuple):
        return "[]interface {}"
    return getattr(type(value), "go_type", "func" if callable(value) else type(value).__name__)
