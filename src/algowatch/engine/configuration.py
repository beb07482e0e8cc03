"""The configuration file as the engine takes it."""

from __future__ import annotations

from pathlib import Path

from algowatch.scrape.configuration import load_config
from algowatch.scrape.sections import ScrapeFile


def read_config(path: Path | None) -> ScrapeFile:
    """A prometheus.yml, or the defaults where none is given.

    Raises: ConfigError with every fault.
    """
    return ScrapeFile() if path is None else load_config(path)[0]
