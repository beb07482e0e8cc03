"""Real programs of the standard stack on loopback: Alertmanager, amtool, Prometheus."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, ready_url, log_path):
    """A program from its readiness until its end."""
    with log_path.open("w") as log:
        process = subprocess.Popen([shutil.which(command[0]), *command[1:]], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, log_path.read_text()
            assert time.monotonic() < deadline, log_path.read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(ready_url, timeout=1):
                break
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def alertmanager(folder, configuration):
    """The address of a real Alertmanager."""
    folder.mkdir(exist_ok=True)
    (folder / "alertmanager.yml").write_text(configuration)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        "prometheus-alertmanager",
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    with running(command, f"{url}/-/ready", folder / "alertmanager.log"):
        yield url


@contextlib.contextmanager
def prometheus(folder, configuration):
    """The address of a real Prometheus. It learns of its Alertmanagers after five seconds and loses what fires before: hence
    the short resend delay.
    """
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(configuration)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--rules.alert.resend-delay=1s",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with running(command, f"{url}/-/ready", folder / "prometheus.log"):
        yield url


def amtool(url, *arguments, check=True):
    command = [shutil.which("amtool"), *arguments, f"--alertmanager.url={url}"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert not check or ran.returncode == 0, ran.stderr
    return ran


def call(url, method, path, body=None):
    """Status and decoded body of one request."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text else None
