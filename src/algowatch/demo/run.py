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
    # The demo tells of each alert itself.
    logging.getLogger("algowatch.alerts").setLevel(logging.CRITICAL + 1)
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
    teller = _Teller(announce)
    engine = Engine(options, on_delivered=teller.alert)
    trader = Trader(NoJournal(), random.Random(seed))
    await engine.start()
    bot = None
    try:
        announce(f"algowatch demo: open {engine.url} in a browser; Ctrl-C ends it")
        began = time.monotonic()
        samples = await asyncio.to_thread(backfill, engine.store.append_block, trader, int(time.time()), _TARGET)
        teller.say(f"a week of history is there: {samples:,} samples in {time.monotonic() - began:.1f} s")
        bot = await _start_bot(trader, seed, teller)
        await engine.wait(ended)
    finally:
        if bot is not None:
            await _end_bot(bot)
        await engine.stop()


async def _start_bot(trader: Trader, seed: int, teller: _Teller) -> asyncio.subprocess.Process:
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
    teller.say(f"the simulated bot trades, as process {bot.pid}")
    teller.listening = asyncio.create_task(_relay(bot, teller), name="bot's words")
    return bot


async def _relay(bot: asyncio.subprocess.Process, teller: _Teller) -> None:
    assert bot.stdout is not None
    async for line in bot.stdout:
        teller.story(line.decode(errors="replace").rstrip("\n"))
    if await bot.wait() < 0:
        teller.say(f"· the bot was killed (signal {-(bot.returncode or 0)})")


async def _end_bot(bot: asyncio.subprocess.Process) -> None:
    if bot.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            bot.terminate()
        try:
            await asyncio.wait_for(bot.wait(), 2)
        except TimeoutError:
            bot.kill()


class _Teller:
    """Prints the story and its alerts, and says how long after the breach each message was there.

    The delay counts from the moment in the bot where it is known, else from the first sample that showed the breach.
    """

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self._breaches: dict[str, float] = {}
        self._told: set[str] = set()
        self.listening: asyncio.Task[None] | None = None

    def say(self, text: str) -> None:
        self._announce(f"{time.strftime('%H:%M:%S')}  {text}")

    def story(self, line: str) -> None:
        """A line of the bot: the alert that must follow, a tab, the text."""
        breach, _, text = line.partition("\t")
        if breach:
            self._breaches[breach] = time.time()
        self.say(f"· {text}")

    def alert(self, record: Mapping[str, Any]) -> None:
        """One line when an alert has reached a receiver and one when it is over; of several receivers the log stands for all.

        A message names every alert of its group, also those that were told before: each is printed once.
        """
        fingerprint, firing = record["fingerprint"], record["status"] == "firing"
        if record["integration"] != "log" or record["error"] or firing == (fingerprint in self._told):
            return
        (self._told.add if firing else self._told.discard)(fingerprint)
        labels, annotations = record["labels"], record["annotations"]
        name, severity = labels.get("alertname", "?"), labels.get("severity", "warning")
        summary = annotations.get("summary") or annotations.get("description") or ""
        if not firing:
            self.say(f"resolved     {name}: {summary}")
            return
        mark = "!" * max(1, severity_rank(severity))
        self.say(f"FIRING {mark:<4}  {name} [{severity}] {summary}{self._delay(name, record)}")

    def _delay(self, name: str, record: Mapping[str, Any]) -> str:
        began = self._breaches.pop(name, None)
        delay = time.time() - began if began is not None else record["delaySeconds"]
        return f"  (breach → message {delay:.2f} s)" if delay is not None else ""
