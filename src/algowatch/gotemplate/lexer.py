"""A template's text cut into tokens, with trim markers and comments already taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from algowatch.errors import TemplateError

_BLANK = " \t\r\n"
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<raw>`[^`]*`)
      | (?P<char>'(?:[^'\\\n]|\\.[^']*)')
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
                         |(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?))
      | (?P<field>\.[^\W\d]\w*)
      | (?P<variable>\$\w*)
      | (?P<word>[^\W\d]\w*)
      | (?P<declare>:=)
      | (?P<symbol>[=|(),.])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """kind: text, open (`{{`), close, or a group of the token pattern. spaced: a blank stands in front of it."""

    kind: str
    text: str
    line: int
    spaced: bool = False


def tokens(source: str, name: str) -> Iterator[Token]:
    """Raises: TemplateError at the first thing that is no token, and where an action or comment is not closed."""
    start, line, trim = 0, 1, False
    while True:
        opening = source.find("{{", start)
        text = source[start:] if opening < 0 else source[start:opening]
        shown = text.lstrip(_BLANK) if trim else text
        line_after = line + text.count("\n")
        trims_left = opening >= 0 and _trims_left(source, opening + 2)
        if trims_left:
            shown = shown.rstrip(_BLANK)
        if shown:
            yield Token("text", shown, line)
        if opening < 0:
            return
        line = line_after
        inside = opening + (3 if trims_left else 2)
        comment = inside + (len(source[inside:]) - len(source[inside:].lstrip(_BLANK)) if trims_left else 0)
        if source.startswith("/*", comment):
            start, trim = _comment_end(source, comment, name, line)
        else:
            yield Token("open", "{{", line)
            found = _action(source, inside, name, line)
            yield from found[0]
            start, trim = found[1], found[2]
        line += source.count("\n", opening, start)


def _trims_left(source: str, at: int) -> bool:
    return source[at : at + 1] == "-" and source[at + 1 : at + 2] in tuple(_BLANK)


def _closing(source: str, at: int) -> tuple[int, bool] | None:
    """The end of a closing delimiter at a place, and whether it trims; None if there is none."""
    if source.startswith("}}", at):
        return at + 2, False
    if source.startswith("-}}", at) and at > 0 and source[at - 1] in _BLANK:
        return at + 3, True
    return None


def _comment_end(source: str, at: int, name: str, line: int) -> tuple[int, bool]:
    end = source.find("*/", at + 2)
    if end < 0:
        raise TemplateError(f"template: {name}:{line}: unclosed comment; end it with */}}}}")
    after = end + 2
    while source[after : after + 1] in tuple(_BLANK):
        after += 1
    closing = _closing(source, after)
    if closing is None:
        raise TemplateError(f"template: {name}:{line}: comment ends before closing delimiter; write */}}}} or */ -}}}}")
    return closing


def _action(source: str, at: int, name: str, line: int) -> tuple[list[Token], int, bool]:
    """The tokens up to and with the closing delimiter, where it ends, and whether it trims what follows."""
    found: list[Token] = []
    spaced = False
    while True:
        if at >= len(source):
            raise TemplateError(f"template: {name}:{line}: unclosed action; end it with }}}}")
        if source[at] in _BLANK:
            line += source[at] == "\n"
            at, spaced = at + 1, True
            continue
        closing = _closing(source, at)
        if closing is not None:
            found.append(Token("close", "}}", line, spaced))
            return found, *closing
        match = _TOKEN.match(source, at)
        if match is None or not match.lastgroup:
            raise TemplateError(f"template: {name}:{line}: {_strange(source, at)}")
        if match.lastgroup == "number" and match.end() < len(source) and (source[match.end()].isalnum()):
            raise TemplateError(f"template: {name}:{line}: bad number syntax: {source[at : match.end() + 1]!r}")
        found.append(Token(match.lastgroup, match.group(), line, spaced))
        line += match.group().count("\n")
        at, spaced = match.end(), False


def _strange(source: str, at: int) -> str:
    if source[at] in "\"`'":
        kind = {'"': "quoted string", "`": "raw quoted string", "'": "character constant"}[source[at]]
        return f"unterminated {kind}"
    return f"unexpected {source[at]!r} in action"
