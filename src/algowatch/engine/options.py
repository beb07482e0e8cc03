"""What an engine is asked to do."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from algowatch.errors import UsageError

DEFAULT_LISTEN = "127.0.0.1:5174"
DEFAULT_QUERY_PROCESSES = 2
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the web server listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read `HOST:PORT`; port 0 takes a free one.

        Raises: UsageError, also for an address that is not loopback: it would show P&L to anyone on the network.
        """
        host, _, port = text.rpartition(":")
        host = host.strip("[]")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise UsageError(f"--listen {text!r} is not HOST:PORT; write for example {DEFAULT_LISTEN}")
        if host not in _LOOPBACK_NAMES:
            raise UsageError(
                f"--listen {text!r} is not a loopback address, and P&L would be open to the network; "
                f"listen on 127.0.0.1:{port} and reach it through an SSH tunnel"
            )
        return cls(host, int(port))

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Everything `algowatch up` can be told.

    retention_ms: how long samples are kept; 0 keeps everything.
    config_file: a prometheus.yml; alertmanager_file: an alertmanager.yml; settings_file: an algowatch.yml; all are optional.
    query_processes: how many processes answer heavy queries, so that these hold up no scrape; 0 answers them in threads.
    webhook_urls: receivers of the built-in routing, next to what the environment names.
    """

    data_dir: Path
    listen: Listen = field(default_factory=lambda: Listen.parse(DEFAULT_LISTEN))
    config_file: Path | None = None
    alertmanager_file: Path | None = None
    settings_file: Path | None = None
    discovery: bool = True
    retention_ms: int = 30 * 86_400_000
    webhook_urls: tuple[str, ...] = ()
    log_alerts: bool = True
    builtin_rules: bool = True
    query_processes: int = DEFAULT_QUERY_PROCESSES


def default_data_dir() -> Path:
    """Where history is kept when nobody says otherwise: the user's data directory."""
    if given := os.environ.get("ALGOWATCH_DATA_DIR"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "algowatch" / "data"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "algowatch" / "data"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "algowatch"
