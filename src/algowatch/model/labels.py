"""Label sets, matchers and their stable hashes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from algowatch.model.regex import Pattern, compile_anchored

METRIC_NAME = "__name__"

_LEGACY_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
_LEGACY_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_FNV64_OFFSET = 0xCBF29CE484222325
_FNV64_PRIME = 0x100000001B3
_MASK64 = 0xFFFFFFFFFFFFFFFF


class Labels(tuple[tuple[str, str], ...]):
    """An immutable set of (name, value) pairs, sorted by name, no name twice, no empty value.

    It is a tuple, so comparing and hashing run at C speed. Build it with `Labels.of`; the constructor trusts its input.
    """

    __slots__ = ()

    @classmethod
    def of(cls, pairs: Mapping[str, str] | Iterable[tuple[str, str]] = (), /, **more: str) -> Labels:
        """Sort the pairs and leave out empty values, as Prometheus does; of a name given twice the last one counts."""
        merged = dict(pairs)
        merged.update(more)
        return cls(sorted((name, value) for name, value in merged.items() if value != ""))

    @property
    def metric_name(self) -> str:
        return self.get(METRIC_NAME)

    def get(self, name: str, default: str = "") -> str:
        """The value of a label; a label that is not there is the empty string."""
        for key, value in self:
            if key == name:
                return value
        return default

    def without(self, names: Collection[str]) -> Labels:
        return Labels(pair for pair in self if pair[0] not in names)

    def only(self, names: Collection[str]) -> Labels:
        return Labels(pair for pair in self if pair[0] in names)

    def with_labels(self, pairs: Mapping[str, str]) -> Labels:
        """The same labels with some set; an empty value removes the label."""
        return Labels.of({**dict(self), **pairs})

    def as_dict(self) -> dict[str, str]:
        return dict(self)

    def fingerprint(self) -> int:
        """The 64-bit FNV-1a hash that Prometheus and Alertmanager call the fingerprint of a label set."""
        value = _FNV64_OFFSET
        for name, text in self:
            for byte in (*name.encode(), 0xFF, *text.encode(), 0xFF):
                value = ((value ^ byte) * _FNV64_PRIME) & _MASK64
        return value

    def __str__(self) -> str:
        """As PromQL writes a series: `name{a="b"}`; names that need it are quoted."""
        name = self.metric_name
        inner = [f"{quote_label_name(key)}={quote(value)}" for key, value in self if key != METRIC_NAME]
        if name and not is_legacy_metric_name(name):
            return "{" + ", ".join([quote(name), *inner]) + "}"
        return name + ("{" + ", ".join(inner) + "}" if inner or not name else "")

    __repr__ = __str__


EMPTY = Labels()

MatchOp = Literal["=", "!=", "=~", "!~"]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label, such as `side=~"BUY|SELL"`; a label that is not there counts as empty."""

    name: str
    op: MatchOp
    value: str

    def matches(self, value: str) -> bool:
        """Whether a label's value fulfils the condition.

        Raises: re.error (or re2's subclass of it) if the regular expression does not compile.
        """
        if self.op == "=":
            return value == self.value
        if self.op == "!=":
            return value != self.value
        found = _pattern(self.value).fullmatch(value) is not None
        return found == (self.op == "=~")

    @property
    def matches_empty(self) -> bool:
        return self.matches("")

    def __str__(self) -> str:
        return f"{quote_label_name(self.name)}{self.op}{quote(self.value)}"


@lru_cache(maxsize=4096)
def _pattern(text: str) -> Pattern:
    return compile_anchored(text)


def is_legacy_metric_name(name: str) -> bool:
    """Whether a metric name needs no quotes: the character set of Prometheus before UTF-8 names."""
    return _LEGACY_METRIC_NAME.match(name) is not None


def is_legacy_label_name(name: str) -> bool:
    """Whether a label name needs no quotes."""
    return _LEGACY_LABEL_NAME.match(name) is not None


def quote(text: str) -> str:
    """In double quotes, escaped as PromQL and the exposition format escape: backslash, double quote, line feed."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def quote_label_name(name: str) -> str:
    return name if is_legacy_label_name(name) else quote(name)
