"""Reading a list of tokens one after the other, and the errors that it raises."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NoReturn

from algowatch.errors import ParseError
from algowatch.model.durations import parse_duration
from algowatch.promql.lexer import Token, go_quote

MAX_DURATION_S = 2.0**63 / 1e9
"""What fits into Go's 64 bits of nanoseconds: 292 years."""

_OCTAL = re.compile(r"0[0-7_]*[0-7]\Z")


class TokenReader:
    """The state of a parse: the place in the tokens and how deep the parser has nested."""

    def __init__(self, text: str, tokens: Sequence[Token], max_depth: int) -> None:
        self.text = text
        self.token = tokens[0]
        self.depth = 0
        self._tokens = tokens
        self._index = 0
        self._max_depth = max_depth

    @property
    def previous_end(self) -> int:
        return self._tokens[self._index - 1].end if self._index else 0

    def at_end(self) -> bool:
        return self.token.kind == "end"

    def peek(self) -> Token:
        return self._tokens[min(self._index + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        token = self.token
        if token.kind in ("end", "error"):
            self.unexpected()
        self._index += 1
        self.token = self._tokens[self._index]
        return token

    def back(self) -> None:
        self._index -= 1
        self.token = self._tokens[self._index]

    def is_operator(self, *words: str) -> bool:
        return self.token.kind == "operator" and self.token.word in words

    def accept_keyword(self, *words: str) -> Token | None:
        return self.take() if self.token.kind == "keyword" and self.token.word in words else None

    def expect(self, text: str, context: str, expected: str | None = None) -> Token:
        """Take a token of punctuation; expected: how the error names it, if not by the text in quotes."""
        if self.token.kind != "punctuation" or self.token.text != text:
            if context:
                self.unexpected(context, go_quote(text) if expected is None else expected)
            self.unexpected()
        return self.take()

    def signed_number(self, context: str, expected: str) -> float:
        sign = -1.0 if self.is_operator("-") else 1.0
        if self.is_operator("+", "-"):
            self.take()
        if self.token.kind not in ("number", "duration"):
            self.unexpected(context, expected)
        return sign * parse_number(self.take(), self.text)

    def deepen(self, token: Token, levels: int = 1) -> None:
        """Note that something nests; the caller takes the level back when it is done.

        Raises: ParseError where it nests deeper than allowed.
        """
        self.depth += levels
        if self.depth > self._max_depth:
            raise self.error(f"the expression nests more than {self._max_depth} levels deep", token)

    def error(self, problem: str, token: Token, mend: str = "") -> ParseError:
        return ParseError(problem, self.text, token.start, token.end, mend)

    def unexpected(self, context: str = "", expected: str = "") -> NoReturn:
        if self.token.kind == "error":
            raise self.error(self.token.text, self.token)
        where = f" in {context}" if context else ""
        wish = f", expected {expected}" if expected else ""
        raise self.error(f"unexpected {self.token.describe()}{where}{wish}", self.token)


def parse_number(token: Token, text: str) -> float:
    """The value of a number, or a duration's seconds.

    Raises: ParseError, for example for the duration `5m1m`.
    """
    if token.kind == "duration":
        return _seconds(token, text)
    word = token.text.lower()
    if word.startswith("0x"):
        return float(int(word.replace("_", ""), 16))
    if len(word) > 1 and _OCTAL.match(word):
        return float(int(word.replace("_", ""), 8))
    value = float(word.replace("_", ""))
    if math.isinf(value) and word != "inf":
        problem = f"error parsing number: strconv.ParseFloat: parsing {go_quote(token.text)}: value out of range"
        raise ParseError(problem, text, token.start, token.end)
    return value


def _seconds(token: Token, text: str) -> float:
    try:
        milliseconds = parse_duration(token.text)
    except ValueError:
        problem = f"not a valid duration string: {go_quote(token.text)}"
        raise ParseError(problem, text, token.start, token.end) from None
    if milliseconds / 1000 > MAX_DURATION_S:
        raise ParseError("duration out of range", text, token.start, token.end)
    return milliseconds / 1000
