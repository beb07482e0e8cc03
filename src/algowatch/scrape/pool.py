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
        target_limit: int = 0,
    ) -> None:
        self.defaults = defaults
        self.options = options
        self.client = client
        self.discoveries = tuple(discoveries)
        self.target_limit = target_limit
        self.loops: dict[str, TargetLoop] = {}
        self.dropped: Sequence[DroppedTarget] = ()
        self._given = given

    @property
    def problems(self) -> list[str]:
        return [problem for discovery in self.discoveries for problem in discovery.problems]

    def poll(self) -> bool:
        changed = [discovery.poll() for discovery in self.discoveries]
        return any(changed)

    def groups(self) -> list[TargetGroup]:
        return [group for discovery in self.discoveries for group in discovery.groups]

    async def sync(self) -> None:
        """Start loops for new targets, move or restart changed ones, end those that are gone."""
        targets, self.dropped = build_targets(self.groups(), self.defaults)
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
            loop.start()
        elif loop.target != target:
            loop.move(target)

    async def stop(self, *, gone: bool) -> None:
        """End all loops and the client; `gone` as for `TargetLoop.stop`."""
        await asyncio.gather(*(loop.stop(gone=gone) for loop in self.loops.values()))
        self.loops.clear()
        await self.client.aclose()
