"""From what discovery found to what is scraped. Source: Prometheus, `scrape.PopulateLabels`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from algowatch.model.durations import format_duration, parse_duration
from algowatch.model.labels import Labels
from algowatch.scrape.relabel import RelabelRule, relabel

BOTS_POOL = "bots"
PID_LABEL = "__meta_algowatch_pid"
STARTED_LABEL = "__meta_algowatch_process_started"


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """Addresses that share labels, as one entry of a file_sd file has them; `source` says where they come from."""

    targets: tuple[str, ...]
    labels: Labels
    source: str


@dataclass(frozen=True, slots=True)
class TargetDefaults:
    """What a job gives its targets before relabelling."""

    pool: str
    interval_ms: int
    timeout_ms: int
    scheme: str = "http"
    metrics_path: str = "/metrics"
    params: tuple[tuple[str, tuple[str, ...]], ...] = ()
    relabel: tuple[RelabelRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """A process on this machine; the start time tells it from a later one with the same pid."""

    pid: int
    started_s: float | None


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to scrape. `stream` is its identity in the store and survives a bot's change of port."""

    pool: str
    discovered: Labels
    labels: Labels
    url: str
    interval_ms: int
    timeout_ms: int
    process: Process | None = None
    problem: str = ""
    stream: str = field(default="", compare=False)

    @property
    def job(self) -> str:
        return self.labels.get("job")

    @property
    def instance(self) -> str:
        return self.labels.get("instance")

    @property
    def is_bot(self) -> bool:
        return self.pool == BOTS_POOL


@dataclass(frozen=True, slots=True)
class DroppedTarget:
    """Discovered, and dropped by relabelling."""

    pool: str
    discovered: Labels


def build_targets(groups: Iterable[TargetGroup], defaults: TargetDefaults) -> tuple[list[Target], list[DroppedTarget]]:
    """The targets of a job, each stream once, and what its relabelling dropped."""
    targets: dict[str, Target] = {}
    dropped: list[DroppedTarget] = []
    for group in groups:
        for address in group.targets:
            found = build_target(address, group.labels, defaults)
            if isinstance(found, Target):
                targets.setdefault(found.stream, found)
            else:
                dropped.append(found)
    return list(targets.values()), dropped


def build_target(address: str, labels: Mapping[str, str] | Labels, defaults: TargetDefaults) -> Target | DroppedTarget:
    discovered = _discovered(address, dict(labels), defaults)
    kept = relabel(discovered, defaults.relabel)
    if kept is None:
        return DroppedTarget(defaults.pool, Labels.of(discovered))
    problem, interval_ms, timeout_ms = _times(kept, defaults)
    where = kept.get("__address__", "")
    if not where:
        problem = "no address"
    elif "/" in where:
        problem = f"{where!r} is not a valid hostname"
    public = {name: value for name, value in kept.items() if not name.startswith("__")}
    public.setdefault("instance", where)
    url = _url(kept, defaults.params)
    target_labels = Labels.of(public)
    bot = defaults.pool == BOTS_POOL
    return Target(
        defaults.pool,
        Labels.of(discovered),
        target_labels,
        url,
        interval_ms,
        timeout_ms,
        _process(discovered) if bot else None,
        problem,
        stream=f"{defaults.pool}{target_labels}" + ("" if bot else f" {url}"),
    )


def _discovered(address: str, labels: dict[str, str], defaults: TargetDefaults) -> dict[str, str]:
    base = {
        "job": defaults.pool,
        "__scheme__": defaults.scheme,
        "__metrics_path__": defaults.metrics_path,
        "__scrape_interval__": format_duration(defaults.interval_ms),
        "__scrape_timeout__": format_duration(defaults.timeout_ms),
        **{f"__param_{name}": values[0] for name, values in defaults.params if values},
    }
    return base | {name: value for name, value in labels.items() if value} | {"__address__": address}


def _times(labels: Mapping[str, str], defaults: TargetDefaults) -> tuple[str, int, int]:
    """Relabelling may set `__scrape_interval__` and `__scrape_timeout__`."""
    try:
        interval_ms = parse_duration(labels.get("__scrape_interval__", ""))
        timeout_ms = parse_duration(labels.get("__scrape_timeout__", ""))
    except ValueError as error:
        return f"error parsing scrape interval or timeout: {error}", defaults.interval_ms, defaults.timeout_ms
    if interval_ms <= 0 or timeout_ms <= 0:
        return "scrape interval and timeout cannot be 0", defaults.interval_ms, defaults.timeout_ms
    if timeout_ms > interval_ms:
        return "scrape timeout cannot be greater than scrape interval", defaults.interval_ms, defaults.timeout_ms
    return "", interval_ms, timeout_ms


def _url(labels: Mapping[str, str], params: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    query = {name: list(values) for name, values in params}
    for label, value in labels.items():
        if label.startswith("__param_"):
            name = label.removeprefix("__param_")
            query[name] = [value, *query.get(name, [])[1:]]
    path = labels.get("__metrics_path__", "")
    path = path if path.startswith("/") or not path else "/" + path
    text = f"{labels.get('__scheme__', 'http')}://{labels.get('__address__', '')}{path}"
    return text + ("?" + urlencode(sorted(query.items()), doseq=True) if query else "")


def _process(labels: Mapping[str, str]) -> Process | None:
    pid, started = labels.get(PID_LABEL, ""), labels.get(STARTED_LABEL, "")
    if not pid.isdecimal() or len(pid) > 10 or int(pid) == 0:
        return None
    try:
        return Process(int(pid), float(started) if started else None)
    except ValueError:
        return Process(int(pid), None)
