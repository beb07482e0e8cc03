"""Reading a whole `prometheus.yml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from algowatch.config import Document, read_file
from algowatch.config.read import SectionT
from algowatch.errors import ConfigError
from algowatch.scrape.checks import cross_check, scrape_interval_ms, scrape_timeout_ms
from algowatch.scrape.http_client import IsPath, PrometheusSection
from algowatch.scrape.sections import ScrapeConfig, ScrapeFile

__all__ = ["ScrapeConfig", "ScrapeFile", "load_config", "rebase", "scrape_interval_ms", "scrape_timeout_ms"]


def load_config(path: Path | str) -> tuple[ScrapeFile, Document]:
    """Read a `prometheus.yml`; paths inside come back counted from the file's folder.

    Raises: ConfigError with every fault of the file.
    """
    file, document = read_file(ScrapeFile, path)
    faults = cross_check(file, document)
    if faults:
        raise ConfigError(sorted(faults, key=lambda fault: fault.line or 0))
    return rebase(file, Path(path).parent), document


def rebase(section: SectionT, folder: Path) -> SectionT:
    """A copy in which every path that is not absolute stands in `folder`."""
    changed: dict[str, Any] = {}
    for name, about in type(section).model_fields.items():
        value = getattr(section, name)
        is_path = any(isinstance(mark, IsPath) for mark in about.metadata) or "IsPath" in repr(about.annotation)
        changed[name] = _rebase_value(value, folder, is_path)
    return section.model_copy(update={name: value for name, value in changed.items() if value is not getattr(section, name)})


def _rebase_value(value: Any, folder: Path, is_path: bool) -> Any:
    if isinstance(value, PrometheusSection):
        return rebase(value, folder)
    if isinstance(value, list):
        return [_rebase_value(item, folder, is_path) for item in value]
    if isinstance(value, dict):
        return {key: _rebase_value(item, folder, is_path) for key, item in value.items()}
    if is_path and isinstance(value, str) and value:
        return str(folder / value)
    return value
