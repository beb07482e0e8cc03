"""Observability for algorithmic trading systems.

    import algowatch

    watch = algowatch.start("gamma-bot", profile="options")

This gives the bot side only: nothing here imports numpy, SQLite or a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from algowatch.model.version import VERSION as __version__

if TYPE_CHECKING:
    from algowatch import testing as testing
    from algowatch.profiles.start import start as start
    from algowatch.telemetry.watch import Watch as Watch

__all__ = ["Watch", "__version__", "start"]

_PLACES = {"start": "algowatch.profiles.start", "Watch": "algowatch.telemetry.watch"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    from importlib import import_module

    if name == "testing":
        return import_module("algowatch.testing")
    if name not in _PLACES:
        raise AttributeError(f"module 'algowatch' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "testing"})
