"""`--settings algowatch.yml`: what only algowatch has, beside the files of Prometheus and Alertmanager."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from algowatch.config import Document, read_file
from algowatch.errors import ConfigError
from algowatch.notify.policy_settings import PolicySections


class Settings(PolicySections):
    """A whole algowatch.yml.

    external_url: where people reach the page, for links in messages.
    """


def load_settings(path: Path | None) -> tuple[Settings, Document]:
    """Read an algowatch.yml, or the defaults where none is given.

    Raises: ConfigError with every fault.
    """
    if path is None:
        return Settings(), Document("algowatch.yml", {}, {(): 1})
    settings, document = read_file(Settings, path)
    parts = urlsplit(settings.external_url)
    if settings.external_url and (parts.scheme not in ("http", "https") or not parts.hostname):
        mend = "write for example https://desk.example"
        raise ConfigError([document.fault(("external_url",), "not an http or https address", mend)])
    return settings, document
