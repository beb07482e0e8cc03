"""The store against a model: a dict of lists that does the obvious thing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from algowatch.errors import StoreError
from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import Layout
from algowatch.model.staleness import STALE_NAN
from algowatch.store import Store, StoreOptions

SERIES = [Labels.of({"__name__": f"family_{number % 4}", "n": str(number)}) for number in range(12)]
LAYOUTS = [Layout(SERIES[:6]), Layout(SERIES[3:9]), Layout(SERIES[::-1]), Layout(SERIES[2:3])]
STREAMS = ["one", "two"]
VALUES = st.sampled_from([0.0, -0.0, 1.0, 0.25, 1e-300, float("inf"), float("-inf"), float("nan"), STALE_NAN, 123456.789])
TIMES = st.integers(0, 40).map(lambda step: step * 300_000)


class FixedClock:
    def now_ms(self):
        return 0

    def monotonic(self):
        return 0.0


def bits(value):
    return int(np.float64(value).view(np.uint64))


class StoreModel(RuleBasedStateMachine):
    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        self.options = StoreOptions(retention_ms=0, seal_rows=3, cache_bytes=20_000)
        self.store = Store.open(Path(self.folder.name), self.options, FixedClock())
        self.expected = {}
        self.writers = {}
        self.newest = {}

    def put(self, stream, labels, timestamp_ms, value):
        """First come, first kept; says whether the sample was new."""
        row = self.expected.setdefault(labels, {})
        self.writers.setdefault((labels, timestamp_ms), stream)
        new = timestamp_ms not in row
        row.setdefault(timestamp_ms, bits(value))
        return new

    @rule(
        stream=st.sampled_from(STREAMS),
        layout=st.sampled_from(LAYOUTS),
        gap=st.sampled_from([1, 1000, 15_000, 4_000_000]),
        data=st.data(),
    )
    def append(self, stream, layout, gap, data):
        timestamp_ms = self.newest.get(stream, 0) + gap
        if any(timestamp_ms in self.expected.get(labels, ()) for labels in layout.series):
            return  # two streams that write one series at one time: either value may stand
        values = np.array([data.draw(VALUES) for _ in layout.series])
        self.store.append(stream, timestamp_ms, layout, values)
        self.newest[stream] = timestamp_ms
        for labels, value in zip(layout.series, values, strict=True):
            self.put(stream, labels, timestamp_ms, value)

    @rule(stream=st.sampled_from(STREAMS), layout=st.sampled_from(LAYOUTS))
    def append_old(self, stream, layout):
        if stream in self.newest:
            with pytest.raises(StoreError, match="not newer"):
                self.store.append(stream, self.newest[stream], layout, np.zeros(len(layout)))

    @rule(samples=st.lists(st.tuples(st.sampled_from(SERIES), TIMES, VALUES), min_size=1, max_size=6))
    def append_samples(self, samples):
        if any(self.writers.get((labels, timestamp_ms), "one") != "one" for labels, timestamp_ms, _ in samples):
            return  # as above
        conflicts, duplicates, stored = [], 0, 0
        for labels, timestamp_ms, value in samples:
            known = self.expected.get(labels, {}).get(timestamp_ms)
            if self.put("one", labels, timestamp_ms, value):
                stored += 1
            elif known == bits(value):
                duplicates += 1
            else:
                conflicts.append((labels, timestamp_ms))
        outcome = self.store.append_samples("one", samples)
        self.newest["one"] = max(self.newest.get("one", 0), *(timestamp_ms for _, timestamp_ms, _ in samples))
        assert (outcome.stored, outcome.duplicates, sorted(outcome.conflicts)) == (stored, duplicates, sorted(conflicts))

    @rule(layout=st.sampled_from(LAYOUTS), times=st.sets(TIMES, min_size=1, max_size=8), data=st.data())
    def append_block(self, layout, times, data):
        times = np.array(sorted(times), np.int64)
        values = np.array([[data.draw(VALUES) for _ in times] for _ in layout.series])
        present = None
        if data.draw(st.booleans()):
            present = np.array([[data.draw(st.booleans()) for _ in times] for _ in layout.series])
        new = 0
        for row, labels in enumerate(layout.series):
            for column, timestamp_ms in enumerate(times.tolist()):
                if present is None or present[row, column]:
                    new += self.put("two", labels, timestamp_ms, values[row, column])
        assert self.store.append_block("two", times, layout, values, present) == new
        if new:
            self.newest["two"] = self.store._registry.streams["two"].last_ms

    @rule()
    def maintain(self):
        self.store.maintain()

    @rule()
    def compact(self):
        self.store.compact()

    @rule()
    def restart(self):
        self.store.close()
        self.store = Store.open(Path(self.folder.name), self.options, FixedClock())
        for stream in STREAMS:
            if stream in self.store._registry.streams:
                self.newest[stream] = self.store._registry.streams[stream].last_ms

    @rule(start=TIMES, length=st.integers(0, 10_000_000), family=st.integers(0, 3))
    def select_a_span(self, start, length, family):
        self.compare([Matcher("__name__", "=", f"family_{family}")], start, start + length)

    @invariant()
    def everything_is_there_once(self):
        if hasattr(self, "store"):
            self.compare([], -(10**15), 10**15)
            assert self.store.stats().samples == sum(map(len, self.expected.values()))

    def compare(self, matchers, start, end):
        found = {}
        for matrix in self.store.select(matchers, start, end):
            assert (np.diff(matrix.timestamps_ms) > 0).all()
            for row, labels in enumerate(matrix.labels):
                assert labels not in found
                there = slice(None) if matrix.present is None else matrix.present[row]
                kept = np.ascontiguousarray(matrix.values[row]).view(np.uint64)[there]
                found[labels] = dict(zip(matrix.timestamps_ms[there].tolist(), kept.tolist(), strict=True))
        expected = {}
        for labels, row in self.expected.items():
            inside = {time: value for time, value in row.items() if start <= time <= end}
            if inside and all(matcher.matches(labels.get(matcher.name)) for matcher in matchers):
                expected[labels] = inside
        assert found == expected

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
