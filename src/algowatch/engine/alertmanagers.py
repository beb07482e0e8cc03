"""`alerting.alertmanagers` of a prometheus.yml: every alert also goes to those Alertmanagers.

One queue and one task per address, so that one that hangs delays no other. Source: Prometheus, `notifier.Manager`: 10,000
alerts wait at most and the oldest give way, 64 go in one request, external labels are added where the alert has none of that
name, a rule's alert is sent anew each minute. Unlike there, a batch that was not taken is tried again: a bot sends only once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from algowatch.model.alerts import Alert
from algowatch.model.labels import Labels
from algowatch.model.timestamps import format_time
from algowatch.model.version import VERSION
from algowatch.scrape.client import credential_headers, make_client
from algowatch.scrape.discovery import Discovery, FileDiscovery, StaticDiscovery
from algowatch.scrape.http_discovery import HttpDiscovery
from algowatch.scrape.relabel import RelabelRule, relabel, relabel_set
from algowatch.scrape.sections import AlertingConfig, AlertmanagerConfig

_log = logging.getLogger(__name__)
_POLL_EVERY_S = 5.0
_USER_AGENT = f"algowatch/{VERSION}"


@dataclass(frozen=True, slots=True)
class ForwardOptions:
    capacity: int = 10_000
    batch: int = 64
    first_backoff_s: float = 1.0
    max_backoff_s: float = 30.0


class Address:
    """One Alertmanager: its queue, and the task that empties it."""

    def __init__(
        self, url: str, config: AlertmanagerConfig, client: Callable[[], httpx2.AsyncClient], options: ForwardOptions
    ) -> None:
        self.url = url
        self.dropped = 0
        self.sent = 0
        self._config = config
        self._client = client
        self._options = options
        self._queue: deque[dict[str, Any]] = deque()
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"alertmanager {url}")

    def put(self, alerts: Sequence[dict[str, Any]]) -> None:
        self._queue.extend(alerts)
        surplus = len(self._queue) - self._options.capacity
        for _ in range(max(0, surplus)):
            self._queue.popleft()
        if surplus > 0:
            self._drop(surplus, f"more than {self._options.capacity} alerts wait")
        self._news.set()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        failures = 0
        while True:
            if not self._queue:
                self._news.clear()
                await self._news.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._options.batch))]
            problem, again = await self._post(batch)
            if not problem:
                self.sent += len(batch)
                failures = 0
            elif not again:
                self._drop(len(batch), problem)
            else:
                _log.warning("%s did not take %d alerts, they are sent again: %s", self.url, len(batch), problem)
                self._queue.extendleft(reversed(batch))
                await asyncio.sleep(min(self._options.max_backoff_s, self._options.first_backoff_s * 2 ** min(failures, 10)))
                failures += 1

    async def _post(self, batch: Sequence[dict[str, Any]]) -> tuple[str, bool]:
        """What went wrong, empty where nothing did, and whether to try again."""
        try:
            headers = {"User-Agent": _USER_AGENT, **credential_headers(self._config)}
            async with asyncio.timeout(self._config.timeout / 1000):
                answer = await self._client().post(self.url, json=list(batch), headers=headers)
        except TimeoutError:
            return "no answer in time", True
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return str(error) or type(error).__name__, True
        if answer.is_success:
            return "", False
        return f"it answered {answer.status_code}", answer.status_code == 429 or answer.status_code >= 500

    def _drop(self, count: int, problem: str) -> None:
        self.dropped += count
        _log.error("%s: %d alerts dropped: %s", self.url, count, problem)


class _Set:
    """One entry of `alertmanagers`: what discovery finds for it, each with its Address."""

    def __init__(self, config: AlertmanagerConfig, options: ForwardOptions) -> None:
        """Raises: OSError or ssl.SSLError if a certificate or key cannot be read."""
        self._config = config
        self._options = options
        self._discoveries: list[Discovery] = [
            StaticDiscovery(config.static_configs),
            *(FileDiscovery(found.files) for found in config.file_sd_configs),
            *(HttpDiscovery(found, _USER_AGENT) for found in config.http_sd_configs),
        ]
        self._rules = [rule.rule() for rule in config.relabel_configs]
        self._alert_rules = [rule.rule() for rule in config.alert_relabel_configs]
        self.addresses: dict[str, Address] = {}
        self._http = make_client(config)

    def start(self) -> None:
        for discovery in self._discoveries:
            discovery.start()
        self.poll()

    def poll(self) -> None:
        """Take up the addresses that discovery knows now."""
        for discovery in self._discoveries:
            discovery.poll()
        urls = {url for discovery in self._discoveries for group in discovery.groups for url in self._urls(group)}
        for url in self.addresses.keys() - urls:
            asyncio.get_running_loop().create_task(self.addresses.pop(url).stop())
        for url in urls - self.addresses.keys():
            self.addresses[url] = Address(url, self._config, lambda: self._http, self._options)

    def _urls(self, group: Any) -> list[str]:
        path = f"{self._config.path_prefix.rstrip('/')}/api/v2/alerts"
        base = {"__scheme__": self._config.scheme, "__alerts_path__": "/" + path.lstrip("/")}
        found = (relabel({**base, **group.labels.as_dict(), "__address__": target}, self._rules) for target in group.targets)
        return [f"{one['__scheme__']}://{one['__address__']}{one['__alerts_path__']}" for one in found if one]

    def put(self, alerts: Sequence[Alert]) -> None:
        outgoing = [_posted(alert) for alert in relabelled(alerts, self._alert_rules)]
        for address in self.addresses.values():
            address.put(outgoing)

    async def stop(self) -> None:
        await asyncio.gather(*(discovery.stop() for discovery in self._discoveries))
        await asyncio.gather(*(address.stop() for address in self.addresses.values()))
        await self._http.aclose()


class Alertmanagers:
    """`start`, then `put` on the loop for every alert, then `stop`; without entries in the configuration it does nothing."""

    def __init__(
        self, config: AlertingConfig, external_labels: Mapping[str, str], options: ForwardOptions | None = None
    ) -> None:
        self._config = config
        self._external = dict(external_labels)
        self._rules = [rule.rule() for rule in config.alert_relabel_configs]
        self._options = options or ForwardOptions()
        self._sets: list[_Set] = []
        self._polling: asyncio.Task[None] | None = None

    @property
    def active(self) -> list[Address]:
        return [address for one in self._sets for address in one.addresses.values()]

    def start(self) -> None:
        """Raises: OSError or ssl.SSLError if a certificate or key cannot be read."""
        self._sets = [_Set(config, self._options) for config in self._config.alertmanagers]
        for one in self._sets:
            one.start()
        if self._sets:
            self._polling = asyncio.create_task(self._poll(), name="alertmanagers")

    def put(self, alerts: Sequence[Alert]) -> None:
        if not self._sets:
            return
        outgoing = relabelled([self._labelled(alert) for alert in alerts], self._rules)
        for one in self._sets:
            one.put(outgoing)

    async def stop(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        for one in self._sets:
            await one.stop()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_EVERY_S)
            for one in self._sets:
                one.poll()

    def _labelled(self, alert: Alert) -> Alert:
        return _with_labels(alert, Labels.of({**self._external, **alert.labels.as_dict()}))


def relabelled(alerts: Sequence[Alert], rules: Sequence[RelabelRule]) -> list[Alert]:
    """The alerts that the rules let through, with the labels that they give them."""
    if not rules:
        return list(alerts)
    found = ((alert, relabel_set(alert.labels, rules)) for alert in alerts)
    return [_with_labels(alert, labels) for alert, labels in found if labels]


def _with_labels(alert: Alert, labels: Labels) -> Alert:
    if labels == alert.labels:
        return alert
    url, active_at_ms = alert.generator_url, alert.active_at_ms
    return Alert(labels, alert.annotations, alert.starts_at_ms, alert.ends_at_ms, url, active_at_ms)


def _posted(alert: Alert) -> dict[str, Any]:
    return {
        "labels": alert.labels.as_dict(),
        "annotations": alert.annotations.as_dict(),
        "startsAt": format_time(alert.starts_at_ms),
        "endsAt": format_time(alert.ends_at_ms),
        "generatorURL": alert.generator_url,
    }
