"""Limits, parameters and the manners of the HTTP API, on a real engine."""

import concurrent.futures
import gzip
import http.client
import json
import socket
import threading
import time

import pytest

from web.conftest import series

NOW = 1_700_000_000_000
AT = {"time": NOW / 1000}


@pytest.fixture(scope="module")
def engine(in_process):
    started = in_process(builtin_rules=False)
    started.append(*[(series("pnl", symbol=f"S{i:03d}"), NOW, float(i)) for i in range(200)])
    return started


@pytest.fixture
def busy(engine):
    """Every worker is taken until the test has ended."""
    release = threading.Event()
    workers = engine.engine.workers
    taken = [workers._executor.submit(release.wait, 20) for _ in range(workers.threads)]
    yield release
    release.set()
    concurrent.futures.wait(taken)


def query(engine, expr="pnl", **parameters):
    return engine.ask("/api/v1/query", {"query": expr, **AT, **parameters})


def test_limit_cuts_the_answer_and_says_so(engine):
    answer = query(engine, limit=3)
    assert len(answer.data["result"]) == 3
    assert answer.json["warnings"] == ["results truncated due to limit"]
    assert "warnings" not in query(engine, limit=200).json
    assert query(engine, limit="-1").status == 400


def test_lookback_delta_says_how_old_a_sample_may_be(engine):
    later = {"time": NOW / 1000 + 400}
    assert query(engine, **later).data["result"] == []
    assert len(query(engine, **later, lookback_delta="10m").data["result"]) == 200


def test_stats_are_given_where_they_are_asked_for(engine):
    assert "stats" not in query(engine).data
    stats = query(engine, stats="all").data["stats"]
    assert stats["samples"]["totalQueryableSamples"] == 200
    assert 0 < stats["timings"]["execTotalTime"] < 10


def test_waiting_for_a_worker_counts_as_time_of_the_query(engine, busy):
    answer = query(engine, timeout="100ms")
    assert answer.status == 503
    assert answer.json == {"status": "error", "errorType": "timeout", "error": "query timed out in query queue"}


def test_a_query_that_takes_too_long_is_told_so_and_given_up(engine, monkeypatch):
    seen = []

    def slow(expr, at_ms, call):
        while not call.cancelled():
            time.sleep(0.01)
        seen.append("given up")
        raise RuntimeError("nobody should see this")

    monkeypatch.setattr(engine.engine.queries, "instant", slow)
    answer = query(engine, timeout=0.1)
    assert (answer.status, answer.json["error"]) == (503, "query timed out in expression evaluation")
    deadline = time.monotonic() + 5
    while not seen and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == ["given up"]


def test_a_query_whose_client_has_gone_is_never_begun(engine, busy, monkeypatch):
    begun = []
    instant = engine.engine.queries.instant
    monkeypatch.setattr(engine.engine.queries, "instant", lambda expr, *rest: (begun.append(expr), instant(expr, *rest))[1])
    queue = engine.engine.workers._executor._work_queue
    wait_until(lambda: queue.qsize() == 0)
    with socket.create_connection(("127.0.0.1", engine.engine.listen.port)) as client:
        client.sendall(b"GET /api/v1/query?query=pnl HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_until(lambda: queue.qsize() == 1)
    time.sleep(0.2)
    busy.set()
    query(engine, "1")
    assert begun == ["1"]


def wait_until(reached, patience_s=5.0):
    deadline = time.monotonic() + patience_s
    while not reached():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def test_eleven_thousand_steps_are_answered_and_one_more_is_not(engine):
    def steps(count):
        return engine.ask("/api/v1/query_range", {"query": "1", "start": 0, "end": count, "step": 1})

    assert len(steps(11_000).data["result"][0]["values"]) == 11_001
    refused = steps(11_001)
    assert (refused.status, refused.json["errorType"]) == (400, "bad_data")
    assert refused.json["error"].startswith("exceeded maximum resolution of 11,000 points per timeseries.")


def test_too_many_samples_are_refused_as_prometheus_refuses_them(engine):
    answer = engine.ask(
        "/api/v1/query_range",
        {
            "query": "pnl * on() group_left vector(1)",
            "start": NOW / 1000,
            "end": NOW / 1000 + 10_000,
            "step": 1,
            "lookback_delta": "1d",
        },
    )
    assert answer.status == 200
    options = engine.engine.queries.options
    object.__setattr__(options, "max_samples", 1000)
    try:
        # A short lookback, so that the engine answers this itself.
        parameters = {"query": "pnl", "start": NOW / 1000, "end": NOW / 1000 + 100, "step": 1, "lookback_delta": "10s"}
        answer = engine.ask("/api/v1/query_range", parameters)
    finally:
        object.__setattr__(options, "max_samples", 50_000_000)
    assert (answer.status, answer.json["errorType"]) == (422, "execution")
    assert answer.json["error"] == "query processing would load too many samples into memory in query execution"


def test_long_answers_are_packed_where_the_client_takes_it(engine):
    plain, packed = (
        engine.ask("/api/v1/query", {"query": "pnl", **AT}, **headers) for headers in ({}, {"Accept_Encoding": "gzip"})
    )
    assert "Content-Encoding" not in plain.headers
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 4
    short = engine.ask("/api/v1/query", {"query": "1"}, Accept_Encoding="gzip")
    assert "Content-Encoding" not in short.headers
    refused = engine.ask("/api/v1/query", {"query": "pnl", **AT}, Accept_Encoding="gzip;q=0")
    assert "Content-Encoding" not in refused.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api/v1/nowhere", 404, None),
        ("GET", "/api/", 404, None),
        ("POST", "/api/v1/targets", 405, "GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/write", 405, "OPTIONS, POST"),
        ("GET", "/api/v1/admin/tsdb/delete_series", 405, "OPTIONS, POST, PUT"),
        ("DELETE", "/api/v1/query", 405, "GET, HEAD, OPTIONS, POST"),
        ("POST", "/-/ready", 405, "GET, HEAD, OPTIONS"),
    ],
)
def test_wrong_paths_and_methods_are_told_in_json(engine, method, path, status, allow):
    answer = engine.ask(path, method=method)
    assert (answer.status, answer.json["status"], answer.headers["Allow"]) == (status, "error", allow)
    assert answer.headers["Content-Type"] == "application/json"


def test_options_name_the_methods_and_let_no_other_site_in(engine):
    answer = engine.ask("/api/v1/query", method="OPTIONS")
    assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_head_has_the_headers_and_no_body(engine):
    connection = http.client.HTTPConnection("127.0.0.1", engine.engine.listen.port)
    connection.request("HEAD", "/api/v1/status/buildinfo")
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert int(response.headers["Content-Length"]) > 50
    connection.close()


@pytest.mark.parametrize(
    "parameters",
    [
        {"query": "pnl", "time": "1e300"},
        {"query": "pnl", "time": "Inf"},
        {"query": "pnl", "timeout": "1e300"},
        {"query": "(" * 5000 + "1"},
        {"query": "pnl offset 99999999999y"},
    ],
)
def test_absurd_parameters_are_bad_data(engine, parameters):
    answer = engine.ask("/api/v1/query", parameters, method="POST")
    assert (answer.status, answer.json["errorType"]) == (400, "bad_data")


def test_a_syntax_tree_is_shown_as_prometheus_shows_it(engine):
    answer = engine.ask("/api/v1/parse_query", {"query": 'sum by (symbol) (rate(pnl{symbol!="x"}[5m] offset 1m)) > bool 1e6'})
    matchers = [{"name": "symbol", "value": "x", "type": "!="}, {"name": "__name__", "value": "pnl", "type": "="}]
    assert answer.data["type"] == "binaryExpr"
    assert (answer.data["op"], answer.data["bool"], answer.data["matching"]) == (">", True, None)
    assert answer.data["rhs"] == {"type": "numberLiteral", "val": "1000000"}
    total = answer.data["lhs"]
    assert (total["type"], total["op"], total["grouping"], total["param"]) == ("aggregation", "sum", ["symbol"], None)
    assert total["expr"]["func"] == {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}
    [selector] = total["expr"]["args"]
    assert selector["matchers"] == matchers
    assert (selector["type"], selector["range"], selector["offset"]) == ("matrixSelector", 300_000, 60_000)


def test_a_syntax_tree_of_any_depth_is_answered_or_refused(engine):
    long = "+".join(["1"] * 2000)
    answer = engine.ask("/api/v1/parse_query", {"query": long}, method="POST")
    assert answer.status in (200, 400)
    assert json.loads(answer.body)["status"] in ("success", "error")
