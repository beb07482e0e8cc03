"""Backups and checks: what comes back, what is refused, and what is named when it is damaged."""

import re
import shutil
import sqlite3
import threading
from contextlib import closing

import numpy as np
import pytest

from algowatch.errors import StoreError
from algowatch.model.labels import Labels
from algowatch.model.protocols import Layout
from algowatch.store import Store, StoreOptions, back_up, check, check_file, restore
from algowatch.store import backup as backup_module

LAYOUT = Layout([Labels.of({"__name__": name, "n": str(n)}) for name in ("alpha", "beta") for n in range(3)])
KEEP_ALL = StoreOptions(retention_ms=0)
MINUTE_MS = 60_000


def fill(store, minutes):
    for minute in minutes:
        store.append("bot", minute * MINUTE_MS, LAYOUT, np.arange(len(LAYOUT)) + minute / 8)


def contents(store):
    """{labels: {timestamp: value}}"""
    return {
        labels: dict(zip(matrix.timestamps_ms.tolist(), matrix.values[row].tolist(), strict=True))
        for matrix in store.select([], -(10**15), 10**15)
        for row, labels in enumerate(matrix.labels)
    }


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


@pytest.fixture
def data(tmp_path):
    """A closed store with chunks and rows, and a file beside it."""
    with Store.open(tmp_path / "data", KEEP_ALL) as store:
        fill(store, range(1, 200))
        store.compact()
        fill(store, range(200, 210))
    change(tmp_path / "data" / "state.db", "CREATE TABLE silences (id TEXT)")
    change(tmp_path / "data" / "state.db", "INSERT INTO silences VALUES ('quiet')")
    return tmp_path / "data"


@pytest.fixture
def saved(data, tmp_path):
    path = tmp_path / "monday.backup"
    back_up(data, path, ("state.db", "absent.db"))
    return path


def test_everything_comes_back_after_the_data_is_gone(data, tmp_path):
    with Store.open(data, KEEP_ALL) as store:
        before = contents(store)
        made = back_up(data, tmp_path / "monday.backup", ("state.db", "absent.db"))
        fill(store, [500])
    assert (made.check.samples, made.check.series, made.check.problems, made.beside) == (6 * 209, 6, [], ("state.db",))
    shutil.rmtree(data)
    back = restore(tmp_path / "monday.backup", data)
    assert (back.check.samples, back.beside) == (6 * 209, ("state.db",))
    assert sorted(entry.name for entry in data.iterdir()) == ["algowatch.db", "algowatch.lock", "state.db"]
    with closing(sqlite3.connect(data / "state.db")) as state:
        assert state.execute("SELECT id FROM silences").fetchall() == [("quiet",)]
    with Store.open(data, KEEP_ALL) as store:
        assert contents(store) == before
        fill(store, [500])


def test_the_backup_of_a_restored_store_can_be_restored(data, saved, tmp_path):
    restore(saved, tmp_path / "first")
    back_up(tmp_path / "first", tmp_path / "again.backup", ("state.db",))
    restore(tmp_path / "again.backup", tmp_path / "second")
    with Store.open_reader(tmp_path / "second") as second, Store.open_reader(data) as original:
        assert contents(second) == contents(original)


def test_a_backup_holds_one_moment_of_a_store_that_is_written_to(tmp_path):
    done = threading.Event()
    with Store.open(tmp_path / "data", StoreOptions(retention_ms=0, seal_rows=3)) as store:

        def write():
            minute = 1
            while not done.is_set():
                fill(store, [minute])
                minute += 1
                if minute % 7 == 0:
                    store.maintain()
                if minute % 50 == 0:
                    store.compact()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(5):
                while contents(store).get(LAYOUT.series[0], {}).get(number * 20 * MINUTE_MS + MINUTE_MS) is None:
                    done.wait(0.01)
                assert back_up(tmp_path / "data", tmp_path / f"{number}.backup").check.sound
        finally:
            done.set()
            writer.join()
    for number in range(5):
        restore(tmp_path / f"{number}.backup", tmp_path / str(number))
        with Store.open_reader(tmp_path / str(number)) as reader:
            times = [list(samples) for samples in contents(reader).values()]
        assert times == [[minute * MINUTE_MS for minute in range(1, len(times[0]) + 1)]] * 6
        assert len(times[0]) > number * 20


def test_a_directory_that_is_not_empty_is_left_alone_without_force(data, saved):
    with Store.open(data, KEEP_ALL) as store:
        fill(store, [300])
    with pytest.raises(StoreError, match=r"is not empty: it holds algowatch.db.*replace .* with --force"):
        restore(saved, data)
    with Store.open(data, KEEP_ALL) as store:
        assert 300 * MINUTE_MS in contents(store)[LAYOUT.series[0]]
    restore(saved, data, force=True)
    with Store.open(data, KEEP_ALL) as store:
        assert max(contents(store)[LAYOUT.series[0]]) == 209 * MINUTE_MS
    assert sorted(entry.name for entry in data.iterdir()) == ["algowatch.db", "algowatch.lock", "state.db"]


def test_a_log_that_a_killed_engine_left_behind_does_not_leak_into_the_restored_store(data, saved, tmp_path):
    with Store.open(data, KEEP_ALL) as store:
        fill(store, [300])
        shutil.copytree(data, tmp_path / "killed")
    assert (tmp_path / "killed" / "algowatch.db-wal").stat().st_size
    restore(saved, tmp_path / "killed", force=True)
    with Store.open(tmp_path / "killed", KEEP_ALL) as store:
        assert max(contents(store)[LAYOUT.series[0]]) == 209 * MINUTE_MS


def test_a_directory_in_use_is_refused_even_with_force(data, saved):
    with Store.open(data, KEEP_ALL), pytest.raises(StoreError, match=r"another engine .* has this directory open"):
        restore(saved, data, force=True)


def test_what_is_there_comes_back_when_the_new_files_cannot_be_put_in_place(data, saved, monkeypatch):
    def fail(partial, path):
        raise OSError("the disk went away")

    monkeypatch.setattr(backup_module, "_move", fail)
    with pytest.raises(StoreError, match="the disk went away"):
        restore(saved, data, force=True)
    with Store.open(data, KEEP_ALL) as store:
        assert max(contents(store)[LAYOUT.series[0]]) == 209 * MINUTE_MS
    assert sorted(entry.name for entry in data.iterdir()) == ["algowatch.db", "algowatch.lock", "state.db"]


def test_a_file_that_is_no_backup_is_refused_and_changes_nothing(data, tmp_path):
    with pytest.raises(StoreError, match="is not a backup; name a file that `algowatch backup` wrote"):
        restore(data / "algowatch.db", tmp_path / "new")
    (tmp_path / "text").write_text("up 1\n" * 100)
    with pytest.raises(StoreError, match="not a database"):
        restore(tmp_path / "text", tmp_path / "new")
    with pytest.raises(StoreError, match="there is no store"):
        restore(tmp_path / "nothing", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_backup_that_lost_rows_or_was_cut_off_is_refused(saved, tmp_path):
    whole = saved.read_bytes()
    change(saved, "DELETE FROM rows WHERE seq = (SELECT max(seq) FROM rows)")
    with pytest.raises(StoreError, match="rows in its tables instead of"):
        restore(saved, tmp_path / "new")
    saved.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError):
        restore(saved, tmp_path / "new")
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["algowatch.lock"]


def test_a_backup_cannot_write_outside_the_directory(saved, tmp_path):
    change(saved, "UPDATE backup SET name = '../outside' WHERE name = 'state.db'")
    with pytest.raises(StoreError, match="names the files"):
        restore(saved, tmp_path / "new")


def test_a_failed_backup_leaves_nothing_behind(data, tmp_path):
    with pytest.raises(StoreError, match="there is no store"):
        back_up(tmp_path / "empty", tmp_path / "x.backup")
    change(data / "state.db", "PRAGMA user_version = 1")
    (data / "state.db").write_bytes(b"not SQLite")
    with pytest.raises(StoreError, match="not a database"):
        back_up(data, tmp_path / "x.backup", ("state.db",))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data"]


def test_a_sound_store_has_no_problems_while_it_is_open_and_after(data):
    with Store.open(data, KEEP_ALL) as store:
        fill(store, [300])
        assert (store.check().samples, store.check().sound) == (6 * 210, True)
    assert check(data).samples == 6 * 210


@pytest.mark.parametrize(
    ("statement", "problem", "samples"),
    [
        ("UPDATE chunks SET data = zeroblob(40) WHERE id = {chunk}", r"chunk \d+ \(alpha, 1970-01-01T.*\): its checksum", None),
        ("UPDATE chunks SET samples = 1 WHERE id = {chunk}", r"holds \d+ samples instead of 1", None),
        ("UPDATE chunks SET layout = 99 WHERE id = {chunk}", "its layout 99 is missing", None),
        ("UPDATE chunks SET shard = 99 WHERE id = {chunk}", "its shard is missing", None),
        ("UPDATE blocks SET timestamps = zeroblob(9)", "the checksum of its timestamps is wrong", 6 * 10),
        ("UPDATE rows SET vector = zeroblob(8)", r"row \d+ \(stream 'bot', .*\): 8 bytes for 6 series", 6 * 199),
        ("DELETE FROM series WHERE id = 1", "names 1 series that are missing, the first is 1", 6 * 209),
        ("DELETE FROM streams", r"row \d+ .*: its stream is missing", 6 * 199),
    ],
)
def test_what_is_damaged_is_named(data, statement, problem, samples):
    path = data / "algowatch.db"
    with closing(sqlite3.connect(path)) as connection:
        (chunk,) = connection.execute("SELECT min(id) FROM chunks").fetchone()
    change(path, statement.format(chunk=chunk))
    found = check(data)
    assert not found.sound
    assert any(re.search(problem, text) for text in found.problems), found.problems
    assert found.samples < 6 * 209 or samples == 6 * 209
    assert samples is None or found.samples == samples


def test_a_damaged_page_is_named(data):
    path = data / "algowatch.db"
    whole = bytearray(path.read_bytes())
    for page in range(2, len(whole) // 4096):
        whole[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(whole)
    found = check_file(path)
    assert any("SQLite" in problem for problem in found.problems)


def test_a_chunk_that_was_damaged_before_is_copied_and_named_on_the_way_in_and_out(data, tmp_path):
    change(data / "algowatch.db", "UPDATE chunks SET crc = 1 WHERE id = (SELECT min(id) FROM chunks)")
    made = back_up(data, tmp_path / "x.backup")
    assert ["its checksum is wrong" in problem for problem in made.check.problems] == [True]
    assert len(restore(tmp_path / "x.backup", tmp_path / "new").check.problems) == 1
