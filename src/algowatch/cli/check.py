"""`algowatch check`: which kind of file is it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from algowatch.cli.backup import check_history_file, is_history
from algowatch.config import read_document
from algowatch.engine.configuration import read_config
from algowatch.engine.settings import Settings, load_settings
from algowatch.errors import ConfigError, Fault
from algowatch.notify.configuration import load_routing
from algowatch.notify.policy_settings import matcher_faults
from algowatch.promql.parser import parse
from algowatch.rules.files import load_rule_file

_RULE_KEYS = {"groups"}
_ROUTING_KEYS = {"route", "receivers", "inhibit_rules", "time_intervals", "mute_time_intervals", "templates"}
_SCRAPE_KEYS = {"scrape_configs", "rule_files", "alerting", "global", "remote_write", "storage"}


def check_files(files: Sequence[Path]) -> int:
    """Check each file; 1 when one has a fault."""
    bad = False
    for path in files:
        if is_history(path):
            bad |= check_history_file(path) > 0
            continue
        try:
            found = check_file(path)
        except ConfigError as error:
            bad = True
            for fault in error.faults:
                click.echo(str(fault))
        else:
            click.echo(f"{path}: {found}")
    return 1 if bad else 0


def check_file(path: Path) -> str:
    """What a good file holds.

    Raises: ConfigError
    """
    kind = _kind(path)
    if kind == "rules":
        groups = load_rule_file(str(path), parse)
        return f"{sum(len(group.rules) for group in groups)} rules in {len(groups)} groups, all well"
    if kind == "routing":
        routing = load_routing(path)
        return f"routes to {len(routing.receivers)} receivers, all well"
    if kind == "settings":
        settings, document = load_settings(path)
        if faults := matcher_faults(settings, document):
            raise ConfigError(faults)
        return "settings of algowatch, all well; receivers are checked by algowatch up"
    config = read_config(path)
    return f"{len(config.scrape_configs)} scrape jobs, {len(config.rule_files)} rule file patterns, all well"


def _kind(path: Path) -> str:
    """Which program's file this is, by its top-level keys."""
    try:
        document = read_document(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError([Fault(str(path), None, f"cannot be read: {error.strerror}", "check the path")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Fault(str(path), None, "is not UTF-8 text", "save it as UTF-8")]) from None
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
