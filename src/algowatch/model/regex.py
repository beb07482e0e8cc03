"""Regular expressions as Prometheus has them: RE2 syntax, anchored at both ends.

RE2 runs in linear time, so a pattern from a rule or a query cannot hang the engine. Where no wheel of it exists, the
standard library's `re` stands in. Nothing here is imported before a pattern is compiled: the bot side never is asked to.
"""

from __future__ import annotations

import re
from typing import Protocol, cast


class Match(Protocol):
    def group(self, group: int | str = 0, /) -> str | None: ...
    def start(self, group: int | str = 0, /) -> int: ...
    def end(self, group: int | str = 0, /) -> int: ...


class Pattern(Protocol):
    """The part of a compiled pattern that both `re2` and `re` have."""

    groups: int

    def fullmatch(self, text: str, /) -> Match | None: ...
    def search(self, text: str, /) -> Match | None: ...


def compile_anchored(text: str) -> Pattern:
    """Compile a pattern for `fullmatch`; a dot matches a line feed too, as in Prometheus.

    Raises: re.error where the pattern is not valid; the message is the library's.
    """
    try:
        import re2
    except ImportError:
        return cast(Pattern, re.compile(text, re.DOTALL))
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    try:
        return cast(Pattern, re2.compile(text, options))
    except re2.error as error:
        problem = error.args[0] if error.args else error
        raise re.error(problem.decode() if isinstance(problem, bytes) else str(problem)) from None
