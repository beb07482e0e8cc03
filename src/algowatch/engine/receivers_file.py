"""`receivers.env` in the data directory: receivers that `algowatch alerts add` set up, as the environment would name them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from algowatch.errors import ConfigError, Fault

FILE_NAME = "receivers.env"
_LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)\Z")


def read_receivers(data_dir: Path) -> dict[str, str]:
    """The variables in the file; none where there is no file. Raises: ConfigError with every line that is not NAME=value."""
    path = data_dir / FILE_NAME
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigError([Fault(str(path), None, f"cannot be read: {reason}", "check its permissions")]) from None
    found, faults = {}, []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if match := _LINE.match(line):
            found[match[1]] = match[2]
        else:
            faults.append(Fault(str(path), number, "not a setting", "write NAME=value, or delete the line"))
    if faults:
        raise ConfigError(faults)
    return found


def write_receivers(data_dir: Path, variables: Mapping[str, str]) -> Path:
    """Add variables, or replace them; only the user may read the file. Raises: ConfigError, OSError."""
    kept = {**read_receivers(data_dir), **{name: " ".join(value.split()) for name, value in variables.items()}}
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = data_dir / FILE_NAME
    scratch = path.with_suffix(".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("# Set up by `algowatch alerts add`; the environment's own variables count more.\n")
        file.writelines(f"{name}={value}\n" for name, value in kept.items())
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)
    return path


def receivers_environment(data_dir: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the file's variables where it has none. Raises: ConfigError"""
    return {**read_receivers(data_dir), **environ}
