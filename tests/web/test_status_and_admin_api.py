"""Status, administration, exemplars and federation, on a real engine."""

import re
import time

import pytest

from algowatch.model.staleness import STALE_NAN
from algowatch.store import Store, restore
from web.conftest import series

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, external_labels: {{desk: nyc}}}}
scrape_configs:
  - job_name: desk
    basic_auth: {{username: trader, password: hunter2}}
    static_configs: [{{targets: ["{address}"]}}]
"""


@pytest.fixture(scope="module")
def engine(in_process, target):
    started = in_process(CONFIG.format(address=target.address), builtin_rules=False)
    deadline = time.monotonic() + 10
    while not started.ask("/api/v1/query", {"query": "broker_up"}).data["result"] and time.monotonic() < deadline:
        time.sleep(0.02)
    return started


def test_the_configuration_is_shown_without_its_secrets(engine):
    shown = engine.ask("/api/v1/status/config").data["yaml"]
    assert "hunter2" not in shown
    assert "password: <secret>" in shown
    assert "scrape_interval: 200ms" in shown


def test_flags_are_texts(engine):
    flags = engine.ask("/api/v1/status/flags").data
    assert flags["query.timeout"] == "2m"
    assert flags["web.listen-address"] == engine.url.removeprefix("http://")
    assert {type(value) for value in flags.values()} == {str}


def test_cardinality_is_counted(engine):
    engine.append(*[(series("wide", id=f"{i:03d}"), 1_700_000_000_000, 1.0) for i in range(50)])
    found = engine.ask("/api/v1/status/tsdb", {"limit": 1}).data
    assert found["seriesCountByMetricName"] == [{"name": "wide", "value": 50}]
    assert found["labelValueCountByLabelName"] == [{"name": "id", "value": 50}]
    assert len(engine.ask("/api/v1/status/tsdb").data["seriesCountByLabelValuePair"]) == 10
    assert found["headStats"]["numLabelPairs"] >= 51
    pairs = engine.ask("/api/v1/status/tsdb", {"limit": 500}).data["seriesCountByLabelValuePair"]
    assert {"name": "__name__=wide", "value": 50} in pairs
    assert {"name": "id=007", "value": 1} in pairs
    sizes = engine.ask("/api/v1/status/tsdb", {"limit": 500}).data["memoryInBytesByLabelName"]
    assert {"name": "id", "value": 150} in sizes


def test_deleted_series_are_gone_and_others_stay(engine):
    engine.append((series("gone", side="BUY"), 1000, 1.0), (series("gone", side="BUY"), 9000, 1.0), (series("gone"), 1000, 2.0))
    path = "/api/v1/admin/tsdb/delete_series"
    assert engine.ask(path, method="POST").json["error"] == "no match[] parameter provided"
    assert engine.ask(path, {"match[]": 'gone{side="BUY"}', "end": 5}, method="POST").status == 204
    left = engine.ask("/api/v1/query", {"query": "gone[1h]", "time": 10}).data["result"]
    assert {found["metric"].get("side"): found["values"] for found in left} == {"BUY": [[9, "1"]], None: [[1, "2"]]}
    assert engine.ask(path + "?match[]=gone", method="PUT", body=b"").status == 204
    assert engine.ask("/api/v1/series", {"match[]": "gone"}).data == []
    assert engine.ask("/api/v1/admin/tsdb/clean_tombstones", method="POST").status == 204


def test_a_snapshot_can_be_restored(engine, tmp_path):
    engine.append((series("shot"), 5000, 42.0))
    name = engine.ask("/api/v1/admin/tsdb/snapshot", method="POST").data["name"]
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{16}", name)
    [file] = (engine.engine.options.data_dir / "snapshots" / name).iterdir()
    restore(file, tmp_path / "restored")
    with Store.open_reader(tmp_path / "restored") as reader:
        assert series("shot") in reader.series([])


def test_exemplars_are_kept_as_they_were_scraped(engine):
    [found] = engine.ask("/api/v1/query_exemplars", {"query": 'rate(trading_fill_seconds_bucket{le="0.1"}[5m])'}).data
    assert found["seriesLabels"]["__name__"] == "trading_fill_seconds_bucket"
    assert found["exemplars"] == [{"labels": {"trace_id": "abc"}, "value": "0.07", "timestamp": 1600000000.5}]
    assert engine.ask("/api/v1/query_exemplars", {"query": "broker_up"}).data == []


def test_federation_gives_the_newest_sample_and_leaves_out_what_has_ended(engine):
    now = int(time.time() * 1000)
    engine.append((series("live"), now - 2000, 1.0), (series("live"), now - 1000, 1e6), (series("old"), now - 400_000, 1.0))
    engine.append((series("ended"), now - 2000, 1.0), (series("ended"), now - 1000, STALE_NAN))
    answer = engine.ask("/federate", {"match[]": '{__name__=~"live|old|ended"}'})
    assert answer.body.decode() == f'# TYPE live untyped\nlive{{desk="nyc",instance=""}} 1e+06 {now - 1000}\n'
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert engine.ask("/federate").body == b""


def test_names_that_need_quotes_are_federated_in_quotes_or_with_underscores(engine):
    now = int(time.time() * 1000)
    engine.append((series("my.metric", **{"a.b": "c"}), now, 1.0))
    ask = {"match[]": '{"my.metric"}'}
    plain = engine.ask("/federate", ask).body.decode()
    assert plain == f'# TYPE my_metric untyped\nmy_metric{{a_b="c",desk="nyc",instance=""}} 1 {now}\n'
    quoted = engine.ask("/federate", ask, Accept="text/plain;version=1.0.0;escaping=allow-utf-8").body.decode()
    assert quoted == f'# TYPE "my.metric" untyped\n{{"my.metric","a.b"="c",desk="nyc",instance=""}} 1 {now}\n'


def test_the_engine_is_its_own_alertmanager_and_has_nothing_to_report(engine):
    assert engine.ask("/api/v1/alertmanagers").data["activeAlertmanagers"] == [{"url": engine.url + "/api/v2/alerts"}]
    assert engine.ask("/api/v1/notifications").data == []
