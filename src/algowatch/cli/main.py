"""The `algowatch` command. Exit codes: 0 good, 1 found something bad, 2 wrong usage or configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from algowatch.errors import AlgowatchError, ConfigError, ParseError
from algowatch.model.durations import parse_duration
from algowatch.model.version import VERSION


class DurationType(click.ParamType[int]):
    """A Prometheus duration, held in milliseconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_MOST_FAULTS = 50
DURATION = DurationType()
FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="algowatch")
def cli() -> None:
    """Watch trading bots: metrics, history, a live page and alerts, on this machine."""


@cli.command()
@click.option("--config", "config_file", type=FILE, help="A prometheus.yml: what to scrape besides bots, and rule files.")
@click.option("--alertmanager-config", "alertmanager_file", type=FILE, help="An alertmanager.yml: routes and receivers.")
@click.option("--settings", "settings_file", type=FILE, help="An algowatch.yml: what only algowatch has.")
@click.option("--data", "data_dir", type=DIRECTORY, help="Where history is kept.  [default: the user's data directory]")
@click.option("--listen", default="127.0.0.1:5174", show_default=True, help="Address of the page and the API.")
@click.option("--no-discovery", is_flag=True, help="Do not look for bots on this machine.")
@click.option("--retention", type=DURATION, default="30d", show_default=True, help="How long to keep samples; 0 keeps all.")
@click.option("--webhook", "webhooks", multiple=True, metavar="URL", help="Send every alert here as JSON; may be given again.")
@click.option(
    "--query-processes",
    type=click.IntRange(0, 64),
    default=2,
    show_default=True,
    help="Processes that answer heavy queries beside the engine; 0 answers them in its threads.",
)
def up(
    config_file: Path | None,
    alertmanager_file: Path | None,
    settings_file: Path | None,
    data_dir: Path | None,
    listen: str,
    no_discovery: bool,
    retention: int,
    webhooks: tuple[str, ...],
    query_processes: int,
) -> None:
    """Find bots, scrape them each second, keep history, serve the page, send alerts."""
    from algowatch.engine.options import EngineOptions, Listen, default_data_dir
    from algowatch.engine.run import run_engine

    options = EngineOptions(
        data_dir=data_dir or default_data_dir(),
        listen=Listen.parse(listen),
        config_file=config_file,
        alertmanager_file=alertmanager_file,
        settings_file=settings_file,
        discovery=not no_discovery,
        retention_ms=retention,
        webhook_urls=webhooks,
        query_processes=query_processes,
    )
    run_engine(options, announce=lambda line: click.echo(line))


@cli.command()
@click.option("--listen", default="127.0.0.1:5174", show_default=True, help="Address of the page and the API.")
@click.option("--data", "data_dir", type=DIRECTORY, help="Keep the demo's history here.  [default: a folder that goes away]")
@click.option("--webhook", "webhooks", multiple=True, metavar="URL", help="Send every alert here as JSON; may be given again.")
@click.option("--seed", type=int, default=7, show_default=True, help="Another number is another market.")
def demo(listen: str, data_dir: Path | None, webhooks: tuple[str, ...], seed: int) -> None:
    """A simulated bot at a simulated venue, with a week of history and an incident soon after the start."""
    from algowatch.demo.run import run_demo
    from algowatch.engine.options import Listen

    run_demo(Listen.parse(listen), data_dir, webhooks, seed, announce=lambda line: click.echo(line))


@cli.command()
@click.argument("expr")
@click.option("--url", help="Engine or Prometheus to ask.  [default: the engine that runs here]")
@click.option("--time", "at", help="Moment of the answer: Unix seconds or RFC 3339.  [default: now]")
@click.option("--json", "as_json", is_flag=True, help="The API's answer as it came.")
def query(expr: str, url: str | None, at: str | None, as_json: bool) -> None:
    """Ask a PromQL expression and print the answer."""
    from algowatch.cli.client import ask

    sys.exit(ask(expr, url, at, as_json))


URL = click.option("--url", help="Engine to ask.  [default: the one that runs here]")
JSON = click.option("--json", "as_json", is_flag=True, help="The API's answer as it came.")
BY = click.option("--by", default="", help="Who.  [default: the user's name]")


@cli.group(invoke_without_command=True)
@URL
@JSON
@click.pass_context
def alerts(context: click.Context, url: str | None, as_json: bool) -> None:
    """List what is firing; exit code 1 when something is. `test` tries the receivers, `add` sets one up."""
    from algowatch.cli.client import list_alerts

    if context.invoked_subcommand is None:
        sys.exit(list_alerts(url, as_json))


@alerts.command("test")
@URL
@JSON
@click.option("--alertmanager-config", "alertmanager_file", type=FILE, help="With no engine running: whose receivers.")
@click.option("--webhook", "webhooks", multiple=True, metavar="URL", help="With no engine running: also this address.")
@click.option("--data", "data_dir", type=DIRECTORY, help="The engine's data directory.  [default: the user's]")
def alerts_test(
    url: str | None, as_json: bool, alertmanager_file: Path | None, webhooks: tuple[str, ...], data_dir: Path | None
) -> None:
    """Send one through every receiver and say what each service answered; exit code 1 when one failed."""
    from algowatch.cli.alerting import try_receivers
    from algowatch.engine.options import EngineOptions, default_data_dir

    directory = data_dir or default_data_dir()
    options = EngineOptions(directory, alertmanager_file=alertmanager_file, webhook_urls=webhooks)
    sys.exit(try_receivers(url, options, as_json))


@alerts.command("add")
@click.argument("service")
@click.argument("settings", nargs=-1)
@click.option("--data", "data_dir", type=DIRECTORY, help="The engine's data directory.  [default: the user's]")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def alerts_add(service: str, settings: tuple[str, ...], data_dir: Path | None, yes: bool) -> None:
    """Set up ntfy, telegram, slack, discord, teams, pushover, pagerduty, opsgenie, email or apprise, and send a test."""
    import os

    from algowatch.cli.alerting import SERVICES, add_receiver
    from algowatch.engine.options import default_data_dir

    if service not in SERVICES:
        raise click.UsageError(f"unknown service {service!r}; services: {', '.join(SERVICES)}")
    sys.exit(add_receiver(service, settings, data_dir or default_data_dir(), os.environ, asks=not yes))


@cli.group()
def silence() -> None:
    """Keep alerts quiet for a while."""


@silence.command("add")
@click.argument("matchers", nargs=-1, required=True)
@click.option("--for", "lasts_ms", type=DURATION, default="1h", show_default=True, help="How long.")
@click.option("--comment", default="", help="Why.")
@BY
@URL
def silence_add(matchers: tuple[str, ...], lasts_ms: int, comment: str, by: str, url: str | None) -> None:
    """Silence alerts that fulfil all matchers, such as alertname=KillSwitchActive or 'instance=~"gamma.*"'."""
    from algowatch.cli.alerting import add_silence

    sys.exit(add_silence(url, matchers, lasts_ms, by, comment))


@silence.command("list")
@URL
@JSON
def silence_list(url: str | None, as_json: bool) -> None:
    """List silences that are not over."""
    from algowatch.cli.alerting import list_silences

    sys.exit(list_silences(url, as_json))


@silence.command("end")
@click.argument("silence_id")
@URL
def silence_end(silence_id: str, url: str | None) -> None:
    """End a silence now."""
    from algowatch.cli.alerting import end_silence

    sys.exit(end_silence(url, silence_id))


@cli.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--comment", default="", help="What is being done.")
@BY
@URL
def ack(names: tuple[str, ...], comment: str, by: str, url: str | None) -> None:
    """Say that somebody takes care of alerts, named as `algowatch alerts` lists them; nobody else is called then."""
    from algowatch.cli.alerting import acknowledge

    sys.exit(acknowledge(url, names, by, comment))


@cli.command()
@click.argument("files", nargs=-1, type=FILE)
@click.option(
    "--data",
    "data_dir",
    type=DIRECTORY,
    help="Also read all history in this data directory and name what is damaged; rules may ask for its series.",
)
@click.option("--url", help="Rules may ask for the series of this engine or Prometheus.  [default: the engine that runs here]")
@click.option("--strict", is_flag=True, help="Exit code 1 also for warnings.")
@click.option("--translate", is_flag=True, help="Print the Prometheus rules that files of short rules say.")
def check(files: tuple[Path, ...], data_dir: Path | None, url: str | None, strict: bool, translate: bool) -> None:
    """Check prometheus.yml, alertmanager.yml, rule files and backups: every fault with its line, and rules that cannot fire."""
    from algowatch.cli.backup import check_history
    from algowatch.cli.check import check_files, print_translation

    if not files and data_dir is None:
        raise click.UsageError("name files to check, or a data directory with --data")
    if translate:
        sys.exit(max(print_translation(path) for path in files))
    bad = check_files(files, strict=strict, url=url, data=data_dir)
    if data_dir is not None:
        bad = max(bad, check_history(data_dir))
    sys.exit(bad)


@cli.command()
@click.argument("selector")
@click.option("--data", "data_dir", type=DIRECTORY, help="The history to read.  [default: the user's data directory]")
@click.option("--start", help="First moment: Unix seconds or RFC 3339.  [default: the oldest sample]")
@click.option("--end", help="Last moment, inclusive.  [default: the newest sample]")
@click.option("--output", type=FILE, help="Write to this file.  [default: standard output]")
def export(selector: str, data_dir: Path | None, start: str | None, end: str | None, output: Path | None) -> None:
    """Write stored samples as CSV, also while the engine runs; SELECTOR is for example 'trading_daily_pnl{currency="USD"}'."""
    from algowatch.cli.export import export_history
    from algowatch.engine.options import default_data_dir

    sys.exit(export_history(selector, data_dir or default_data_dir(), start, end, output))


@cli.command()
@click.argument("file", type=FILE)
@click.option("--data", "data_dir", type=DIRECTORY, help="The history to copy.  [default: the user's data directory]")
def backup(file: Path, data_dir: Path | None) -> None:
    """Copy history, silences and the notifications' state to one new file, also while the engine runs."""
    from algowatch.cli.backup import write_backup
    from algowatch.engine.options import default_data_dir

    sys.exit(write_backup(file, data_dir or default_data_dir()))


@cli.command()
@click.argument("file", type=FILE)
@click.option("--data", "data_dir", type=DIRECTORY, help="Where to put it.  [default: the user's data directory]")
@click.option("--force", is_flag=True, help="Replace the history that is there.")
def restore(file: Path, data_dir: Path | None, force: bool) -> None:
    """Put a backup in place; the engine must not run on that directory."""
    from algowatch.cli.backup import restore_backup
    from algowatch.engine.options import default_data_dir

    sys.exit(restore_backup(file, data_dir or default_data_dir(), force))


@cli.group()
def test() -> None:
    """Run unit tests of what you have configured."""


@test.command("rules")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--json", "as_json", is_flag=True, help="What failed, for programs.")
def test_rules(files: tuple[Path, ...], as_json: bool) -> None:
    """Run unit tests of rule files, written for `promtool test rules`; exit code 1 when one fails."""
    from algowatch.cli.rule_tests import test_rules as run_tests

    sys.exit(run_tests(files, as_json))


@cli.command()
@click.argument("name")
def forget(name: str) -> None:
    """Stop reporting a bot that is gone for good as down."""
    from algowatch.telemetry.registration import forget as forget_bot

    if not forget_bot(name):
        raise click.UsageError(f"no bot named {name!r} is registered and gone; `algowatch query up` shows what is there")
    click.echo(f"{name} is forgotten.")


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    Whatever a command writes (history, outbox, back-ups) shows P&L, so it is its user's alone.
    """
    os.umask(0o077)
    try:
        cli.main(arguments, prog_name="algowatch", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ConfigError as error:
        for fault in error.faults[:_MOST_FAULTS]:
            click.echo(f"algowatch: {fault}", err=True)
        if len(error.faults) > _MOST_FAULTS:
            click.echo(f"algowatch: … and {len(error.faults) - _MOST_FAULTS} more", err=True)
        sys.exit(2)
    except ParseError as error:
        click.echo(f"algowatch: {error.caret()}\n    {error.mend}", err=True)
        sys.exit(2)
    except AlgowatchError as error:
        click.echo(f"algowatch: {error}", err=True)
        sys.exit(2)
