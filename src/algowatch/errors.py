"""One exception tree, drawn at the top, so that a caller knows how wide a net to cast.

    AlgowatchError
    ├── ConfigError          a file or setting that the user wrote is wrong (all faults of one file together)
    ├── UsageError           a command or call was used wrongly; nothing was started
    ├── QueryError           PromQL could not be answered
    │   ├── ParseError           the text is not PromQL; carries the position
    │   ├── EvaluationError      the data does not fit the question (duplicate series, many-to-many …)
    │   ├── QueryLimitError      too many samples or steps
    │   ├── QueryTimeoutError    took longer than allowed
    │   └── NotSupportedError    right in Prometheus, not done here; another backend may
    ├── ExpositionError      a scraped body is not the exposition format
    ├── StoreError           the time-series store cannot do what was asked
    ├── TemplateError        a Go template does not parse or fails while it runs
    └── DeliveryError        a notification was not accepted by its service

Exceptions carry facts as attributes and build their text from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class AlgowatchError(Exception):
    """Every error that algowatch raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in one file: where, what, and what to do about it."""

    path: str
    line: int | None
    problem: str
    mend: str = ""

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.problem}" + (f"; {self.mend}" if self.mend else "")


class ConfigError(AlgowatchError):
    """What the user wrote in a file or setting is wrong; carries every fault found, in the file's order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class UsageError(AlgowatchError):
    """A command or call was used wrongly; the text says what was wrong and what to do."""


class QueryError(AlgowatchError):
    """PromQL could not be answered. `error_type` is what Prometheus's HTTP API calls it."""

    error_type = "execution"


class ParseError(QueryError):
    """The text is not PromQL. `start` and `end` are offsets into the text, in characters, end exclusive.

    `mend` is what to do about it; it stays out of the message itself, which is worded as Prometheus words it.
    """

    error_type = "bad_data"

    def __init__(self, problem: str, text: str, start: int, end: int | None = None, mend: str = "") -> None:
        self.problem = problem
        self.text = text
        self.start = min(max(start, 0), len(text))
        self.end = max(self.start, end if end is not None else self.start)
        self.line = text.count("\n", 0, self.start) + 1
        self.column = self.start - (text.rfind("\n", 0, self.start) + 1) + 1
        at_fault = text[self.start : self.end].partition("\n")[0][:40]
        self.mend = mend or f"mend the expression at column {self.column}" + (f", {at_fault!r}" if at_fault else "")
        super().__init__(f"{self.line}:{self.column}: parse error: {problem}")

    def caret(self) -> str:
        """The message, the offending line of the text, and a line that points at the fault."""
        line_start = self.text.rfind("\n", 0, self.start) + 1
        line_end = self.text.find("\n", self.start)
        source = self.text[line_start : line_end if line_end >= 0 else len(self.text)]
        width = max(1, min(self.end, line_start + len(source)) - self.start)
        return f"{self}\n    {source}\n    {' ' * (self.start - line_start)}{'^' * width}"


class EvaluationError(QueryError):
    """The data does not fit the question, for example two series where one is needed."""


class QueryLimitError(QueryError):
    """The query would touch more samples or steps than the limit allows."""


class QueryTimeoutError(QueryError):
    """The query took longer than it may."""

    error_type = "timeout"


class NotSupportedError(QueryError):
    """Right in Prometheus, not done by the embedded engine; a caller may turn to another backend."""


class ExpositionError(AlgowatchError):
    """A scraped body is not the exposition format; `line` counts from 1."""

    def __init__(self, problem: str, line: int, text: str = "") -> None:
        self.problem = problem
        self.line = line
        self.text = text
        super().__init__(f"line {line}: {problem}" + (f": {text[:120]!r}" if text else ""))


class StoreError(AlgowatchError):
    """The time-series store cannot do what was asked; the text says what to do."""


class TemplateError(AlgowatchError):
    """A Go template does not parse, or failed while it ran."""


class DeliveryError(AlgowatchError):
    """A notification was not accepted.

    `status` is the HTTP status where there was one; `retryable` says whether the same message may be sent again;
    `retry_after_s` is what the service asked for.
    """

    def __init__(self, problem: str, *, retryable: bool, status: int | None = None, retry_after_s: float | None = None) -> None:
        self.retryable = retryable
        self.status = status
        self.retry_after_s = retry_after_s
        super().__init__(problem)
