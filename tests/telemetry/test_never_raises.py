"""Whatever a bot hands over, it gets no exception back, and what is exported stays readable."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from algowatch.catalog.families import GROUPS
from algowatch.telemetry.watch import Watch, WatchOptions


class Hostile:
    """Raises at every turn."""

    def _no(self, *args: Any) -> Any:
        raise RuntimeError("hostile")

    __float__ = __str__ = __repr__ = __hash__ = __bool__ = _no  # type: ignore[assignment]
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __radd__ = __iter__ = _no  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


NONSENSE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
    st.decimals(),
    st.complex_numbers(),
    st.builds(Hostile),
    st.sampled_from([np.float64(1.5), np.array([1.0, 2.0]), np.array([1.0]), Decimal("sNaN"), 10**400, object(), type, len]),
)
KEYWORDS = st.dictionaries(
    st.sampled_from(
        ["strategy", "symbol", "side", "order_type", "reason", "currency", "broker", "method", "switch", "amount", "x"]
    ),
    NONSENSE,
    max_size=4,
)


def methods(watch: Watch) -> list[Any]:
    """Every public method of every group, of every recorder in it, and of recorders of one's own."""
    own = [watch.counter("own", "", ["side"]), watch.gauge("own_level"), watch.histogram("own_spans")]
    own += [recorder.bind() for recorder in own]
    found: list[Any] = []
    for owner in [*(getattr(watch, group) for group in GROUPS), *own]:
        for name, member in inspect.getmembers(owner):
            if name.startswith("_"):
                continue
            if inspect.ismethod(member) and name in _CALLED | set(dir(type(owner))) - _KEPT_OUT:
                found.append(member)
            elif hasattr(member, "family") and not inspect.ismethod(member):
                found += [getattr(member, each) for each in _CALLED if hasattr(member, each)]
    return found


_CALLED = {"set", "inc", "dec", "observe", "bind", "remove", "time"}
_KEPT_OUT = {"cell", "kept_cell", "new_cell", "record", "repair", "reset", "snapshot"}


def test_the_list_of_methods_is_not_empty():
    names = {method.__name__ for method in methods(Watch(WatchOptions("a", discover=False)))}
    assert {"submitted", "filled", "set", "dec", "observe", "tick", "connected", "hold", "trip", "requests"} <= names
    assert len(methods(Watch(WatchOptions("a", discover=False)))) > 60


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_no_recording_method_raises(data):
    watch = Watch(WatchOptions("a", discover=False, max_series=5))
    everything = methods(watch)
    for _ in range(5):
        method = data.draw(st.sampled_from(everything))
        given_in_order = data.draw(st.lists(NONSENSE, max_size=3))
        named = data.draw(KEYWORDS)
        for taken in list(inspect.signature(method).parameters)[: len(given_in_order)]:
            named.pop(taken, None)  # one argument given twice is the language's own error
        method(*given_in_order, **named)
    list(text_string_to_metric_families(watch.exposition().decode()))


@given(name=NONSENSE, help=NONSENSE, labels=NONSENSE, buckets=NONSENSE)
@settings(max_examples=100, deadline=None)
def test_no_declaration_raises(name, help, labels, buckets):
    watch = Watch(WatchOptions("a", discover=False))
    watch.counter(name, help, labels).inc()
    watch.gauge(name, help, labels).set(1.0)
    watch.histogram(name, help, labels, buckets).observe(1.0)
    list(text_string_to_metric_families(watch.exposition().decode()))
