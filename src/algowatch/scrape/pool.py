"""The targets of one job: what discovery finds, relabelled, each with its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import httpx2

from algowatch.scrape.discovery import Discovery
from algowatch.scrape.loop import LoopDependencies, LoopOptions, TargetLoop
from algowatch.scrape.target import DroppedTarget, Target, TargetDefaults, TargetGroup, build_targets


class Pool:
    """Keeps one loop per target while discovery finds it; `sync` is called after a discovery reported a change."""

    def __init__(
        self,
        defaults: TargetDefaults,
        options: LoopOptions,
        client: httpx2.AsyncClient,
        discoveries: Sequence[Discovery],
        given: LoopDependencies,
        *,
        target_limit: int = 0,
        keep_dropped: int = 0,
    ) -> None:
        self.defaults = defaults
        self.options = options
        self.client = client
        self.discoveries = tuple(discoveries)
        self.target_limit = target_limit
        self.keep_dropped = keep_dropped
        self.loops: dict[str, TargetLoop] = {}
        self.dropped: Sequence[DroppedTarget] = ()
        self._given = given
        self._before: dict[str, TargetLoop] = {}

    @property
    def problems(self) -> list[str]:
        return [problem for discovery in self.discoveries for problem in discovery.problems]

    def poll(self) -> bool:
        changed = [discovery.poll() for discovery in self.discoveries]
        return any(changed)

    def groups(self) -> list[TargetGroup]:
        return [group for discovery in self.discoveries for group in discovery.groups]

    async def start(self) -> None:
        for discovery in self.discoveries:
            discovery.start()
        self.poll()
        await self.sync()

    async def sync(self) -> None:
        """Start loops for new targets, move or restart changed ones, end those that are gone."""
        targets, dropped = build_targets(self.groups(), self.defaults)
        self.dropped = dropped[: self.keep_dropped or None]
        if self.target_limit and len(targets) > self.target_limit:
            problem = f"target_limit exceeded (number of targets: {len(targets)}, limit: {self.target_limit})"
            targets = [replace(target, problem=problem) for target in targets]
        wanted = {target.stream: target for target in targets}
        gone = [self.loops.pop(stream) for stream in self.loops.keys() - wanted.keys()]
        await asyncio.gather(*(loop.stop(gone=True) for loop in gone))
        for stream, target in wanted.items():
            self._keep(stream, target)

    def _keep(self, stream: str, target: Target) -> None:
        loop = self.loops.get(stream)
        if loop is None:
            loop = self.loops[stream] = TargetLoop(target, self.client, self.options, self._given)
            before = self._before.pop(stream, None)
            if before is not None:
                loop.continue_from(before)
            loop.start()
        elif loop.target != target:
            loop.move(target)

    async def replace(self, before: Pool) -> None:
        """Start in the place of a pool with other settings; targets of both go on, the others end."""
        await before._halt()
        self._before = before.loops
        await self.start()
        await asyncio.gather(*(loop.stop(gone=True) for loop in self._before.values()))
        self._before = {}

    async def stop(self, *, gone: bool) -> None:
        """End all loops, the discoveries and the client; `gone` as for `TargetLoop.stop`."""
        loops = tuple(self.loops.values())
        await self._halt()
        if gone:
            await asyncio.gather(*(loop.stop(gone=True) for loop in loops))
        self.loops.clear()

    async def _halt(self) -> None:
        await asyncio.gather(*(discovery.stop() for discovery in self.discoveries))
        await asyncio.gather(*(loop.stop(gone=False) for loop in self.loops.values()))
        await self.client.aclose()
