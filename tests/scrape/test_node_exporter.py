"""A real exporter, scraped through the loop: what is stored is what prometheus_client's own parser reads."""

import asyncio
import os
import shutil
import socket
import subprocess
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from algowatch.model.labels import Labels
from algowatch.scrape.exposition import format_openmetrics_float


@pytest.fixture
def exporter(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [shutil.which("prometheus-node-exporter"), f"--web.listen-address={address}", "--web.disable-exporter-metrics"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(tmp_path)}
    )
    yield address
    process.terminate()
    process.wait()


class Relay:
    """Answers with one body that it fetched from the exporter, so that both readers have the same bytes."""

    def __init__(self, address):
        self.address = address

    def fetch(self):
        request = urllib.request.Request(f"http://{self.address}/metrics", headers={"Accept": "text/plain;version=0.0.4"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()


async def wait_for(relay):
    for _ in range(200):
        try:
            return await asyncio.to_thread(relay.fetch)
        except OSError:
            await asyncio.sleep(0.05)
    raise AssertionError("the exporter did not start")


@pytest.mark.peer("prometheus-node-exporter")
def test_every_sample_of_a_real_exporter_is_stored_as_prometheus_clients_parser_reads_it(append, target, manage, exporter):
    async def claim():
        relay = Relay(exporter)
        bodies = [await wait_for(relay), await asyncio.to_thread(relay.fetch)]
        async with target() as server:
            server.body = bodies[0]
            labels = {"targets": [server.address], "labels": {"instance": "host"}}
            job = {"job_name": "node", "scrape_interval": "100ms", "static_configs": [labels]}
            manager, config = manage(append, {"scrape_configs": [job]})
            await manager.start(config)
            await append.until(1)
            server.body = bodies[1]
            await append.until(len(append.rows) + 2)
            await manager.stop()
        return bodies

    bodies = asyncio.run(claim())
    for body, (_, _, row) in zip(bodies, (append.rows[0], append.rows[-1]), strict=True):
        expected = expected_series(body.decode())
        assert len(expected) > 200
        assert {name: repr(row[name]) for name in expected} == expected
        assert len(row) >= len(expected) + 5


@pytest.mark.peer("prometheus-node-exporter")
def test_a_real_exporter_answers_the_loop_directly_and_compressed(append, manage, exporter):
    async def claim():
        await wait_for(Relay(exporter))
        job = {"job_name": "node", "scrape_interval": "200ms", "static_configs": [{"targets": [exporter]}]}
        manager, config = manage(append, {"scrape_configs": [job]})
        await manager.start(config)
        await append.until(3)
        statuses, metadata = manager.targets(), manager.metadata()
        await manager.stop()
        return statuses[0], {entry.metric: entry for entry in metadata}

    status, metadata = asyncio.run(claim())
    assert (status.health, status.last_error) == ("up", "")
    assert status.samples > 200
    assert metadata["node_load1"].type == "gauge"
    assert metadata["node_load1"].help == "1m load average."


def expected_series(text):
    """Series to its value's repr; `quantile` and `le` in the spelling that they are stored in."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {**sample.labels, "__name__": sample.name, "instance": "host", "job": "node"}
            for name in ("quantile", "le"):
                if name in labels:
                    labels[name] = format_openmetrics_float(float(labels[name]))
            found[str(Labels.of(labels))] = repr(float(sample.value))
    return found
