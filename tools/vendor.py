"""Refresh the page's third-party files: `python tools/vendor.py [--check]`.

Packages come through `npm pack`, from whatever registry npm is configured with, and each archive must have the SHA-256
that stands below. Bare imports are rewritten to relative ones, so that the page needs no import map and its
Content-Security-Policy no exception. `vendor/versions.json` records what was written, and from which version.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[1] / "src/algowatch/web/static/vendor"
RECORD = "versions.json"

IMPORTS = {
    "preact": "./preact.js",
    "preact/hooks": "./preact-hooks.js",
    "@preact/signals-core": "./signals-core.js",
    "./index": "./preact.js",
    "./jsx": "./preact-jsx.js",
    "./dom": "./preact-dom.js",
    "../../src/index": "./preact.js",
}


@dataclass(frozen=True)
class Package:
    """One package: `files` maps names inside the archive to names in the vendor folder; `append` adds a line to one of them."""

    name: str
    version: str
    licence: str
    sha256: str
    files: Mapping[str, str]
    append: Mapping[str, str] = field(default_factory=dict)


PACKAGES = (
    Package(
        "uplot",
        "1.6.32",
        "MIT",
        "4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d",
        {
            "dist/uPlot.iife.min.js": "uplot.js",
            "dist/uPlot.d.ts": "uplot.d.ts",
            "dist/uPlot.min.css": "uplot.css",
            "LICENSE": "uplot.LICENSE.txt",
        },
        {"uplot.js": "export default uPlot;\n"},
    ),
    Package(
        "preact",
        "11.2.0",
        "MIT",
        "3c4456766bd32b6b534d52bf4e9c2a29b33e7eedf6e96ed479300ba1a7888ebf",
        {
            "dist/preact.mjs": "preact.js",
            "hooks/dist/hooks.mjs": "preact-hooks.js",
            "src/index.d.ts": "preact.d.ts",
            "src/jsx.d.ts": "preact-jsx.d.ts",
            "src/dom.d.ts": "preact-dom.d.ts",
            "hooks/src/index.d.ts": "preact-hooks.d.ts",
            "LICENSE": "preact.LICENSE.txt",
        },
    ),
    Package(
        "@preact/signals-core",
        "1.14.5",
        "MIT",
        "94c421ac996214c94f532fb4c43d8ede048a16df0cd9538ffb965174dbe8daba",
        {
            "dist/signals-core.mjs": "signals-core.js",
            "dist/signals-core.d.ts": "signals-core.d.ts",
            "LICENSE": "signals-core.LICENSE.txt",
        },
    ),
    Package(
        "@preact/signals",
        "2.11.4",
        "MIT",
        "66ea8221dd8aaa0da2365d49c3f116b071d56cfb63b2e16c072c6b4e08a928b7",
        {"dist/signals.mjs": "signals.js", "dist/signals.d.ts": "signals.d.ts", "LICENSE": "signals.LICENSE.txt"},
    ),
    Package(
        "htm",
        "3.1.1",
        "Apache-2.0",
        "2425b9bee11409177bcabc7f32e319926fc6690c1701c0b257c88bdff2d5ba90",
        {"dist/htm.mjs": "htm.js", "dist/htm.d.ts": "htm.d.ts", "LICENSE": "htm.LICENSE.txt"},
    ),
    Package(
        "@fontsource-variable/inter",
        "5.3.0",
        "OFL-1.1",
        "d26710dd38e7217484a1d47ee76c024977ec550548876f26d06ed1844af09a14",
        {"files/inter-latin-wght-normal.woff2": "inter-latin.woff2", "LICENSE": "inter.LICENSE.txt"},
    ),
)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch(package: Package, folder: Path) -> Path:
    """The package's archive, as npm delivers it. Raises SystemExit if it is not the one that was reviewed."""
    done = subprocess.run(
        ["npm", "pack", "--silent", f"{package.name}@{package.version}"], cwd=folder, check=True, capture_output=True, text=True
    )
    archive = folder / done.stdout.strip().splitlines()[-1]
    found = sha256(archive.read_bytes())
    if found != package.sha256:
        raise SystemExit(f"{package.name}@{package.version}: SHA-256 is {found}, not {package.sha256}; nothing was written")
    return archive


def localise(text: str) -> str:
    """Bare and moved imports become relative to the vendor folder; comments that point at source maps go."""

    def relative(found: re.Match[str]) -> str:
        quote, name = found[2], found[3]
        return f"{found[1]}{quote}{IMPORTS.get(name, name)}{quote}"

    text = re.sub(r"""(\bfrom\s*)(["'])([^"'\n]+)\2""", relative, text)
    return re.sub(r"//# sourceMappingURL=\S+\s*", "", text).rstrip() + "\n"


def extract(package: Package, archive: Path) -> dict[str, bytes]:
    """The wanted files under their new names, ready to write."""
    contents = {}
    with tarfile.open(archive) as tar:
        for member, name in package.files.items():
            handle = tar.extractfile(f"package/{member}")
            if handle is None:
                raise SystemExit(f"{package.name}@{package.version}: {member} is not a file")
            content = handle.read()
            if name.endswith((".js", ".ts")):
                content = (localise(content.decode()) + package.append.get(name, "")).encode()
            contents[name] = content
    return contents


def collect() -> dict[str, bytes]:
    """All files of the vendor folder, the record included."""
    contents: dict[str, bytes] = {}
    record = []
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            files = extract(package, fetch(package, Path(folder)))
            contents |= files
            record.append(
                {
                    "name": package.name,
                    "version": package.version,
                    "licence": package.licence,
                    "archive_sha256": package.sha256,
                    "files": {name: sha256(content) for name, content in sorted(files.items())},
                }
            )
    contents[RECORD] = (json.dumps(record, indent=2) + "\n").encode()
    return contents


def stale(contents: Mapping[str, bytes]) -> list[str]:
    """Names that differ between the folder and what it should hold."""
    present = {path.name for path in VENDOR.iterdir()} if VENDOR.is_dir() else set()
    differing = {name for name in present & contents.keys() if (VENDOR / name).read_bytes() != contents[name]}
    return sorted(differing | (present ^ contents.keys()))


def main() -> int:
    parser = argparse.ArgumentParser(description="Refresh the page's third-party files.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the folder is not current")
    arguments = parser.parse_args()
    contents = collect()
    names = stale(contents)
    if arguments.check:
        print("\n".join(names) or "vendor folder is current")
        return 1 if names else 0
    VENDOR.mkdir(parents=True, exist_ok=True)
    for path in VENDOR.iterdir():
        path.unlink()
    for name, content in contents.items():
        (VENDOR / name).write_bytes(content)
    print(f"wrote {len(contents)} files; changed: {', '.join(names) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
