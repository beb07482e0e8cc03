"""Remote write into a real Prometheus and a real VictoriaMetrics that go away, from an engine that is killed."""

import json
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from engine.conftest import unused_port


class Peer:
    """A receiver on a port that stays the same when it is stopped and started."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(self.url + self.ready_path, timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"{self.command()[0]} is not ready:\n{(self.folder / 'log').read_text()}")

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def get(self, path, **parameters):
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as response:
            return response.read().decode()


class Prometheus(Peer):
    write_path, ready_path = "/api/v1/write", "/-/ready"

    def command(self):
        (self.folder / "prometheus.yml").write_text("{}")
        return [
            "prometheus",
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
        ]

    def samples(self, name):
        """[(time in s, value)] of the one series of that name, every stored sample."""
        result = json.loads(self.get("/api/v1/query", query=f"{name}[1h]"))["data"]["result"]
        assert len(result) <= 1
        return [(at, float(value)) for series in result for at, value in series["values"]]


class VictoriaMetrics(Peer):
    write_path, ready_path = "/api/v1/write", "/health"

    def command(self):
        return [
            "victoria-metrics",
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=1",
        ]

    def samples(self, name):
        self.get("/internal/force_flush")
        found = []
        for line in self.get("/api/v1/export", match=name).splitlines():
            series = json.loads(line)
            pairs = zip(series["timestamps"], series["values"], strict=True)
            found += [(at / 1000, value) for at, value in pairs if value is not None]  # null is the staleness marker
        return sorted(found)


@pytest.fixture(
    params=[
        pytest.param(Prometheus, marks=pytest.mark.peer("prometheus")),
        pytest.param(VictoriaMetrics, marks=pytest.mark.peer("victoria-metrics")),
    ]
)
def peer(request, tmp_path):
    opened = request.param(tmp_path / "peer")
    yield opened
    opened.stop()


def stored(engine):
    result = engine.get("/api/v1/query", query="probe[1h]")["result"]
    return [(at, float(value)) for series in result for at, value in series["values"]]


def test_every_sample_arrives_though_the_receiver_goes_away_and_the_engine_is_killed(start_engine, start_bot, peer, tmp_path):
    (tmp_path / "prometheus.yml").write_text(
        "global: {external_labels: {desk: A}}\n"
        "remote_write:\n"
        f"  - url: {peer.url}{peer.write_path}\n"
        "    name: peer\n"
        "    queue_config: {batch_send_deadline: 100ms, max_backoff: 200ms}\n"
        "    write_relabel_configs: [{source_labels: [__name__], regex: probe|up, action: keep}]\n"
    )
    bot = start_bot()
    bot.run("probe = watch.gauge('probe', 'Counts the rounds')")
    peer.start()
    engine = start_engine("--config", str(tmp_path / "prometheus.yml"))
    value = 0

    def go_on(seconds):
        nonlocal value
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            value += 1
            bot.run(f"probe.set({value})")
            time.sleep(0.3)

    go_on(2)
    peer.stop()
    go_on(2)
    engine.kill()
    go_on(1)
    engine.start()
    go_on(1.5)
    peer.start()
    go_on(1.5)
    engine.kill()
    engine.start()
    go_on(1.5)
    bot.end()
    deadline = time.monotonic() + 10
    while (stored(engine) != unique(peer.samples("probe")) or not stored(engine)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert stored(engine) == unique(peer.samples("probe"))
    assert len(stored(engine)) >= 7
    assert unique(peer.samples('probe{desk="A",job="bots"}')) == stored(engine)
    assert peer.samples("trading_daily_pnl") == []
    text = engine_metrics(engine)
    assert 'algowatch_remote_write_samples_total{receiver="peer",outcome="dropped"} 0' in text
    assert "algowatch_remote_write_abandoned_samples_total 0" in text


def unique(samples):
    """Without samples that came twice; two values at one time stay and are found."""
    return sorted(set(samples))


def engine_metrics(engine):
    with urllib.request.urlopen(f"{engine.url}/metrics", timeout=10) as response:
        return response.read().decode()
