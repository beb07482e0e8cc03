"""Where targets come from: the configuration itself, files, and the folder in which bots register."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Any, Protocol

import yaml

from algowatch.model.labels import Labels
from algowatch.scrape.sections import StaticConfig
from algowatch.scrape.target import TargetGroup

_log = logging.getLogger(__name__)

_MAX_FILE_BYTES = 64 << 20
_Stamp = tuple[int, int, int]


class Discovery(Protocol):
    """One source of targets. `poll` looks whether anything changed; `groups` is what it knows; `problems` what is wrong."""

    groups: Sequence[TargetGroup]

    def start(self) -> None: ...

    def poll(self) -> bool: ...

    async def stop(self) -> None: ...

    @property
    def problems(self) -> Sequence[str]: ...


class StaticDiscovery:
    """The targets written into the configuration; they never change."""

    problems: Sequence[str] = ()

    def __init__(self, configs: Iterable[StaticConfig]) -> None:
        self.groups: Sequence[TargetGroup] = tuple(
            TargetGroup(tuple(config.targets), Labels.of(config.labels), f"static/{index}")
            for index, config in enumerate(configs)
        )

    def start(self) -> None:
        """Nothing to begin with."""

    def poll(self) -> bool:
        return False

    async def stop(self) -> None:
        """Nothing to end."""


@dataclass(slots=True)
class _KnownFile:
    stamp: _Stamp
    groups: tuple[TargetGroup, ...] = ()
    problem: str = ""


class FileDiscovery:
    """Files in Prometheus's file_sd shape. A file that is not right keeps the targets that it had, and is reported; a file
    that is gone takes its targets with it."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.groups: Sequence[TargetGroup] = ()
        self._patterns = tuple(patterns)
        self._files: dict[str, _KnownFile] = {}

    @property
    def problems(self) -> Sequence[str]:
        return tuple(known.problem for known in self._files.values() if known.problem)

    def start(self) -> None:
        """Nothing to begin with."""

    async def stop(self) -> None:
        """Nothing to end."""

    def poll(self) -> bool:
        """Look at every file's stamp; read those that changed. True if the targets changed."""
        stamps = self._stamps()
        changed = stamps.keys() != self._files.keys()
        for path in self._files.keys() - stamps.keys():
            del self._files[path]
        for path, stamp in stamps.items():
            known = self._files.get(path)
            if known is None or known.stamp != stamp:
                changed = True
                self._files[path] = self._read(path, stamp, known)
        if changed:
            self.groups = tuple(group for path in sorted(self._files) for group in self._files[path].groups)
        return changed

    def _groups(self, path: str) -> tuple[TargetGroup, ...]:
        return tuple(with_label(group, "__meta_filepath", path) for group in read_groups(path))

    def _stamps(self) -> dict[str, _Stamp]:
        stamps: dict[str, _Stamp] = {}
        for pattern in self._patterns:
            for path in glob(pattern):
                stamp = _stamp(path)
                if stamp is not None:
                    stamps[path] = stamp
        return stamps

    def _read(self, path: str, stamp: _Stamp, known: _KnownFile | None) -> _KnownFile:
        try:
            return _KnownFile(stamp, self._groups(path))
        except ValueError as error:
            kept = known.groups if known is not None else ()
            _log.warning("%s: %s; the targets that it had stay", path, error)
            return _KnownFile(stamp, kept, f"{path}: {error}")


class BotDiscovery(FileDiscovery):
    """The folder in which each running bot has one file; looking at it costs one directory listing."""

    def __init__(self, directory: Path) -> None:
        super().__init__(())
        self._directory = directory

    def _stamps(self) -> dict[str, _Stamp]:
        stamps: dict[str, _Stamp] = {}
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    if entry.name.endswith(".json") and not entry.name.startswith("."):
                        stamp = _stamp(entry.path)
                        if stamp is not None:
                            stamps[entry.path] = stamp
        except OSError:
            return {}
        return stamps


def with_label(group: TargetGroup, name: str, value: str) -> TargetGroup:
    return replace(group, labels=group.labels.with_labels({name: value}))


def _stamp(path: str) -> _Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_FILE_BYTES:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_groups(path: str) -> tuple[TargetGroup, ...]:
    """The target groups of one file, JSON or YAML by its ending.

    Raises: ValueError if it cannot be read or is not in the file_sd shape.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {error}") from None
    try:
        data = json.loads(text) if path.lower().endswith(".json") else yaml.load(text, yaml.CSafeLoader)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not valid JSON or YAML: {' '.join(str(error).split())}") from None
    return groups_of(data, path)


def groups_of(data: Any, source: str) -> tuple[TargetGroup, ...]:
    """Check the shape of a list of target groups; `source` is what they are named after.

    Raises: ValueError that names the first entry in another shape.
    """
    if data is None:
        return ()
    if not isinstance(data, list):
        raise ValueError("expected a list of target groups")
    return tuple(_group(item, index, f"{source}:{index}") for index, item in enumerate(data))


def _group(item: Any, index: int, source: str) -> TargetGroup:
    if not isinstance(item, dict) or not set(item) <= {"targets", "labels"}:
        raise ValueError(f"entry {index}: expected a mapping with 'targets' and 'labels'")
    targets, labels = item.get("targets") or [], item.get("labels") or {}
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise ValueError(f"entry {index}: 'targets' must be a list of addresses")
    if not isinstance(labels, dict):
        raise ValueError(f"entry {index}: 'labels' must be a mapping of names to texts")
    for name, value in labels.items():
        if not isinstance(name, str) or not name or not isinstance(value, str):
            raise ValueError(f"entry {index}: label {name!r} must be a text")
    return TargetGroup(tuple(targets), Labels.of(labels), source)
