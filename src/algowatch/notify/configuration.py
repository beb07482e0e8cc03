"""`alertmanager.yml` to a Routing; all that is wrong with a file comes out together, with lines."""

from __future__ import annotations

import glob as globbing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from algowatch.config import Document, Duration, Section, read_file, read_text
from algowatch.errors import ConfigError, TemplateError
from algowatch.gotemplate.template import Template
from algowatch.model.labels import Matcher, is_legacy_label_name
from algowatch.notify import calendar_text
from algowatch.notify.inhibition import InhibitRule
from algowatch.notify.intervals import Span, TimeInterval
from algowatch.notify.matchers import combined
from algowatch.notify.receivers import Building, Defaults, Place, ReceiverSection, build_channels
from algowatch.notify.route import GROUP_BY_ALL, Route, RouteOptions, route_key
from algowatch.notify.routing import Routing
from algowatch.notify.wording import FUNCTIONS


def _read_by(read: Any) -> BeforeValidator:
    """A field written as text (a bare number counts) and held as what `read` makes of it."""
    return BeforeValidator(lambda value: read(str(value)) if isinstance(value, (str, int)) else value)


class TimeRange(Section):
    start_time: Annotated[int, _read_by(calendar_text.time_of_day)]
    end_time: Annotated[int, _read_by(calendar_text.time_of_day)]


class IntervalSection(Section):
    times: tuple[TimeRange, ...] = ()
    weekdays: tuple[Annotated[Span, _read_by(calendar_text.weekdays)], ...] = ()
    days_of_month: tuple[Annotated[Span, _read_by(calendar_text.days_of_month)], ...] = ()
    months: tuple[Annotated[Span, _read_by(calendar_text.months)], ...] = ()
    years: tuple[Annotated[Span, _read_by(calendar_text.years)], ...] = ()
    location: Annotated[tzinfo, _read_by(calendar_text.zone)] = UTC


class NamedIntervals(Section):
    name: str
    time_intervals: tuple[IntervalSection, ...] = ()


class RouteSection(Section):
    receiver: str = ""
    group_by: tuple[str, ...] = ()
    continue_matching: bool = Field(False, alias="continue")
    match: dict[str, str] = Field(default_factory=dict)
    match_re: dict[str, str] = Field(default_factory=dict)
    matchers: tuple[str, ...] = ()
    group_wait: Duration | None = None
    group_interval: Duration | None = None
    repeat_interval: Duration | None = None
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    routes: tuple[RouteSection, ...] = ()


class InhibitSection(Section):
    not_supported: ClassVar[dict[str, str]] = {"sources": "write a rule of its own for each source"}

    name: str = ""
    source_match: dict[str, str] = Field(default_factory=dict)
    source_match_re: dict[str, str] = Field(default_factory=dict)
    source_matchers: tuple[str, ...] = ()
    target_match: dict[str, str] = Field(default_factory=dict)
    target_match_re: dict[str, str] = Field(default_factory=dict)
    target_matchers: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()


class GlobalSection(Defaults):
    resolve_timeout: Duration = 300_000


class AlertmanagerFile(Section):
    not_supported: ClassVar[dict[str, str]] = {"tracing": "leave it out"}

    global_section: GlobalSection = Field(default_factory=GlobalSection, alias="global")
    route: RouteSection
    receivers: tuple[ReceiverSection, ...] = ()
    templates: tuple[str, ...] = ()
    inhibit_rules: tuple[InhibitSection, ...] = ()
    time_intervals: tuple[NamedIntervals, ...] = ()
    mute_time_intervals: tuple[NamedIntervals, ...] = ()


def load_routing(path: Path | str) -> Routing:
    """Read an `alertmanager.yml`. Raises: ConfigError with every fault."""
    file, document = read_file(AlertmanagerFile, path)
    return _Builder(file, document, Path(path).parent).build()


def parse_routing(text: str, path: str = "alertmanager.yml") -> Routing:
    """Read an `alertmanager.yml` from its text. Raises: ConfigError with every fault."""
    file, document = read_text(AlertmanagerFile, text, path)
    return _Builder(file, document, Path(path).parent).build()


class _Builder:
    """Checks what one section cannot know of another, and makes the Routing."""

    def __init__(self, file: AlertmanagerFile, document: Document, directory: Path) -> None:
        self._file = file
        self._building = Building(document, directory, file.global_section)
        self._fault = self._building.fault
        self._building.templates = [text for index, glob in enumerate(file.templates) for text in self._read(glob, index)]
        self._names = [receiver.name for receiver in file.receivers]

    def build(self) -> Routing:
        """Raises: ConfigError."""
        file = self._file
        intervals = self._intervals()
        receivers = {
            receiver.name: build_channels(receiver, self._building, ("receivers", index))
            for index, receiver in enumerate(file.receivers)
        }
        self._check_names()
        self._check_root()
        route = self._route(file.route, RouteOptions(file.route.receiver), None, ("route",), intervals)
        rules = tuple(self._inhibit_rule(rule, ("inhibit_rules", index)) for index, rule in enumerate(file.inhibit_rules))
        if self._building.faults:
            raise ConfigError(sorted(self._building.faults, key=lambda fault: fault.line or 0))
        return Routing(route, receivers, rules, intervals, file.global_section.resolve_timeout)

    def _read(self, glob: str, index: int) -> list[str]:
        """The template files that a pattern names; none is no fault, as in Alertmanager."""
        texts = []
        for path in sorted(globbing.glob(str(self._building.directory / glob))):
            try:
                texts.append(Path(path).read_text(encoding="utf-8"))
                Template(texts[-1], name=path, functions=FUNCTIONS)
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not text"
                self._fault(("templates", index), f"{path}: cannot be read: {reason}", "check the path and its permissions")
            except TemplateError as error:
                self._fault(("templates", index), f"{path}: {error}", "see the notification template reference of Prometheus")
                texts.pop()
        return texts

    def _check_names(self) -> None:
        for index, name in enumerate(self._names):
            if not name:
                self._fault(("receivers", index), "the name is empty", "give the receiver a name")
            elif name in self._names[:index]:
                self._fault(("receivers", index, "name"), f'receiver "{name}" is there twice', "give one another name")

    def _check_root(self) -> None:
        root = self._file.route
        if not root.receiver:
            self._fault(("route",), "the root route has no receiver", "add receiver:")
        if root.match or root.match_re or root.matchers:
            self._fault(("route",), "the root route takes every alert and must not have matchers", "move them to a child route")
        for key in ("mute_time_intervals", "active_time_intervals"):
            if getattr(root, key):
                self._fault(("route", key), "the root route cannot have time intervals", "move them to a child route")
        if root.continue_matching:
            self._fault(("route", "continue"), "the root route cannot continue", "leave it out")

    def _intervals(self) -> dict[str, tuple[TimeInterval, ...]]:
        found: dict[str, tuple[TimeInterval, ...]] = {}
        for key in ("mute_time_intervals", "time_intervals"):
            for index, named in enumerate(getattr(self._file, key)):
                if named.name in found:
                    self._fault((key, index, "name"), f'time interval "{named.name}" is there twice', "give one another name")
                found[named.name] = tuple(
                    self._interval(section, (key, index, "time_intervals", number))
                    for number, section in enumerate(named.time_intervals)
                )
        return found

    def _interval(self, section: IntervalSection, place: Place) -> TimeInterval:
        for index, span in enumerate(section.times):
            if span.start_time >= span.end_time:
                mend = "write a span over midnight as two: one up to 24:00 and one from 00:00"
                self._fault((*place, "times", index), "the start is not before the end", mend)
        return TimeInterval(
            times=tuple((span.start_time, span.end_time) for span in section.times),
            weekdays=section.weekdays,
            days_of_month=section.days_of_month,
            months=section.months,
            years=section.years,
            zone=section.location,
        )

    def _route(
        self, section: RouteSection, parent: RouteOptions, parent_key: str | None, place: Place, intervals: Mapping[str, Any]
    ) -> Route:
        options = self._options(section, parent, place)
        self._known(section.receiver, self._names, "receiver", (*place, "receiver"))
        for key in ("mute_time_intervals", "active_time_intervals"):
            for index, name in enumerate(getattr(section, key)):
                self._known(name, list(intervals), "time interval", (*place, key, index))
        matchers = self._matchers(section.match, section.match_re, section.matchers, place, "match", "match_re", "matchers")
        key_here = route_key(parent_key, matchers)
        children = tuple(
            self._route(child, options, key_here, (*place, "routes", index), intervals)
            for index, child in enumerate(section.routes)
        )
        return Route(options, key_here, matchers, section.continue_matching, children)

    def _options(self, section: RouteSection, parent: RouteOptions, place: Place) -> RouteOptions:
        """The parent's options with the section's own over them; time intervals are not inherited, an empty group_by is."""
        for key in ("group_interval", "repeat_interval"):
            if getattr(section, key) == 0:
                self._fault((*place, key), "cannot be zero", "write for example 10s")
        return replace(
            parent,
            receiver=section.receiver or parent.receiver,
            group_by=self._group_by(section.group_by, place) or parent.group_by,
            group_wait_ms=_either(section.group_wait, parent.group_wait_ms),
            group_interval_ms=_either(section.group_interval, parent.group_interval_ms),
            repeat_interval_ms=_either(section.repeat_interval, parent.repeat_interval_ms),
            mute_time_intervals=section.mute_time_intervals,
            active_time_intervals=section.active_time_intervals,
        )

    def _group_by(self, names: Sequence[str], place: Place) -> frozenset[str]:
        for index, name in enumerate(names):
            here = (*place, "group_by", index)
            if name == GROUP_BY_ALL:
                if len(names) > 1:
                    self._fault(here, "'...' stands for all labels and cannot have others beside it", "keep only '...'")
            elif not is_legacy_label_name(name):
                self._fault(here, f"not a label name: {name!r}", "write letters, digits and underscores")
            if name in names[:index]:
                self._fault(here, f"label {name!r} is there twice", "leave one out")
        return frozenset(names)

    def _known(self, name: str, names: Sequence[str], what: str, place: Place) -> None:
        if name and name not in names:
            self._fault(place, f'unknown {what} "{name}"', f"{what}s: {', '.join(names) or 'none'}")

    def _matchers(
        self, match: Mapping[str, str], match_re: Mapping[str, str], matchers: Sequence[str], place: Place, *keys: str
    ) -> tuple[Matcher, ...]:
        """Three spellings in one list; each is read on its own first, so that a fault has its own line."""
        faults = len(self._building.faults)
        for index, line in enumerate(matchers):
            self._readable(lambda line=line: combined({}, {}, [line]), (*place, keys[2], index))
        for name, value in match_re.items():
            self._readable(lambda name=name, value=value: combined({}, {name: value}, []), (*place, keys[1], name))
        return combined(match, match_re, matchers) if len(self._building.faults) == faults else ()

    def _readable(self, read: Any, place: Place) -> None:
        try:
            read()
        except ValueError as error:
            problem, _, mend = str(error).partition("; ")
            self._fault(place, problem, mend)

    def _inhibit_rule(self, rule: InhibitSection, place: Place) -> InhibitRule:
        sources = (rule.source_match, rule.source_match_re, rule.source_matchers)
        targets = (rule.target_match, rule.target_match_re, rule.target_matchers)
        return InhibitRule(
            self._matchers(*sources, place, "source_match", "source_match_re", "source_matchers"),
            self._matchers(*targets, place, "target_match", "target_match_re", "target_matchers"),
            rule.equal,
        )


def _either(own: int | None, inherited: int) -> int:
    return inherited if own is None else own
