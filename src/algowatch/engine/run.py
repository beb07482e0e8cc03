"""Running an engine in the foreground: signals, what is printed, the exit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable

from algowatch.engine.build import Engine
from algowatch.engine.options import EngineOptions
from algowatch.errors import AlgowatchError

Announce = Callable[[str], None]


def run_engine(options: EngineOptions, announce: Announce) -> None:
    """Start an engine and serve until SIGINT or SIGTERM.

    Raises: ConfigError, UsageError, StoreError before anything is served.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for talkative in ("uvicorn.error", "httpx2", "httpcore2"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    asyncio.run(_serve(options, announce))


async def _serve(options: EngineOptions, announce: Announce) -> None:
    ended = end_on_signals()
    engine = Engine(options)
    await engine.start()
    reload_on_signal(engine)
    try:
        announce(f"algowatch is at {engine.url} (history in {options.data_dir})")
        announce(f"Alerts go to: {', '.join(engine.integrations())}. Ctrl-C ends it.")
        await engine.wait(ended)
    finally:
        await engine.stop()


def end_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; Windows, which has no handlers on the loop, gets the plain kind."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, ended.set)
        except NotImplementedError:
            with contextlib.suppress(ValueError):
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(ended.set))
    return ended


def reload_on_signal(engine: Engine) -> None:
    """Read the configuration files again at SIGHUP; Windows has none, there `POST /-/reload` does the same."""
    if sys.platform == "win32":
        return
    running: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        with contextlib.suppress(AlgowatchError):  # the reloader has logged it
            await engine.reloader.reload()

    def begin() -> None:
        task = asyncio.get_running_loop().create_task(reload(), name="reload")
        running.add(task)
        task.add_done_callback(running.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, begin)
