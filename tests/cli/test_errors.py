"""What a person sees who got something wrong: one line that names the file, the line and the mend, and exit code 2."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments, folder):
    environment = {**os.environ, "ALGOWATCH_STATE_DIR": str(folder / "state"), "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-m", "algowatch", *map(str, arguments)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def complaint(*arguments, folder):
    """The lines on standard error of a run that has to end with exit code 2."""
    ran = run(*arguments, folder=folder)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stderr.splitlines()


def up(*arguments, folder):
    return complaint("up", "--listen", "127.0.0.1:0", "--data", folder / "data", *arguments, folder=folder)


def test_a_configuration_that_is_not_there(tmp_path):
    assert up("--config", "prometheus.yml", folder=tmp_path) == [
        "algowatch: prometheus.yml: cannot be read: No such file or directory; check the path and its permissions"
    ]


def test_a_configuration_that_is_not_yaml(tmp_path):
    (tmp_path / "prometheus.yml").write_text("global:\n  scrape_interval: [1s\n")
    (line,) = up("--config", "prometheus.yml", folder=tmp_path)
    assert line.startswith("algowatch: prometheus.yml:3: not valid YAML: ")


def test_an_unknown_key(tmp_path):
    (tmp_path / "prometheus.yml").write_text("global:\n  scrape_intervall: 1s\n")
    assert up("--config", "prometheus.yml", folder=tmp_path) == [
        "algowatch: prometheus.yml:2: global.scrape_intervall: unknown key; did you mean 'scrape_interval'?"
    ]


def test_a_key_that_prometheus_knows_and_the_engine_does_not_do(tmp_path):
    (tmp_path / "prometheus.yml").write_text("scrape_configs:\n  - job_name: pods\n    kubernetes_sd_configs: [{role: pod}]\n")
    (line,) = up("--config", "prometheus.yml", folder=tmp_path)
    assert line.startswith("algowatch: prometheus.yml:3: scrape_configs[0].kubernetes_sd_configs: not supported")


def test_a_rule_whose_expression_does_not_parse(tmp_path):
    (tmp_path / "prometheus.yml").write_text("rule_files: [rules.yml]\n")
    (tmp_path / "rules.yml").write_text(
        "groups:\n  - name: desk\n    rules:\n      - alert: A\n        expr: sum(ratee(trading_fills_total[5m]))\n"
    )
    (line,) = up("--config", "prometheus.yml", folder=tmp_path)
    assert "rules.yml:5: " in line
    assert 'unknown function with name "ratee"; did you mean rate?' in line


def test_an_unknown_receiver(tmp_path):
    (tmp_path / "alertmanager.yml").write_text("route:\n  receiver: desk-oncal\nreceivers:\n  - name: desk-oncall\n")
    (line,) = up("--alertmanager-config", "alertmanager.yml", folder=tmp_path)
    assert line.startswith("algowatch: alertmanager.yml:2: ")
    assert "desk-oncal" in line
    assert "desk-oncall" in line


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines = complaint("up", "--listen", f"127.0.0.1:{port}", "--data", tmp_path / "data", folder=tmp_path)
    assert lines == [
        f"algowatch: --listen 127.0.0.1:{port}: the port is taken by another program; end it, or choose another port "
        f"with --listen 127.0.0.1:{port + 1}"
    ]


@pytest.mark.parametrize("listen", ["5174", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999"])
def test_an_address_that_is_none(tmp_path, listen):
    assert complaint("up", "--listen", listen, folder=tmp_path) == [
        f"algowatch: --listen {listen!r} is not HOST:PORT; write for example 127.0.0.1:5174"
    ]


def test_an_address_that_others_can_reach(tmp_path):
    (line,) = complaint("up", "--listen", "0.0.0.0:5174", folder=tmp_path)
    assert "is not a loopback address" in line


def test_a_data_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    (line,) = complaint("up", "--listen", "127.0.0.1:0", "--data", tmp_path / "file" / "data", folder=tmp_path)
    assert line.startswith(f"algowatch: --data {tmp_path}/file/data: cannot be made: ")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_is_not_writable(tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    (line,) = up(folder=tmp_path)
    assert "is not writable" in line


def test_an_expression_that_does_not_parse(tmp_path):
    assert complaint("query", "sum(ratee(up[5m]))", folder=tmp_path) == [
        'algowatch: 1:5: parse error: unknown function with name "ratee"',
        "    sum(ratee(up[5m]))",
        "        ^^^^^",
        "    did you mean rate?",
    ]


def test_a_question_with_no_engine_to_ask(tmp_path):
    (line,) = complaint("query", "up", folder=tmp_path)
    assert line == "algowatch: no engine runs here; start one with `algowatch up`, or name one with --url"


@pytest.mark.parametrize("url", ["foo", "http://", "ftp://a/b", "http://user:sekret@[::1"])
def test_a_webhook_that_is_no_address_is_refused_without_showing_it(tmp_path, url):
    (line,) = up("--webhook", url, folder=tmp_path)
    assert line.startswith("algowatch: --webhook (number 1): not an http(s) address; ")
    assert "sekret" not in line


def test_a_pipe_in_place_of_a_file(tmp_path):
    os.mkfifo(tmp_path / "prometheus.yml")
    assert up("--config", "prometheus.yml", folder=tmp_path) == ["algowatch: prometheus.yml: is not a file; name a file"]


def test_a_duration_that_is_none(tmp_path):
    lines = complaint("up", "--retention", "30 days", folder=tmp_path)
    assert "not a valid duration: '30 days'" in lines[-1]


def test_check_lists_every_fault_and_says_what_is_well(tmp_path):
    (tmp_path / "good.yml").write_text("groups: [{name: a, rules: [{record: a:b, expr: up}]}]\n")
    (tmp_path / "bad.yml").write_text("groups:\n  - name: a\n    rules: [{alert: A}]\n  - name: a\n    rules: []\n")
    ran = run("check", "good.yml", "bad.yml", folder=tmp_path)
    assert ran.returncode == 1
    lines = ran.stdout.splitlines()
    assert lines[0] == "good.yml: 1 rules in 1 groups, all well"
    assert [line.partition(": ")[0] for line in lines[1:]] == ["bad.yml:3", "bad.yml:4"]


def test_help_does_not_load_the_engine():
    code = (
        "import sys\nfrom algowatch.cli.main import run\n"
        "try:\n    run(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'numpy', 'starlette', 'sqlite3', 'httpx2'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, timeout=30)
