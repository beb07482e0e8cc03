"""What must fit together across the sections of a `prometheus.yml`; messages follow Prometheus's, with the line added."""

from __future__ import annotations

from collections.abc import Iterator

from algowatch.config import Document
from algowatch.config.read import Location
from algowatch.errors import Fault
from algowatch.model.labels import is_legacy_label_name
from algowatch.scrape.http_client import HttpClientConfig
from algowatch.scrape.sections import DEFAULT_SCRAPE_INTERVAL_MS, DEFAULT_SCRAPE_TIMEOUT_MS, ScrapeConfig, ScrapeFile


def cross_check(file: ScrapeFile, document: Document) -> list[Fault]:
    """Every contradiction in a file whose sections are right one by one."""
    return [
        *_global_faults(file, document),
        *_job_faults(file, document),
        *_client_faults(file, document),
        *_label_faults(file, document),
    ]


def scrape_interval_ms(file: ScrapeFile, job: ScrapeConfig) -> int:
    """The interval that counts for a job: its own, else the global one, else a minute."""
    return job.scrape_interval or file.global_.scrape_interval or DEFAULT_SCRAPE_INTERVAL_MS


def scrape_timeout_ms(file: ScrapeFile, job: ScrapeConfig) -> int:
    """The timeout that counts for a job: its own, else the global one or ten seconds, but no longer than the interval."""
    shared = file.global_.scrape_timeout or DEFAULT_SCRAPE_TIMEOUT_MS
    return job.scrape_timeout or min(shared, scrape_interval_ms(file, job))


def _global_faults(file: ScrapeFile, document: Document) -> Iterator[Fault]:
    interval = file.global_.scrape_interval or DEFAULT_SCRAPE_INTERVAL_MS
    if (file.global_.scrape_timeout or 0) > interval:
        yield document.fault(
            ("global", "scrape_timeout"),
            "global scrape timeout greater than scrape interval",
            "make it at most scrape_interval",
        )


def _job_faults(file: ScrapeFile, document: Document) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, job in enumerate(file.scrape_configs):
        place: Location = ("scrape_configs", index)
        if job.job_name in seen:
            problem = f"found multiple scrape configs with job name {job.job_name!r}"
            yield document.fault((*place, "job_name"), problem, "give each its own name")
        seen.add(job.job_name)
        if (job.scrape_timeout or 0) > scrape_interval_ms(file, job):
            problem = f"scrape timeout greater than scrape interval for scrape config with job name {job.job_name!r}"
            yield document.fault((*place, "scrape_timeout"), problem, "make it at most scrape_interval")
        yield from _protocol_faults(job, place, document)


def _protocol_faults(job: ScrapeConfig, place: Location, document: Document) -> Iterator[Fault]:
    protocols = job.scrape_protocols
    if protocols is None:
        return
    where = (*place, "scrape_protocols")
    if not protocols:
        yield document.fault(where, "scrape_protocols cannot be empty", "leave the key out for the default")
    if len(set(protocols)) != len(protocols):
        yield document.fault(where, "duplicated protocol in scrape_protocols", "name each once")
    if protocols and set(protocols) == {"PrometheusProto"}:
        yield document.fault(where, "the protobuf format is not read", "add a text format")


def _client_faults(file: ScrapeFile, document: Document) -> Iterator[Fault]:
    for place, client in _clients(file):
        for inside, problem, mend in client.credential_problems():
            yield document.fault((*place, *inside), problem, mend)


def _clients(file: ScrapeFile) -> Iterator[tuple[Location, HttpClientConfig]]:
    for index, job in enumerate(file.scrape_configs):
        place: Location = ("scrape_configs", index)
        yield place, job
        for number, found in enumerate(job.http_sd_configs):
            yield (*place, "http_sd_configs", number), found
    for index, manager in enumerate(file.alerting.alertmanagers):
        yield ("alerting", "alertmanagers", index), manager
    for index, writer in enumerate(file.remote_write):
        yield ("remote_write", index), writer


def _label_faults(file: ScrapeFile, document: Document) -> Iterator[Fault]:
    legacy = file.global_.metric_name_validation_scheme == "legacy"
    for name in file.global_.external_labels:
        if not _is_label_name(name, legacy):
            yield document.fault(("global", "external_labels", name), f"{name!r} is not a valid label name", "rename it")
    for index, job in enumerate(file.scrape_configs):
        strict = (job.metric_name_validation_scheme or ("legacy" if legacy else "utf8")) == "legacy"
        for number, group in enumerate(job.static_configs):
            for name in group.labels:
                if not _is_label_name(name, strict):
                    place = ("scrape_configs", index, "static_configs", number, "labels", name)
                    yield document.fault(place, f"{name!r} is not a valid label name", "rename it")


def _is_label_name(name: str, legacy: bool) -> bool:
    return bool(name) and (not legacy or is_legacy_label_name(name))
