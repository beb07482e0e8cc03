import socket
import threading
import time
from datetime import UTC, datetime

import pytest

from algowatch.errors import DeliveryError
from algowatch.senders.http import post_json, retry_after_s, shown

SECRET = "T0000/B0000/hunter2hunter2"


def failure(url, timeout_s=1.0):
    with pytest.raises(DeliveryError) as caught:
        post_json(url, {}, timeout_s)
    assert "hunter2" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "retryable"), [(500, True), (503, True), (429, True), (408, True), (400, False), (401, False), (404, False)]
)
def test_a_status_says_whether_to_try_again(service, status, retryable):
    service.answer = (status, {}, b"")
    error = failure(f"{service.url}/{SECRET}?token=hunter2hunter2")
    assert (error.status, error.retryable) == (status, retryable)
    assert str(error) == f"{service.url} answered {status}"


def test_what_the_service_says_comes_along_without_the_secret(service):
    service.answer = (404, {}, f"no hook at /{SECRET}".encode())
    assert str(failure(f"{service.url}/{SECRET}")) == f"{service.url} answered 404: no hook at …"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"Retry-After": "7"}, b"", 7.0),
        ({}, b'{"retry_after": 0.5}', 0.5),
        ({}, b'{"parameters": {"retry_after": 30}}', 30.0),
        ({}, b"[]", None),
    ],
)
def test_patience_is_read_from_header_or_body(service, headers, body, expected):
    service.answer = (429, headers, body)
    assert failure(service.url).retry_after_s == expected


def test_retry_after_as_a_date():
    now = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s("Fri, 20 Nov 2026 12:01:30 GMT", now) == 90.0
    assert retry_after_s("Fri, 20 Nov 2026 11:00:00 GMT", now) == 0.0


def test_a_redirect_on_the_same_host_is_followed_and_to_another_is_not(service):
    service.answer = (307, {"Location": "http://evil.example/steal"}, b"")
    error = failure(f"{service.url}/{SECRET}")
    assert str(error).startswith(f"{service.url} redirects to http://evil.example, which is not followed")
    assert not error.retryable
    service.answer = (308, {"Location": "/again"}, b"")
    assert failure(service.url).status == 308
    assert service.requests[-1][0] == "/again"


def test_a_refused_connection_may_be_tried_again():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/{SECRET}").retryable


@pytest.mark.parametrize("drip", [b"", b"H"])
def test_the_time_limit_holds_for_silence_and_for_a_byte_now_and_then(drip):
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def answer():
            connection, _ = server.accept()
            with connection:
                for byte in b"HTTP/1.1 200 OK\r\n" * 10:
                    if stop.wait(0.05):
                        return
                    if drip:
                        connection.sendall(bytes([byte]))

        worker = threading.Thread(target=answer)
        worker.start()
        began = time.monotonic()
        error = failure(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.3)
        took = time.monotonic() - began
        stop.set()
        worker.join()
    assert "did not answer in time" in str(error)
    assert took < 1.0


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "hunter2", "http://x:99999/", "http://[x/"])
def test_what_is_no_address_is_not_tried_again(url):
    assert not failure(url).retryable


def test_the_proxy_of_the_environment_is_used_but_not_for_loopback(service, monkeypatch):
    monkeypatch.setenv("http_proxy", service.url)
    post_json("http://bot:pw@receiver.example/hook", {}, 1.0)
    path, headers, _ = service.requests[-1]
    assert path == "http://receiver.example/hook"
    assert headers["host"] == "receiver.example"
    assert headers["authorization"] == "Basic Ym90OnB3"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    post_json(f"{service.url}/direct", {}, 1.0)
    assert service.requests[-1][0] == "/direct"


def test_only_scheme_and_host_are_shown():
    assert shown("https://user:pw@hooks.example:8443/T0/B0?x=y") == "https://hooks.example:8443"
