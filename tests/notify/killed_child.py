"""Run as a program by test_kill.py: a notifier that accepts alerts as fast as it can and says which are safe."""

import asyncio
import sys
from pathlib import Path

from algowatch.model.alerts import Alert
from algowatch.model.clock import SystemClock
from algowatch.model.labels import Labels
from algowatch.notify import Notifier, NotifyOptions


async def main(directory: str, url: str) -> None:
    notifier = Notifier(NotifyOptions(Path(directory), webhook_urls=(url,), environ={}, log=lambda line: None))
    await notifier.start()
    for number in range(100_000):
        now_ms = SystemClock().now_ms()
        labels = Labels.of(alertname="Order", severity="critical", number=str(number))
        await notifier.accept([Alert(labels, Labels(), now_ms, now_ms + 1)])
        print(number, flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2]))
