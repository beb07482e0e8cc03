"""The functions that Go's text/template defines itself, except `and`, `or` and `call`, which the interpreter runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from algowatch.errors import TemplateError
from algowatch.gotemplate.formatting import sprint, sprintf, to_text
from algowatch.gotemplate.values import StringMap, is_true, type_name

_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}


def _kind(value: object) -> str:
    for python, kind in ((bool, "bool"), (int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, python):
            return kind
    if isinstance(value, dict | list | tuple) or callable(value):
        raise TemplateError("non-comparable type for comparison")
    return type_name(value)


def _equal(first: object, second: object) -> bool:
    if first is None or second is None:
        return first is second
    if _kind(first) != _kind(second):
        raise TemplateError("incompatible types for comparison")
    return bool(first == second)


def eq(first: object, *others: object) -> bool:
    """Whether the first equals any of the others."""
    if not others:
        raise TemplateError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def ne(first: object, second: object) -> bool:
    return not _equal(first, second)


def _ordered(first: Any, second: Any) -> tuple[Any, Any]:
    kind = _kind(first)
    if kind not in ("int", "float", "string"):
        raise TemplateError("invalid type for comparison")
    if kind != _kind(second):
        raise TemplateError("incompatible types for comparison")
    return first, second


def lt(first: object, second: object) -> bool:
    lhs, rhs = _ordered(first, second)
    return bool(lhs < rhs)


def le(first: object, second: object) -> bool:
    lhs, rhs = _ordered(first, second)
    return bool(lhs <= rhs)


def gt(first: object, second: object) -> bool:
    lhs, rhs = _ordered(first, second)
    return bool(lhs > rhs)


def ge(first: object, second: object) -> bool:
    lhs, rhs = _ordered(first, second)
    return bool(lhs >= rhs)


def length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | tuple | dict):
        return len(value)
    raise TemplateError("len of nil pointer" if value is None else f"len of type {type_name(value)}")


def index(value: Any, *keys: Any) -> Any:
    """value[key1][key2]…; a key that a map lacks gives the zero value."""
    for key in keys:
        if value is None:
            raise TemplateError("index of untyped nil")
        if isinstance(value, dict):
            value = value.get(key, "" if isinstance(value, StringMap) else None)
        elif isinstance(value, list | tuple | str):
            items = value.encode() if isinstance(value, str) else value
            value = items[_position(key, len(items) - 1)]
        else:
            raise TemplateError(f"can't index item of type {type_name(value)}")
    return value


def _position(key: object, last: int) -> int:
    if isinstance(key, bool) or not isinstance(key, int):
        raise TemplateError(f"cannot index slice/array with type {type_name(key)}")
    if not 0 <= key <= last:
        raise TemplateError(f"index out of range: {key}")
    return key


def slice_of(value: Any, *bounds: object) -> Any:
    """value[from:to]; a string is cut by bytes."""
    if not isinstance(value, str | list | tuple):
        raise TemplateError(f"can't slice item of type {type_name(value)}")
    if len(bounds) > (2 if isinstance(value, str) else 3):
        raise TemplateError(f"too many slice indexes: {len(bounds)}")
    items = value.encode() if isinstance(value, str) else value
    cut = [_position(bound, len(items)) for bound in bounds] or [0]
    end = cut[1] if len(cut) > 1 else len(items)
    if cut[0] > end:
        raise TemplateError(f"invalid slice index: {cut[0]} > {end}")
    part = items[cut[0] : end]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def html(*values: object) -> str:
    return _joined(values).translate(_HTML)


def js(*values: object) -> str:
    return "".join(_JS.get(char) or (f"\\u{ord(char):04X}" if ord(char) < 0x20 else char) for char in _joined(values))


def urlquery(*values: object) -> str:
    return quote_plus(_joined(values), safe="")


def _joined(values: tuple[object, ...]) -> str:
    return sprint(values)


def printf(form: object, *values: object) -> str:
    if not isinstance(form, str):
        raise TemplateError(f"wrong type for value; expected string; got {type_name(form)}")
    return sprintf(form, values)


BUILTINS: Mapping[str, Callable[..., Any]] = {
    "not": lambda value: not is_true(value),
    "eq": eq,
    "ne": ne,
    "lt": lt,
    "le": le,
    "gt": gt,
    "ge": ge,
    "len": length,
    "index": index,
    "slice": slice_of,
    "print": lambda *values: sprint(values),
    "println": lambda *values: " ".join(map(to_text, values)) + "\n",
    "printf": printf,
    "html": html,
    "js": js,
    "urlquery": urlquery,
}

SPECIAL = frozenset({"and", "or", "call"})
