"""Matchers as Alertmanager writes them: `severity=~"error|critical"`, `{team="desk", side!=BUY}`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

from algowatch.model.labels import Matcher, MatchOp

_MATCHER = re.compile(
    r'\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*|"(?:[^"\\]|\\.)+")\s*(?P<op>=~|!~|!=|=)\s*(?P<value>.*?)\s*\Z', re.DOTALL
)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"\Z', re.DOTALL)
_BARE_QUOTE = re.compile(r'(?<!\\)(?:\\\\)*"')
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_ORDER = ("=", "!=", "=~", "!~")


def parse_matchers(text: str) -> list[Matcher]:
    """The matchers of one line, separated by commas, with or without braces around them.

    >>> [str(matcher) for matcher in parse_matchers('{severity=~"a|b", team = desk}')]
    ['severity=~"a|b"', 'team="desk"']

    Raises: ValueError that quotes what is not a matcher.
    Source: Alertmanager, `labels.ParseMatchers`; label names in quotes as its newer parser allows them.
    """
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    elif inner.startswith("{") or (inner.endswith("}") and not inner.endswith("\\}") and '"' in inner[-2:]):
        raise ValueError(f"bad matcher format: {text!r}; a brace has no partner")
    return [parse_matcher(part) for part in _split(inner)]


def parse_matcher(text: str) -> Matcher:
    """One matcher. Raises: ValueError."""
    found = _MATCHER.match(text)
    if found is None:
        raise ValueError(f'bad matcher format: {text.strip()!r}; write for example severity="critical"')
    name, op, value = found.group("name", "op", "value")
    if name.startswith('"'):
        name = _unescape(name[1:-1])
    if value.startswith('"'):
        if not _QUOTED.match(value):
            raise ValueError(f"bad matcher format: {text.strip()!r}; the quotes around the value do not pair up")
        value = value[1:-1]
    elif _BARE_QUOTE.search(value):
        raise ValueError(f"bad matcher format: {text.strip()!r}; a quote stands inside the value, put quotes around all of it")
    return checked(Matcher(name, cast(MatchOp, op), _unescape(value)))


def checked(matcher: Matcher) -> Matcher:
    """The matcher, once its regular expression is known to compile. Raises: ValueError."""
    try:
        matcher.matches("")
    except re.error as error:
        raise ValueError(f"bad regular expression {matcher.value!r} for {matcher.name}: {error}") from None
    return matcher


def combined(match: Mapping[str, str], match_re: Mapping[str, str], matchers: Iterable[str]) -> tuple[Matcher, ...]:
    """The three spellings of an `alertmanager.yml` as one list, in the order that Alertmanager's group keys have.

    Raises: ValueError.
    """
    found = [Matcher(name, "=", value) for name, value in match.items()]
    found += [Matcher(name, "=~", f"^(?:{value})$") for name, value in match_re.items()]
    found += [matcher for line in matchers for matcher in parse_matchers(line)]
    return tuple(sorted(map(checked, found), key=lambda one: (one.name, one.value, _ORDER.index(one.op))))


def _split(text: str) -> list[str]:
    """At the commas outside of quotes; a comma at the end is let pass."""
    parts, quoted, escaped, begin = [], False, False, 0
    for at, char in enumerate(text):
        if char == '"' and not escaped:
            quoted = not quoted
        if char == "," and not quoted:
            parts.append(text[begin:at])
            begin = at + 1
        escaped = char == "\\" and not escaped
    parts.append(text[begin:])
    return parts[:-1] if not parts[-1].strip() else parts


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found.group(1), found.group(0)), text, flags=re.DOTALL)
