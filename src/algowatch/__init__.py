"""Observability for algorithmic trading systems.

    import algowatch

    watch = algowatch.start("gamma-bot", profile="options")

This gives the bot side only: nothing here imports numpy, SQLite or a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from algowatch import testing as testing
    from algowatch.insight.query import query as query
    from algowatch.profiles.start import start as start
    from algowatch.telemetry.watch import Watch as Watch

    __version__: str

__all__ = ["Watch", "__version__", "query", "start"]

_PLACES = {
    "query": ("algowatch.insight.query", "query"),
    "start": ("algowatch.profiles.start", "start"),
    "Watch": ("algowatch.telemetry.watch", "Watch"),
    "__version__": ("algowatch.model.version", "VERSION"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    from importlib import import_module

    if name == "testing":
        return import_module("algowatch.testing")
    if name not in _PLACES:
        raise AttributeError(f"module 'algowatch' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = globals()[name] = getattr(import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "testing"})
