"""Regular expressions inside templates: RE2 where it is installed, so that no pattern can hang a rendering."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from algowatch.errors import TemplateError

_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


@lru_cache(maxsize=256)
def _compile(pattern: str) -> Any:
    try:
        import re2
    except ImportError:
        library: Any = re
    else:
        library = re2
        options = re2.Options()
        options.log_errors = False
        try:
            return re2.compile(pattern, options)
        except re2.error as error:
            raise TemplateError(f"error parsing regexp {pattern!r}: {error}") from None
    try:
        return library.compile(pattern)
    except re.error as error:
        raise TemplateError(f"error parsing regexp {pattern!r}: {error}") from None


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found anywhere in a text."""
    return _compile(pattern).search(text) is not None


def replace_all(pattern: str, replacement: str, text: str) -> str:
    """Replace every match; `$1`, `${1}` and `${name}` stand for groups (unknown ones for nothing), `$$` for a dollar."""
    compiled = _compile(pattern)
    parts: list[str] = []
    at = 0
    for match in compiled.finditer(text):
        parts += [text[at : match.start()], _expanded(replacement, match)]
        at = match.end()
    return "".join([*parts, text[at:]])


def _expanded(replacement: str, match: Any) -> str:
    return _REFERENCE.sub(lambda found: _group(found, match), replacement)


def _group(found: re.Match[str], match: Any) -> str:
    if found.group(1):
        return "$"
    name = found.group(2) or found.group(3)
    try:
        return match.group(int(name) if name.isdigit() else name) or ""
    except (IndexError, KeyError):
        return ""
