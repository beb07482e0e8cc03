"""Followers see every row once, in order, across sealing, compaction, restarts and deletions."""

import numpy as np

from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions

LAYOUT = Layout([Labels.of({"__name__": "m", "n": str(n)}) for n in range(4)])
OPTIONS = StoreOptions(retention_ms=0, seal_rows=3)


def fill(store, steps):
    for step in steps:
        store.append("bot", step * 1000, LAYOUT, np.full(4, float(step)))


def read_all(follower, samples=10):
    """The steps of everything that is left, moving on."""
    steps = []
    while rows := follower.read(samples):
        for row in rows:
            assert np.frombuffer(row.vector, "<f8").tolist() == [row.timestamp_ms / 1000] * 4
        steps += [row.timestamp_ms // 1000 for row in rows]
        follower.advance(rows[-1].seq)
    return steps


def rows_in_file(store):
    with store._database.reader() as connection:
        return connection.execute("SELECT count(*) FROM rows").fetchone()[0]


def test_a_new_follower_begins_with_what_comes_from_now_on(tmp_path):
    with Store.open(tmp_path, OPTIONS) as store:
        fill(store, [1, 2])
        (follower,) = store.follow(["desk"])
        assert follower.read(10) == []
        fill(store, [3, 4])
        assert read_all(follower) == [3, 4]


def test_rows_stay_until_every_follower_has_had_them_and_no_longer(tmp_path):
    with Store.open(tmp_path, OPTIONS) as store:
        quick, slow = store.follow(["quick", "slow"])
        fill(store, range(1, 100))
        store.compact()
        assert rows_in_file(store) == 99
        assert store.stats().samples == 99 * 4
        assert read_all(quick) == list(range(1, 100))
        store.maintain()
        assert rows_in_file(store) == 99
        assert len(slow.read(40)) == 10
        slow.advance(slow.read(40)[-1].seq)
        store.maintain()
        assert rows_in_file(store) == 89
        assert read_all(slow) == list(range(11, 100))
        store.maintain()
        assert rows_in_file(store) == 0
        assert slow.oldest_ms() is None


def test_a_restart_neither_loses_nor_doubles_and_shows_the_rows_once(tmp_path):
    got = []
    for first in range(1, 200, 20):
        with Store.open(tmp_path, OPTIONS) as store:
            (follower,) = store.follow(["desk"])
            fill(store, range(first, first + 20))
            store.maintain()
            if first % 40 == 1:
                store.compact()
            rows = follower.read(28)
            got += [row.timestamp_ms // 1000 for row in rows]
            follower.advance(rows[-1].seq)
            assert store.stats().samples == 4 * (first + 19)
            assert sum(matrix.values.size for matrix in store.select([], 0, 10**9)) == 4 * (first + 19)
    with Store.open(tmp_path, OPTIONS) as store:
        got += read_all(store.follow(["desk"])[0])
    assert got == list(range(1, 201))


def test_a_reader_beside_the_engine_does_not_show_held_rows_twice(tmp_path):
    with Store.open(tmp_path, OPTIONS) as store, Store.open_reader(tmp_path) as reader:
        store.follow(["desk"])
        fill(store, range(1, 50))
        store.compact()
        (matrix,) = reader.select([], 0, 10**9)
        assert matrix.timestamps_ms.tolist() == [step * 1000 for step in range(1, 50)]
        assert store.check().samples == 49 * 4


def test_a_follower_that_is_not_named_any_more_holds_nothing_back(tmp_path):
    with Store.open(tmp_path, OPTIONS) as store:
        store.follow(["desk"])
        fill(store, range(1, 50))
        store.compact()
    with Store.open(tmp_path, OPTIONS) as store:
        assert rows_in_file(store) == 49
        assert store.follow([]) == []
        store.maintain()
        assert rows_in_file(store) == 0
    with Store.open(tmp_path, OPTIONS) as store:
        (follower,) = store.follow(["desk"])
        fill(store, [50])
        assert read_all(follower) == [50]


def test_above_the_limit_the_oldest_rows_go_and_are_counted(tmp_path):
    options = StoreOptions(retention_ms=0, seal_rows=3, unsent_bytes=10 * 4 * 8)
    with Store.open(tmp_path, options) as store:
        (follower,) = store.follow(["desk"])
        fill(store, range(1, 31))
        store.compact()
        assert store.unsent_dropped == 20 * 4
        assert read_all(follower) == list(range(21, 31))
        assert store.stats().samples == 30 * 4


def test_late_samples_are_followed_and_deleted_series_are_told_apart(tmp_path):
    with Store.open(tmp_path, OPTIONS) as store:
        (follower,) = store.follow(["desk"])
        fill(store, [10])
        store.append_samples("late", [(LAYOUT.series[1], 5000, 7.0)])
        rows = follower.read(100)
        assert [(row.timestamp_ms, len(row.ids)) for row in rows] == [(10_000, 4), (5_000, 1)]
        store.delete([[Matcher("n", "=", "2")]])
        assert store.labels_by_id(rows[0].ids.tolist()) == [LAYOUT.series[0], LAYOUT.series[1], None, LAYOUT.series[3]]


def test_a_store_of_the_first_release_gets_the_table(tmp_path):
    with Store.open(tmp_path, OPTIONS) as store:
        fill(store, [1])
        with store._database.transaction() as connection:
            connection.execute("DROP TABLE followers")
    with Store.open(tmp_path, OPTIONS) as store:
        (follower,) = store.follow(["desk"])
        fill(store, [2])
        assert read_all(follower) == [2]
