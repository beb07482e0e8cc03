"""A disk that is full or read-only, and a clock that jumps: the store says so, keeps what it has, and goes on afterwards."""

import contextlib
import gc
import tracemalloc

import numpy as np
import pytest

from algowatch.errors import StoreError
from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions

LAYOUT = Layout([Labels.of({"__name__": "m", "n": str(n)}) for n in range(200)])
OPTIONS = StoreOptions(retention_ms=0, seal_rows=20)


def fill(store, steps, layout=LAYOUT, stream="bot"):
    for step in steps:
        store.append(stream, step * 1000, layout, np.full(len(layout), float(step)))


def new_layout(step):
    return Layout([Labels.of({"__name__": "m", "run": str(step), "n": str(n)}) for n in range(20)])


def steps_of(store):
    """The steps that every series of LAYOUT has."""
    (matrix,) = [found for found in store.select([], 0, 10**12) if len(found.labels) == len(LAYOUT)]
    assert matrix.present is None
    return (matrix.timestamps_ms // 1000).tolist()


def pragma(store, text):
    """Full and read-only, as SQLite meets them, without a disk of one's own."""
    store._database.writer().execute(f"PRAGMA {text}").fetchone()


def fill_disk(store):
    store.compact()
    (pages,) = store._database.writer().execute("PRAGMA page_count").fetchone()
    pragma(store, f"max_page_count = {pages}")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path, OPTIONS) as opened:
        fill(opened, range(1, 50))
        opened.maintain()
        yield opened


@pytest.mark.parametrize(
    ("break_disk", "mend_disk", "problem"),
    [
        (fill_disk, lambda store: pragma(store, "max_page_count = 1000000"), "disk is full; free space on that disk"),
        (
            lambda store: pragma(store, "query_only = 1"),
            lambda store: pragma(store, "query_only = 0"),
            "readonly database; make the directory writable",
        ),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_cannot_be_written_keeps_what_is_there_and_is_used_again_once_it_can(store, break_disk, mend_disk, problem):
    break_disk(store)
    refused = []
    for step in range(50, 90):
        try:
            fill(store, [step])
        except StoreError as error:
            refused.append((step, str(error)))
    assert all(problem in said for _, said in refused)
    refused = [step for step, _ in refused]
    kept = [step for step in range(1, 90) if step not in refused]
    assert len(refused) >= 30
    assert steps_of(store) == kept
    with pytest.raises(StoreError, match=problem):
        store.append_samples("late", [(Labels.of({"__name__": f"late_{n}"}), 5, 1.0) for n in range(500)])
    with contextlib.suppress(StoreError):
        store.compact()
    assert steps_of(store) == kept
    assert store.stats().failed_appends == len(refused) + 1
    mend_disk(store)
    fill(store, [100])
    store.compact()
    assert steps_of(store) == [*kept, 100]
    assert store.check().problems == []


def test_new_label_sets_at_each_scrape_do_not_pile_up_in_memory_while_the_disk_is_full(store):
    fill_disk(store)
    attempts = iter(range(1000, 10_000))

    def scrape(times):
        failed = 0
        for _ in range(times):
            step = next(attempts)
            try:
                fill(store, [step], new_layout(step), f"bot{step}")
            except StoreError:
                failed += 1
        return failed

    while scrape(100) < 100:  # until the last bytes of the last pages are taken
        pass
    known = (store.stats().series, store.stats().streams)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    assert scrape(1000) == 1000
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 500_000
    assert (store.stats().series, store.stats().streams) == known


def test_rows_before_the_newest_are_refused_after_the_clock_was_set_back_and_taken_when_it_has_caught_up(store):
    for step in (10, 48, 49):
        with pytest.raises(StoreError, match="is not newer than the last one"):
            fill(store, [step])
    fill(store, [1], stream="another")
    fill(store, [50])
    assert store.stats().failed_appends == 3
    assert steps_of(store) == list(range(1, 51))


def test_upkeep_that_fails_is_counted_loses_nothing_and_is_made_up_for(store):
    fill(store, range(50, 90))
    pragma(store, "query_only = 1")
    for _ in range(2):
        with pytest.raises(StoreError, match="readonly"):
            store.maintain()
    assert store.stats().failed_upkeep == 2
    assert steps_of(store) == list(range(1, 90))
    pragma(store, "query_only = 0")
    store.maintain()
    assert (store.stats().head_rows, store.stats().failed_upkeep) == (0, 2)
    assert steps_of(store) == list(range(1, 90))
