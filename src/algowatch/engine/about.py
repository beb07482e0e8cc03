"""What the engine tells about itself under /api/v1/status: its flags and what is wrong with it right now."""

from __future__ import annotations

from collections.abc import Iterator

from algowatch.engine.options import EngineOptions, Listen
from algowatch.model.durations import format_duration
from algowatch.promql.engine import QueryOptions
from algowatch.scrape.manager import ScrapeManager
from algowatch.store.store import Store


def flags(options: EngineOptions, listen: Listen, queries: QueryOptions, threads: int) -> dict[str, str]:
    """The settings under the names of Prometheus's flags, and algowatch's own under theirs."""
    return {
        "alertmanager-config": str(options.alertmanager_file or ""),
        "config.file": str(options.config_file or ""),
        "discovery": _flag(options.discovery),
        "query.lookback-delta": format_duration(queries.lookback_delta_ms),
        "query.max-concurrency": str(threads),
        "query.max-samples": str(queries.max_samples),
        "query.timeout": format_duration(round(queries.timeout_s * 1000)),
        "storage.tsdb.path": str(options.data_dir),
        "storage.tsdb.retention.time": format_duration(options.retention_ms),
        "web.enable-admin-api": _flag(True),
        "web.enable-lifecycle": _flag(False),
        "web.enable-remote-write-receiver": _flag(True),
        "web.external-url": listen.url,
        "web.listen-address": f"{listen.host}:{listen.port}",
    }


def problems(scrapes: ScrapeManager, store: Store) -> list[str]:
    """What an operator should know now, a sentence each."""
    return list(_problems(scrapes, store))


def _problems(scrapes: ScrapeManager, store: Store) -> Iterator[str]:
    yield from scrapes.discovery_problems()
    damaged = store.stats().damaged_chunks
    if damaged:
        yield f"{damaged} chunks of history are damaged and are left out of answers; restore a backup"


def _flag(value: bool) -> str:
    return "true" if value else "false"
