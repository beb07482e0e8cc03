"""The page as it is served: types, caching, and headers that keep it safe."""

from __future__ import annotations

import asyncio
import gzip

import httpx2
import pytest
from starlette.applications import Starlette

from algowatch.web.static_files import CONTENT_SECURITY_POLICY, load_static_files, static_mount


def request(path: str, method: str = "GET", headers: dict[str, str] | None = None) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=Starlette(routes=[static_mount()]))
        async with httpx2.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/tokens.css", "text/css; charset=utf-8"),
        ("/panels/alerts.js", "text/javascript; charset=utf-8"),
        ("/vendor/inter-latin.woff2", "font/woff2"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_files_have_their_content_type(path: str, content_type: str):
    answer = request(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type


def test_policy_allows_no_inline_script_or_style():
    headers = request("/").headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_missing_file_and_wrong_method_carry_the_policy_too():
    for answer, status in ((request("/nothing.js"), 404), (request("/", "POST"), 405)):
        assert answer.status_code == status
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


def test_unchanged_file_is_answered_304_without_a_body():
    first = request("/app.js")
    again = request("/app.js", headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert request("/app.js", headers={"if-none-match": '"other"'}).status_code == 200


def test_etag_differs_between_files():
    files = load_static_files()
    assert len({file.etag for file in files.values()}) == len({file.content for file in files.values()})


def test_gzip_is_sent_only_where_it_is_accepted():
    content = load_static_files()["charts.js"].content
    assert request("/charts.js", headers={"accept-encoding": "identity"}).content == content
    compressed = request("/charts.js", headers={"accept-encoding": "gzip"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.content == content
    assert int(compressed.headers["content-length"]) == len(gzip.compress(content, 9, mtime=0))


@pytest.mark.parametrize(
    "path", ["/../app.py", "/%2e%2e/app.py", "//etc/passwd", "/vendor/", "/vendor/preact.d.ts", "/jsconfig.json/x"]
)
def test_nothing_outside_the_page_is_served(path: str):
    assert request(path).status_code == 404


def test_head_answers_like_get_without_a_body():
    head = request("/app.js", "HEAD", {"accept-encoding": "identity"})
    assert head.content == b""
    assert head.headers["content-length"] == str(len(load_static_files()["app.js"].content))
