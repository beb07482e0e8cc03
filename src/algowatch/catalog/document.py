"""The list of families as a page: `docs/metrics.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from algowatch.catalog.families import BASE, FAMILIES, GROUPS, Family

_BESIDE = "Host, process and bot"
_CALLS = {"counter": "{}(…)", "gauge": "{}.set(…)", "histogram": "{}.observe(…)"}


def render_markdown(families: Iterable[Family] = FAMILIES) -> str:
    """Every family with its type, unit, labels, meaning and recorder, by group."""
    return "\n".join(_lines(tuple(families))) + "\n"


def _lines(families: tuple[Family, ...]) -> Iterator[str]:
    yield "# Metric families"
    yield ""
    yield "<!-- Written from algowatch.catalog by tools/generate_metrics_page.py; change the catalogue, not this file. -->"
    yield ""
    yield "A label that is not given is left out of the series. Money is never added over currencies. Besides these, a bot can"
    yield "declare families of its own with `watch.counter`, `watch.gauge` and `watch.histogram`."
    for title, members in _sections(families):
        yield from ("", f"## {title}", "")
        for family in members:
            yield from _family(family)


def _sections(families: tuple[Family, ...]) -> Iterator[tuple[str, list[Family]]]:
    recorded = {family.name: family.group for family in families if family.group}
    prefixes = {"broker_": "broker", "market_data_": "market_data", "trading_capital": "exposure"}
    for family in families:
        group = next((group for prefix, group in prefixes.items() if family.name.startswith(prefix)), "")
        recorded.setdefault(family.name, group)
    for group in (*GROUPS, ""):
        members = [family for family in families if recorded[family.name] == group]
        if members:
            yield group.replace("_", " ").capitalize().replace("Pnl", "P&L") or _BESIDE, members


def _family(family: Family) -> Iterator[str]:
    yield f"### `{family.name}`"
    yield ""
    yield f"{family.help}."
    yield ""
    facts: list[str] = [family.type]
    facts += [f"in {family.unit}"] if family.unit else []
    facts += [f"labels {', '.join(f'`{label}`' for label in family.labels)}"] if family.labels else []
    facts += [f"recorded by `watch.{_CALLS[family.type].format(family.recorder)}`"] if family.recorder else []
    facts += [f"repeats `{family.view_of}`"] if family.view_of else []
    facts += [f"profiles {', '.join(family.profiles)}"] if family.profiles != (BASE,) else []
    yield f"- {'; '.join(facts)}"
    if family.buckets:
        yield f"- buckets {', '.join(f'{bound:g}' for bound in family.buckets)}"
    yield ""
