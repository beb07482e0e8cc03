"""One HTTP GET of a target's body, within its time and size."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx2

OPENMETRICS = "application/openmetrics-text"
DEFAULT_PROTOCOLS = ("OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4")
_ACCEPTED = {
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0;escaping={escaping}",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "PrometheusText1.0.0": "text/plain;version=1.0.0;escaping={escaping}",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
}
_CUT_OFF = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
"""A connection that was kept open since the last scrape may have been closed by the other side meanwhile: ask once more."""
_TEXT_TYPES = ("text/plain", "")


class FetchError(Exception):
    """A scrape brought no body; `refused` says that nobody listens there."""

    def __init__(self, problem: str, *, refused: bool = False) -> None:
        self.refused = refused
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Body:
    data: bytes
    openmetrics: bool


def accept_header(protocols: Sequence[str], escaping: str = "allow-utf-8") -> str:
    """The formats in falling preference, with how names beyond ASCII are to come; whatever else is the last resort."""
    kinds = [_ACCEPTED[protocol].format(escaping=escaping) for protocol in protocols if protocol in _ACCEPTED]
    parts = [f"{kind};q=0.{len(kinds) + 1 - place}" for place, kind in enumerate(kinds)]
    return ",".join([*parts, "*/*;q=0.1"])


async def fetch(
    client: httpx2.AsyncClient, url: str, headers: Mapping[str, str], *, timeout_ms: int, limit: int, fallback: str = ""
) -> Body:
    """Get a body of at most `limit` bytes, counted after decompression.

    Raises: FetchError with the text that a target's last error shows.
    """
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            try:
                return await _get(client, url, headers, limit, fallback)
            except _CUT_OFF:
                return await _get(client, url, headers, limit, fallback)
    except TimeoutError:
        raise FetchError(f'Get "{url}": context deadline exceeded') from None
    except httpx2.ConnectError as error:
        raise FetchError(f'Get "{url}": {_reason(error)}', refused=True) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, zlib.error, UnicodeError, OSError) as error:
        raise FetchError(f'Get "{url}": {_reason(error)}') from None


async def _get(client: httpx2.AsyncClient, url: str, headers: Mapping[str, str], limit: int, fallback: str) -> Body:
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code != 200:
            raise FetchError(f"server returned HTTP status {response.status_code} {response.reason_phrase}".rstrip())
        openmetrics = is_openmetrics(response.headers.get("content-type", ""), fallback)
        return Body(await _read(response, limit), openmetrics)


def is_openmetrics(content_type: str, fallback: str) -> bool:
    """Which of the two formats a body is in; a body without a type is taken for the text format.

    Raises: FetchError for any other type, unless the job names a fallback_scrape_protocol.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == OPENMETRICS:
        return True
    if kind in _TEXT_TYPES:
        return False
    if fallback:
        return fallback.startswith("OpenMetrics")
    raise FetchError(
        f"received unsupported Content-Type {content_type[:80]!r} and no fallback_scrape_protocol specified for target"
    )


async def _read(response: httpx2.Response, limit: int) -> bytes:
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise FetchError(f"received unsupported Content-Encoding {encoding[:60]!r}")
    unpack = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    parts, size = [], 0
    async for raw in response.aiter_raw():
        part = unpack.decompress(raw, limit + 1 - size) if unpack else raw
        size += len(part)
        if size > limit:
            raise FetchError(f"body size limit exceeded ({limit} bytes)")
        parts.append(part)
    if unpack and not unpack.eof:
        raise FetchError("the gzip body was cut off")
    return b"".join(parts)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "connection refused" if "refused" in text.lower() or "All connection attempts failed" in text else text
