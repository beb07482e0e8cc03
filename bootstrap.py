#!/usr/bin/env python3
"""Make .venv with everything that the engine (or, with --dev, the tests) needs, from pinned and hashed requirements.

Standard library only. Uses uv where it is on the PATH, else venv and pip; works where ensurepip is missing (Debian without
python3-venv) as long as some pip is to be found, and never touches the system's own packages. A second run with nothing
changed returns at once.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST = (3, 11)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dev", action="store_true", help="also what the tests and checks need")
    options = parser.parse_args()
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        return fail(f"Python {found} is too old; run this with Python {OLDEST[0]}.{OLDEST[1]} or later")
    wanted = [ROOT / "requirements" / "build.txt", ROOT / "requirements" / ("dev.txt" if options.dev else "engine.txt")]
    stamp = VENV / ("stamp-dev" if options.dev else "stamp-engine")
    fingerprint = fingerprint_of([*wanted, ROOT / "pyproject.toml"])
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == fingerprint:
        return 0
    print(f"Setting up {VENV.name} …", flush=True)
    try:
        install_with_uv(wanted) if shutil.which("uv") else install_with_pip(wanted)
    except subprocess.CalledProcessError as error:
        command = " ".join(str(part) for part in error.cmd)
        return fail(f"this command failed with exit code {error.returncode}: {command}; its output is above")
    except FileNotFoundError as error:
        return fail(str(error))
    stamp.write_text(fingerprint)
    return 0


def fail(problem: str) -> int:
    print(f"bootstrap.py: {problem}", file=sys.stderr)
    return 2


def fingerprint_of(paths: list[Path]) -> str:
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT)


def requirement_options(wanted: list[Path]) -> list[str]:
    return [option for path in wanted for option in ("-r", str(path))]


def install_with_uv(wanted: list[Path]) -> None:
    if not PYTHON.exists():
        run("uv", "venv", "--quiet", "--python", sys.executable, VENV)
    install = ("uv", "pip", "install", "--quiet", "--python", PYTHON)
    run(*install, "--require-hashes", *requirement_options(wanted))
    run(*install, "--no-deps", "--no-build-isolation", "--editable", ROOT)


def install_with_pip(wanted: list[Path]) -> None:
    if not PYTHON.exists():
        bundled = has_ensurepip()
        run(sys.executable, "-m", "venv", *([] if bundled else ["--without-pip"]), VENV)
    install = (*pip_command(), "install", "--quiet", "--disable-pip-version-check")
    run(*install, "--require-hashes", *requirement_options(wanted))
    run(*install, "--no-deps", "--no-build-isolation", "--editable", ROOT)


def has_ensurepip() -> bool:
    return subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0


def pip_command() -> list[str | Path]:
    """The pip inside .venv, else another Python's pip told to install into .venv, else a pip wheel run as a zip."""
    if subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return [PYTHON, "-m", "pip"]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return [sys.executable, "-m", "pip", "--python", PYTHON]
    wheels = sorted(glob.glob("/usr/share/python-wheels/pip-*.whl"))
    if wheels:
        return [PYTHON, f"{wheels[-1]}/pip"]
    raise FileNotFoundError("neither uv nor pip is here; install one of them (Debian: apt install python3-venv) and run again")


if __name__ == "__main__":
    sys.exit(main())
