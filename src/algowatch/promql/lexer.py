"""Split a PromQL text into tokens.

The tokens are made in one pass, before parsing. A text that cannot be split ends with an ERROR token, so that a
mistake further left is still reported first, as Prometheus does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "identifier", "metric identifier", "number", "duration", "string",
    "operator", "aggregator", "keyword", "word", "punctuation", "end", "error",
]  # fmt: skip

SET_OPERATORS = frozenset({"and", "or", "unless"})
AGGREGATORS_WITH_PARAM = frozenset({"topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"})
AGGREGATORS = frozenset({"sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"}) | AGGREGATORS_WITH_PARAM
DURATION_WORDS = frozenset({"step", "range", "min", "max", "min_of", "max_of"})

_MODIFIERS = frozenset({"offset", "smoothed", "anchored", "by", "without", "bool"})
_FILLS = frozenset({"fill", "fill_left", "fill_right"})
_KEYWORDS = _MODIFIERS | _FILLS | {"on", "ignoring", "group_left", "group_right"}
_WORDS = frozenset({"step", "range", "min", "max", "min_of", "max_of"})

_KEYWORDS = frozenset(
    [
        "offset",
        "smoothed",
        "anchored",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "fill",
        "fill_left",
        "fill_right",
        "bool",
    ]
)
_WORDS = frozenset({"start", "end", "step", "range", "min_of", "max_of"})

_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)+")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HEX = re.compile(r"0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*(?![\w.])", re.ASCII)
_DIGITS = r"\d+(?:_\d+)*"
_DECIMAL = re.compile(rf"(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?(?![\w.])", re.ASCII)
_DURATION = re.compile(r"\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdw]))*(?!\w)", re.ASCII)
_BAD_DURATION = re.compile(r"\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdw]))*(?:\d+|\w)?", re.ASCII)
_BAD_NUMBER = re.compile(r"0[xX]_?[\da-fA-F]*|[\d_]*\.?[\d_]*(?:[eE][+-]?\d*)?[._]?", re.ASCII)
_OPERATOR = re.compile(r"==|!=|<=|>=|</|>/|[-+*/%^<>@]")
_MATCH_OPERATOR = re.compile(r"=~|!~|!=|=")
_FOLLOWED_BY_PAREN = re.compile(r"[ \t\r\n]*\(")
_STRING_PART = {quote: re.compile(rf"[^{quote}\\\n]*") for quote in "\"'"}
_ESCAPE = re.compile(r"""\\(?:([abfnrtv\\'"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))""")
_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Token:
    """kind: what it is; text: as written (an error's message); word: lower case for keywords, a string's value, else text."""

    kind: Kind
    text: str
    start: int
    end: int
    word: str = ""

    def describe(self) -> str:
        """As Prometheus names a token in an error."""
        match self.kind:
            case "end":
                return "end of input"
            case "operator":
                return f"<op:{self.text}>"
            case "aggregator":
                return f"<aggr:{self.text}>"
            case "keyword":
                return f"<{self.text}>"
            case "punctuation" | "word":
                return go_quote(self.text)
            case "identifier" | "metric identifier":
                return f"{self.kind} {go_quote(self.text)}"
            case _:
                shown = go_quote(self.text) if len(self.text) <= 10 else go_quote(self.text[:10]) + "..."
                return f"{self.kind} {shown}"


def go_quote(text: str) -> str:
    """In double quotes with Go's escapes, as Prometheus's messages and printed expressions have it."""
    out = []
    for char in text:
        code = ord(char)
        if char in '"\\':
            out.append("\\" + char)
        elif char in "\a\b\f\n\r\t\v":
            out.append({"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}[char])
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char.isprintable():
            out.append(char)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


class _LexError(Exception):
    def __init__(self, problem: str, start: int, end: int | None = None) -> None:
        self.problem, self.start, self.end = problem, start, end
        super().__init__(problem)


def tokenize(text: str) -> list[Token]:
    """All tokens without blanks and comments; the last one is of kind "end" or "error"."""
    lexer = _Lexer(text)
    try:
        lexer.run()
    except _LexError as error:
        end = len(text) if error.end is None else error.end
        lexer.tokens.append(Token("error", error.problem, error.start, end))
    return lexer.tokens


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.tokens: list[Token] = []
        self.depth = 0
        self.in_braces = False
        self.in_brackets = False
        self.got_colon = False

    def run(self) -> None:
        while True:
            blank = _SPACE.match(self.text, self.position)
            if blank:
                self.position = blank.end()
            if self.position >= len(self.text):
                break
            self._next(self.text[self.position])
        self._end()

    def _end(self) -> None:
        end = len(self.text)
        if self.in_braces:
            raise _LexError("unexpected end of input inside braces", end)
        if self.in_brackets and self.tokens[-1].kind not in ("number", "duration"):
            raise _LexError("unexpected end of input in duration expression", end)
        if self.depth:
            raise _LexError("unclosed left parenthesis", end)
        if self.in_brackets:
            raise _LexError("unclosed left bracket", end)
        self.tokens.append(Token("end", "", end, end))

    def _next(self, char: str) -> None:
        if self.in_braces:
            self._inside_braces(char)
        elif self.in_brackets:
            self._inside_brackets(char)
        else:
            self._outside(char)

    def _emit(self, kind: Kind, end: int, word: str | None = None) -> None:
        text = self.text[self.position : end]
        self.tokens.append(Token(kind, text, self.position, end, text if word is None else word))
        self.position = end

    def _punctuation(self) -> None:
        self._emit("punctuation", self.position + 1)

    def _outside(self, char: str) -> None:
        here = self.position
        if found := _NAME.match(self.text, here):
            self._name(found.group(), found.end())
        elif char.isascii() and (char.isdigit() or (char == "." and self.text[here + 1 : here + 2].isdigit())):
            self._number()
        elif found := _OPERATOR.match(self.text, here):
            self._emit("operator", found.end())
        elif char in "\"'`":
            self._string(char)
        elif char in "()":
            self._paren(char)
        elif char == ",":
            self._punctuation()
        elif char == "{":
            self._punctuation()
            self.in_braces = True
        elif char == "[":
            self._punctuation()
            self.in_brackets, self.got_colon = True, False
        else:
            self._unexpected(char)

    def _unexpected(self, char: str) -> None:
        here, after = self.position, self.text[self.position + 1 : self.position + 2]
        if char == "]":
            raise _LexError("unexpected right bracket ']'", here)
        if char == "=":
            if after == "~":
                raise _LexError("unexpected character after '=': '~'", here)
            self._punctuation()
            return
        if char == "!":
            raise _LexError(f"unexpected character after '!': {_rune(after)}", here)
        raise _LexError(f"unexpected character: {_rune(char)}", here)

    def _paren(self, char: str) -> None:
        self._punctuation()
        self.depth += 1 if char == "(" else -1
        if self.depth < 0:
            self.tokens.pop()
            raise _LexError("unexpected right parenthesis ')'", self.position)

    def _name(self, name: str, end: int) -> None:
        word = name.lower()
        if word in _FILLS and not _FOLLOWED_BY_PAREN.match(self.text, end):
            self._emit("identifier", end)
        elif word in AGGREGATORS:
            self._emit("aggregator", end, word)
        elif word in SET_OPERATORS or word == "atan2":
            self._emit("operator", end, word)
        elif word in _KEYWORDS:
            self._emit("keyword", end, word)
        elif word in _WORDS:
            self._emit("word", end, word)
        elif word in ("inf", "nan"):
            self._emit("number", end, word)
        else:
            self._emit("metric identifier" if ":" in name else "identifier", end)

    def _number(self) -> None:
        here = self.position
        found = _HEX.match(self.text, here) or _DECIMAL.match(self.text, here)
        if found:
            self._emit("number", found.end())
            return
        found = _DURATION.match(self.text, here)
        if found:
            self._emit("duration", found.end())
            return
        rough = _BAD_DURATION.match(self.text, here) or _BAD_NUMBER.match(self.text, here)
        end = rough.end() if rough else here + 1
        raise _LexError(f"bad number or duration syntax: {go_quote(self.text[here:end])}", here, end)

    def _inside_brackets(self, char: str) -> None:
        here = self.position
        if char.isascii() and (char.isdigit() or (char == "." and self.text[here + 1 : here + 2].isdigit())):
            self._number()
        elif char == "]":
            self._punctuation()
            self.in_brackets = False
        elif char == ":":
            self._colon()
        elif char in "()":
            self._paren(char)
        elif char in "+-*/%^":
            self._emit("operator", here + 1)
        elif char == ",":
            self._punctuation()
        elif (found := _NAME.match(self.text, here)) and found.group().lower() in DURATION_WORDS:
            self._name(found.group(), found.end())
        else:
            raise _LexError(f"unexpected character in duration expression: {_rune(char)}", here)

    def _colon(self) -> None:
        if self.tokens[-1].text == "[":
            raise _LexError("unexpected colon before duration in duration expression", self.position)
        if self.got_colon:
            raise _LexError("unexpected repeated colon in duration expression", self.position)
        self._punctuation()
        self.got_colon = True

    def _inside_braces(self, char: str) -> None:
        here = self.position
        if found := _LABEL.match(self.text, here):
            self._emit("identifier", found.end())
        elif found := _MATCH_OPERATOR.match(self.text, here):
            self._emit("punctuation" if found.group() == "=" else "operator", found.end())
        elif char in "\"'`":
            self._string(char)
        elif char == ",":
            self._punctuation()
        elif char == "}":
            self._punctuation()
            self.in_braces = False
        elif char == "!":
            after = self.text[here + 1 : here + 2]
            raise _LexError(f"unexpected character after '!' inside braces: {_rune(after)}", here)
        elif char == "{":
            raise _LexError("unexpected left brace '{'", here)
        else:
            raise _LexError(f"unexpected character inside braces: {_rune(char)}", here)

    def _string(self, quote: str) -> None:
        if quote == "`":
            end = self.text.find("`", self.position + 1)
            if end < 0:
                raise _LexError("unterminated raw string", self.position)
            self._emit("string", end + 1, self.text[self.position + 1 : end])
            return
        value, end = self._quoted(quote)
        self._emit("string", end, value)

    def _quoted(self, quote: str) -> tuple[str, int]:
        """The value of a quoted string and the offset after its closing quote."""
        parts: list[bytes] = []
        at = self.position + 1
        while True:
            found = _STRING_PART[quote].match(self.text, at)
            assert found is not None, "the pattern also matches nothing"
            parts.append(found.group().encode("utf-8", "surrogatepass"))
            at = found.end()
            if self.text[at : at + 1] == quote:
                return b"".join(parts).decode("utf-8", "surrogateescape"), at + 1
            if self.text[at : at + 1] != "\\":
                raise _LexError("unterminated quoted string", self.position)
            value, at = self._escape(at, quote)
            parts.append(value)

    def _escape(self, at: int, quote: str) -> tuple[bytes, int]:
        found = _ESCAPE.match(self.text, at)
        if found is None or (found[1] in ("'", '"') and found[1] != quote):
            raise _LexError(self._escape_problem(at), self.position)
        if found[1]:
            return _SIMPLE_ESCAPES.get(found[1], found[1]).encode(), found.end()
        if found[2] or found[3]:
            code = int(found[2], 8) if found[2] else int(found[3], 16)
            if code > 0xFF:
                raise _LexError("escape sequence is an invalid Unicode code point", self.position)
            return bytes([code]), found.end()
        code = int(found[4] or found[5], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise _LexError("escape sequence is an invalid Unicode code point", self.position)
        return chr(code).encode(), found.end()

    def _escape_problem(self, at: int) -> str:
        kind = self.text[at + 1 : at + 2]
        if not kind:
            return "escape sequence not terminated"
        if kind not in "01234567xuU":
            return f"unknown escape sequence {_code_point(kind)}"
        digits = "01234567" if kind.isdigit() else "0123456789abcdefABCDEF"
        width = {"x": 2, "u": 4, "U": 8}.get(kind, 3)
        first = at + 1 if kind.isdigit() else at + 2
        bad = next((char for char in self.text[first : first + width] if char not in digits), "")
        return f"illegal character {_code_point(bad)} in escape sequence" if bad else "escape sequence not terminated"


def _rune(char: str) -> str:
    """A character as Go's %q writes it; nothing at all is the end of the text."""
    if not char:
        return "'\\ufffd'"
    return "'" + (char.replace("\\", "\\\\").replace("'", "\\'") if char.isprintable() else go_quote(char)[1:-1]) + "'"


def _code_point(char: str) -> str:
    return f"U+{ord(char):04X} '{char}'"
