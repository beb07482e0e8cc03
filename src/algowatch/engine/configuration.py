"""The configuration file as the engine takes it: what it reads well but does not do yet is refused here, by name."""

from __future__ import annotations

from pathlib import Path

from algowatch.errors import ConfigError
from algowatch.scrape.configuration import load_config
from algowatch.scrape.sections import ScrapeFile

_NOT_DONE = {
    ("alerting", "alertmanagers"): "leave it out and give your alertmanager.yml with --alertmanager-config; "
    "algowatch routes and delivers alerts itself",
}


def read_config(path: Path | None) -> ScrapeFile:
    """A prometheus.yml, or the defaults where none is given.

    Raises: ConfigError with every fault, also for what the embedded engine would silently leave undone.
    """
    if path is None:
        return ScrapeFile()
    config, document = load_config(path)
    asked = {("alerting", "alertmanagers"): config.alerting.alertmanagers}
    faults = [
        document.fault(location, "not supported by the embedded engine", mend)
        for location, mend in _NOT_DONE.items()
        if asked[location]
    ]
    if faults:
        raise ConfigError(faults)
    return config
