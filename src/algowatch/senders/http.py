"""One HTTP POST with a time limit on all of it; what a URL keeps secret never reaches an exception."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from algowatch.errors import DeliveryError

USER_AGENT = "algowatch"
_MAX_REDIRECTS = 3
_MAX_ANSWER_BYTES = 64 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered; `text` is cut at 64 KiB."""

    status: int
    text: str
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The answer as JSON, None where it is not."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    def said(self, url: str = "") -> str:
        """Status and first words, for the delivery record; what the URL keeps secret is left out of them."""
        words = _without_secrets(" ".join(self.text.split())[:100], url)
        return f"{self.status} {words}".strip()


def post_json(url: str, body: object, timeout_s: float, headers: Mapping[str, str] | None = None) -> Answer:
    """POST an object as JSON. Raises: DeliveryError unless the answer is 2xx."""
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return post(url, encoded, timeout_s, {"Content-Type": "application/json", **(headers or {})})


def post_form(url: str, fields: Mapping[str, str], timeout_s: float, headers: Mapping[str, str] | None = None) -> Answer:
    """POST fields as a web form. Raises: DeliveryError unless the answer is 2xx."""
    encoded = urllib.parse.urlencode(fields).encode()
    return post(url, encoded, timeout_s, {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})})


def post(url: str, body: bytes, timeout_s: float, headers: Mapping[str, str]) -> Answer:
    """POST bytes. 307 and 308 are followed on the same host only, every other redirect is an error.

    timeout_s: for connecting, sending and reading together; looking up the host's name is not interrupted.
    Raises: DeliveryError unless the answer is 2xx. It names scheme and host of the URL, nothing else of it.
    """
    deadline = time.monotonic() + timeout_s
    for _ in range(_MAX_REDIRECTS + 1):
        answer = _exchange(url, body, deadline, headers)
        if answer.status not in (307, 308):
            break
        url = _same_host(url, answer)
    if 200 <= answer.status < 300:
        return answer
    raise _refused(url, answer)


def is_address(url: str) -> bool:
    """Whether a text can be posted to: http or https, with a host and, where there is one, a port that is a number."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def shown(url: str) -> str:
    """As much of a URL as may be shown: scheme, host and port. Paths and user names of webhooks are secrets."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}"
    except ValueError:
        return "(unreadable URL)"


def retry_after_s(text: str, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or a date; None where it holds neither.

    >>> retry_after_s("120"), retry_after_s("soon")
    (120.0, None)
    """
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def retryable(status: int) -> bool:
    """Whether the same request may be accepted later."""
    return status in (408, 425, 429) or status >= 500


def _refused(url: str, answer: Answer) -> DeliveryError:
    said = _without_secrets(" ".join(answer.text.split())[:200], url)
    return DeliveryError(
        f"{shown(url)} answered {answer.status}" + (f": {said}" if said else ""),
        retryable=retryable(answer.status),
        status=answer.status,
        retry_after_s=_asked_patience_s(answer),
    )


def _asked_patience_s(answer: Answer) -> float | None:
    """From the Retry-After header, or as Telegram and Discord say it in the body."""
    asked = retry_after_s(answer.headers.get("retry-after", ""))
    said = answer.json()
    if asked is not None or not isinstance(said, dict):
        return asked
    parameters = said.get("parameters")
    found = parameters.get("retry_after") if isinstance(parameters, dict) else said.get("retry_after")
    return max(0.0, float(found)) if isinstance(found, (int, float)) else None


def _without_secrets(text: str, url: str) -> str:
    """The service's own words; some echo the request's path, which is the secret of a webhook."""
    parts = urllib.parse.urlsplit(url)
    pieces = [parts.path, *parts.path.split("/"), parts.query, *urllib.parse.parse_qs(parts.query), parts.password or ""]
    pieces += [value for values in urllib.parse.parse_qs(parts.query).values() for value in values]
    for piece in sorted({piece for piece in pieces if len(piece) >= 6}, key=len, reverse=True):
        text = text.replace(piece, "…")
    return text


def _same_host(url: str, answer: Answer) -> str:
    target = urllib.parse.urljoin(url, answer.headers.get("location", ""))
    if urllib.parse.urlsplit(target)[:2] != urllib.parse.urlsplit(url)[:2]:
        raise DeliveryError(
            f"{shown(url)} redirects to {shown(target)}, which is not followed; put the final address in the settings",
            retryable=False,
            status=answer.status,
        )
    return target


def _exchange(url: str, body: bytes, deadline: float, headers: Mapping[str, str]) -> Answer:
    connection: http.client.HTTPConnection | None = None
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DeliveryError(f"{shown(url)} is not an http or https address", retryable=False)
        connection, target, extra = _connection(parts, _left(deadline))
        connection.connect()
        sock: socket.socket = connection.sock
        sock.settimeout(_left(deadline))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host = parts.netloc.rpartition("@")[2]
        connection.request("POST", target, body, {"Host": host, "User-Agent": USER_AGENT, **extra, **headers})
        return _read_answer(sock, deadline)
    except TimeoutError:
        raise DeliveryError(f"{shown(url)} did not answer in time", retryable=True) from None
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "TLS failed"
        raise DeliveryError(f"{shown(url)}: TLS: {reason}", retryable=True) from None
    except http.client.RemoteDisconnected:
        raise DeliveryError(f"{shown(url)} closed the connection without an answer", retryable=True) from None
    except OSError as error:
        raise DeliveryError(f"{shown(url)}: {error.strerror or type(error).__name__}", retryable=True) from None
    except http.client.HTTPException as error:
        raise DeliveryError(f"{shown(url)} gave no readable answer ({type(error).__name__})", retryable=True) from None
    except ValueError:
        raise DeliveryError(f"{shown(url)} is not a usable address; check the URL in the settings", retryable=False) from None
    finally:
        if connection is not None:
            connection.close()


def _connection(parts: urllib.parse.SplitResult, timeout_s: float) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """A connection not yet open, what to ask it for, and headers; by way of the environment's proxy, never for loopback."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    headers = _basic("Authorization", parts)
    proxy = None if _is_loopback(host) else _proxy_for(parts.scheme, host)
    if proxy is None:
        if secure:
            return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=_tls()), target, headers
        return http.client.HTTPConnection(host, parts.port, timeout=timeout_s), target, headers
    via, authorization = (proxy.hostname or "", proxy.port or 3128), _basic("Proxy-Authorization", proxy)
    if not secure:
        whole = urllib.parse.urlunsplit(("http", parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, ""))
        return http.client.HTTPConnection(*via, timeout=timeout_s), whole, {**headers, **authorization}
    tunnel = http.client.HTTPSConnection(*via, timeout=timeout_s, context=_tls())
    tunnel.set_tunnel(host, parts.port or 443, authorization)
    return tunnel, target, headers


def _is_loopback(host: str) -> bool:
    return host in _LOOPBACK or host.startswith("127.")


def _proxy_for(scheme: str, host: str) -> urllib.parse.SplitResult | None:
    address = urllib.request.getproxies().get(scheme)
    if not address or urllib.request.proxy_bypass(host):
        return None
    return urllib.parse.urlsplit(address if "://" in address else f"http://{address}")


def _basic(header: str, parts: urllib.parse.SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    name, password = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
    return {header: "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


_context: ssl.SSLContext | None = None


def _tls() -> ssl.SSLContext:
    """The system's certificate authorities, loaded once: it takes some 10 ms."""
    global _context
    if _context is None:
        _context = ssl.create_default_context()
    return _context


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a moment, so that a server that sends a byte now and then cannot hold a worker."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)


class _DeadlineSocket:
    """The one method of a socket that `http.client.HTTPResponse` uses."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._reader = _DeadlineReader(sock, deadline)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


def _read_answer(sock: socket.socket, deadline: float) -> Answer:
    response = http.client.HTTPResponse(_DeadlineSocket(sock, deadline), method="POST")  # type: ignore[arg-type]
    try:
        response.begin()
        text = response.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
        return Answer(response.status, text, {name.lower(): value for name, value in response.getheaders()})
    finally:
        response.close()
