"""What an expression gives, as far as it can be known without data: which labels, and a counter or a gauge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from algowatch.catalog.engine import ENGINE_FAMILIES
from algowatch.catalog.families import FAMILIES, Family
from algowatch.promql.check import COMPARISONS, value_type
from algowatch.promql.nodes import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
    left_spine,
)

Kind = Literal["counter", "gauge", "summary", "bucket", "unknown"]
TARGET_LABELS = frozenset({"job", "instance"})
RATES = frozenset({"rate", "irate", "increase"})
_KEEPING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})


@dataclass(frozen=True, slots=True)
class Shape:
    """Series of one name: kind and labels; None: nobody knows them. signed: a sum that can fall, as a signed histogram's."""

    kind: Kind
    labels: frozenset[str] | None
    signed: bool = False
    percentile: bool = False


Lookup = Callable[[str], Shape | None]


def _shapes(family: Family) -> Iterator[tuple[str, Shape]]:
    labels = frozenset(family.labels) | TARGET_LABELS
    if family.type != "histogram":
        yield family.name, Shape(family.type, labels)
        return
    signed = min(family.buckets, default=0.0) < 0
    yield f"{family.name}_bucket", Shape("bucket", labels | {"le"})
    yield f"{family.name}_count", Shape("counter", labels)
    yield f"{family.name}_sum", Shape("counter", labels, signed)


_WRITTEN_BY_SCRAPES = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
CATALOGUE: dict[str, Shape] = {
    **{name: shape for family in (*FAMILIES, *ENGINE_FAMILIES) for name, shape in _shapes(family)},
    **{name: Shape("gauge", TARGET_LABELS) for name in _WRITTEN_BY_SCRAPES},
    "ALERTS": Shape("gauge", None),
    "ALERTS_FOR_STATE": Shape("gauge", None),
}


def children(node: Expr) -> tuple[Expr, ...]:
    match node:
        case MatrixSelector():
            return (node.selector,)
        case Subquery() | Paren() | Unary():
            return (node.expr,)
        case Aggregate():
            return (node.expr,) if node.param is None else (node.param, node.expr)
        case Binary():
            return (node.lhs, node.rhs)
        case Call():
            return node.args
        case _:
            return ()


def walk(node: Expr) -> Iterator[Expr]:
    """The node and everything below it; with a stack of its own, since chains of operators are as deep as they are long."""
    stack = [node]
    while stack:
        found = stack.pop()
        yield found
        stack.extend(reversed(children(found)))


def bare(node: Expr) -> Expr:
    while isinstance(node, Paren):
        node = node.expr
    return node


def kind_of(node: Expr, lookup: Lookup) -> Kind:
    """Whether what an expression gives only ever rises; "unknown" where a family is not known."""
    node = bare(node)
    match node:
        case VectorSelector():
            found = lookup(node.name)
            return found.kind if found else "unknown"
        case MatrixSelector() | Subquery() | Unary():
            return kind_of(children(node)[0], lookup)
        case Aggregate():
            inner = kind_of(node.expr, lookup)
            return "unknown" if inner == "counter" else inner
        case Call():
            if node.func in ("label_replace", "label_join"):
                return kind_of(node.args[0], lookup)
            return "gauge" if node.args else "unknown"
        case Binary():
            first, chain = left_spine(node)
            kind = kind_of(first, lookup)
            for binary in chain:
                kind = _binary_kind(binary, kind, lookup)
            return kind
        case _:
            return "unknown"


def _binary_kind(node: Binary, lhs: Kind, lookup: Lookup) -> Kind:
    """lhs: the kind of the left side, which may be a long chain and is worked out already."""
    kinds = {lhs} if value_type(node.lhs) == "vector" else set[Kind]()
    if value_type(node.rhs) == "vector" and not (kinds and node.op in COMPARISONS):
        kinds.add(kind_of(node.rhs, lookup))
    return "gauge" if "gauge" in kinds else "unknown" if len(kinds) != 1 else kinds.pop()


def labels_of(node: Expr, lookup: Lookup) -> frozenset[str] | None:
    """The labels that the answer's series can have, without the metric name; None where that cannot be known."""
    node = bare(node)
    match node:
        case VectorSelector():
            found = lookup(node.name)
            return found.labels if found else None
        case MatrixSelector() | Subquery() | Unary():
            return labels_of(children(node)[0], lookup)
        case Aggregate():
            return _aggregate_labels(node, lookup)
        case Call():
            return _call_labels(node, lookup)
        case Binary():
            first, chain = left_spine(node)
            labels = labels_of(first, lookup)
            for binary in chain:
                labels = _binary_labels(binary, labels, lookup)
            return labels
        case _:
            return frozenset()


def _aggregate_labels(node: Aggregate, lookup: Lookup) -> frozenset[str] | None:
    if not node.without and node.op not in _KEEPING:
        named = frozenset(node.grouping)
        return None if node.op == "count_values" else named
    inner = labels_of(node.expr, lookup)
    if inner is None or node.op in _KEEPING:
        return inner
    return inner - set(node.grouping)


def _call_labels(node: Call, lookup: Lookup) -> frozenset[str] | None:
    vectors = [argument for argument in node.args if value_type(argument) in ("vector", "matrix")]
    if node.func in ("absent", "absent_over_time"):
        selector = next((found for found in walk(node.args[0]) if isinstance(found, VectorSelector)), None)
        return frozenset(m.name for m in selector.matchers if m.op == "=") - {"__name__"} if selector else frozenset()
    if node.func in ("label_replace", "label_join", "info"):
        return None
    inner = labels_of(vectors[0], lookup) if vectors and node.func not in ("vector", "scalar") else frozenset()
    return inner - {"le"} if inner is not None and node.func == "histogram_quantile" else inner


def _binary_labels(node: Binary, lhs: frozenset[str] | None, lookup: Lookup) -> frozenset[str] | None:
    """lhs: the labels of the left side, which may be a long chain and is worked out already."""
    if node.matching is None:
        return labels_of(node.rhs, lookup) if value_type(node.lhs) == "scalar" else lhs
    rhs, matching = labels_of(node.rhs, lookup), node.matching
    if node.op == "or":
        return None if lhs is None or rhs is None else lhs | rhs
    if matching.card == "one-to-one":
        if matching.on:
            return frozenset(matching.labels)
        return None if lhs is None else lhs - set(matching.labels)
    many = rhs if matching.card == "one-to-many" else lhs
    return None if many is None else many | set(matching.include)
