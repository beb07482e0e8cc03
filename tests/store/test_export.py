"""What comes out as CSV is what was stored."""

import csv
import io

import numpy as np
from click.testing import CliRunner

from algowatch.cli.main import cli
from algowatch.model.labels import Labels, Matcher
from algowatch.model.protocols import Layout
from algowatch.model.staleness import STALE_NAN
from algowatch.store import Store, StoreOptions, export_csv

PNL = Labels.of({"__name__": "pnl", "currency": "USD", "desk": 'a "b", c'})
UP = Labels.of({"__name__": "up", "instance": "gamma"})
HOUR_MS = 3_600_000


def fill(store, hours):
    for hour in hours:
        store.append("bot", hour * HOUR_MS + 1, Layout([PNL, UP]), np.array([hour / 8, 1.0]))


def exported(directory, matchers, start_ms=0, end_ms=10**12):
    with Store.open_reader(directory) as reader:
        out = io.StringIO()
        count = export_csv(reader, matchers, start_ms, end_ms, out)
    lines = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert len(lines) == count
    return lines


def test_every_sample_is_one_line_with_its_labels(tmp_path):
    with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
        fill(store, range(1, 6))
        store.compact()
        fill(store, range(6, 9))
        lines = exported(tmp_path, [])
    pnl = [line for line in lines if line["name"] == "pnl"]
    assert [(line["time"], line["value"]) for line in pnl] == [
        (f"1970-01-01T0{hour}:00:00.001Z", f"{hour / 8:g}") for hour in range(1, 9)
    ]
    assert {(line["currency"], line["desk"], line["instance"]) for line in pnl} == {("USD", 'a "b", c', "")}
    assert [line["value"] for line in lines if line["name"] == "up"] == ["1"] * 8


def test_selector_and_span_choose_and_both_ends_count(tmp_path):
    with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
        fill(store, range(1, 9))
    lines = exported(tmp_path, [Matcher("__name__", "=", "up")], 2 * HOUR_MS + 1, 4 * HOUR_MS + 1)
    assert [line["time"][11:13] for line in lines] == ["02", "03", "04"]
    assert set(lines[0]) == {"time", "name", "instance", "value"}


def test_what_is_no_ordinary_number_is_spelled_and_staleness_markers_are_left_out(tmp_path):
    with Store.open(tmp_path, StoreOptions(retention_ms=0)) as store:
        for second, value in enumerate([0.1, float("nan"), STALE_NAN, float("inf"), float("-inf"), 1e300, -0.0]):
            store.append("bot", second * 1000, Layout([UP]), np.array([value]))
    assert [line["value"] for line in exported(tmp_path, [])] == ["0.1", "NaN", "+Inf", "-Inf", "1e+300", "-0"]


def test_the_command_writes_a_new_file_and_ends_with_1_where_there_is_nothing(tmp_path):
    with Store.open(tmp_path / "data", StoreOptions(retention_ms=0)) as store:
        fill(store, [1])
    arguments = ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "pnl.csv")]
    assert CliRunner().invoke(cli, ["export", 'pnl{currency="USD"}', *arguments]).exit_code == 0
    assert (tmp_path / "pnl.csv").read_text().splitlines()[1] == '1970-01-01T01:00:00.001Z,pnl,USD,"a ""b"", c",0.125'
    again = CliRunner().invoke(cli, ["export", "pnl", *arguments])
    assert "name a new file" in str(again.exception)
    assert CliRunner().invoke(cli, ["export", "nothing", "--data", str(tmp_path / "data")]).exit_code == 1
