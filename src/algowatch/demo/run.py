"""`algowatch demo`: the engine, and a simulated bot in a process of its own, told line by line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from algowatch.demo.backfill import backfill
from algowatch.demo.bot import BOT_NAME, NoJournal
from algowatch.demo.trader import Trader
from algowatch.engine.build import Engine
from algowatch.engine.options import EngineOptions, Listen
from algowatch.engine.run import end_on_signals
from algowatch.model.severity import severity_rank

Announce = Callable[[str], None]
_TARGET = {"job": "bots", "instance": BOT_NAME}


def run_demo(listen: Listen, data_dir: Path | None, webhooks: tuple[str, ...], seed: int, announce: Announce) -> None:
    """Run the demo until SIGINT or SIGTERM.

    Raises: UsageError, StoreError before anything is served.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with _folder(data_dir) as folder:
        # Bots and engine of the demo find each other here, apart from those that the user really runs.
        os.environ["ALGOWATCH_STATE_DIR"] = str(folder / "state")
        options = EngineOptions(folder, listen, webhook_urls=webhooks)
        asyncio.run(_demo(options, seed, announce))


@contextlib.contextmanager
def _folder(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield data_dir
        return
    with tempfile.TemporaryDirectory(prefix="algowatch-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


async def _demo(options: EngineOptions, seed: int, announce: Announce) -> None:
    ended = end_on_signals()
    engine = Engine(options, on_delivered=lambda record: _announce_alert(record, announce))
    trader = Trader(NoJournal(), random.Random(seed))
    await engine.start()
    bot = None
    try:
        announce(f"algowatch demo: open {engine.url} in a browser; Ctrl-C ends it")
        began = time.monotonic()
        samples = await asyncio.to_thread(backfill, engine.store.append_block, trader, int(time.time()), _TARGET)
        announce(f"{_now()}  a week of history is there: {samples:,} samples in {time.monotonic() - began:.1f} s")
        bot = await _start_bot(trader, seed, announce)
        await engine.wait(ended)
    finally:
        if bot is not None:
            await _end_bot(bot)
        await engine.stop()


async def _start_bot(trader: Trader, seed: int, announce: Announce) -> asyncio.subprocess.Process:
    """The bot goes on with the very market that the history ends with; it gets it through its standard input."""
    bot = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "algowatch.demo.bot",
        f"--seed={seed}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    trader.journal = NoJournal()
    assert bot.stdin is not None
    bot.stdin.write(pickle.dumps(trader))
    bot.stdin.close()
    announce(f"{_now()}  the simulated bot trades, as process {bot.pid}")
    asyncio.get_running_loop().create_task(_relay(bot, announce), name="bot's words")
    return bot


async def _relay(bot: asyncio.subprocess.Process, announce: Announce) -> None:
    assert bot.stdout is not None
    async for line in bot.stdout:
        announce(f"{_now()}  · {line.decode(errors='replace').rstrip()}")
    if await bot.wait() < 0:
        announce(f"{_now()}  · the bot was killed (signal {-(bot.returncode or 0)})")


async def _end_bot(bot: asyncio.subprocess.Process) -> None:
    if bot.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            bot.terminate()
        try:
            await asyncio.wait_for(bot.wait(), 2)
        except TimeoutError:
            bot.kill()


def _announce_alert(record: Mapping[str, Any], announce: Announce) -> None:
    """One line for each alert that has reached a receiver; of several receivers the log stands for all."""
    if record["integration"] != "log" or record["error"]:
        return
    labels, annotations = record["labels"], record["annotations"]
    firing = record["status"] == "firing"
    severity = labels.get("severity", "warning")
    mark = ("FIRING  " if firing else "resolved") + " " + "!" * (severity_rank(severity) if firing else 0)
    what = annotations.get("summary") or annotations.get("description") or ""
    delay = record["delaySeconds"]
    took = f"  (breach → message {delay:.2f} s)" if firing and delay is not None else ""
    announce(f"{_now()}  {mark:<12} {labels.get('alertname', '?')} [{severity}] {what}{took}")


def _now() -> str:
    return time.strftime("%H:%M:%S")
