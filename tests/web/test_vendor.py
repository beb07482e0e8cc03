"""The page's third-party files are the reviewed ones, and the whole page stays light."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

import pytest

import algowatch.web

STATIC = Path(algowatch.web.__file__).parent / "static"
VENDOR = STATIC / "vendor"
LOADED = {".html", ".css", ".js", ".svg", ".woff2"}
BOUND_BYTES = 300_000


def record() -> list[dict[str, object]]:
    return json.loads((VENDOR / "versions.json").read_text())


def recorded_files() -> dict[str, str]:
    return {name: digest for package in record() for name, digest in package["files"].items()}


def test_vendored_files_have_their_recorded_hashes():
    found = {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in recorded_files()}
    assert found == recorded_files()


def test_nothing_is_vendored_without_a_record():
    assert {path.name for path in VENDOR.iterdir()} == {*recorded_files(), "versions.json"}


def test_every_package_comes_with_its_licence_and_version():
    for package in record():
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"]), package["name"]
        assert [name for name in package["files"] if name.endswith(".LICENSE.txt")], package["name"]


def test_record_equals_the_script_that_writes_it():
    source = Path(__file__).parents[2] / "tools/vendor.py"
    if not source.exists():
        pytest.skip("the tools are not part of an installed package")
    sys.path.insert(0, str(source.parent))
    try:
        import vendor
    finally:
        sys.path.remove(str(source.parent))
    wanted = {(package.name, package.version, package.sha256, *sorted(package.files.values())) for package in vendor.PACKAGES}
    assert {(p["name"], p["version"], p["archive_sha256"], *sorted(p["files"])) for p in record()} == wanted


def test_page_loads_only_its_own_files():
    for path in STATIC.rglob("*"):
        if path.suffix in {".html", ".css"} or (path.suffix == ".js" and path.parent != VENDOR):
            text = path.read_text().replace("http://www.w3.org/", "")
            assert not re.search("https?://", text), path.name


UNSAFE = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")


def test_label_values_cannot_become_markup():
    for path in [*STATIC.glob("*.js"), *STATIC.glob("panels/*.js")]:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
        ), path.name


def test_whole_page_is_below_300_kb_compressed():
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in STATIC.rglob("*") if path.suffix in LOADED}
    assert sum(sizes.values()) < BOUND_BYTES, sizes


def test_wheel_holds_every_file_of_the_page(tmp_path: Path):
    project = Path(__file__).parents[2]
    if not (project / "pyproject.toml").exists():
        pytest.skip("not a source tree")
    builder = pytest.importorskip("hatchling.builders.wheel")
    wheel = next(builder.WheelBuilder(str(project)).build(directory=str(tmp_path), versions=["standard"]))
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("algowatch/web/static/")}
    assert packed == {
        f"algowatch/web/static/{path.relative_to(STATIC).as_posix()}" for path in STATIC.rglob("*") if path.is_file()
    }
