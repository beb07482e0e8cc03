# ruff: noqa: E501 - sentences for people read better unbroken
"""What a rule file says correctly and cannot mean: alerts that never fire, or fire at rest, or tell something else.

Nothing here is a fault of the file; each finding is a `Fault` whose text says why it matters and what to write instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from algowatch.config.read import Document, Location
from algowatch.errors import Fault
from algowatch.model.durations import format_duration
from algowatch.model.labels import METRIC_NAME
from algowatch.promql.check import COMPARISONS, value_type
from algowatch.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Unary,
    VectorSelector,
)
from algowatch.promql.parser import parse
from algowatch.rules.files import GroupSection, RuleFile, RuleSection
from algowatch.rules.shapes import CATALOGUE, RATES, Lookup, Shape, bare, children, kind_of, labels_of, walk

Finding = tuple[str, str]
"""What is wrong and why it matters; what to write instead."""

_LABEL_IN_TEMPLATE = re.compile(r"(?:\$labels|\.Labels)\.([a-zA-Z_]\w*)")
_VALUE = re.compile(r"\{\{-?\s*\$value\s*-?\}\}|\{\{[^}]*\$value[^}]*\}\}")
_PERCENT_OF_VALUE = re.compile(r"\{\{[^}|]*\$value(?![^}]*\*)[^}]*\}\}\s*%")
_STATE = re.compile(r"_(?:active|status|up)\Z|\Aup\Z")
_RATIO_OF_EVENTS = re.compile(r"(?:win|hit|fill|success)_r(?:ate|atio)\Z")
_WAIT_OF_A_STATE_MS = 30_000
_MANY_EVENTS = 1000


def lint_files(read: Sequence[tuple[RuleFile, Document]], known: Lookup | None = None) -> list[Fault]:
    """Findings in some sound rule files, which may read each other's recorded series, in the order of the files.

    known: shapes of series beyond the catalogue, such as a store's; None for a name that it does not have either.
    """
    linter = _Linter(known or (lambda name: None))
    for file, _ in read:
        linter.learn(file)
    return [finding for file, document in read for finding in linter.file(file, document)]


@dataclass(slots=True)
class _Linter:
    known: Callable[[str], Shape | None]
    recorded: dict[str, Shape] = field(default_factory=dict)
    seen: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def lookup(self, name: str) -> Shape | None:
        """Recorded names first, then the catalogue, then whoever knows what the store has."""
        ours = self.recorded.get(name) or CATALOGUE.get(name)
        return ours or (self.known(name) if name else None)

    def learn(self, file: RuleFile) -> None:
        """Take up what rules record; twice, since a rule may read one that stands after it."""
        rules = [(group, rule) for group in file.groups or () for rule in group.rules or () if rule.record]
        for _ in range(2):
            for group, rule in rules:
                expr = parse(rule.expr)
                labels = labels_of(expr, self.lookup)
                if labels is not None:
                    labels |= {*(group.labels or ()), *(rule.labels or ())}
                percentile = any(_is_percentile(node, self.lookup) for node in walk(expr))
                self.recorded[rule.record] = Shape(kind_of(expr, self.lookup), labels, percentile=percentile)

    def file(self, file: RuleFile, document: Document) -> Iterator[Fault]:
        for index, group in enumerate(file.groups or ()):
            for number, rule in enumerate(group.rules or ()):
                here: Location = ("groups", index, "rules", number)
                for place, (problem, mend) in self.rule(group, rule, document, here):
                    name = rule.alert or rule.record
                    yield Fault(document.path, document.line((*here, *place)), f"{name}: {problem}", mend)

    def rule(
        self, group: GroupSection, rule: RuleSection, document: Document, here: Location
    ) -> Iterator[tuple[Location, Finding]]:
        expr = parse(rule.expr)
        for node in walk(expr):
            for finding in self.node(node):
                yield ("expr",), finding
        for finding in (*self.ratios(expr), *self.thresholds(expr)):
            yield ("expr",), finding
        for finding in self.twice(rule, f"{document.path}:{document.line(here)}"):
            yield (), finding
        if rule.alert:
            yield from self.alert(group, rule, expr)

    def node(self, node: Expr) -> Iterator[Finding]:
        match node:
            case VectorSelector():
                yield from self.selector(node)
            case Call():
                yield from self.call(node)
            case Aggregate():
                yield from self.aggregate(node)
            case _:
                return

    def selector(self, node: VectorSelector) -> Iterator[Finding]:
        if not node.name:
            return
        shape = self.lookup(node.name)
        if shape is None:
            yield (
                f"nothing known exports {node.name!r}, neither the catalogue nor a rule nor the store: an alert on it never fires",
                _nearest(node.name, [*CATALOGUE, *self.recorded]),
            )
            return
        for matcher in node.matchers:
            if matcher.name != METRIC_NAME and not matcher.matches_empty and shape.labels is not None:
                yield from _unknown_label(matcher.name, node.name, shape.labels)

    def call(self, node: Call) -> Iterator[Finding]:
        first = node.args[-1] if node.func in ("histogram_quantile", "quantile_over_time") else (node.args or (None,))[0]
        if first is None:
            return
        if node.func in RATES:
            yield from self.rate(node, first)
        elif node.func == "histogram_quantile":
            yield from self.quantile(first)
        elif node.func in ("absent", "absent_over_time"):
            yield from self.absent(first)
        elif node.func in ("avg_over_time", "quantile_over_time"):
            yield from self.averaged(first, f"{node.func}()")

    def rate(self, node: Call, inner: Expr) -> Iterator[Finding]:
        name = _name(inner)
        if kind_of(inner, self.lookup) == "gauge":
            yield (
                f"{node.func}() of {name or 'an expression'}, which is a gauge: each fall counts as a restart from 0, so the number means nothing",
                "use deriv() or delta() for a gauge",
            )
        shape = self.lookup(name)
        if shape is not None and shape.signed:
            yield (
                f"{node.func}() of {name}: its values have both signs, so the sum falls, and each fall counts as a restart",
                "use the histogram's buckets",
            )

    def quantile(self, inner: Expr) -> Iterator[Finding]:
        labels, selectors = labels_of(inner, self.lookup), [n for n in walk(inner) if isinstance(n, VectorSelector)]
        if labels is not None and "le" not in labels:
            yield (
                "histogram_quantile() of series without the label le: it gives nothing, so the alert never fires",
                "keep le: sum by (le, …) (rate(…_bucket[5m]))",
            )
        for selector in selectors:
            shape = self.lookup(selector.name)
            if shape is not None and shape.kind == "summary":
                yield (
                    f"histogram_quantile() of {selector.name}, a summary, which has no buckets: it gives nothing, so the alert never fires",
                    "read the summary's own quantile label, or export a histogram",
                )
            elif (
                labels is None
                and selector.name
                and not selector.name.endswith("_bucket")
                and selector.name not in self.recorded
            ):
                yield (
                    f"histogram_quantile() of {selector.name}, which is no _bucket series: it gives nothing",
                    "use the _bucket series",
                )
        if any(_is_percentile(node, self.lookup) for node in walk(inner)):
            yield (
                "a percentile of percentiles is no percentile of the events",
                "take histogram_quantile() once, of summed buckets",
            )

    def absent(self, inner: Expr) -> Iterator[Finding]:
        for selector in (node for node in walk(inner) if isinstance(node, VectorSelector)):
            shape = self.lookup(selector.name)
            pinned = {matcher.name for matcher in selector.matchers if matcher.op == "="}
            free = sorted((shape.labels or frozenset()) - pinned - {"le", "job"}) if shape is not None else []
            if free:
                yield (
                    f"absent() of {selector.name} stays silent as long as one series is left, though others with other {', '.join(free)} have ended",
                    f'give each as a matcher ({free[0]}="…"), or watch the age of the last sample',
                )

    def averaged(self, inner: Expr, how: str) -> Iterator[Finding]:
        if any(_is_percentile(node, self.lookup) for node in walk(inner)):
            yield (
                f"{how} of a percentile: the mean of percentiles is no percentile of the events",
                "aggregate the buckets instead",
            )
        name = _name(inner)
        if _RATIO_OF_EVENTS.search(name):
            yield (
                f"{how} of {name}: the mean of a ratio is not the ratio of that span, since a quiet minute weighs as much as a busy one",
                "divide the increases of two counters",
            )

    def aggregate(self, node: Aggregate) -> Iterator[Finding]:
        inner = labels_of(node.expr, self.lookup)
        if inner is not None and node.grouping and not node.without:
            for label in node.grouping:
                yield from _unknown_label(label, _name(node.expr) or "the expression", inner)
        given = labels_of(node, self.lookup)
        pinned = {m.name for n in walk(node.expr) if isinstance(n, VectorSelector) for m in n.matchers if m.op == "="}
        if node.op in ("sum", "avg") and inner and "currency" in inner - pinned and "currency" not in (given or ()):
            yield "amounts in different currencies are added", "keep currency: sum by (currency, …) (…)"
        if node.op in ("avg", "sum", "quantile"):
            yield from self.averaged(node.expr, f"{node.op}()") if _is_percentile(bare(node.expr), self.lookup) else ()

    def ratios(self, expr: Expr) -> Iterator[Finding]:
        nodes = list(walk(expr))
        guarded = any(isinstance(node, Binary) and node.op == "and" for node in nodes)
        for node in nodes:
            if not (isinstance(node, Binary) and node.op in COMPARISONS) or guarded:
                continue
            for inner in walk(node.lhs):
                if isinstance(inner, Binary) and inner.op == "/" and _rests_at_zero(inner.rhs):
                    yield (
                        "the ratio is 0/0 = NaN while nothing happens, and NaN fulfils no comparison but !=; one event at rest is 100 %",
                        "guard the denominator: a / (b > 0), better with the least number of events that says something",
                    )
        for node in nodes:
            if isinstance(node, Binary) and node.op == "/" and _used_over_rest(node):
                yield "what is used is divided by what is left, not by the whole: it passes 100 %", "divide by used + left"

    def thresholds(self, expr: Expr) -> Iterator[Finding]:
        for node in walk(expr):
            if not (isinstance(node, Binary) and node.op in COMPARISONS):
                continue
            value, bound = bare(node.lhs), _number(node.rhs)
            if bound is None:
                continue
            name = _name(value)
            plain = not any(isinstance(inner, Binary) for inner in walk(value))
            if name.endswith("_ratio") and plain and abs(bound) > 1 and kind_of(value, self.lookup) == "gauge":
                yield (
                    f"{name} is a share from 0 to 1 and is compared with {bound:g}: the alert never fires, or always",
                    f"write {bound / 100:g} for {bound:g} %",
                )
            if isinstance(value, Call) and value.func in ("rate", "irate") and node.op in (">", ">="):
                yield from _per_second(value, name, bound)

    def twice(self, rule: RuleSection, where: str) -> Iterator[Finding]:
        labels = repr(sorted((rule.labels or {}).items()))
        key = (rule.alert, rule.record, labels)
        before = self.seen.setdefault(key, where)
        if before != where:
            yield f"stands a second time with the same labels (first in {before})", "give one of them another name or label"

    def alert(self, group: GroupSection, rule: RuleSection, expr: Expr) -> Iterator[tuple[Location, Finding]]:
        labels = {**(group.labels or {}), **(rule.labels or {})}
        if "severity" not in labels:
            yield (), ("has no label severity, so no route by severity finds it", "add labels: {severity: warning}")
        if group.interval and 0 < rule.hold_duration < group.interval:
            held, every = format_duration(rule.hold_duration), format_duration(group.interval)
            yield (
                ("for",),
                (
                    f"for: {held} is shorter than the group's interval of {every}: the alert fires at the next evaluation all the same, after {every}",
                    "leave it out, or shorten the interval",
                ),
            )
        if rule.hold_duration >= _WAIT_OF_A_STATE_MS and _is_state(expr):
            yield (
                ("for",),
                (
                    f"a state that is on or off is told only after {format_duration(rule.hold_duration)}",
                    "leave `for` out, or make it a few seconds",
                ),
            )
        yield from self.texts(rule, expr, frozenset(labels))

    def texts(self, rule: RuleSection, expr: Expr, own: frozenset[str]) -> Iterator[tuple[Location, Finding]]:
        given = labels_of(expr, self.lookup)
        always = _always(expr)
        for part, texts in (("labels", rule.labels or {}), ("annotations", rule.annotations or {})):
            for name, text in texts.items():
                for label in dict.fromkeys(_LABEL_IN_TEMPLATE.findall(text)):
                    if given is not None and label not in given:
                        mend = f"keep it: by ({label}, …); the expression's labels: {', '.join(sorted(given)) or 'none'}"
                        yield (part, name), (f"$labels.{label} is always empty, since the expression does not give it", mend)
                if always is not None and _VALUE.search(text):
                    problem = f"$value is always {always:g} here, since the expression compares with =="
                    yield (part, name), (problem, "say it in words, or query what you want to tell")
                if _PERCENT_OF_VALUE.search(text) and _is_share(expr):
                    yield (
                        (part, name),
                        ("$value is a share from 0 to 1, so 0.42% is shown for 42 %", "write {{ humanizePercentage $value }}"),
                    )


def _unknown_label(label: str, name: str, labels: frozenset[str]) -> Iterator[Finding]:
    if label not in labels and label != METRIC_NAME:
        yield (
            f"{name} has no label {label!r}, unless the bot or the scrape job adds one: it finds nothing",
            f"labels: {', '.join(sorted(labels))}",
        )


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else "check the name on the page, or give --url or --data to look into a store"


def _name(node: Expr) -> str:
    """The name of the only selector below a node, or nothing."""
    names = {found.name for found in walk(node) if isinstance(found, VectorSelector)}
    return names.pop() if len(names) == 1 else ""


def _number(node: Expr) -> float | None:
    node = bare(node)
    if isinstance(node, Unary):
        inner = _number(node.expr)
        return None if inner is None else -inner if node.op == "-" else inner
    return node.value if isinstance(node, NumberLiteral) else None


def _is_percentile(node: Expr, lookup: Lookup) -> bool:
    if isinstance(node, Call) and node.func == "histogram_quantile":
        return True
    shape = lookup(node.name) if isinstance(node, VectorSelector) else None
    return shape is not None and shape.percentile


def _rests_at_zero(denominator: Expr) -> bool:
    """A sum of rates without a guard: it is 0 while nothing happens."""
    nodes = list(walk(denominator))
    rates = any(isinstance(node, Call) and node.func in RATES for node in nodes)
    guards = any(
        (isinstance(node, Binary) and node.op in COMPARISONS) or (isinstance(node, Call) and node.func.startswith("clamp"))
        for node in nodes
    )
    return rates and not guards


def _used_over_rest(node: Binary) -> bool:
    used, rest = _name(node.lhs), _name(node.rhs)
    return bool(re.search(r"used|margin", used) and re.search(r"buying_power|available|remaining|free", rest))


def _per_second(call: Call, name: str, bound: float) -> Iterator[Finding]:
    window = call.args[0]
    if not isinstance(window, MatrixSelector) or not isinstance(window.range, int) or re.search("_(seconds|bytes)", name):
        return
    events = bound * window.range / 1000
    if events >= _MANY_EVENTS:
        span = format_duration(window.range)
        yield (
            f"{call.func}() is per second: above {bound:g} means more than {events:,.0f} events in {span}",
            f"write increase({name}[{span}]) > {bound:g} if you mean events",
        )


def _is_state(expr: Expr) -> bool:
    node = bare(expr)
    plain = isinstance(node, Binary) and node.op == "==" and _number(node.rhs) in (0, 1)
    return (
        isinstance(node, Binary) and plain and isinstance(bare(node.lhs), VectorSelector) and bool(_STATE.search(_name(node)))
    )


def _always(expr: Expr) -> float | None:
    """The only value that an alert on the expression can have."""
    node = bare(expr)
    if isinstance(node, Binary) and node.op == "==" and not node.return_bool and value_type(node.lhs) == "vector":
        return _number(node.rhs)
    return None


def _is_share(expr: Expr) -> bool:
    node = bare(expr)
    while isinstance(node, Binary) and node.op in COMPARISONS:
        node = bare(node.lhs)
    if isinstance(node, Binary):
        return node.op == "/" and value_type(node.rhs) == "vector"
    return _name(node).endswith("_ratio") and not any(
        isinstance(inner, Binary) for child in children(node) for inner in walk(child)
    )
