"""The configuration as the API shows it: as it was loaded, with the defaults that count, and no secret in it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from algowatch.model.durations import format_duration
from algowatch.scrape.checks import scrape_interval_ms, scrape_timeout_ms
from algowatch.scrape.sections import ScrapeFile

_PASSWORD_IN_URL = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*):[^/\s@]*@")


def configuration_yaml(config: ScrapeFile) -> str:
    """YAML that can be loaded again, but for `<secret>`, which stands for every password and token."""
    shown = _without_empty(config.model_dump(mode="json", by_alias=True))
    for section, job in zip(shown.get("scrape_configs", ()), config.scrape_configs, strict=False):
        section["scrape_interval"] = format_duration(scrape_interval_ms(config, job))
        section["scrape_timeout"] = format_duration(scrape_timeout_ms(config, job))
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, default_flow_style=False)


def _without_empty(value: Any) -> Any:
    """Without keys that say nothing, and with the passwords of addresses hidden as Prometheus hides them."""
    if isinstance(value, dict):
        kept = ((key, _without_empty(item)) for key, item in value.items())
        return {key: item for key, item in kept if item not in (None, "", {}, [])}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return _PASSWORD_IN_URL.sub(r"\1:xxxxx@", value) if isinstance(value, str) else value
