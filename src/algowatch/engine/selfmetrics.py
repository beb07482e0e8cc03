"""What the engine says about itself, worked out when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from algowatch.catalog import engine as families
from algowatch.catalog.families import Family
from algowatch.model.version import VERSION
from algowatch.notify.notifier import Notifier
from algowatch.store.sender import Sender
from algowatch.store.store import Store
from algowatch.telemetry import exposition
from algowatch.telemetry.registry import Registry, Samples
from algowatch.web.lifecycle import ReloadState

if TYPE_CHECKING:
    from algowatch.scrape.loop import ScrapeReport


class SelfMetrics:
    """Counts scrapes as they land; everything else is asked of the part that knows it."""

    def __init__(
        self,
        store: Store,
        notifier: Notifier,
        senders: Callable[[], Sequence[Sender]],
        live_streams: Callable[[], int],
        reload_state: Callable[[], ReloadState],
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._senders = senders
        self._live_streams = live_streams
        self._reload_state = reload_state
        self._scrapes: Counter[tuple[str, str]] = Counter()
        self._samples: Counter[tuple[str]] = Counter()
        self._registry = Registry()
        self._registry.collectors.append(self._collect)

    def scraped(self, report: ScrapeReport) -> None:
        self._scrapes[report.job, "up" if report.up else "down"] += 1
        self._samples[(report.job,)] += report.samples

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The engine's /metrics for an Accept header: body and content type."""
        form = exposition.negotiate(accept)
        return exposition.render(self._registry, form), exposition.CONTENT_TYPES[form]

    def _collect(self) -> Iterator[tuple[Family, Samples]]:
        yield families.ENGINE_INFO, [((VERSION,), 1.0)]
        yield families.SCRAPES, _floats(self._scrapes)
        yield families.SCRAPED_SAMPLES, _floats(self._samples)
        stats = self._store.stats()
        yield families.STORE_SERIES, [((), float(stats.series))]
        yield families.STORE_SAMPLES, [((), float(stats.samples))]
        yield families.STORE_BYTES, [((), float(stats.file_bytes))]
        yield families.STORE_WAL_BYTES, [((), float(stats.wal_bytes))]
        yield families.STORE_DAMAGED, [((), float(stats.damaged_chunks))]
        yield families.STORE_FAILED_APPENDS, [((), float(stats.failed_appends))]
        yield families.STORE_FAILED_UPKEEP, [((), float(stats.failed_upkeep))]
        yield from self._remote_writes()
        yield from self._notifications()
        state = self._reload_state()
        yield families.RELOAD_SUCCESSFUL, [((), float(state.success))]
        yield families.RELOADED_AT, [((), state.taken_at_ms / 1000)]
        yield families.LIVE_STREAMS, [((), float(self._live_streams()))]

    def _remote_writes(self) -> Iterator[tuple[Family, Samples]]:
        yield (
            families.REMOTE_WRITE_SAMPLES,
            [
                ((sender.name, outcome), float(getattr(sender.state, outcome)))
                for sender in self._senders()
                for outcome in ("sent", "retried", "dropped")
            ],
        )
        yield families.REMOTE_WRITE_BEHIND, [((sender.name,), sender.behind_s()) for sender in self._senders()]
        yield families.REMOTE_WRITE_UNSENT, [((), float(self._store.unsent_dropped))]

    def _notifications(self) -> Iterator[tuple[Family, Samples]]:
        counted = self._notifier.stats()
        outcomes: Samples = [
            ((receiver, outcome), float(count))
            for outcome in ("sent", "retried", "failed")
            for receiver, count in sorted(counted[outcome].items())
        ]
        yield families.NOTIFICATIONS, outcomes
        yield families.NOTIFICATIONS_QUEUED, [((name,), float(count)) for name, count in counted["queued"].items()]


def _floats(counts: Counter[tuple[str, str]] | Counter[tuple[str]]) -> Samples:
    return [(labels, float(count)) for labels, count in sorted(counts.items())]
