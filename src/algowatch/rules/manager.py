"""The rule manager: holds the groups, knows when each is due, evaluates beside the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from algowatch.model.clock import Clock
from algowatch.model.protocols import Append, Deliver, InstantQuery
from algowatch.rules.files import load_rule_files
from algowatch.rules.group import Group
from algowatch.rules.options import RuleOptions
from algowatch.rules.schedule import IntervalSchedule, LandingSchedule, slot_offset_ms
from algowatch.rules.specs import GroupSpec
from algowatch.rules.status import GroupStatus

_log = logging.getLogger(__name__)
_LONGEST_WAIT_S = 1.0
"""So that a wall clock that jumps is noticed."""
_STOP_TIMEOUT_S = 3.0


@dataclass(slots=True)
class _Entry:
    """A group with its own schedule; None: it runs when samples have landed, together with all such groups."""

    group: Group
    schedule: IntervalSchedule | None


class RuleManager:
    """Evaluates the rule groups of some files.

    Groups with an interval of their own, or all if `evaluation_interval_ms` is set, run on their schedule; the others as
    soon as samples have landed. One worker thread evaluates, so that a slow expression holds up no scrape.
    `reload`, `replace`, `samples_landed`, `groups` may be called from any thread; `query`, `append` and `deliver` are called
    from the worker thread.
    """

    def __init__(self, options: RuleOptions, query: InstantQuery, append: Append, deliver: Deliver, clock: Clock) -> None:
        self._options = options
        self._query, self._append, self._deliver, self._clock = query, append, deliver, clock
        self._entries: list[_Entry] = []
        self._removed: list[Group] = []
        self._incoming: tuple[RuleOptions, list[GroupSpec]] | None = None
        self._landing = LandingSchedule(options)
        self._evaluating = threading.Lock()
        self._wake = threading.Event()
        self._worker: threading.Thread | None = None
        self._stopping = False

    def reload(self, files: Sequence[str], options: RuleOptions | None = None) -> None:
        """Read the files of a `rule_files` list (paths and patterns) and go on with their groups.

        Alerts of rules that keep their group, name and labels stay pending or firing. While an evaluation
        runs, the new rules wait for its end.
        Raises: ConfigError with every fault; then everything stays as it was.
        """
        self.replace(load_rule_files(files, (options or self._options).check_expr), options)

    def replace(self, groups: Sequence[GroupSpec], options: RuleOptions | None = None) -> None:
        """Go on with other groups, as `reload` does, from what was read already."""
        self._incoming = (options or self._options, list(groups))
        if self._evaluating.acquire(blocking=False):
            try:
                self._take_incoming()
            finally:
                self._evaluating.release()
        self._wake.set()

    def samples_landed(self, at_ms: int) -> None:
        """Say that samples up to a moment can be queried now; cheap, so call it after each scrape."""
        self._landing.landed = True
        self._wake.set()

    def groups(self) -> list[GroupStatus]:
        """All groups with their rules and alerts, in the order of the files."""
        return [entry.group.status() for entry in list(self._entries)]

    async def start(self) -> None:
        self._stopping = False
        self._worker = threading.Thread(target=self._run, name="algowatch-rules", daemon=True)
        self._worker.start()

    async def stop(self) -> None:
        """End after the rule that is being evaluated now, or without it if it takes longer than three seconds.

        Alerts keep their state in ALERTS_FOR_STATE for the next start.
        """
        self._stopping = True
        self._wake.set()
        if self._worker is not None:
            await asyncio.to_thread(self._worker.join, _STOP_TIMEOUT_S)
        self._worker = None

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            wait_s = (self.next_due_ms() - self._clock.now_ms()) / 1000
            if wait_s > 0:
                self._wake.wait(min(wait_s, _LONGEST_WAIT_S))
                continue
            try:
                self.evaluate_due()
            except Exception:  # noqa: BLE001 - alerting goes on after a defect
                _log.exception("evaluating rules failed")
                self._wake.wait(_LONGEST_WAIT_S)

    def next_due_ms(self) -> int:
        """When something is due next; in the past if it is due now."""
        now_ms = self._clock.now_ms()
        due = [entry.schedule.next_ms for entry in self._entries if entry.schedule is not None]
        if self._incoming is not None or self._removed:
            due.append(now_ms)
        if any(entry.schedule is None for entry in self._entries):
            due.append(self._landing.next_ms(now_ms))
        return min(due, default=now_ms + self._options.idle_gap_ms)

    def evaluate_due(self) -> int:
        """Evaluate every group that is due now, in the order of the files; returns how many there were."""
        with self._evaluating:
            self._take_incoming()
            self._end_removed()
            now_ms = self._clock.now_ms()
            landed = any(entry.schedule is None for entry in self._entries) and self._landing.take(now_ms)
            evaluated, cost_s = 0, 0.0
            for entry in self._entries:
                if self._stopping:
                    break
                at_ms = self._due(entry, now_ms, landed)
                if at_ms is None:
                    continue
                entry.group.evaluate(at_ms)
                evaluated += 1
                cost_s += entry.group.last_duration_s if entry.schedule is None else 0.0
            if landed:
                self._landing.cost_ms = round(cost_s * 1000)
            return evaluated

    def _due(self, entry: _Entry, now_ms: int, landed: bool) -> int | None:
        """The moment as of which a group is to be evaluated, if it is due."""
        if entry.schedule is None:
            return now_ms if landed else None
        taken = entry.schedule.take(now_ms)
        if taken is None:
            return None
        entry.group.missed += taken[1]
        return taken[0]

    def _end_removed(self) -> None:
        removed, self._removed = self._removed, []
        for group in removed:
            group.end_series(max(self._clock.now_ms(), group.last_evaluation_ms + 1))

    def _take_incoming(self) -> None:
        if self._incoming is None:
            return
        (options, specs), self._incoming = self._incoming, None
        before = {entry.group.spec.key: entry for entry in self._entries}
        same_options = options == self._options
        self._options = self._landing.options = options
        entries: list[_Entry] = []
        for spec in specs:
            old = before.pop(spec.key, None)
            if old is not None and same_options and old.group.spec == spec:
                entries.append(old)
            else:
                entries.append(self._entry(spec, old))
        self._removed += [entry.group for entry in before.values()]
        self._entries = entries

    def _entry(self, spec: GroupSpec, old: _Entry | None) -> _Entry:
        group = Group(spec, self._options, self._query, self._append, self._deliver, self._clock)
        if old is not None:
            group.take_state(old.group)
        if group.interval_ms is None:
            return _Entry(group, None)
        schedule = IntervalSchedule(group.interval_ms, slot_offset_ms(f"{spec.file};{spec.name}", group.interval_ms))
        now_ms, last_ms = self._clock.now_ms(), group.last_evaluation_ms
        schedule.start(last_ms + 1 if now_ms <= last_ms < now_ms + group.interval_ms else now_ms)
        return _Entry(group, schedule)
