import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from algowatch.notify import Notifier, NotifyOptions


@pytest.mark.parametrize("safe_count", [1, 7, 60])
def test_what_was_accepted_arrives_at_least_once_across_kill_9(tmp_path, receiver, safe_count):
    """The receiver is slow, so that many messages are under way or wait when the process dies."""
    receiver.delay_s = 0.05
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killed_child.py")), str(tmp_path), receiver.url],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    )
    safe = {child.stdout.readline().strip() for _ in range(safe_count)}
    child.kill()
    safe |= set(child.stdout.read().split())
    child.wait()
    child.stdout.close()
    receiver.delay_s = 0.0

    def numbers(bodies):
        return {alert["labels"]["number"] for body in bodies for alert in body["alerts"]}

    async def restart():
        options = NotifyOptions(tmp_path, webhook_urls=(receiver.url,), environ={}, log=lambda line: None)
        notifier = Notifier(options)
        await notifier.start()
        try:
            await asyncio.to_thread(receiver.wait, lambda bodies: safe <= numbers(bodies))
        finally:
            await notifier.stop()

    asyncio.run(restart())
    assert safe <= numbers(receiver.bodies)
