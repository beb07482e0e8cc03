"""The demo's bot: a process of its own, such as a trader could have written: it trades, and records what it does."""

from __future__ import annotations

import argparse
import pickle
import random
import signal
import sys
import threading
import time
from typing import IO

import algowatch
from algowatch.demo.recording import Recording
from algowatch.demo.story import Story
from algowatch.demo.trader import Trader
from algowatch.demo.venue import Fill, Order, Tick

BOT_NAME = "demo-bot"
_STEP_S = 0.1


class NoJournal:
    """Hears nothing; stands in while a market travels from the demo to its bot."""

    def submitted(self, order: Order, decision_s: float) -> None: ...
    def filled(self, fill: Fill) -> None: ...
    def rejected(self, order: Order, reason: str) -> None: ...
    def cancelled(self, order: Order, reason: str) -> None: ...
    def ticked(self, tick: Tick) -> None: ...
    def link(self, connected: bool) -> None: ...
    def kill_switch(self, active: bool, reason: str) -> None: ...
    def broker_error(self, code: str) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description="The simulated bot of the demo; the market comes through standard input.")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    trade(read_market(sys.stdin.buffer), random.Random(options.seed), ended)


def read_market(source: IO[bytes]) -> Trader:
    """The market that the demo, our parent, hands over."""
    trader = pickle.load(source)
    if not isinstance(trader, Trader):
        raise TypeError("standard input holds no simulated market")
    return trader


def trade(trader: Trader, rng: random.Random, ended: threading.Event) -> None:
    """Trade until told to end."""
    watch = algowatch.start(BOT_NAME)
    recording = Recording(watch, say)
    trader.journal = recording
    recording.link(True)
    recording.kill_switch(False, "")
    story = Story(trader, rng, say, time.time())
    while not ended.wait(_STEP_S):
        now = time.time()
        story.advance(now)
        trader.step(now)
        recording.update(trader)
    watch.stop()


def say(text: str, breach: str = "") -> None:
    """One line for the demo, our parent, which prints it: the alert that must follow, a tab, the text."""
    print(f"{breach}\t{text}", flush=True)


if __name__ == "__main__":
    main()
