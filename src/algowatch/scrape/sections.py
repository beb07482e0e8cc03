"""The sections of `prometheus.yml`, for the part that the embedded engine does; the rest is refused by name.

`None` and 0 stand for "not written" where the engine treats that specially: an `evaluation_interval` that is not written lets
rules follow the samples.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from algowatch.config import Duration
from algowatch.model.regex import compile_anchored
from algowatch.scrape.http_client import NO_OAUTH2, HttpClientConfig, PathText, PrometheusSection, Text, TextMap
from algowatch.scrape.relabel import (
    DEFAULT_REGEX,
    DEFAULT_REPLACEMENT,
    DEFAULT_SEPARATOR,
    Action,
    RelabelRule,
    as_action,
)

DEFAULT_SCRAPE_INTERVAL_MS = 60_000
DEFAULT_SCRAPE_TIMEOUT_MS = 10_000

_SIZE = re.compile(r"([0-9]+)(B|KB|MB|GB|TB|PB|EB|KiB|MiB|GiB|TiB|PiB|EiB)\Z")
_SIZE_UNITS = "BKMGTPE"
_TARGET_TEMPLATE = re.compile(r"\$(?:[A-Za-z0-9_]+|\{[A-Za-z0-9_]+\})")

_NATIVE = "native histograms are not stored; leave the key out, classic buckets are scraped"
_NOT_DONE = {
    "scrape_failure_log_file": "leave it out: /api/v1/targets and the engine's log show why scrapes fail",
    "extra_scrape_metrics": "leave it out: /api/v1/targets shows timeouts and sample counts",
    "track_timestamps_staleness": "leave it out: series with timestamps of their own end by the lookback",
}
_NATIVE_KEYS = {
    "scrape_native_histograms": _NATIVE,
    "scrape_classic_histograms": _NATIVE,
    "always_scrape_classic_histograms": _NATIVE,
    "convert_classic_histograms_to_nhcb": _NATIVE,
    "native_histogram_bucket_limit": _NATIVE,
    "native_histogram_min_bucket_factor": _NATIVE,
}
_OTHER_DISCOVERIES = {
    f"{kind}_sd_configs": "use file_sd_configs or http_sd_configs with a list that a small job keeps up to date"
    for kind in [
        "azure",
        "consul",
        "digitalocean",
        "dns",
        "docker",
        "dockerswarm",
        "ec2",
        "eureka",
        "gce",
        "hetzner",
        "ionos",
        "kubernetes",
        "kuma",
        "lightsail",
        "linode",
        "marathon",
        "nerve",
        "nomad",
        "openstack",
        "ovhcloud",
        "puppetdb",
        "scaleway",
        "serverset",
        "stackit",
        "triton",
        "uyuni",
        "vultr",
    ]
}


def _size(value: object) -> object:
    """`10MB`, `64MiB`; the units with and without an i are both powers of 1024, as in Prometheus."""
    if value == 0 and not isinstance(value, bool):
        return 0
    found = _SIZE.match(value) if isinstance(value, str) else None
    if found is None and value != "0":
        raise ValueError(f"not a valid size: {value!r}; write for example 512KB or 10MB")
    return int(found[1]) * 1024 ** _SIZE_UNITS.index(found[2][0]) if found else 0


def _size_text(size: int) -> str:
    """As `_size` reads it, in the largest unit that loses nothing."""
    power = next(power for power in range(len(_SIZE_UNITS) - 1, -1, -1) if size % 1024**power == 0)
    return f"{size // 1024**power}{_SIZE_UNITS[power]}{'B' if power else ''}" if size else "0"


Size = Annotated[int, BeforeValidator(_size), PlainSerializer(_size_text, return_type=str, when_used="json")]
Limit = Annotated[int, Field(ge=0)]
NameScheme = Literal["utf8", "legacy"]
ScrapeProtocol = Literal[
    "PrometheusProto", "OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4"
]


class RelabelConfig(PrometheusSection):
    """One entry of `relabel_configs`; which keys an action may have is Prometheus's table."""

    source_labels: list[Text] = Field(default_factory=list)
    separator: Text = DEFAULT_SEPARATOR
    target_label: Text = ""
    regex: Text = DEFAULT_REGEX
    modulus: Limit = 0
    replacement: Text = DEFAULT_REPLACEMENT
    action: Text = "replace"

    @field_validator("regex")
    @classmethod
    def regex_compiles(cls, value: str) -> str:
        try:
            compile_anchored(value)
        except re.error as error:
            raise ValueError(f"error parsing regexp: {error.msg}: {value!r}") from None
        return value

    @field_validator("action")
    @classmethod
    def action_exists(cls, value: str) -> Action:
        return as_action(value)

    @model_validator(mode="after")
    def keys_fit_the_action(self) -> RelabelConfig:
        problem = self._problem(self.action)
        if problem:
            raise ValueError(problem)
        return self

    def _problem(self, action: str) -> str:
        written = self.model_fields_set - {"action"}
        if action in ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal") and not self.target_label:
            return f"relabel configuration for {action} action requires 'target_label' value"
        if action == "hashmod" and not self.modulus:
            return "relabel configuration for hashmod requires non-zero modulus"
        if action in ("lowercase", "uppercase") and self.replacement != DEFAULT_REPLACEMENT:
            return f"'replacement' can not be set for {action} action"
        if action == "labelmap" and not self.replacement:
            return f"{self.replacement!r} is invalid 'replacement' for labelmap action"
        if action in ("keepequal", "dropequal") and written - {"source_labels", "target_label"}:
            return f"{action} action requires only 'source_labels' and 'target_label', and no other fields"
        if action in ("labeldrop", "labelkeep") and written - {"regex"}:
            return f"{action} action requires only 'regex', and no other fields"
        if action not in ("replace", "labelmap") and _TARGET_TEMPLATE.search(self.target_label):
            return f"{self.target_label!r} is invalid 'target_label' for {action} action"
        return ""

    def rule(self) -> RelabelRule:
        return RelabelRule(
            as_action(self.action),
            tuple(self.source_labels),
            self.separator,
            self.regex,
            self.modulus,
            self.target_label,
            self.replacement,
        )


class StaticConfig(PrometheusSection):
    targets: list[Text] = Field(default_factory=list)
    labels: TextMap = Field(default_factory=dict)

    @field_validator("targets")
    @classmethod
    def targets_are_addresses(cls, value: list[str]) -> list[str]:
        for target in value:
            if "/" in target:
                raise ValueError(f"{target!r} is not a valid hostname; write host:port, and the path in metrics_path")
        return value


class FileSdConfig(PrometheusSection):
    files: list[PathText]
    refresh_interval: Duration = 300_000

    @field_validator("files")
    @classmethod
    def files_are_lists(cls, value: list[str]) -> list[str]:
        if not value:
            raise ValueError("file service discovery config must contain at least one path name")
        for path in value:
            if not re.match(r"[^*]*(?:\*[^/]*)?\.(?:json|yml|yaml|JSON|YML|YAML)\Z", path):
                raise ValueError(f"path name {path!r} is not valid for file discovery; it must end in .json, .yml or .yaml")
        return value


class HttpSdConfig(HttpClientConfig):
    url: Text
    refresh_interval: Duration = 60_000

    @field_validator("url")
    @classmethod
    def url_is_http(cls, value: str) -> str:
        if not value:
            raise ValueError("URL is missing")
        if not re.match(r"https?://[^/]+", value):
            raise ValueError("URL scheme must be 'http' or 'https', and a host must be named")
        return value


class _Limits(PrometheusSection):
    body_size_limit: Size | None = None
    sample_limit: Limit | None = None
    target_limit: Limit | None = None
    label_limit: Limit | None = None
    label_name_length_limit: Limit | None = None
    label_value_length_limit: Limit | None = None
    keep_dropped_targets: Limit | None = None
    metric_name_validation_scheme: NameScheme | None = None
    metric_name_escaping_scheme: Literal["allow-utf-8", "underscores", "dots", "values"] | None = None
    scrape_protocols: list[ScrapeProtocol] | None = None


class GlobalConfig(_Limits):
    not_supported: ClassVar[dict[str, str]] = (
        _NATIVE_KEYS
        | _NOT_DONE
        | {
            "query_log_file": "the engine's own log holds slow queries",
            "rule_query_offset": "give the rule group a query_offset",
        }
    )

    scrape_interval: Duration | None = None
    scrape_timeout: Duration | None = None
    evaluation_interval: Duration | None = None
    external_labels: TextMap = Field(default_factory=dict)


class ScrapeConfig(HttpClientConfig, _Limits):
    not_supported: ClassVar[dict[str, str]] = NO_OAUTH2 | _NATIVE_KEYS | _NOT_DONE | _OTHER_DISCOVERIES

    job_name: Text
    scrape_interval: Duration | None = None
    scrape_timeout: Duration | None = None
    fallback_scrape_protocol: ScrapeProtocol | None = None
    metrics_path: Text = "/metrics"
    scheme: Literal["http", "https"] = "http"
    params: dict[str, list[Text]] = Field(default_factory=dict)
    honor_labels: bool = False
    honor_timestamps: bool = True
    enable_compression: bool = True
    static_configs: list[StaticConfig] = Field(default_factory=list)
    file_sd_configs: list[FileSdConfig] = Field(default_factory=list)
    http_sd_configs: list[HttpSdConfig] = Field(default_factory=list)
    relabel_configs: list[RelabelConfig] = Field(default_factory=list)
    metric_relabel_configs: list[RelabelConfig] = Field(default_factory=list)

    @field_validator("job_name")
    @classmethod
    def job_is_named(cls, value: str) -> str:
        if not value:
            raise ValueError("job_name is empty")
        return value


class AlertmanagerConfig(HttpClientConfig):
    not_supported: ClassVar[dict[str, str]] = NO_OAUTH2 | _OTHER_DISCOVERIES

    scheme: Literal["http", "https"] = "http"
    path_prefix: Text = ""
    timeout: Duration = 10_000
    api_version: Literal["v2"] = "v2"
    static_configs: list[StaticConfig] = Field(default_factory=list)
    file_sd_configs: list[FileSdConfig] = Field(default_factory=list)
    http_sd_configs: list[HttpSdConfig] = Field(default_factory=list)
    relabel_configs: list[RelabelConfig] = Field(default_factory=list)
    alert_relabel_configs: list[RelabelConfig] = Field(default_factory=list)


class AlertingConfig(PrometheusSection):
    alert_relabel_configs: list[RelabelConfig] = Field(default_factory=list)
    alertmanagers: list[AlertmanagerConfig] = Field(default_factory=list)


class QueueConfig(PrometheusSection):
    """Accepted as written; the sender reads the store, so shards and buffers have nothing to bound."""

    capacity: Limit = 10_000
    max_shards: Limit = 50
    min_shards: Limit = 1
    max_samples_per_send: Limit = 2000
    batch_send_deadline: Duration = 5_000
    min_backoff: Duration = 30
    max_backoff: Duration = 5_000
    retry_on_http_429: bool = False
    sample_age_limit: Duration = 0


class MetadataConfig(PrometheusSection):
    send: bool = True
    send_interval: Duration = 60_000
    max_samples_per_send: Limit = 2000


class RemoteWriteConfig(HttpClientConfig):
    not_supported: ClassVar[dict[str, str]] = NO_OAUTH2 | {
        "send_native_histograms": "native histograms are not stored; leave the key out",
        "round_robin_dns": "name one address",
    }

    url: Text
    name: Text = ""
    remote_timeout: Duration = 30_000
    headers: TextMap = Field(default_factory=dict)
    write_relabel_configs: list[RelabelConfig] = Field(default_factory=list)
    send_exemplars: Literal[False] = False
    protobuf_message: Literal["prometheus.WriteRequest"] = "prometheus.WriteRequest"
    queue_config: QueueConfig = Field(default_factory=QueueConfig)
    metadata_config: MetadataConfig = Field(default_factory=MetadataConfig)

    @field_validator("url")
    @classmethod
    def url_is_given(cls, value: str) -> str:
        if not re.match(r"https?://[^/]+", value):
            raise ValueError("url must be an http or https address")
        return value


class RetentionConfig(PrometheusSection):
    not_supported: ClassVar[dict[str, str]] = {"percentage": "use size"}

    time: Duration | None = None
    size: Size | None = None


class TsdbConfig(PrometheusSection):
    not_supported: ClassVar[dict[str, str]] = {
        "stale_series_compaction_threshold": "leave it out: the store compacts by itself",
    }

    out_of_order_time_window: Duration = 0
    retention: RetentionConfig = Field(default_factory=RetentionConfig)


class ExemplarsConfig(PrometheusSection):
    max_exemplars: int = 100_000


class StorageConfig(PrometheusSection):
    tsdb: TsdbConfig = Field(default_factory=TsdbConfig)
    exemplars: ExemplarsConfig = Field(default_factory=ExemplarsConfig)


class RuntimeConfig(PrometheusSection):
    """Settings of Go's runtime: accepted, without meaning here."""

    gogc: int = 75


class ScrapeFile(PrometheusSection):
    """A whole `prometheus.yml`."""

    not_supported: ClassVar[dict[str, str]] = {
        "remote_read": "leave it out: the engine answers from its own history only",
        "tracing": "leave it out: the engine does not trace itself",
        "otlp": "leave it out: OTLP is not received",
        "scrape_config_files": "write the scrape_configs into this file",
    }

    global_: GlobalConfig = Field(default_factory=GlobalConfig, alias="global")
    runtime: RuntimeConfig = Field(default_factory=RuntimeConfig)
    rule_files: list[PathText] = Field(default_factory=list)
    scrape_configs: list[ScrapeConfig] = Field(default_factory=list)
    alerting: AlertingConfig = Field(default_factory=AlertingConfig)
    remote_write: list[RemoteWriteConfig] = Field(default_factory=list)
    storage: StorageConfig = Field(default_factory=StorageConfig)
