import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from algowatch.errors import StoreError, UsageError
from algowatch.model.staleness import is_stale
from algowatch.scrape.manager import ScrapeOptions

UP = 'up{instance="t", job="j"}'


def job(server, name="j", **more):
    labels = more.pop("labels", {"instance": "t"})
    base = {"job_name": name, "scrape_interval": "100ms", "static_configs": [{"targets": [server.address], "labels": labels}]}
    return {"scrape_configs": [base | more]}


@asynccontextmanager
async def running(manager, config):
    await manager.start(config)
    try:
        yield manager
    finally:
        await manager.stop()


def body_of(row):
    return {name: value for name, value in row.items() if not name.startswith(("scrape_", "up{", "algowatch_bot_up"))}


def test_a_scrape_is_one_row_with_the_samples_and_what_the_scrape_says_of_itself(append, target, manage):
    async def claim():
        async with target() as server:
            server.body = '# TYPE x counter\nx{a="b"} 5\ny 2\n'
            manager, config = manage(append, job(server))
            async with running(manager, config):
                await append.until(2)
                return manager.targets()[0], manager.metadata(), append.rows[0], append.rows[1], list(append.layouts)

    status, metadata, (_, first_ms, first), (_, second_ms, second), layouts = asyncio.run(claim())
    tail = '{instance="t", job="j"}'
    assert body_of(first) == {'x{a="b", instance="t", job="j"}': 5, "y" + tail: 2}
    assert first["up" + tail] == 1
    assert first["scrape_samples_scraped" + tail] == first["scrape_samples_post_metric_relabeling" + tail] == 2
    assert (first["scrape_series_added" + tail], second["scrape_series_added" + tail]) == (2, 0)
    assert 0 < first["scrape_duration_seconds" + tail] < 1
    assert layouts[0] is layouts[1]
    assert 0 < second_ms - first_ms <= 200
    assert (status.health, status.scrape_pool, status.scrape_interval, status.last_error) == ("up", "j", "100ms", "")
    assert [(entry.metric, entry.type) for entry in metadata] == [("x", "counter")]


def test_on_scraped_is_told_of_each_row(append, target, manage):
    reports = []

    async def claim():
        async with target() as server:
            manager, config = manage(append, job(server), on_scraped=reports.append)
            async with running(manager, config):
                await append.until(1)

    asyncio.run(claim())
    report = reports[0]
    assert (report.job, report.instance, report.timestamp_ms, report.samples, report.up) == (
        "j",
        "t",
        append.rows[0][1],
        1,
        True,
    )
    assert report.duration_s > 0


def test_series_that_vanish_from_a_body_are_ended_once(append, target, manage):
    async def claim():
        async with target() as server:
            server.body = "x 1\ny 2\n"
            manager, config = manage(append, job(server))
            async with running(manager, config):
                await append.until(1)
                server.body = "x 1\n"
                await append.until(len(append.rows) + 3)

    asyncio.run(claim())
    y = [row.get('y{instance="t", job="j"}') for _, _, row in append.rows]
    gone = next(index for index, value in enumerate(y) if value is not None and is_stale(value))
    assert set(y[:gone]) == {2}
    assert set(y[gone + 1 :]) == {None}
    assert append.layouts[gone + 1] is append.layouts[gone + 2]


def test_a_scrape_that_fails_says_up_0_and_ends_what_was_there_once(append, target, manage):
    async def claim():
        async with target() as server:
            manager, config = manage(append, job(server))
            async with running(manager, config):
                await append.until(1)
                server.status = "503 Service Unavailable"
                await append.until(len(append.rows) + 3)
                return manager.targets()[0]

    status = asyncio.run(claim())
    ups = [row[UP] for _, _, row in append.rows]
    first_down = ups.index(0)
    x = 'x{instance="t", job="j"}'
    assert is_stale(append.rows[first_down][2][x])
    assert append.layouts[first_down] is append.layouts[0]
    assert x not in append.rows[first_down + 1][2]
    assert (status.health, status.last_error) == ("down", "server returned HTTP status 503 Service Unavailable")


@pytest.mark.parametrize(
    ("set_up", "problem"),
    [
        ({"body": "x one\n"}, "line 1: not a number: 'one': 'x one'"),
        ({"body": b"x \xff\n"}, "line 1: invalid UTF-8 at byte 2"),
        ({"body": "x 1\n", "headers": "Content-Type: text/html\r\n"}, "received unsupported Content-Type 'text/html'"),
        ({"body": "x 1\n", "headers": "Content-Encoding: br\r\n"}, "received unsupported Content-Encoding 'br'"),
        ({"body": "x 1\n", "headers": "Content-Encoding: gzip\r\n"}, "incorrect header check"),
        ({"delay_s": 0.5}, "context deadline exceeded"),
        ({"body": "y 1\n" * 3000}, "body size limit exceeded (10240 bytes)"),
    ],
)
def test_what_is_wrong_with_a_target_is_its_last_error(append, target, manage, set_up, problem):
    async def claim():
        async with target() as server:
            for name, value in set_up.items():
                setattr(server, name, value)
            manager, config = manage(append, job(server, body_size_limit="10KB"))
            async with running(manager, config):
                await append.until(1)
                return manager.targets()[0]

    status = asyncio.run(claim())
    assert problem in status.last_error
    assert status.health == "down"
    assert append.rows[0][2][UP] == 0


def test_a_refused_connection_is_a_target_that_is_down(append, target, manage):
    async def claim():
        async with target() as server:
            pass
        manager, config = manage(append, job(server))
        async with running(manager, config):
            await append.until(1)
            return manager.targets()[0].last_error

    assert asyncio.run(claim()).endswith("connection refused")
    assert append.rows[0][2][UP] == 0


def test_a_slow_target_delays_no_other(append, target, manage):
    async def claim():
        async with target() as slow, target() as quick:
            slow.delay_s = 0.09
            config = job(slow, "slow")
            config["scrape_configs"] += job(quick, "quick")["scrape_configs"]
            manager, file = manage(append, config)
            async with running(manager, file):
                await asyncio.sleep(1.0)

    asyncio.run(claim())
    counts = Counter(stream.partition("{")[0] for stream, _, _ in append.rows)
    assert counts["quick"] >= 6


def test_rows_lie_on_an_even_grid(append, target, manage):
    async def claim():
        async with target() as server:
            manager, config = manage(append, job(server, scrape_interval="200ms"))
            async with running(manager, config):
                await append.until(5)

    asyncio.run(claim())
    residues = Counter(timestamp_ms % 200 for _, timestamp_ms, _ in append.rows[1:])
    assert max(residues.values()) >= 2
    assert all(later > earlier for (_, earlier, _), (_, later, _) in zip(append.rows, append.rows[1:], strict=False))


def test_labels_of_a_sample_step_aside_for_the_targets_unless_they_are_honoured(append, target, manage):
    async def claim(honor):
        append.rows.clear()
        async with target() as server:
            server.body = 'x{job="own",instance=""} 1\n'
            manager, config = manage(append, job(server, honor_labels=honor))
            async with running(manager, config):
                await append.until(1)
        return set(body_of(append.rows[0][2]))

    assert asyncio.run(claim(False)) == {'x{exported_job="own", instance="t", job="j"}'}
    assert asyncio.run(claim(True)) == {'x{instance="t", job="own"}'}


def test_samples_with_their_own_time_are_stored_at_it_and_once(append, target, manage):
    dated = []

    async def claim(honor):
        append.rows.clear()
        dated.clear()
        async with target() as server:
            server.body = "x 1 1700000000000\ny 2\n"
            manager, config = manage(
                append,
                job(server, honor_timestamps=honor),
                append_samples=lambda _stream, samples: dated.extend((str(name), *rest) for name, *rest in samples),
            )
            async with running(manager, config):
                await append.until(2)
                server.body = "x 3 1700000001000\ny 2\n"
                await append.until(len(append.rows) + 2)

    asyncio.run(claim(True))
    assert dated == [('x{instance="t", job="j"}', 1700000000000, 1.0), ('x{instance="t", job="j"}', 1700000001000, 3.0)]
    assert set(body_of(append.rows[0][2])) == {'y{instance="t", job="j"}'}
    asyncio.run(claim(False))
    assert dated == []
    assert body_of(append.rows[0][2])['x{instance="t", job="j"}'] == 1


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"sample_limit": 1}, "sample limit exceeded (2 samples, limit: 1)"),
        ({"label_limit": 3}, "label_limit exceeded (metric: 'x', number of labels: 4, limit: 3)"),
        (
            {"label_name_length_limit": 5},
            "label_name_length_limit exceeded (metric: 'x', label name: 'instance', length: 8, limit: 5)",
        ),
        (
            {"label_value_length_limit": 4},
            "label_value_length_limit exceeded (metric: 'x', label name: 'a', length: 6, limit: 4)",
        ),
        ({"target_limit": 1}, "target_limit exceeded (number of targets: 2, limit: 1)"),
    ],
)
def test_a_body_beyond_a_limit_is_refused_whole(append, target, manage, limits, problem):
    async def claim():
        async with target() as server:
            server.body = 'x{a="banana"} 1\ny 2\n'
            config = job(server, **limits)
            config["scrape_configs"][0]["static_configs"].append({"targets": ["127.0.0.1:1"], "labels": {"instance": "u"}})
            manager, file = manage(append, config)
            async with running(manager, file):
                await append.until_streams(2)
                return next(status for status in manager.targets() if status.labels.get("instance") == "t")

    assert asyncio.run(claim()).last_error == problem
    assert all(body_of(row) == {} for _, _, row in append.rows)


def test_metric_relabelling_drops_and_renames(append, target, manage):
    rules = [
        {"source_labels": ["__name__"], "regex": "noise_.*", "action": "drop"},
        {"source_labels": ["a"], "target_label": "b", "regex": "(.)(.)", "replacement": "${2}${1}"},
    ]

    async def claim():
        async with target() as server:
            server.body = 'noise_x 1\nx{a="uv"} 2\n'
            manager, config = manage(append, job(server, metric_relabel_configs=rules))
            async with running(manager, config):
                await append.until(1)

    asyncio.run(claim())
    row = append.rows[0][2]
    assert body_of(row) == {'x{a="uv", b="vu", instance="t", job="j"}': 2}
    assert row['scrape_samples_scraped{instance="t", job="j"}'] == 2
    assert row['scrape_samples_post_metric_relabeling{instance="t", job="j"}'] == 1


def test_the_request_says_what_it_takes_and_who_asks(append, target, manage, tmp_path):
    (tmp_path / "token").write_text("first\n")

    async def claim():
        async with target() as server:
            more = {
                "params": {"m": ["a b", "c"]},
                "metrics_path": "/p",
                "authorization": {"credentials_file": str(tmp_path / "token")},
            }
            manager, config = manage(append, job(server, **more))
            async with running(manager, config):
                await append.until(1)
                (tmp_path / "token").write_text("second\n")
                await append.until(len(append.rows) + 2)
            return server.requests

    requests = asyncio.run(claim())
    assert requests[0].startswith("GET /p?m=a+b&m=c HTTP/1.1")
    assert "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5," in requests[0].lower()
    assert "x-prometheus-scrape-timeout-seconds: 0.1" in requests[0].lower()
    assert "accept-encoding: gzip" in requests[0].lower()
    assert "Bearer first" in requests[0]
    assert "Bearer second" in requests[-1]


def test_what_cannot_be_stored_is_counted_and_shown_and_the_loop_goes_on(append, target, manage):
    def refuse(*row):
        append(*row)
        if len(append.rows) < 3:
            raise StoreError("the disk is full; free some space")

    async def claim():
        async with target() as server:
            manager, config = manage(refuse, job(server))
            async with running(manager, config):
                await append.until(2)
                broken = manager.targets()[0]
                await append.until(5)
                return broken, manager.targets()[0]

    broken, mended = asyncio.run(claim())
    assert broken.last_error == "the samples were not stored: the disk is full; free some space"
    assert (mended.append_errors, mended.last_error) == (2, "")


def test_reload_ends_what_is_gone_goes_on_with_what_stays_and_begins_what_is_new(append, target, manage):
    async def claim():
        async with target() as one, target() as two:
            both = job(one, "one")
            both["scrape_configs"] += job(two, "two")["scrape_configs"]
            manager, file = manage(append, both)
            async with running(manager, file):
                await append.until_streams(2)
                _, changed = manage(
                    append, job(two, "two", metric_relabel_configs=[{"regex": "nothing", "action": "labeldrop"}])
                )
                await manager.reload(changed)
                count = len(append.rows)
                await append.until(count + 2)
                return count, [status.scrape_pool for status in manager.targets()]

    count, pools = asyncio.run(claim())
    assert pools == ["two"]
    ended = [stream.partition("{")[0] for stream, _, row in append.rows if all(map(is_stale, row.values()))]
    assert ended == ["one"]
    assert all(stream.startswith("two") for stream, _, _ in append.rows[count:])


def test_reload_with_a_certificate_that_is_not_there_changes_nothing(append, target, manage):
    async def claim():
        async with target() as server:
            manager, config = manage(append, job(server))
            async with running(manager, config):
                _, bad = manage(append, job(server, tls_config={"ca_file": "/nowhere/ca.pem"}))
                with pytest.raises(UsageError, match=r"job 'j': tls_config cannot be used: .*No such file"):
                    await manager.reload(bad)
                await append.until(2)
                return len(manager.targets())

    assert asyncio.run(claim()) == 1


def test_relabelling_drops_targets_and_sets_where_and_how_often_they_are_scraped(append, target, manage):
    rules = [
        {"source_labels": ["role"], "regex": "spare", "action": "drop"},
        {"target_label": "__metrics_path__", "replacement": "/other"},
        {"target_label": "__scrape_interval__", "replacement": "300ms"},
        {"target_label": "__param_q", "replacement": "1"},
    ]

    async def claim():
        async with target() as server:
            config = job(server, relabel_configs=rules)
            spare = {"targets": ["h:1"], "labels": {"role": "spare"}}
            config["scrape_configs"][0]["static_configs"].append(spare)
            manager, file = manage(append, config)
            async with running(manager, file):
                await append.until(1)
                return manager.targets(), manager.dropped_targets(), server.requests[0]

    (status,), (dropped,), request = asyncio.run(claim())
    assert status.scrape_interval == "300ms"
    assert request.startswith("GET /other?q=1 ")
    assert dropped.discovered.get("role") == "spare"
    assert dropped.discovered.get("__address__") == "h:1"


def test_of_dropped_targets_as_many_are_remembered_as_the_job_says(append, manage):
    async def claim(**more):
        drop = {"source_labels": ["__address__"], "regex": ".*", "action": "drop"}
        base = {"job_name": "j", "static_configs": [{"targets": ["a:1", "b:2", "c:3"]}], "relabel_configs": [drop]}
        manager, config = manage(append, {"scrape_configs": [base | more]})
        async with running(manager, config):
            return len(manager.dropped_targets()), manager.targets()

    assert asyncio.run(claim()) == (3, [])
    assert asyncio.run(claim(keep_dropped_targets=2)) == (2, [])


def test_of_a_series_that_a_body_has_twice_the_first_counts_and_the_scrapes_own_series_cannot_be_forged(append, target, manage):
    async def claim():
        async with target() as server:
            server.body = 'x 1\nx 2\nup{instance="t",job="j"} 7\nup 8\n'
            manager, config = manage(append, job(server, honor_labels=True))
            async with running(manager, config):
                await append.until(1)
                return manager.targets()[0].health

    assert asyncio.run(claim()) == "up"
    row = append.rows[0][2]
    assert row['x{instance="t", job="j"}'] == 1
    assert row[UP] == 1
    assert len(row) == 6


BOT = textwrap.dedent(
    """
    import http.server, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.send_header("Content-Type", "text/plain; version=0.0.4"); self.end_headers()
            self.wfile.write(b"x 1\\n")
        def log_message(self, *_): pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
    """
)
BOT_UP = 'algowatch_bot_up{instance="gamma-bot", job="bots"}'


@pytest.fixture
def bot():
    process = subprocess.Popen([sys.executable, "-c", BOT], stdout=subprocess.PIPE, text=True)
    yield process, f"127.0.0.1:{process.stdout.readline().strip()}"
    process.kill()
    process.wait()
    process.stdout.close()


def bots_options(tmp_path):
    return ScrapeOptions(bots_directory=tmp_path)


def test_a_bot_is_scraped_within_300_ms_of_its_files_appearance_and_ends_when_the_file_goes(
    append, target, manage, register, tmp_path
):
    async def claim():
        async with target() as server:
            manager, config = manage(append, options=bots_options(tmp_path))
            async with running(manager, config):
                path = register(tmp_path, "gamma-bot", server.address, os.getpid())
                await append.until(1, 0.3)
                path.unlink()
                await append.until_true(lambda: is_stale(append.rows[-1][2][BOT_UP]), 0.3)
                return manager.targets()

    assert asyncio.run(claim()) == []
    first, last = append.rows[0][2], append.rows[-1][2]
    assert first[BOT_UP] == 1
    assert last.keys() == first.keys()
    assert all(map(is_stale, last.values()))
    assert append.layouts[0] is append.layouts[-1]


def test_a_killed_bot_is_known_to_be_down_within_300_ms_and_stays_a_target(append, manage, register, tmp_path, bot):
    process, address = bot

    async def claim():
        manager, config = manage(append, options=bots_options(tmp_path))
        async with running(manager, config):
            register(tmp_path, "gamma-bot", address, process.pid)
            await append.until(1)
            count = len(append.rows)
            process.send_signal(signal.SIGKILL)
            await append.until_true(lambda: len(append.rows) > count and append.rows[-1][2][BOT_UP] == 0, 0.35)
        again, config = manage(append, options=bots_options(tmp_path))
        async with running(again, config):
            count = len(append.rows)
            await append.until(count + 1)
            return again.targets()[0]

    status = asyncio.run(claim())
    assert status.health == "down"
    assert append.rows[-1][2][BOT_UP] == 0


def test_a_bot_that_lives_and_does_not_answer_is_down_after_three_scrapes(append, target, manage, register, tmp_path):
    async def claim():
        async with target() as server:
            server.delay_s = 5
            options = ScrapeOptions(bots_directory=tmp_path, bot_interval_ms=100, bot_timeout_ms=50)
            manager, config = manage(append, options=options)
            async with running(manager, config):
                register(tmp_path, "gamma-bot", server.address, os.getpid())
                await append.until(4)

    asyncio.run(claim())
    assert [row[BOT_UP] for _, _, row in append.rows[:4]] == [1, 1, 0, 0]
    assert [row['up{instance="gamma-bot", job="bots"}'] for _, _, row in append.rows[:4]] == [0, 0, 0, 0]


def test_a_bot_that_comes_back_on_another_port_goes_on_with_its_series(append, target, manage, register, tmp_path):
    async def claim():
        async with target() as one, target() as two:
            manager, config = manage(append, options=bots_options(tmp_path))
            async with running(manager, config):
                register(tmp_path, "gamma-bot", one.address, os.getpid())
                await append.until(1)
                register(tmp_path, "gamma-bot", two.address, os.getpid())
                await append.until_true(lambda: two.requests, 0.5)
                await append.until(len(append.rows) + 1)

    asyncio.run(claim())
    assert len({stream for stream, _, _ in append.rows}) == 1
    assert all(layout is append.layouts[0] for layout in append.layouts)
    assert not any(is_stale(value) for _, _, row in append.rows for value in row.values())


def test_what_answers_at_a_dead_bots_address_is_not_taken_for_it(append, manage, register, target, tmp_path, bot):
    process, address = bot

    async def claim():
        register(tmp_path, "gamma-bot", address, process.pid)
        process.kill()
        process.wait()
        async with target() as heir:
            pass
        heir.port = int(address.rpartition(":")[2])
        async with heir:
            register(tmp_path, "delta-bot", heir.address, os.getpid())
            manager, config = manage(
                append, options=ScrapeOptions(bots_directory=tmp_path, bot_interval_ms=200, bot_timeout_ms=200)
            )
            async with running(manager, config):
                await append.until_streams(2)
                await append.until(len(append.rows) + 3)
                return {status.labels.get("instance"): status for status in manager.targets()}

    statuses = asyncio.run(claim())
    assert statuses["delta-bot"].health == "up"
    assert statuses["gamma-bot"].last_error == "its process is gone, and another bot answers at its address"


def test_exemplars_are_handed_over_once_each(append, target, manage):
    found = []

    async def claim():
        async with target() as server:
            server.headers = "Content-Type: application/openmetrics-text; version=1.0.0\r\n"
            server.body = 'x_total 5 # {trace_id="a"} 0.5 1700000000.5\n# EOF\n'
            manager, config = manage(append, job(server), on_exemplars=lambda *exemplar: found.append(exemplar))
            async with running(manager, config):
                await append.until(2)
                server.body = 'x_total 6 # {trace_id="b"} 0.7\n# EOF\n'
                await append.until(len(append.rows) + 2)
                return append.rows[-1]

    row = asyncio.run(claim())
    assert row[2]['x_total{instance="t", job="j"}'] == 6
    assert [(str(labels), str(exemplar.labels), exemplar.value) for labels, exemplar, _ in found] == [
        ('x_total{instance="t", job="j"}', '{trace_id="a"}', 0.5),
        ('x_total{instance="t", job="j"}', '{trace_id="b"}', 0.7),
    ]
    assert found[0][2] == 1700000000500
