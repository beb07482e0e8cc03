"""Everything that the engine reads from files, read together, so that it is taken over whole or not at all."""

from __future__ import annotations

import asyncio
import importlib.resources
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from algowatch.engine.configuration import read_config
from algowatch.engine.options import EngineOptions
from algowatch.engine.receivers_file import receivers_environment
from algowatch.engine.settings import Settings, load_settings
from algowatch.errors import AlgowatchError, ConfigError, Fault
from algowatch.model.clock import Clock
from algowatch.notify.configuration import load_routing
from algowatch.notify.policy_settings import policy_faults
from algowatch.notify.routing import Routing, default_routing
from algowatch.promql.parser import parse
from algowatch.rules.files import load_rule_files
from algowatch.rules.specs import GroupSpec
from algowatch.scrape.sections import ScrapeFile
from algowatch.web.lifecycle import ReloadState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What prometheus.yml, the rule files, alertmanager.yml and algowatch.yml say."""

    scraping: ScrapeFile
    rule_groups: tuple[GroupSpec, ...]
    routing: Routing
    settings: Settings = field(default_factory=Settings)


def read_configuration(options: EngineOptions) -> Configuration:
    """Read every file that the options name, and the built-in rules.

    Raises: ConfigError with the faults of all files together.
    """
    faults: list[Fault] = []
    scraping, groups = ScrapeFile(), list[GroupSpec]()
    settings, document = load_settings(None)
    try:
        scraping = read_config(options.config_file)
    except ConfigError as error:
        faults += error.faults
    try:
        groups = load_rule_files(rule_files(options, scraping), parse)
    except ConfigError as error:
        faults += error.faults
    try:
        settings, document = load_settings(options.settings_file)
    except ConfigError as error:
        faults += error.faults
    try:
        routing = read_routing(options, scraping)
        faults += policy_faults(settings, document, routing)
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise ConfigError(faults)
    return Configuration(scraping, tuple(groups), routing, settings)


def read_routing(options: EngineOptions, scraping: ScrapeFile) -> Routing:
    """The file's, else the built-in one. With an Alertmanager of their own, people are told by it: then the environment's
    receivers stay out of the built-in routing.

    Raises: ConfigError
    """
    if options.alertmanager_file is not None:
        return load_routing(options.alertmanager_file)
    environ = {} if scraping.alerting.alertmanagers else receivers_environment(options.data_dir, os.environ)
    return default_routing(environ, options.webhook_urls)


def rule_files(options: EngineOptions, scraping: ScrapeFile) -> list[str]:
    """The built-in rules and those that the configuration names, as paths and patterns."""
    built_in = importlib.resources.files("algowatch.profiles") / "rules" / "base.yml"
    return [*([str(built_in)] if options.builtin_rules else []), *scraping.rule_files]


class Reloader:
    """Reads the files again when asked and hands them to `take`; one reload at a time.

    take: puts a configuration into use; raises before it changed anything, or not at all.
    """

    def __init__(self, options: EngineOptions, clock: Clock, take: Callable[[Configuration], Awaitable[None]]) -> None:
        self._options = options
        self._clock = clock
        self._take = take
        self._one_at_a_time = asyncio.Lock()
        self._state = ReloadState(success=True, taken_at_ms=clock.now_ms())

    def state(self) -> ReloadState:
        return self._state

    async def reload(self) -> None:
        """Take over what the files say now; files that are wrong leave everything as it was, and the log says why.

        Raises: ConfigError with every fault, UsageError.
        """
        async with self._one_at_a_time:
            try:
                await self._take(await asyncio.to_thread(read_configuration, self._options))
            except AlgowatchError as error:
                self._state = ReloadState(success=False, taken_at_ms=self._state.taken_at_ms)
                for line in str(error).splitlines():
                    _log.error("the configuration was not reloaded: %s", line)
                raise
            self._state = ReloadState(success=True, taken_at_ms=self._clock.now_ms())
            _log.info("the configuration was reloaded")
