"""Rule files as Prometheus has them: read, checked, every fault with its line.

What promtool refuses is refused here, in words that promtool's users know; expressions and templates are parsed while
the file is read, so that a rule which cannot run never waits for the market to open to say so.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from algowatch.config.read import Document, Duration, Location, Section, read_document, read_text
from algowatch.errors import ConfigError, Fault, ParseError, QueryError, TemplateError
from algowatch.model.labels import METRIC_NAME, Labels, is_legacy_label_name, is_legacy_metric_name
from algowatch.rules.annotate import check_template
from algowatch.rules.options import CheckExpr
from algowatch.rules.short import is_short, translate
from algowatch.rules.specs import AlertingSpec, GroupSpec, RecordingSpec, RuleSpec


def _as_text(value: object) -> object:
    """A number or a truth value where text is wanted is its text, as Prometheus's YAML reader takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return "" if value is None else value


Text = Annotated[str, BeforeValidator(_as_text)]


class RuleSection(Section):
    record: Text = ""
    alert: Text = ""
    expr: Text = ""
    hold_duration: Annotated[Duration, Field(alias="for")] = 0
    keep_firing_for: Duration = 0
    labels: dict[str, Text] | None = None
    annotations: dict[str, Text] | None = None


class GroupSection(Section):
    name: Text = ""
    interval: Duration | None = None
    query_offset: Duration | None = None
    limit: int = 0
    labels: dict[str, Text] | None = None
    rules: list[RuleSection] | None = None


class RuleFile(Section):
    groups: list[GroupSection] | None = None


def expand_patterns(patterns: Sequence[str]) -> list[str]:
    """The files of a `rule_files` list, sorted within each pattern, none twice; a pattern may match nothing."""
    found: dict[str, None] = {}
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]:
            found.setdefault(path)
    return list(found)


def load_rule_files(patterns: Sequence[str], check_expr: CheckExpr | None = None) -> list[GroupSpec]:
    """Every group of every file, in order.

    Raises: ConfigError with the faults of all files together.
    """
    groups: list[GroupSpec] = []
    faults: list[Fault] = []
    for path in expand_patterns(patterns):
        try:
            groups += load_rule_file(path, check_expr)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return groups


def check_files(patterns: Sequence[str], check_expr: CheckExpr | None = None) -> list[Fault]:
    """Every fault of the files, none if they are sound."""
    try:
        load_rule_files(patterns, check_expr)
    except ConfigError as error:
        return list(error.faults)
    return []


def load_rule_file(path: str, check_expr: CheckExpr | None = None) -> list[GroupSpec]:
    """Raises: ConfigError with every fault of the file, also when it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        fault = Fault(path, None, f"cannot be read: {error.strerror}", "check the path and its permissions")
        raise ConfigError([fault]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Fault(path, None, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8")]) from None
    return parse_rule_file(text, path, check_expr)


def parse_rule_file(text: str, path: str, check_expr: CheckExpr | None = None) -> list[GroupSpec]:
    """The groups of one file's text.

    Raises: ConfigError with every fault.
    """
    section, document = read_rules(text, path)
    checker = _Checker(document, check_expr)
    faults = list(checker.file(section))
    if faults:
        raise ConfigError(sorted(faults, key=lambda fault: fault.line or 0))
    return [_group_spec(path, group) for group in section.groups or ()]


def read_rules(text: str, path: str) -> tuple[RuleFile, Document]:
    """The sections of one file's text, and where they stand; short rules are translated first.

    Raises: ConfigError where the shape of the file is wrong.
    """
    if is_short(read_document(text, path).data):
        text = translate(text, path)
    return read_text(RuleFile, text, path)


def _group_spec(path: str, group: GroupSection) -> GroupSpec:
    rules = tuple(_rule_spec(rule, group.labels or {}) for rule in group.rules or ())
    interval = group.interval or None
    return GroupSpec(path, group.name, rules, interval, group.query_offset, group.limit)


def _rule_spec(rule: RuleSection, group_labels: dict[str, str]) -> RuleSpec:
    labels = Labels.of({**group_labels, **(rule.labels or {})})
    expr = rule.expr.strip()
    if rule.record:
        return RecordingSpec(rule.record, expr, labels)
    annotations = Labels.of(rule.annotations or {})
    return AlertingSpec(rule.alert, expr, rule.hold_duration, rule.keep_firing_for, labels, annotations)


@dataclass(frozen=True, slots=True)
class _Checker:
    """What goes beyond the shape of the file; each method yields the faults of one part."""

    document: Document
    check_expr: CheckExpr | None

    def file(self, section: RuleFile) -> Iterator[Fault]:
        names: set[str] = set()
        for index, group in enumerate(section.groups or ()):
            here: Location = ("groups", index)
            if not group.name:
                yield self.document.fault(here, "Groupname must not be empty", "add name:")
            elif group.name in names:
                problem = f'groupname: "{group.name}" is repeated in the same file'
                yield self.document.fault((*here, "name"), problem, "give each group a name of its own")
            names.add(group.name)
            yield from self.labels((*here, "labels"), group.labels)
            if group.limit < 0:
                yield self.document.fault((*here, "limit"), f"limit {group.limit} is negative", "use 0 for no limit")
            for number, rule in enumerate(group.rules or ()):
                yield from self.rule((*here, "rules", number), rule)

    def rule(self, here: Location, rule: RuleSection) -> Iterator[Fault]:
        if rule.record and rule.alert:
            yield self.document.fault(here, "only one of 'record' and 'alert' must be set", "make two rules of it")
        elif not rule.record and not rule.alert:
            yield self.document.fault(here, "one of 'record' or 'alert' must be set", "add alert: NAME or record: name")
        yield from self.expression(here, rule)
        if rule.record:
            yield from self.recording(here, rule)
        yield from self.labels((*here, "labels"), rule.labels)
        for name in rule.annotations or ():
            if not is_legacy_label_name(name):
                yield self.document.fault((*here, "annotations", name), f"invalid annotation name: {name}")
        if rule.alert:
            yield from self.templates(here, rule)

    def expression(self, here: Location, rule: RuleSection) -> Iterator[Fault]:
        if not rule.expr.strip():
            yield self.document.fault(here, "field 'expr' must be set in rule", "add expr:")
            return
        if self.check_expr is None:
            return
        try:
            self.check_expr(rule.expr)
        except ParseError as error:
            yield self.document.fault((*here, "expr"), f"could not parse expression: {error}", error.mend)
        except QueryError as error:
            yield self.document.fault((*here, "expr"), f"could not parse expression: {error}")

    def recording(self, here: Location, rule: RuleSection) -> Iterator[Fault]:
        if rule.annotations:
            yield self.document.fault((*here, "annotations"), "invalid field 'annotations' in recording rule", "remove it")
        if rule.hold_duration:
            yield self.document.fault((*here, "for"), "invalid field 'for' in recording rule", "remove it")
        if rule.keep_firing_for:
            where = (*here, "keep_firing_for")
            yield self.document.fault(where, "invalid field 'keep_firing_for' in recording rule", "remove it")
        if not is_legacy_metric_name(rule.record):
            mend = "use letters, digits, '_' and ':', not beginning with a digit"
            yield self.document.fault((*here, "record"), f"invalid recording rule name: {rule.record}", mend)

    def labels(self, here: Location, labels: dict[str, str] | None) -> Iterator[Fault]:
        for name in labels or ():
            if not is_legacy_label_name(name) or name == METRIC_NAME:
                mend = "use letters, digits and '_', not beginning with a digit; not __name__"
                yield self.document.fault((*here, name), f"invalid label name: {name}", mend)

    def templates(self, here: Location, rule: RuleSection) -> Iterator[Fault]:
        for part, texts in (("labels", rule.labels), ("annotations", rule.annotations)):
            for name, text in (texts or {}).items():
                try:
                    check_template(rule.alert, text)
                except TemplateError as error:
                    yield self.document.fault((*here, part, name), f"could not parse template: {error}")
