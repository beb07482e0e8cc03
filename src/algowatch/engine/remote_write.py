"""`remote_write` of a prometheus.yml: a sender per entry, with its HTTP client, labels and position in the store."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from algowatch.errors import DeliveryError, UsageError
from algowatch.model.labels import Labels
from algowatch.model.version import VERSION
from algowatch.scrape.client import credential_headers, make_client
from algowatch.scrape.relabel import relabel_set
from algowatch.store import remote_write
from algowatch.store.sender import Post, Sender, SenderOptions

if TYPE_CHECKING:
    from algowatch.model.clock import Clock
    from algowatch.scrape.sections import RemoteWriteConfig
    from algowatch.store import Store

_TOO_MANY_REQUESTS = 429
_SHOWN_ANSWER = 300


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sent where; `clients` is empty where that is what is sent already."""

    configs: Sequence[RemoteWriteConfig]
    external_labels: Mapping[str, str]
    clients: Sequence[httpx2.AsyncClient]


class RemoteWrites:
    """All receivers that the configuration names."""

    def __init__(
        self, configs: Sequence[RemoteWriteConfig], external_labels: Mapping[str, str], store: Store, clock: Clock
    ) -> None:
        """Raises: UsageError if two entries have one name, or a certificate or key cannot be read; StoreError."""
        self._store = store
        self._clock = clock
        self.senders: list[Sender] = []
        self._plan = Plan((), {}, ())
        self._put(self.plan(configs, external_labels))

    def plan(self, configs: Sequence[RemoteWriteConfig], external_labels: Mapping[str, str]) -> Plan:
        """Find out whether entries of a configuration can be used. Raises: UsageError."""
        names = [config.name or _name_of(config.url) for config in configs]
        for name in {name for name in names if names.count(name) > 1}:
            raise UsageError(f"remote_write: two entries have the name or address {name!r}; give each its own name")
        if self._is_in_use(configs, external_labels):
            return Plan(configs, external_labels, ())
        return Plan(configs, external_labels, [_client(config) for config in configs])

    async def take(self, plan: Plan) -> None:
        """Send by another plan from now on; a receiver that keeps its name goes on at its position. Raises: StoreError."""
        if self._is_in_use(plan.configs, plan.external_labels):
            return
        await self.stop()
        self._put(plan)
        self.start()

    def _is_in_use(self, configs: Sequence[RemoteWriteConfig], external_labels: Mapping[str, str]) -> bool:
        return list(configs) == list(self._plan.configs) and dict(external_labels) == dict(self._plan.external_labels)

    def _put(self, plan: Plan) -> None:
        followers = self._store.follow([config.name or _name_of(config.url) for config in plan.configs])
        self._plan = plan
        self.senders = [
            Sender(
                follower,
                _options(config),
                _post(client, config),
                self._store.labels_by_id,
                _relabel(config, plan.external_labels),
                self._clock,
            )
            for config, client, follower in zip(plan.configs, plan.clients, followers, strict=True)
        ]

    def start(self) -> None:
        for sender in self.senders:
            sender.start()

    async def stop(self) -> None:
        await asyncio.gather(*(sender.stop() for sender in self.senders))
        for client in self._plan.clients:
            await client.aclose()


def _name_of(url: str) -> str:
    """The name of a receiver that has none: short, and without credentials that the address may hold."""
    return hashlib.sha256(url.encode()).hexdigest()[:6]


def _options(config: RemoteWriteConfig) -> SenderOptions:
    queue = config.queue_config
    return SenderOptions(
        samples=max(1, queue.max_samples_per_send),
        deadline_s=queue.batch_send_deadline / 1000,
        min_backoff_s=max(0.001, queue.min_backoff / 1000),
        max_backoff_s=max(0.001, queue.max_backoff / 1000),
    )


def _relabel(config: RemoteWriteConfig, external_labels: Mapping[str, str]) -> Callable[[Labels], Labels | None]:
    """External labels first, where a series does not have them, then `write_relabel_configs`, as in Prometheus."""
    rules = tuple(entry.rule() for entry in config.write_relabel_configs)

    def change(labels: Labels) -> Labels | None:
        return relabel_set(Labels.of({**external_labels, **labels.as_dict()}), rules)

    return change


def _client(config: RemoteWriteConfig) -> httpx2.AsyncClient:
    try:
        return make_client(config)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"remote_write {config.url!r}: tls_config cannot be used: {error}; check the files it names") from None


def _post(client: httpx2.AsyncClient, config: RemoteWriteConfig) -> Post:
    base = {
        **config.headers,
        "Content-Type": remote_write.CONTENT_TYPE,
        "Content-Encoding": remote_write.CONTENT_ENCODING,
        "X-Prometheus-Remote-Write-Version": remote_write.VERSION,
        "User-Agent": f"algowatch/{VERSION}",
    }

    async def post(body: bytes) -> None:
        try:
            async with asyncio.timeout(config.remote_timeout / 1000):
                headers = {**base, **credential_headers(config)}
                response = await client.post(config.url, content=body, headers=headers)
        except TimeoutError:
            raise DeliveryError(f"no answer within {config.remote_timeout / 1000:g} s", retryable=True) from None
        except (httpx2.HTTPError, OSError) as error:
            raise DeliveryError(f"not reached: {str(error) or type(error).__name__}", retryable=True) from None
        if not response.is_success:
            raise _refusal(response)

    return post


def _refusal(response: httpx2.Response) -> DeliveryError:
    status = response.status_code
    said = response.text[:_SHOWN_ANSWER].strip()
    return DeliveryError(
        f"answered {status}" + (f": {said}" if said else ""),
        retryable=status >= 500 or status == _TOO_MANY_REQUESTS,
        status=status,
        retry_after_s=_seconds(response.headers.get("Retry-After", "")),
    )


def _seconds(text: str) -> float | None:
    """`Retry-After` in seconds; a date, which receivers do not send, counts as not given."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
