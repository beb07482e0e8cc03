"""`algowatch check`: which kind of file is it, what is wrong with it, and which of its rules cannot do what they say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from algowatch.cli.backup import check_history_file, is_history
from algowatch.cli.client import call
from algowatch.config import read_document
from algowatch.engine.configuration import read_config
from algowatch.engine.settings import Settings, load_settings
from algowatch.errors import AlgowatchError, ConfigError, Fault
from algowatch.model.labels import METRIC_NAME, Labels, Matcher
from algowatch.notify.configuration import load_routing
from algowatch.notify.policy_settings import matcher_faults
from algowatch.promql.parser import parse
from algowatch.rules.files import expand_patterns, load_rule_file, load_rule_files, read_rules
from algowatch.rules.lint import lint_files
from algowatch.rules.shapes import Kind, Lookup, Shape
from algowatch.rules.short import is_short, translate
from algowatch.store.readonly import StoreReader
from algowatch.telemetry.registration import read_engine

_RULE_KEYS = {"groups", "rules"}
_ROUTING_KEYS = {"route", "receivers", "inhibit_rules", "time_intervals", "mute_time_intervals", "templates"}
_SCRAPE_KEYS = {"scrape_configs", "rule_files", "alerting", "global", "remote_write", "storage"}
_KINDS: dict[str, Kind] = {"counter": "counter", "gauge": "gauge", "summary": "summary"}


def check_files(files: Sequence[Path], *, strict: bool = False, url: str | None = None, data: Path | None = None) -> int:
    """Check each file, then all rules of them together for what cannot fire; 1 when one has a fault.

    strict: 1 also for a finding. url, data: an engine, or a data directory, whose series count as known; without both,
    the engine that runs here.
    """
    bad = False
    rule_files: list[str] = []
    for path in files:
        if is_history(path):
            bad |= check_history_file(path) > 0
            continue
        try:
            found, rules = check_file(path)
        except ConfigError as error:
            bad = True
            for fault in error.faults:
                click.echo(str(fault))
        else:
            click.echo(f"{path}: {found}")
            rule_files += rules
    findings = _findings(rule_files, url, data)
    for finding in findings:
        click.echo(str(Fault(finding.path, finding.line, f"warning: {finding.problem}", finding.mend)))
    return 1 if bad or (strict and findings) else 0


def print_translation(path: Path) -> int:
    """Print the Prometheus rule file that says what short rules say. Raises: ConfigError."""
    text = _text(path)
    if not is_short(read_document(text, str(path)).data):
        raise ConfigError([Fault(str(path), 1, "holds no short rules", "they stand in a list under the key rules:")])
    click.echo(translate(text, str(path)), nl=False)
    return 0


def check_file(path: Path) -> tuple[str, list[str]]:
    """What a good file holds, and the rule files that it is or names.

    Raises: ConfigError
    """
    kind = _kind(path)
    if kind == "rules":
        groups = load_rule_file(str(path), parse)
        return f"{sum(len(group.rules) for group in groups)} rules in {len(groups)} groups, all well", [str(path)]
    if kind == "routing":
        routing = load_routing(path)
        return f"routes to {len(routing.receivers)} receivers, all well", []
    if kind == "settings":
        settings, document = load_settings(path)
        if faults := matcher_faults(settings, document):
            raise ConfigError(faults)
        return "settings of algowatch, all well; receivers are checked by algowatch up", []
    config = read_config(path)
    load_rule_files(config.rule_files, parse)
    shown = f"{len(config.scrape_configs)} scrape jobs, {len(config.rule_files)} rule file patterns, all well"
    return shown, expand_patterns(config.rule_files)


def _findings(rule_files: Sequence[str], url: str | None, data: Path | None) -> list[Fault]:
    read = [read_rules(Path(path).read_text(encoding="utf-8"), path) for path in dict.fromkeys(rule_files)]
    if not read:
        return []
    with contextlib.ExitStack() as stack:
        return lint_files(read, stack.enter_context(_known(url, data)))


@contextlib.contextmanager
def _known(url: str | None, data: Path | None) -> Iterator[Lookup]:
    """Who knows series beyond the catalogue."""
    if data is not None:
        with StoreReader.open(data) as store:

            def ask_store(name: str) -> list[Labels]:
                return store.series([[Matcher(METRIC_NAME, "=", name)]])

            yield _lookup(ask_store, {})
        return
    if url is None and read_engine() is None:
        yield lambda name: None
        return
    try:
        types = {name: entries[0]["type"] for name, entries in call(url, "/api/v1/metadata", {})["data"].items()}
    except AlgowatchError:
        if url is not None:
            raise
        yield lambda name: None
        return

    def ask_engine(name: str) -> list[Labels]:
        found = call(url, "/api/v1/series", {"match[]": str(Labels.of({METRIC_NAME: name}))})["data"]
        return [Labels.of(labels) for labels in found]

    yield _lookup(ask_engine, types)


def _lookup(series_of: Callable[[str], list[Labels]], types: dict[str, str]) -> Lookup:
    """From the series that a name has, and the types that targets state, to its shape."""

    def find(name: str) -> Shape | None:
        series = series_of(name)
        if not series:
            return None
        labels = frozenset(label for found in series for label, _ in found) - {METRIC_NAME}
        return Shape(_kind_of_series(name, types), labels)

    return find


def _kind_of_series(name: str, types: dict[str, str]) -> Kind:
    stem = name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
    if stem != name and types.get(stem) in ("histogram", "summary"):
        return "bucket" if name.endswith("_bucket") else "counter"
    return _KINDS.get(types.get(name, ""), "counter" if name.endswith("_total") else "unknown")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Fault(str(path), None, f"cannot be read: {error.strerror}", "check the path")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Fault(str(path), None, "is not UTF-8 text", "save it as UTF-8")]) from None


def _kind(path: Path) -> str:
    """Which program's file this is, by its top-level keys."""
    document = read_document(_text(path), str(path))
    keys = set(document.data) if isinstance(document.data, dict) else set()
    if keys & set(Settings.model_fields):
        return "settings"
    if keys & _RULE_KEYS:
        return "rules"
    if keys & _ROUTING_KEYS and not keys & {"scrape_configs", "rule_files"}:
        return "routing"
    if keys & _SCRAPE_KEYS or not keys:
        return "scraping"
    mend = "a rule file has 'groups', an alertmanager.yml 'route' and 'receivers', a prometheus.yml 'scrape_configs'"
    raise ConfigError([Fault(str(path), 1, f"is none of the known files, its keys are {', '.join(sorted(keys))}", mend)])
