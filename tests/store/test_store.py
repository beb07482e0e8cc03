"""The store as the engine uses it: append, select, restart."""

from __future__ import annotations

import os

import numpy as np
import pytest

from algowatch.errors import StoreError
from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import Layout
from algowatch.model.staleness import STALE_NAN
from algowatch.store import Store, StoreOptions


def series(name, **labels):
    return Labels.of({"__name__": name, **labels})


def name_is(name):
    return [Matcher("__name__", "=", name)]


def samples(store, matchers, start_ms=0, end_ms=10**15):
    """{labels: [(timestamp, bits)…]} of a select; asserts that no series comes twice."""
    found = {}
    for matrix in store.select(matchers, start_ms, end_ms):
        for row, labels in enumerate(matrix.labels):
            assert labels not in found
            there = slice(None) if matrix.present is None else matrix.present[row]
            bits = np.ascontiguousarray(matrix.values[row]).view(np.uint64)[there]
            found[labels] = list(zip(matrix.timestamps_ms[there].tolist(), bits.tolist(), strict=True))
    return found


def bits(value):
    return int(np.float64(value).view(np.uint64))


LAYOUT = Layout([series("fills_total", side="BUY"), series("fills_total", side="SELL"), series("pnl")])


def test_an_appended_row_is_selected_with_both_ends_included(tmp_path):
    with Store.open(tmp_path) as store:
        for step in range(5):
            store.append("bot", 1000 * step, LAYOUT, np.array([step, 2.0 * step, -1.5]))
        (matrix,) = store.select(name_is("fills_total"), 1000, 3000)
        assert [labels.get("side") for labels in matrix.labels] == ["BUY", "SELL"]
        assert matrix.timestamps_ms.tolist() == [1000, 2000, 3000]
        assert matrix.values.tolist() == [[1, 2, 3], [2, 4, 6]]
        assert matrix.present is None


def test_rows_are_there_after_a_restart(tmp_path):
    special = [STALE_NAN, float("inf"), -0.0]
    with Store.open(tmp_path) as store:
        store.append("bot", 1, LAYOUT, np.array([1.0, 2.0, 3.0]))
        store.append("bot", 2, LAYOUT, np.array(special))
    with Store.open(tmp_path) as store:
        found = samples(store, [])
        assert [found[labels][1] for labels in LAYOUT.series] == [(2, bits(value)) for value in special]
        store.append("bot", 3, LAYOUT, np.zeros(3))
        assert len(samples(store, name_is("pnl"))[series("pnl")]) == 3


def test_a_row_that_is_not_newer_is_refused_also_after_a_restart(tmp_path):
    with Store.open(tmp_path) as store:
        store.append("bot", 5, LAYOUT, np.zeros(3))
        with pytest.raises(StoreError, match="not newer than the last one at 5 ms"):
            store.append("bot", 5, LAYOUT, np.ones(3))
    with Store.open(tmp_path) as store, pytest.raises(StoreError, match="not newer"):
        store.append("bot", 4, LAYOUT, np.ones(3))


def test_a_series_written_by_two_streams_comes_once(tmp_path):
    with Store.open(tmp_path) as store:
        store.append("a", 1, LAYOUT, np.array([1.0, 2.0, 3.0]))
        store.append("b", 2, Layout([series("pnl"), series("other")]), np.array([4.0, 5.0]))
        assert samples(store, [])[series("pnl")] == [(1, bits(3)), (2, bits(4))]


def test_a_second_engine_is_refused_with_the_holders_process_id(tmp_path):
    with Store.open(tmp_path), pytest.raises(StoreError, match=f"another engine \\(process {os.getpid()}\\)"):
        Store.open(tmp_path)
    Store.open(tmp_path).close()


def test_sealing_and_merging_change_nothing_that_is_selected(tmp_path):
    wider = Layout([*LAYOUT.series, series("pnl", strategy="x")])
    with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
        for step in range(50):
            layout = wider if 20 <= step < 30 else LAYOUT
            values = np.full(len(layout), step / 4)
            values[2] = [STALE_NAN, -0.0, float("-inf"), 0.1][step % 4]
            store.append("bot", 600_000 * step, layout, values)
            if step % 7 == 0:
                before = samples(store, [])
                store.compact()
                assert samples(store, []) == before
        before = samples(store, [])
        assert sum(map(len, before.values())) == 160
    with Store.open(tmp_path) as store:
        assert samples(store, []) == before


def test_history_is_appended_in_bulk_and_stored_samples_stay(tmp_path):
    with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
        store.append("bot", 40_000, LAYOUT, np.array([1.0, 2.0, 3.0]))
        times = np.arange(0, 60_000, 10_000)
        values = np.arange(18.0).reshape(3, 6) + 100
        assert store.append_block("bot", times, LAYOUT, values) == 15
        found = samples(store, name_is("pnl"))[series("pnl")]
        assert found == [
            (0, bits(112)),
            (10_000, bits(113)),
            (20_000, bits(114)),
            (30_000, bits(115)),
            (40_000, bits(3)),
            (50_000, bits(117)),
        ]
        assert store.append_block("bot", times, LAYOUT, values) == 0
        with pytest.raises(StoreError, match="not newer"):
            store.append("bot", 45_000, LAYOUT, np.zeros(3))
        store.compact()
        assert samples(store, name_is("pnl"))[series("pnl")] == found


def test_samples_with_their_own_times_come_in_any_order_and_conflicts_are_reported(tmp_path):
    one, two = series("m", instance="a", job="j"), series("m", instance="b", job="j")
    with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
        outcome = store.append_samples("remote", [(one, 30, 3.0), (one, 10, 1.0), (two, 10, 7.0), (one, 10, 1.0)])
        assert (outcome.stored, outcome.duplicates, outcome.conflicts) == (3, 1, [])
        store.compact()
        outcome = store.append_samples("remote", [(one, 20, 2.0), (one, 30, 3.0), (two, 10, 8.0)])
        assert (outcome.stored, outcome.duplicates, outcome.conflicts) == (1, 1, [(two, 10)])
        expected = {one: [(10, bits(1)), (20, bits(2)), (30, bits(3))], two: [(10, bits(7))]}
        assert samples(store, []) == expected
        store.compact()
        assert samples(store, []) == expected


def test_names_values_and_series_follow_matchers_and_time(tmp_path):
    with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
        store.append("bot", 1000, LAYOUT, np.zeros(3))
        store.compact()
        store.append("bot", 9000, Layout([series("late", side="X")]), np.zeros(1))
        assert store.label_names() == ["__name__", "side"]
        assert store.label_values("__name__") == ["fills_total", "late", "pnl"]
        assert store.label_values("side", [name_is("fills_total")]) == ["BUY", "SELL"]
        assert store.label_values("side", [], 5000, 9000) == ["X"]
        assert store.label_names([name_is("pnl")]) == ["__name__"]
        assert store.series([name_is("pnl"), name_is("late")]) == sorted([series("pnl"), series("late", side="X")])
        assert store.series([name_is("pnl")], 5000, 9000) == []


def test_stats_count_what_is_there(tmp_path):
    with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
        assert (store.stats().samples, store.stats().first_ms) == (0, None)
        store.append("bot", 1000, LAYOUT, np.zeros(3))
        store.compact()
        store.append("bot", 9000, LAYOUT, np.zeros(3))
        stats = store.stats()
        assert (stats.series, stats.samples, stats.head_rows, stats.chunks, stats.blocks) == (3, 6, 1, 2, 1)
        assert (stats.first_ms, stats.last_ms) == (1000, 9000)


def test_an_empty_layout_and_empty_batches_do_no_harm(tmp_path):
    with Store.open(tmp_path) as store:
        store.append("bot", 1, Layout([]), np.empty(0))
        store.compact()
        assert store.append_samples("remote", []).stored == 0
        assert store.append_block("bot", np.empty(0, np.int64), LAYOUT, np.empty((3, 0))) == 0
        assert (store.select([], 0, 10), store.stats().head_rows) == ([], 0)
