"""From one `scrape_configs` entry to the pool that scrapes it."""

from __future__ import annotations

from collections.abc import Mapping

from algowatch.scrape.checks import scrape_interval_ms, scrape_timeout_ms
from algowatch.scrape.client import credential_headers, make_client
from algowatch.scrape.discovery import Discovery, FileDiscovery, StaticDiscovery
from algowatch.scrape.fetch import DEFAULT_PROTOCOLS, accept_header
from algowatch.scrape.http_discovery import HttpDiscovery
from algowatch.scrape.ingest import IngestOptions
from algowatch.scrape.loop import LoopDependencies, LoopOptions
from algowatch.scrape.pool import Pool
from algowatch.scrape.sections import ScrapeConfig, ScrapeFile
from algowatch.scrape.target import TargetDefaults


def job_pool(file: ScrapeFile, job: ScrapeConfig, given: LoopDependencies, body_limit: int, user_agent: str) -> Pool:
    """Raises: OSError or ssl.SSLError if a certificate or key cannot be read."""
    return Pool(
        _defaults(file, job),
        _loop_options(file, job, body_limit, user_agent),
        make_client(job),
        _discoveries(job, user_agent),
        given,
        target_limit=_limit(job.target_limit, file.global_.target_limit),
        keep_dropped=_limit(job.keep_dropped_targets, file.global_.keep_dropped_targets),
    )


def _defaults(file: ScrapeFile, job: ScrapeConfig) -> TargetDefaults:
    return TargetDefaults(
        pool=job.job_name,
        interval_ms=scrape_interval_ms(file, job),
        timeout_ms=scrape_timeout_ms(file, job),
        scheme=job.scheme,
        metrics_path=job.metrics_path,
        params=tuple((name, tuple(values)) for name, values in job.params.items()),
        relabel=tuple(config.rule() for config in job.relabel_configs),
    )


def _loop_options(file: ScrapeFile, job: ScrapeConfig, body_limit: int, user_agent: str) -> LoopOptions:
    shared = file.global_
    escaping = job.metric_name_escaping_scheme or shared.metric_name_escaping_scheme or "allow-utf-8"
    base = {
        "Accept": accept_header(job.scrape_protocols or shared.scrape_protocols or DEFAULT_PROTOCOLS, escaping),
        "Accept-Encoding": "gzip" if job.enable_compression else "identity",
        "User-Agent": user_agent,
    }

    def headers() -> Mapping[str, str]:
        return {**base, **credential_headers(job)}

    return LoopOptions(
        ingest=_ingest(file, job),
        headers=headers,
        body_limit=_limit(job.body_size_limit, shared.body_size_limit) or body_limit,
        fallback_protocol=job.fallback_scrape_protocol or "",
    )


def _ingest(file: ScrapeFile, job: ScrapeConfig) -> IngestOptions:
    shared = file.global_
    return IngestOptions(
        honor_labels=job.honor_labels,
        honor_timestamps=job.honor_timestamps,
        metric_relabel=tuple(config.rule() for config in job.metric_relabel_configs),
        sample_limit=_limit(job.sample_limit, shared.sample_limit),
        label_limit=_limit(job.label_limit, shared.label_limit),
        label_name_length_limit=_limit(job.label_name_length_limit, shared.label_name_length_limit),
        label_value_length_limit=_limit(job.label_value_length_limit, shared.label_value_length_limit),
        legacy_names=(job.metric_name_validation_scheme or shared.metric_name_validation_scheme) == "legacy",
    )


def _limit(own: int | None, shared: int | None) -> int:
    """A job's own limit, else the global one; 0 is none, and a job's 0 counts as not written, as in Prometheus."""
    return own or shared or 0


def _discoveries(job: ScrapeConfig, user_agent: str) -> list[Discovery]:
    return [
        StaticDiscovery(job.static_configs),
        *(FileDiscovery(config.files) for config in job.file_sd_configs),
        *(HttpDiscovery(config, user_agent) for config in job.http_sd_configs),
    ]
