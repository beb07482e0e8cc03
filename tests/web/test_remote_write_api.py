"""Remote write in, from hand-made requests and from a real Prometheus."""

import math
import socket
import subprocess
import time

import pytest
from cramjam import snappy

from algowatch.model.labels import Matcher
from algowatch.model.staleness import STALE_NAN, is_stale
from algowatch.store.remote_write import encode_write_request
from promql.prometheus_peer import binary
from web.conftest import ask, series

NOW = 1_700_000_000_000
HEADERS = {"Content_Encoding": "snappy", "Content_Type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def engine(in_process):
    return in_process()


def write(engine, *found, **headers):
    return engine.ask("/api/v1/write", method="POST", body=encode_write_request(found), **(HEADERS | headers))


def stored(engine, name):
    """labels → [(time, value)…]"""
    found = {}
    data = engine.ask("/api/v1/query", {"query": name + "[100y]", "time": NOW / 1000 + 1e6}).data["result"]
    for entry in data:
        found[entry["metric"].get("side", "")] = [(round(at * 1000), float(value)) for at, value in entry["values"]]
    return found


def test_samples_are_kept_with_their_times_and_values(engine):
    buys, sells = series("kept", side="BUY"), series("kept", side="SELL")
    answer = write(engine, (buys, [(NOW, 1.5), (NOW + 7, -2.25)]), (sells, [(NOW + 3, math.inf)]))
    assert (answer.status, answer.body) == (204, b"")
    assert stored(engine, "kept") == {"BUY": [(NOW, 1.5), (NOW + 7, -2.25)], "SELL": [(NOW + 3, math.inf)]}


def test_a_sample_from_decades_ago_is_taken(engine):
    assert write(engine, (series("ancient"), [(1, 1.0), (86_400_000, 2.0)])).status == 204
    assert stored(engine, "ancient") == {"": [(1, 1.0), (86_400_000, 2.0)]}


def test_a_staleness_marker_ends_the_series(engine):
    write(engine, (series("ended"), [(NOW, 1.0), (NOW + 1000, STALE_NAN)]))
    assert engine.ask("/api/v1/query", {"query": "ended", "time": (NOW + 999) / 1000}).data["result"]
    assert not engine.ask("/api/v1/query", {"query": "ended", "time": (NOW + 1000) / 1000}).data["result"]
    [matrix] = engine.engine.store.select([Matcher("__name__", "=", "ended")], NOW, NOW + 1000)
    assert is_stale(float(matrix.values[0, -1]))


def test_the_same_request_twice_is_stored_once(engine):
    request = (series("twice"), [(NOW, 1.0), (NOW + 1, 2.0)])
    assert [write(engine, request).status for _ in range(2)] == [204, 204]
    assert stored(engine, "twice") == {"": [(NOW, 1.0), (NOW + 1, 2.0)]}


def test_another_value_for_a_stored_time_is_refused_and_the_first_stays(engine):
    write(engine, (series("twofold"), [(NOW, 1.0)]))
    answer = write(engine, (series("twofold"), [(NOW, 9.0)]))
    assert answer.status == 400
    assert answer.body.startswith(b"duplicate sample for timestamp: twofold")
    assert stored(engine, "twofold") == {"": [(NOW, 1.0)]}


def test_an_older_sample_is_out_of_order_and_the_good_ones_of_its_request_are_stored(engine):
    write(engine, (series("ordered", side="BUY"), [(NOW, 1.0)]))
    answer = write(
        engine, (series("ordered", side="BUY"), [(NOW - 1, 9.0), (NOW + 1, 2.0)]), (series("ordered"), [(NOW - 1, 3.0)])
    )
    assert (answer.status, answer.body) == (400, b'out of order sample: ordered{side="BUY"} at 1699999999999 ms\n')
    assert stored(engine, "ordered") == {"BUY": [(NOW, 1.0), (NOW + 1, 2.0)], "": [(NOW - 1, 3.0)]}


def test_out_of_order_is_noticed_across_compaction_and_years(engine):
    name = series("settled")
    write(engine, (name, [(NOW - 40_000_000_000, 0.0), (NOW, 1.0)]))
    assert engine.ask("/api/v1/admin/tsdb/compact", method="POST").status == 204
    write(engine, (series("much_later"), [(NOW + 40_000_000_000, 1.0)]))
    assert write(engine, (name, [(NOW - 30_000_000_000, 5.0)])).status == 400
    assert write(engine, (name, [(NOW + 1, 5.0)])).status == 204


def test_the_configured_window_takes_what_is_a_little_late(in_process):
    engine = in_process("storage: {tsdb: {out_of_order_time_window: 10s}}")
    late = series("late")
    assert write(engine, (late, [(NOW, 1.0)])).status == 204
    assert write(engine, (late, [(NOW - 10_000, 0.5)])).status == 204
    assert write(engine, (late, [(NOW - 10_001, 0.1)])).status == 400
    assert stored(engine, "late") == {"": [(NOW - 10_000, 0.5), (NOW, 1.0)]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"nonsense", b"not a snappy block"),
        (bytes(snappy.compress_raw(b"\x0a\xff")), b"not a prometheus.WriteRequest"),
        (encode_write_request([(series("", side="x"), [(NOW, 1.0)])]), b"no metric name"),
        (encode_write_request([(series("far"), [(2**62, 1.0)])]), b"out of bounds"),
    ],
)
def test_bad_data_is_named_and_nothing_is_stored(engine, body, said):
    answer = engine.ask("/api/v1/write", method="POST", body=body, **HEADERS)
    assert answer.status == 400
    assert said in answer.body
    assert stored(engine, "far") == {}


@pytest.mark.parametrize(
    "headers",
    [{"Content_Encoding": "gzip"}, {"Content_Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}],
)
def test_what_is_not_remote_write_1_is_not_accepted(engine, headers):
    assert write(engine, (series("other"), [(NOW, 1.0)]), **headers).status == 415


def test_a_request_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(engine):
    claimed = bytes.fromhex("ffffffff0f") + b"\x00"
    answer = engine.ask("/api/v1/write", method="POST", body=claimed, **HEADERS)
    assert answer.status == 400
    assert b"send smaller batches" in answer.body


@pytest.mark.peer("prometheus")
def test_a_real_prometheus_sends_every_sample_that_it_has(in_process, target, tmp_path):
    engine = in_process()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"""
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs: [{{job_name: desk, static_configs: [{{targets: ["{target.address}"]}}]}}]
remote_write: [{{url: "{engine.url}/api/v1/write", queue_config: {{batch_send_deadline: 100ms, max_shards: 4}}}}]
"""
    )
    listen = "127.0.0.1:" + str(_free_port())
    process = subprocess.Popen(
        [binary(), f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={listen}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not _all(engine.url, "up"):
            time.sleep(0.1)
        time.sleep(2)
        ours = {name: _all(engine.url, name) for name in ("up", "trading_orders_filled_total", "trading_fill_seconds_bucket")}
        theirs = {name: _all(f"http://{listen}", name) for name in ours}
    finally:
        process.terminate()
        process.wait(10)
    for name, found in ours.items():
        assert found, f"no {name} has come"
        assert found.keys() == theirs[name].keys()
        for labels, samples in found.items():
            assert len(samples) > 3
            assert set(samples) <= set(theirs[name][labels])
            assert samples == theirs[name][labels][: len(samples)]


def _all(url, name):
    try:
        found = ask(f"{url}/api/v1/query", {"query": f"{name}[1h]"}).json["data"]["result"]
    except OSError:
        return {}
    return {tuple(sorted(entry["metric"].items())): [tuple(pair) for pair in entry["values"]] for entry in found}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
