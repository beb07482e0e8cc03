"""`algowatch.start`: a watch with its health endpoints, dressed for its profile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from algowatch.catalog.families import BASE
from algowatch.health import attach
from algowatch.telemetry.registry import MAX_SERIES
from algowatch.telemetry.watch import Watch, WatchOptions, start_watch


def start(
    name: str,
    *,
    profile: str = BASE,
    port: int = 0,
    host: str = "127.0.0.1",
    labels: Mapping[str, str] | None = None,
    alerts: str | Callable[..., None] | Sequence[str | Callable[..., None]] | None = None,
    logs: Iterable[str | Path] = (),
    strict: bool = False,
    host_metrics: bool = True,
    max_series: int = MAX_SERIES,
    state_directory: str | Path | None = None,
    **unknown: Any,
) -> Watch:
    """Watch this process as the bot `name`: serve /metrics and /healthz on a free port and let the engine find them.

    The same name gives the same Watch again. A second live process of that name becomes `name-2`.

    Args:
        profile:         which trading system this is: ibkr, portfolio, intents, crypto, options, or nothing special.
        port:            a wished port; taken, a free one is used and logged.
        labels:          put on every series of this bot, such as {"desk": "vol"}.
        alerts:          addresses of webhooks (or callables) for alerts while no engine answers; without it,
                         the channels that the environment names (ALGOWATCH_WEBHOOK_URL, SLACK_WEBHOOK_URL …).
        logs:            log files that the engine may read.
        strict:          raise for wrong use, in tests; in production wrong use is counted and logged.
        max_series:      bound per family.
        state_directory: where bots and engine find each other, if not the user's usual one.

    Raises: UsageError in strict mode only.
    """
    watch = start_watch(
        WatchOptions(
            name=name,
            profile=profile,
            port=port,
            host=host,
            labels=dict(labels) if isinstance(labels, Mapping) else {},
            logs=tuple(str(path) for path in logs),
            alerts=alerts,
            strict=strict,
            host_metrics=host_metrics,
            max_series=max_series,
            state=Path(state_directory) if state_directory else None,
        )
    )
    attach(watch)
    if unknown:
        watch.faults.note("start", f"bot {name!r}", f"start() does not know {', '.join(sorted(unknown))}")
    return watch
