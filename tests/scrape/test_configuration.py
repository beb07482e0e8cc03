import shutil
import subprocess

import pytest

from algowatch.errors import ConfigError
from algowatch.scrape.configuration import load_config, scrape_interval_ms, scrape_timeout_ms


@pytest.fixture
def load(tmp_path):
    def read(text):
        path = tmp_path / "prometheus.yml"
        path.write_text(text)
        return load_config(path)[0]

    return read


@pytest.fixture
def faults(load, tmp_path):
    def read(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        return [str(fault).removeprefix(f"{tmp_path}/") for fault in caught.value.faults]

    return read


FULL = """
global:
  scrape_interval: 15s
  scrape_timeout: 5s
  evaluation_interval: 30s
  external_labels: {site: home, replica: 1}
  # body_size_limit
rule_files:
  - "rules/*.yml"
alerting:
  alertmanagers:
    - scheme: https
      path_prefix: /am
      timeout: 5s
      api_version: v2
      static_configs: [{targets: ["127.0.0.1:9093"]}]
      tls_config: {insecure_skip_verify: true}
remote_write:
  - url: https://far.example/api/v1/write
    name: far
    basic_auth: {username: u, password: hunter2}
    write_relabel_configs:
      - {source_labels: [__name__], regex: "noise_.*", action: drop}
    queue_config: {max_samples_per_send: 500}
storage:
  tsdb: {out_of_order_time_window: 10m}
  exemplars: {max_exemplars: 1000}
scrape_configs:
  - job_name: node
    scrape_interval: 5s
    honor_labels: true
    metrics_path: /m
    params: {collect: [cpu, disk]}
    sample_limit: 1000
    body_size_limit: 1MB
    basic_auth: {username: u, password_file: secrets/pw}
    static_configs:
      - targets: ["localhost:9100", "localhost:9101"]
        labels: {env: prod, shard: 1}
    relabel_configs:
      - {source_labels: [__address__], regex: "(.*):.*", target_label: host, replacement: $1}
      - {source_labels: [host], modulus: 4, target_label: shard, action: hashmod}
      - {regex: "tmp_(.*)", action: LabelMap}
      - {regex: "tmp_.*", action: labeldrop}
      - {source_labels: [env], target_label: env, action: uppercase}
    metric_relabel_configs:
      - {source_labels: [__name__], regex: "go_.*", action: drop}
  - job_name: files
    file_sd_configs:
      - files: ["targets/*.json"]
        refresh_interval: 1m
    http_sd_configs:
      - url: http://127.0.0.1:1/targets
    authorization: {credentials: hunter2}
"""
EMPTY = """rule_files:
  # - first.yml
alerting:
  alertmanagers:
    - static_configs:
        - targets:
          # - am:9093
scrape_configs:
"""


def test_a_full_file_is_read_with_its_paths_counted_from_its_folder(load, tmp_path):
    file = load(FULL.replace("# body_size_limit", "body_size_limit: 10MB"))
    node, files = file.scrape_configs
    assert file.rule_files == [f"{tmp_path}/rules/*.yml"]
    assert node.basic_auth.password_file == f"{tmp_path}/secrets/pw"
    assert files.file_sd_configs[0].files == [f"{tmp_path}/targets/*.json"]
    assert file.global_.external_labels == {"site": "home", "replica": "1"}
    assert (file.global_.evaluation_interval, file.global_.body_size_limit, node.body_size_limit) == (30_000, 10 << 20, 1 << 20)
    assert (scrape_interval_ms(file, node), scrape_timeout_ms(file, node)) == (5_000, 5_000)
    assert (scrape_interval_ms(file, files), scrape_timeout_ms(file, files)) == (15_000, 5_000)
    assert node.relabel_configs[2].rule().action == "labelmap"


def test_what_is_not_written_is_none_and_has_prometheus_defaults(load):
    file = load(EMPTY + "  - job_name: a\n")
    assert (file.global_.scrape_interval, file.global_.evaluation_interval) == (None, None)
    assert (scrape_interval_ms(file, file.scrape_configs[0]), scrape_timeout_ms(file, file.scrape_configs[0])) == (
        60_000,
        10_000,
    )
    assert (file.rule_files, file.alerting.alertmanagers[0].static_configs[0].targets) == ([], [])


@pytest.mark.parametrize("text", [FULL, EMPTY, "scrape_configs: [{job_name: a}]"], ids=["full", "empty", "one job"])
@pytest.mark.peer("promtool")
def test_prometheus_takes_these_files_too(load, tmp_path, text):
    load(text)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "pw").write_text("x")
    (tmp_path / "targets").mkdir()
    done = subprocess.run(
        [shutil.which("promtool"), "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_secrets_show_up_nowhere(load):
    file = load(FULL)
    assert "hunter2" not in f"{file!r}{file.model_dump()}{file.model_dump_json(by_alias=True)}"
    assert file.remote_write[0].basic_auth.password.reveal() == "hunter2"
    assert '"password":"<secret>"' in file.model_dump_json()


def test_a_secret_of_the_wrong_kind_is_not_printed(faults):
    assert faults("scrape_configs:\n- job_name: a\n  basic_auth:\n    username: u\n    password: 123456\n") == [
        "prometheus.yml:5: scrape_configs[0].basic_auth.password: a secret must be text; put it in quotes"
    ]


BAD_FILES = [
    (
        "global: {scrape_interval: 5s, scrape_timeout: 6s}",
        "1: global.scrape_timeout: global scrape timeout greater than scrape interval; make it at most scrape_interval",
    ),
    (
        "scrape_configs:\n- job_name: a\n  scrape_interval: 1s\n  scrape_timeout: 2s",
        "4: scrape_configs[0].scrape_timeout: scrape timeout greater than scrape interval for scrape config with job name 'a'; "
        "make it at most scrape_interval",
    ),
    (
        "scrape_configs:\n- job_name: a\n- job_name: a",
        "3: scrape_configs[1].job_name: found multiple scrape configs with job name 'a'; give each its own name",
    ),
    ("scrape_configs:\n- job_name: ''", "2: scrape_configs[0].job_name: job_name is empty"),
    ("scrape_configs:\n- scheme: http", "2: scrape_configs[0]: key 'job_name' is missing; add job_name:"),
    (
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - regex: 'a('\n    target_label: b",
        "4: scrape_configs[0].relabel_configs[0].regex: error parsing regexp: missing ): a(: 'a('",
    ),
    (
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - {action: hashmod, target_label: b}",
        "4: scrape_configs[0].relabel_configs[0]: relabel configuration for hashmod requires non-zero modulus",
    ),
    (
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - {action: replace}",
        "4: scrape_configs[0].relabel_configs[0]: relabel configuration for replace action requires 'target_label' value",
    ),
    (
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - {action: rename}",
        "4: scrape_configs[0].relabel_configs[0].action: unknown relabel action 'rename'; "
        "actions: replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase",
    ),
    (
        "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - {action: labeldrop, regex: x, source_labels: [b]}",
        "4: scrape_configs[0].relabel_configs[0]: labeldrop action requires only 'regex', and no other fields",
    ),
    (
        "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['http://h:1/x']",
        "4: scrape_configs[0].static_configs[0].targets: 'http://h:1/x' is not a valid hostname; "
        "write host:port, and the path in metrics_path",
    ),
    (
        "scrape_configs:\n- job_name: a\n  bearer_token: x\n  basic_auth: {username: u}",
        "3: scrape_configs[0].bearer_token: at most one of basic_auth, authorization, bearer_token & bearer_token_file: "
        "basic_auth, bearer_token; keep one of them",
    ),
    (
        "scrape_configs:\n- job_name: a\n  authorization: {type: Basic, credentials: x}",
        '3: scrape_configs[0].authorization.type: authorization type cannot be set to "basic"; use "basic_auth" instead',
    ),
    (
        "scrape_configs:\n- job_name: a\n  tls_config: {cert_file: c}",
        "3: scrape_configs[0].tls_config: exactly one of key or key_file must be configured with cert_file; add key_file",
    ),
    (
        "scrape_configs:\n- job_name: a\n  file_sd_configs:\n  - files: [x.txt]",
        "4: scrape_configs[0].file_sd_configs[0].files: path name 'x.txt' is not valid for file discovery; "
        "it must end in .json, .yml or .yaml",
    ),
    (
        "scrape_configs:\n- job_name: a\n  http_sd_configs:\n  - url: ftp://x",
        "4: scrape_configs[0].http_sd_configs[0].url: URL scheme must be 'http' or 'https', and a host must be named",
    ),
    (
        "scrape_configs:\n- job_name: a\n  body_size_limit: 10 pounds",
        "3: scrape_configs[0].body_size_limit: not a valid size: '10 pounds'; write for example 512KB or 10MB",
    ),
    (
        "scrape_configs:\n- job_name: a\n  scrape_protocols: []",
        "3: scrape_configs[0].scrape_protocols: scrape_protocols cannot be empty; leave the key out for the default",
    ),
    (
        "global:\n  metric_name_validation_scheme: legacy\n  external_labels: {a-b: c}",
        "3: global.external_labels.a-b: 'a-b' is not a valid label name; rename it",
    ),
    (
        "scrape_configs:\n- job_name: a\n  static_config: []",
        "3: scrape_configs[0].static_config: unknown key; did you mean 'static_configs'?",
    ),
]
REFUSED = [
    (
        "scrape_configs:\n- job_name: a\n  kubernetes_sd_configs: [{role: pod}]",
        "3: scrape_configs[0].kubernetes_sd_configs: not supported by the embedded engine; "
        "use file_sd_configs or http_sd_configs with a list that a small job keeps up to date",
    ),
    (
        "remote_read:\n- url: http://x",
        "1: remote_read: not supported by the embedded engine; leave it out: the engine answers from its own history only",
    ),
    (
        "scrape_configs:\n- job_name: a\n  scrape_native_histograms: true",
        "3: scrape_configs[0].scrape_native_histograms: not supported by the embedded engine; "
        "native histograms are not stored; leave the key out, classic buckets are scraped",
    ),
    (
        "global: {scrape_failure_log_file: x}",
        "1: global.scrape_failure_log_file: not supported by the embedded engine; "
        "leave it out: /api/v1/targets and the engine's log show why scrapes fail",
    ),
    (
        "scrape_configs:\n- job_name: a\n  oauth2: {client_id: x}",
        "3: scrape_configs[0].oauth2: not supported by the embedded engine; "
        "let a helper write the token to a file and use authorization.credentials_file",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES + REFUSED)
def test_what_is_wrong_is_said_with_its_line(faults, text, message):
    assert faults(text) == [f"prometheus.yml:{message}"]


@pytest.mark.parametrize(
    "text",
    [text for text, _ in BAD_FILES if "legacy" not in text and "scrape_protocols" not in text and "labels" not in text[:60]],
)
@pytest.mark.peer("promtool")
def test_prometheus_refuses_these_files_too(tmp_path, text):
    (tmp_path / "prometheus.yml").write_text(text)
    done = subprocess.run(
        [shutil.which("promtool"), "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0


def test_all_contradictions_of_a_file_come_together(faults):
    found = faults("global: {scrape_interval: 1s, scrape_timeout: 2s}\nscrape_configs:\n- job_name: a\n- job_name: a\n")
    assert [text.split(":")[1] for text in found] == ["1", "4"]
