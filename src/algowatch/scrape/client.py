"""HTTP clients from `prometheus.yml`'s client settings."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from urllib.request import getproxies

import httpx2

from algowatch.scrape.http_client import HttpClientConfig, TlsConfig

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


def make_client(config: HttpClientConfig | None = None) -> httpx2.AsyncClient:
    """A client for all targets of one job. Credentials are not in it: `credential_headers` reads them anew each time.

    Raises: OSError or ssl.SSLError if a certificate or key cannot be read.
    """
    config = config or HttpClientConfig()
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=300)
    verify = ssl_context(config.tls_config)
    return httpx2.AsyncClient(
        verify=verify,
        trust_env=False,
        follow_redirects=config.follow_redirects,
        timeout=None,
        limits=limits,
        event_hooks=_naming(config.tls_config.server_name),
        mounts={
            pattern: httpx2.AsyncHTTPTransport(verify=verify, limits=limits, proxy=proxy) for pattern, proxy in _proxies(config)
        },
    )


def _naming(server_name: str) -> dict[str, list[Callable[[httpx2.Request], Awaitable[None]]]]:
    """A hook that makes TLS ask for, and check, another name than the address has."""

    async def name(request: httpx2.Request) -> None:
        request.extensions["sni_hostname"] = server_name

    return {"request": [name]} if server_name else {}


def ssl_context(tls: TlsConfig) -> ssl.SSLContext:
    """Raises: OSError or ssl.SSLError if a certificate or key cannot be read."""
    if tls == TlsConfig():
        return _default_context()
    context = ssl.create_default_context(cafile=tls.ca_file or None, cadata=tls.ca or None)
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.min_version:
        context.minimum_version = _VERSIONS[tls.min_version]
    if tls.max_version:
        context.maximum_version = _VERSIONS[tls.max_version]
    return context


_shared: list[ssl.SSLContext] = []


def _default_context() -> ssl.SSLContext:
    """Reading the system's authorities takes tens of milliseconds, so it is done once."""
    if not _shared:
        _shared.append(ssl.create_default_context())
    return _shared[0]


def credential_headers(config: HttpClientConfig) -> dict[str, str]:
    """The headers that say who asks; files are read now, so that a token that is replaced counts at once.

    Raises: OSError if a file cannot be read.
    """
    headers = {}
    for name, header in config.http_headers.items():
        values = [*header.values, *(secret.reveal() for secret in header.secrets), *map(_read, header.files)]
        headers[name] = ", ".join(values)
    authorization = _authorization(config)
    if authorization:
        headers["Authorization"] = authorization
    return headers


def _authorization(config: HttpClientConfig) -> str:
    basic, scheme = config.basic_auth, config.authorization
    if basic is not None:
        user = _read(basic.username_file) if basic.username_file else basic.username
        password = _read(basic.password_file) if basic.password_file else basic.password.reveal() if basic.password else ""
        return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
    if scheme is not None:
        token = (
            _read(scheme.credentials_file)
            if scheme.credentials_file
            else scheme.credentials.reveal()
            if scheme.credentials
            else ""
        )
        return f"{scheme.type} {token}".rstrip() if token else ""
    if config.bearer_token_file:
        return "Bearer " + _read(config.bearer_token_file)
    return "Bearer " + config.bearer_token.reveal() if config.bearer_token else ""


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()


def _proxies(config: HttpClientConfig) -> Iterator[tuple[str, str | None]]:
    """httpx's mounts: which pattern of addresses goes through which proxy, None for straight."""
    environment: Mapping[str, str] = getproxies() if config.proxy_from_environment else {}
    if config.proxy_url:
        yield "all://", config.proxy_url
    for scheme in ("http", "https"):
        if scheme in environment:
            yield f"{scheme}://", environment[scheme]
    for host in (config.no_proxy or environment.get("no", "")).split(","):
        if host.strip():
            yield f"all://{host.strip()}", None
