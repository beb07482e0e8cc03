"""Running a store: retention, deletion, backup, other processes, concurrency, and what goes wrong."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from algowatch.errors import StoreError
from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions

HOUR_MS = 3_600_000
NAMES = ["alpha", "beta", "gamma"]
LAYOUT = Layout([Labels.of({"__name__": name, "n": str(n)}) for name in NAMES for n in range(4)])
KEEP_ALL = StoreOptions(retention_ms=0)


class HeldClock:
    def __init__(self, at_ms=0):
        self.at_ms = at_ms

    def now_ms(self):
        return self.at_ms

    def monotonic(self):
        return self.at_ms / 1000


def name_is(name):
    return [Matcher("__name__", "=", name)]


def times_of(store, matchers=()):
    """{labels: timestamps}"""
    found = {}
    for matrix in store.select(list(matchers), -(10**15), 10**15):
        for row, labels in enumerate(matrix.labels):
            assert labels not in found
            there = slice(None) if matrix.present is None else matrix.present[row]
            found[labels] = matrix.timestamps_ms[there].tolist()
    return found


def fill(store, times, layout=LAYOUT, stream="bot"):
    for time_ms in times:
        store.append(stream, time_ms, layout, np.arange(len(layout)) + time_ms / 1000)


def test_retention_by_time_deletes_blocks_and_forgets_their_series(tmp_path):
    clock = HeldClock()
    with Store.open(tmp_path, StoreOptions(retention_ms=6 * HOUR_MS), clock) as store:
        fill(store, range(0, 2 * HOUR_MS, HOUR_MS // 4), Layout(LAYOUT.series[:6]), "gone")
        fill(store, range(0, 24 * HOUR_MS, HOUR_MS // 4))
        clock.at_ms = 24 * HOUR_MS
        store.maintain()
        oldest = min(times[0] for times in times_of(store).values())
        assert 15 * HOUR_MS <= oldest <= 18 * HOUR_MS
        clock.at_ms = 40 * HOUR_MS
        store.maintain()
        assert (times_of(store), store.label_names(), store.stats().series) == ({}, [], 0)
        fill(store, [40 * HOUR_MS])
        assert len(times_of(store)) == 12
    with Store.open(tmp_path) as store:
        assert store.label_values("__name__") == NAMES


def test_samples_decades_old_stay_where_retention_is_off(tmp_path):
    with Store.open(tmp_path, KEEP_ALL, HeldClock(1_800_000_000_000)) as store:
        fill(store, [-5 * HOUR_MS, 0, 100 * HOUR_MS])
        store.compact()
        assert set(map(tuple, times_of(store).values())) == {(-5 * HOUR_MS, 0, 100 * HOUR_MS)}


def test_retention_by_size_deletes_the_oldest_blocks(tmp_path):
    rng = np.random.default_rng(5)
    with Store.open(tmp_path, StoreOptions(retention_ms=0, retention_bytes=250_000)) as store:
        times = np.arange(0, 48 * HOUR_MS, 60_000)
        store.append_block("bot", times, LAYOUT, rng.random((len(LAYOUT), len(times))))
        store.compact()
        stats = store.stats()
        assert stats.file_bytes <= 250_000
        assert stats.first_ms > 0
        assert stats.last_ms == times[-1]


def test_delete_takes_exactly_the_series_and_times_asked_for(tmp_path):
    with Store.open(tmp_path, KEEP_ALL) as store:
        fill(store, range(0, 100_000, 10_000))
        store.compact()
        fill(store, range(100_000, 200_000, 10_000))
        before = times_of(store)
        assert store.delete([name_is("beta"), [Matcher("n", "=", "0")]], 50_000, 120_000) == 6 * 8
        for labels, times in times_of(store).items():
            hit = labels.metric_name == "beta" or labels.get("n") == "0"
            assert times == [time for time in before[labels] if not (hit and 50_000 <= time <= 120_000)]
        assert store.delete([name_is("gamma")]) == 4 * 20 - 8
        assert "gamma" not in store.label_values("__name__")
        assert store.stats().samples == sum(map(len, times_of(store).values()))


def test_a_backup_is_a_store_and_is_never_written_over(tmp_path):
    copy = tmp_path / "restored" / "algowatch.db"
    copy.parent.mkdir()
    with Store.open(tmp_path / "data", KEEP_ALL) as store:
        fill(store, [1000, 2000])
        store.compact()
        fill(store, [3000])
        store.backup(copy)
        fill(store, [4000])
        with pytest.raises(StoreError, match="exists already"):
            store.backup(copy)
        with pytest.raises(StoreError, match="nowhere"):
            store.backup(tmp_path / "nowhere" / "copy.db")
    with Store.open(copy.parent, KEEP_ALL) as restored:
        assert set(map(tuple, times_of(restored).values())) == {(1000, 2000, 3000)}


def test_a_reader_sees_what_the_engine_has_committed(tmp_path):
    with Store.open(tmp_path, KEEP_ALL) as store, Store.open_reader(tmp_path) as reader:
        assert times_of(reader) == {}
        for step in range(1, 30):
            fill(store, [step * 10_000], LAYOUT if step % 7 else Layout(LAYOUT.series[:5]))
            if step % 5 == 0:
                store.compact()
            assert times_of(reader) == times_of(store)
        assert reader.label_values("__name__") == NAMES
        assert reader.series([name_is("beta")]) == store.series([name_is("beta")])
        assert reader.label_names() == ["__name__", "n"]


def test_another_process_reads_while_the_engine_has_the_store_open(tmp_path):
    program = (
        "import sys; from algowatch.store import Store\n"
        "with Store.open_reader(sys.argv[1]) as reader:\n"
        "    print(sum(matrix.values.size for matrix in reader.select([], 0, 10**12)))\n"
    )
    with Store.open(tmp_path, KEEP_ALL) as store:
        fill(store, [1000, 2000])
        store.compact()
        fill(store, [3000])
        answer = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "36"


def test_a_reader_of_an_empty_directory_says_what_to_do(tmp_path):
    with pytest.raises(StoreError, match="there is no store; start the engine"):
        Store.open_reader(tmp_path)


def test_what_was_once_selected_stays_selected_while_rows_are_appended_and_sealed(tmp_path):
    seen, faults = [], []
    done = threading.Event()
    with Store.open(tmp_path, StoreOptions(retention_ms=0, seal_rows=3), HeldClock()) as store:

        def look():
            known = 0
            while not done.is_set():
                for matrix in store.select(name_is("beta"), 0, 10**12):
                    times = matrix.timestamps_ms.tolist()
                    gapless = times == [step * 60_000 for step in range(len(times))] and matrix.present is None
                    if not gapless or len(times) < known:
                        faults.append((known, times))
                    if not (matrix.values == matrix.timestamps_ms / 1000 + np.arange(4, 8)[:, None]).all():
                        faults.append("values")
                    known = len(times)
                    seen.append(known)

        def keep_house():
            while not done.is_set():
                store.maintain()
                store.compact()

        threads = [threading.Thread(target=look), threading.Thread(target=look), threading.Thread(target=keep_house)]
        for thread in threads:
            thread.start()
        for step in range(400):
            fill(store, [step * 60_000])
            while step % 20 == 0 and not (faults or (seen and seen[-1] > step)):
                time.sleep(0.0005)  # until a reader has caught up
        done.set()
        for thread in threads:
            thread.join()
        assert faults == []
        assert set(map(len, times_of(store).values())) == {400}


def test_a_damaged_chunk_is_left_out_counted_and_logged_once(tmp_path, caplog):
    with Store.open(tmp_path, KEEP_ALL) as store:
        fill(store, [1000, 2000])
        store.compact()
    database = sqlite3.connect(tmp_path / "algowatch.db")
    (number, data) = database.execute("SELECT id, data FROM chunks ORDER BY id LIMIT 1").fetchone()
    database.execute("UPDATE chunks SET data = ? WHERE id = ?", (data[:-1] + bytes([data[-1] ^ 1]), number))
    database.commit()
    database.close()
    with Store.open(tmp_path, KEEP_ALL) as store:
        for _ in range(2):
            assert {labels.metric_name for labels in times_of(store)} == {"beta", "gamma"}
        fill(store, [3000])
        store.compact()
        store.compact()
        assert len(times_of(store)) == 12
        assert store.stats().damaged_chunks == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"chunk {number} of the store is damaged and left out of every answer; a backup has it"
    ]


def test_a_store_of_a_newer_release_is_refused(tmp_path):
    Store.open(tmp_path).close()
    database = sqlite3.connect(tmp_path / "algowatch.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    for open_it in (Store.open, Store.open_reader):
        with pytest.raises(StoreError, match="schema version 99 and this release of algowatch reads up to 1; install"):
            open_it(tmp_path)


def test_a_file_that_is_no_store_is_refused_with_its_path(tmp_path):
    (tmp_path / "algowatch.db").write_bytes(b"hello" * 1000)
    with pytest.raises(StoreError, match=r"algowatch\.db: file is not a database; the file is damaged"):
        Store.open(tmp_path)
    (tmp_path / "algowatch.db").unlink()
    Store.open(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/data: cannot write here: Not a directory; make it a writable directory"):
        Store.open(tmp_path / "file" / "data")


def test_a_full_disk_stores_nothing_of_a_row_and_the_next_one_goes_in_when_there_is_room(tmp_path):
    with Store.open(tmp_path, KEEP_ALL) as store:
        fill(store, [1000])
        writer = store._database.writer()
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then answers as it does on a full disk
        wide = Layout([Labels.of({"__name__": "wide", "n": str(n)}) for n in range(5000)])
        with pytest.raises(StoreError, match=r"algowatch\.db: database or disk is full; free space on that disk"):
            store.append("bot", 2000, wide, np.zeros(5000))
        assert store.label_values("__name__") == NAMES
        assert set(map(tuple, times_of(store).values())) == {(1000,)}
        writer.execute("PRAGMA max_page_count = 1000000")
        store.append("bot", 2000, wide, np.zeros(5000))
        assert len(times_of(store, name_is("wide"))) == 5000
    with Store.open(tmp_path, KEEP_ALL) as store:
        assert len(times_of(store)) == 5012


def test_a_lock_of_a_dead_engine_is_taken_over(tmp_path):
    program = (
        "import os, sys; from algowatch.store import Store\n"
        "store = Store.open(sys.argv[1]); print('open', flush=True); sys.stdin.read(); os._exit(1)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"open\n"
    with pytest.raises(StoreError, match=f"another engine \\(process {child.pid}\\)"):
        Store.open(tmp_path)
    child.kill()
    child.communicate()
    assert (tmp_path / "algowatch.lock").read_text() == f"{child.pid}\n"
    with Store.open(tmp_path):
        assert (tmp_path / "algowatch.lock").read_text() == f"{os.getpid()}\n"


def test_a_closed_store_says_so(tmp_path):
    store = Store.open(tmp_path)
    fill(store, [1])
    store.close()
    for call in (lambda: fill(store, [2]), lambda: store.select([], 0, 1), store.maintain):
        with pytest.raises(StoreError, match="the store is closed"):
            call()


def test_a_layout_with_a_series_twice_is_refused(tmp_path):
    with Store.open(tmp_path) as store:
        with pytest.raises(StoreError, match=r"has series m more than once"):
            store.append("bot", 1, Layout([Labels.of(__name__="m")] * 2), np.zeros(2))
        assert store.stats().series == 0


def test_a_new_layout_at_each_row_leaves_no_layouts_behind(tmp_path):
    with Store.open(tmp_path, KEEP_ALL) as store:
        for step in range(300):
            layout = Layout([*LAYOUT.series, Labels.of(__name__="churn", n=str(step))])
            store.append("bot", step * 1000, layout, np.full(13, step))
        store.compact()
        times = times_of(store)
        assert len(times) == 312
        assert times[Labels.of(__name__="churn", n="77")] == [77_000]
        (layouts,) = store._database.writer().execute("SELECT count(*) FROM layouts").fetchone()
        assert layouts <= 6


def test_a_copied_directory_opens_like_the_original(tmp_path):
    with Store.open(tmp_path / "a", KEEP_ALL) as store:
        fill(store, [1000, 2000])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with Store.open(tmp_path / "b", KEEP_ALL) as store:
        assert len(times_of(store)) == 12
