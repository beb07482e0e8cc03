"""`algowatch.query` against a data directory, a running engine, and where there is nothing to ask."""

import datetime
import subprocess
import sys

import numpy as np
import pytest

import algowatch
from algowatch.errors import QueryError, UsageError
from algowatch.store import Store
from web.conftest import in_process, series, target  # noqa: F401 - fixtures

START = 1_700_000_000


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    with Store.open(folder) as store:
        fill(store)
    return folder


def fill(store):
    """One series with a sample each ten seconds, one that begins ten seconds later and holds a NaN."""
    store.append_samples(
        "test",
        [(series("pnl", strategy="gamma"), (START + 10 * i) * 1000, float(i)) for i in range(7)]
        + [(series("pnl", strategy="mean"), (START + 10 * i) * 1000, [2.5, float("nan"), -1.0][i - 1]) for i in (1, 2, 3)],
    )


@pytest.fixture(scope="module")
def engine(in_process):  # noqa: F811
    started = in_process()
    fill(started.engine.store)
    return started


@pytest.fixture(params=["data", "url"])
def source(request, history, engine):
    return {"data": history} if request.param == "data" else {"url": engine.url}


def test_a_span_gives_a_matrix_with_nan_where_there_is_no_sample(source):
    found = algowatch.query("pnl", START, START + 30, 10, **source)
    assert found.labels == [{"__name__": "pnl", "strategy": "gamma"}, {"__name__": "pnl", "strategy": "mean"}]
    assert found.times.dtype == "datetime64[ms]"
    assert found.times.astype(np.int64).tolist() == [(START + 10 * i) * 1000 for i in range(4)]
    np.testing.assert_array_equal(found.values, [[0, 1, 2, 3], [np.nan, 2.5, np.nan, -1]])
    assert found.present.tolist() == [[True] * 4, [False, True, True, True]]


def test_a_moment_gives_one_column(source):
    found = algowatch.query("sum(pnl)", end=datetime.datetime.fromtimestamp(START + 10, datetime.UTC), **source)
    assert (found.labels, found.values.tolist()) == ([{}], [[3.5]])


def test_raw_samples_keep_their_own_times(source):
    found = algowatch.query("pnl[25s]", end=START + 30, **source)
    assert found.times.astype(np.int64).tolist() == [(START + 10 * i) * 1000 for i in (1, 2, 3)]
    assert found.values[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("step", ["10s", 10, 10.0, datetime.timedelta(seconds=10)])
def test_a_step_is_seconds_a_duration_or_a_timedelta(source, step):
    assert len(algowatch.query("pnl", f"{START}", START + 60, step, **source).times) == 7


def test_scalars_and_texts_are_answers_too(source):
    assert algowatch.query("1 + 1", **source).values.tolist() == [[2.0]]
    assert algowatch.query('"desk"', **source).text == "desk"
    assert len(algowatch.query("nothing_there", **source)) == 0


def test_a_wrong_expression_says_the_same_everywhere(source):
    with pytest.raises(QueryError, match="unknown function with name"):
        algowatch.query("ratee(pnl[5m])", **source)


def test_the_running_engine_is_asked_where_nothing_is_named(engine):
    assert algowatch.query("count(pnl)", end=START + 30).values.tolist() == [[2.0]]


def test_without_an_engine_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ALGOWATCH_STATE_DIR", str(tmp_path))
    with pytest.raises(UsageError, match="algowatch up"):
        algowatch.query("up")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"start": START + 9, "end": START}, "start is after end"),
        ({"start": START, "end": START + 9, "step": 0}, "not a positive length"),
        ({"start": START, "end": START + 9, "step": "soon"}, "not a valid duration"),
        ({"end": "yesterday"}, "RFC 3339"),
        ({"step": 5}, "needs a start"),
        ({"url": "ftp://there"}, "not an http address"),
        ({"url": "http://x", "data": "y"}, "not both"),
    ],
)
def test_a_wrong_argument_is_named(arguments, said):
    with pytest.raises(UsageError, match=said):
        algowatch.query("up", **arguments)


def test_without_the_engine_s_packages_the_call_says_in_one_line_what_to_install():
    script = (
        "import sys; sys.modules['numpy'] = None\n"
        "import algowatch\n"
        "try: algowatch.query('up')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.count("\n") == 1
    assert ran.stdout.startswith("UsageError algowatch.query needs the engine, and its package 'numpy' is missing")
    assert 'pip install "algowatch[engine]"' in ran.stdout


def test_naming_it_loads_nothing_heavy():
    script = "import sys, algowatch; algowatch.query; print([name for name in ('numpy', 'sqlite3') if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "[]\n"


def test_pandas_gets_a_column_per_series(source):
    pandas = pytest.importorskip("pandas")
    frame = algowatch.query("pnl", START, START + 30, 10, **source).to_pandas()
    assert frame.columns.names == ["__name__", "strategy"]
    assert frame[("pnl", "gamma")].tolist() == [0, 1, 2, 3]
    assert frame.index[0] == pandas.Timestamp(START, unit="s", tz="UTC")


def test_polars_gets_a_row_per_sample(source):
    pytest.importorskip("polars")
    frame = algowatch.query("sum by (strategy) (pnl)", START, START + 30, 10, **source).to_polars()
    assert frame.columns == ["time", "strategy", "value"]
    assert frame.shape == (7, 3)
    assert frame["time"][0] == datetime.datetime.fromtimestamp(START, datetime.UTC)
