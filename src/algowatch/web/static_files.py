"""The page's files, served from the installed package: content type, ETag by content, and the headers that keep it safe."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}

_COMPRESSED = {".woff2"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent; `gzipped` is None where compression does not pay."""

    content: bytes
    gzipped: bytes | None
    content_type: str
    etag: str


def load_static_files() -> dict[str, StaticFile]:
    """Every file of the page by its path below `static/`, read once; type declarations are for the editor and stay out."""
    return dict(_walk(resources.files("algowatch.web") / "static", ""))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
            continue
        suffix = "." + entry.name.rpartition(".")[2]
        if suffix in CONTENT_TYPES:
            found.append((prefix + entry.name, _static_file(entry.read_bytes(), suffix)))
    return found


def _static_file(content: bytes, suffix: str) -> StaticFile:
    gzipped = None if suffix in _COMPRESSED else gzip.compress(content, 9, mtime=0)
    if gzipped is not None and len(gzipped) >= len(content):
        gzipped = None
    return StaticFile(content, gzipped, CONTENT_TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:20]}"')


class StaticPage:
    """ASGI app that answers GET and HEAD from memory; `/` is `index.html`.

    Module addresses carry no hash, so a browser asks each time (`no-cache`) and is answered 304 while the ETag holds.
    """

    def __init__(self, files: Mapping[str, StaticFile] | None = None) -> None:
        self._files = load_static_files() if files is None else files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._respond(scope)(scope, receive, send)

    def _respond(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return Response("405: the page is read with GET\n", 405, {"Allow": "GET, HEAD", **SECURITY_HEADERS})
        path = _path_below_mount(scope)
        file = self._files.get(path or "index.html")
        if file is None:
            return Response("404: no such file\n", 404, SECURITY_HEADERS, "text/plain; charset=utf-8")
        return _file_response(file, Headers(scope=scope))


def _path_below_mount(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).lstrip("/")


def _file_response(file: StaticFile, request_headers: Headers) -> Response:
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-cache", "ETag": file.etag, "Vary": "Accept-Encoding"}
    wanted = {tag.strip().removeprefix("W/") for tag in request_headers.get("if-none-match", "").split(",")}
    if file.etag in wanted or "*" in wanted:
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = file.content_type
    if file.gzipped is not None and "gzip" in request_headers.get("accept-encoding", ""):
        return Response(file.gzipped, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.content, headers=headers)


def static_mount(path: str = "/") -> Mount:
    """The page as the last route of an app: whatever no earlier route has taken."""
    return Mount(path, app=StaticPage(), name="page")
