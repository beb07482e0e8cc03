import asyncio
import ssl
import subprocess

import pytest

from algowatch.scrape.client import credential_headers, make_client
from algowatch.scrape.fetch import FetchError, accept_header, fetch, is_openmetrics
from algowatch.scrape.http_client import HttpClientConfig


def get(url, config=None, **more):
    async def claim():
        async with make_client(HttpClientConfig.model_validate(config or {})) as client:
            return (await fetch(client, url, {}, timeout_ms=3000, limit=1 << 20, **more)).data

    return asyncio.run(claim())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*command.split(), "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def over_tls(certificate, config, ca=None):
    """Fetch from a TLS server on loopback whose name is localhost; with `ca` it asks for a client certificate."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nx 1\n")
        await writer.drain()
        writer.close()

    async def claim():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        if ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(ca)
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with server, make_client(HttpClientConfig.model_validate(config)) as client:
            return (await fetch(client, f"https://localhost:{port}/", {}, timeout_ms=3000, limit=1000)).data

    return asyncio.run(claim())


def test_a_certificate_is_checked_against_the_given_authority(certificate):
    assert over_tls(certificate, {"tls_config": {"ca_file": str(certificate[0])}}) == b"x 1\n"
    assert over_tls(certificate, {"tls_config": {"ca": certificate[0].read_text()}}) == b"x 1\n"
    with pytest.raises(FetchError, match="certificate verify failed"):
        over_tls(certificate, {})


def test_checking_can_be_switched_off(certificate):
    assert over_tls(certificate, {"tls_config": {"insecure_skip_verify": True}}) == b"x 1\n"


def test_a_client_certificate_is_shown(certificate):
    cert, key = map(str, certificate)
    config = {"tls_config": {"ca_file": cert, "cert_file": cert, "key_file": key}}
    assert over_tls(certificate, config, ca=cert) == b"x 1\n"
    with pytest.raises(FetchError):
        over_tls(certificate, {"tls_config": {"ca_file": cert}}, ca=cert)


def test_the_name_to_check_can_be_given(certificate):
    with pytest.raises(FetchError, match=r"other\.example"):
        over_tls(certificate, {"tls_config": {"ca_file": str(certificate[0]), "server_name": "other.example"}})


def test_a_proxy_is_asked_instead_of_the_target_but_not_for_its_exceptions(target):
    async def claim():
        async with target() as proxy, target() as server:
            config = {"proxy_url": f"http://{proxy.address}", "no_proxy": "127.0.0.1"}
            async with make_client(HttpClientConfig.model_validate(config)) as client:
                await fetch(client, "http://far.example/metrics", {}, timeout_ms=3000, limit=100)
                await fetch(client, f"http://{server.address}/m", {}, timeout_ms=3000, limit=100)
            return proxy.requests, server.requests

    proxied, straight = asyncio.run(claim())
    assert [request.split()[1] for request in proxied] == ["http://far.example/metrics"]
    assert len(straight) == 1


def test_redirects_are_followed_unless_that_is_switched_off(target):
    async def claim(follow):
        async with target() as one, target() as two:
            one.status = "302 Found"
            one.headers = f"Location: http://{two.address}/\r\n"
            config = HttpClientConfig(follow_redirects=follow)
            async with make_client(config) as client:
                return (await fetch(client, f"http://{one.address}/", {}, timeout_ms=3000, limit=100)).data

    assert asyncio.run(claim(True)) == b"x 1\n"
    with pytest.raises(FetchError, match="server returned HTTP status 302 Found"):
        asyncio.run(claim(False))


def test_credentials_become_headers(tmp_path):
    (tmp_path / "pw").write_text("secret\n")
    config = HttpClientConfig.model_validate
    assert credential_headers(config({"basic_auth": {"username": "u", "password_file": str(tmp_path / "pw")}})) == {
        "Authorization": "Basic dTpzZWNyZXQ="
    }
    assert credential_headers(config({"bearer_token": "t"})) == {"Authorization": "Bearer t"}
    assert credential_headers(config({"authorization": {"type": "Token", "credentials": "t"}})) == {"Authorization": "Token t"}
    assert credential_headers(config({"http_headers": {"X-A": {"values": ["1"], "secrets": ["2"]}}})) == {"X-A": "1, 2"}


def test_a_gzip_body_that_unpacks_beyond_the_limit_is_refused(target):
    import gzip

    async def claim(body, limit):
        async with target() as server:
            server.headers = "Content-Encoding: gzip\r\n"
            server.body = gzip.compress(body)
            async with make_client() as client:
                return (await fetch(client, f"http://{server.address}/", {}, timeout_ms=3000, limit=limit)).data

    assert asyncio.run(claim(b"x 1\n", 100)) == b"x 1\n"
    with pytest.raises(FetchError, match=r"body size limit exceeded \(1000 bytes\)"):
        asyncio.run(claim(b"0" * 50_000_000, 1000))


def test_the_accept_header_lists_the_formats_in_falling_preference():
    assert accept_header(["PrometheusProto", "OpenMetricsText1.0.0", "PrometheusText0.0.4"]) == (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
    )


def test_the_content_type_decides_the_format():
    assert is_openmetrics("application/openmetrics-text; version=1.0.0", "") is True
    assert is_openmetrics("text/plain", "") is False
    assert is_openmetrics("", "") is False
    assert is_openmetrics("application/json", "OpenMetricsText1.0.0") is True
    assert is_openmetrics("application/json", "PrometheusText0.0.4") is False
