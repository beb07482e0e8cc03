"""Relabelling: what `relabel_configs` and `metric_relabel_configs` do to a label set. Source: Prometheus, `model/relabel`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

from algowatch.model.labels import Labels
from algowatch.model.regex import Match, Pattern, compile_anchored

Action = Literal[
    "replace",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
]
ACTIONS: tuple[str, ...] = get_args(Action)
DEFAULT_REGEX = "(.*)"
DEFAULT_REPLACEMENT = "$1"
DEFAULT_SEPARATOR = ";"

_VARIABLE = re.compile(r"\$(?:\$|([A-Za-z0-9_]+)|\{([A-Za-z0-9_]+)\})", re.ASCII)


@dataclass(frozen=True, slots=True)
class RelabelRule:
    """One step. Its regex is anchored at both ends; labels that are not there read as empty."""

    action: Action = "replace"
    source_labels: tuple[str, ...] = ()
    separator: str = DEFAULT_SEPARATOR
    regex: str = DEFAULT_REGEX
    modulus: int = 0
    target_label: str = ""
    replacement: str = DEFAULT_REPLACEMENT


def relabel(labels: Mapping[str, str], rules: Iterable[RelabelRule]) -> dict[str, str] | None:
    """Apply the rules in order; None where one of them drops the label set."""
    current = {name: value for name, value in labels.items() if value}
    for rule in rules:
        if not _apply(rule, current):
            return None
    return current


def relabel_set(labels: Labels, rules: Iterable[RelabelRule]) -> Labels | None:
    """As `relabel`, for the labels of a sample."""
    changed = relabel(dict(labels), rules)
    return None if changed is None else Labels.of(changed)


def _apply(rule: RelabelRule, labels: dict[str, str]) -> bool:
    """Change the labels in place; False says that the set is dropped."""
    action = rule.action
    if action in ("labelmap", "labeldrop", "labelkeep"):
        _apply_to_names(rule, labels)
        return True
    value = rule.separator.join([labels.get(name, "") for name in rule.source_labels])
    if action == "keep":
        return _pattern(rule.regex).fullmatch(value) is not None
    if action == "drop":
        return _pattern(rule.regex).fullmatch(value) is None
    if action == "keepequal":
        return labels.get(rule.target_label, "") == value
    if action == "dropequal":
        return labels.get(rule.target_label, "") != value
    if action == "replace":
        _replace(rule, labels, value)
    elif action == "hashmod":
        labels[rule.target_label] = str(int.from_bytes(_md5(value)[8:], "big") % rule.modulus)
    elif action == "lowercase":
        _set(labels, rule.target_label, value.lower())
    else:
        _set(labels, rule.target_label, value.upper())
    return True


def _replace(rule: RelabelRule, labels: dict[str, str], value: str) -> None:
    pattern = _pattern(rule.regex)
    match = pattern.fullmatch(value)
    if match is None:
        return
    target = expand(rule.target_label, pattern, match)
    if target:
        _set(labels, target, expand(rule.replacement, pattern, match))


def _apply_to_names(rule: RelabelRule, labels: dict[str, str]) -> None:
    pattern = _pattern(rule.regex)
    for name, value in list(labels.items()):
        match = pattern.fullmatch(name)
        if rule.action == "labelmap":
            if match is not None:
                _set(labels, expand(rule.replacement, pattern, match), value)
        elif (match is None) == (rule.action == "labelkeep"):
            del labels[name]


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def _md5(text: str) -> bytes:
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()


def expand(template: str, pattern: Pattern, match: Match) -> str:
    """Fill `$1`, `${1}` and `${name}` as Go's Regexp.Expand does: a group that is not there is empty, `$$` is a dollar.

    The name after a bare `$` is as long as possible: `$1x` is the group named "1x", not group 1 and an x.
    """
    if "$" not in template:
        return template
    names: Mapping[str, int] = getattr(pattern, "groupindex", {})

    def fill(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None:
            return "$"
        if name.isdecimal():
            return (match.group(int(name)) or "") if int(name) <= pattern.groups else ""
        return (match.group(names[name]) or "") if name in names else ""

    return _VARIABLE.sub(fill, template)


@lru_cache(maxsize=4096)
def _pattern(text: str) -> Pattern:
    return compile_anchored(text)


def as_action(text: str) -> Action:
    """An action's name in any case, as Prometheus takes it.

    Raises: ValueError if there is no such action.
    """
    lowered = text.lower()
    if lowered not in ACTIONS:
        raise ValueError(f"unknown relabel action {text!r}; actions: {', '.join(ACTIONS)}")
    return cast(Action, lowered)
