"""The catalogue keeps the field's conventions, and what is made from it is current."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from algowatch.catalog import BASE, FAMILIES, PROFILES, Family, families_of, family, find, recorded_as
from algowatch.catalog.document import render_markdown
from algowatch.catalog.families import GROUPS
from algowatch.model.labels import is_legacy_label_name, is_legacy_metric_name
from algowatch.telemetry.template import RESERVED
from algowatch.telemetry.watch import Watch, WatchOptions

ROOT = Path(__file__).parents[2]
every_family = pytest.mark.parametrize("each", FAMILIES, ids=lambda each: each.name)


def test_no_name_and_no_recorder_stands_twice():
    for attribute in ("name", "recorder"):
        listed = [getattr(each, attribute) for each in FAMILIES if getattr(each, attribute)]
        assert len(set(listed)) == len(listed)


@every_family
def test_names_follow_the_conventions(each: Family):
    assert is_legacy_metric_name(each.name)
    assert all(is_legacy_label_name(label) and label not in RESERVED and label != "le" for label in each.labels)
    if not each.view_of:
        assert each.name.endswith("_total") == (each.type == "counter")
    assert not each.name.endswith(("_milliseconds", "_ms", "_percent", "_count", "_sum", "_bucket"))
    assert each.help
    assert not each.help.endswith(".")


@every_family
def test_buckets_belong_to_histograms_and_ascend(each: Family):
    assert bool(each.buckets) == (each.type == "histogram")
    assert list(each.buckets) == sorted(set(each.buckets))


def test_slippage_has_buckets_on_both_sides_of_nothing():
    buckets = family("trading_slippage_ratio").buckets
    assert min(buckets) < 0 < max(buckets)
    assert 0.0 in buckets


@pytest.mark.parametrize("each", [each for each in FAMILIES if each.recorder], ids=lambda each: each.name)
def test_recorders_take_exactly_the_labels_of_the_catalogue(each: Family):
    watch = Watch(WatchOptions("a", discover=False))
    group, _, name = each.recorder.partition(".")
    assert group in GROUPS
    member = getattr(getattr(watch, group), name)
    methods = {"counter": member, "gauge": getattr(member, "set", None), "histogram": getattr(member, "observe", None)}
    parameters = inspect.signature(methods[each.type]).parameters.values()
    keywords = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    assert tuple(keywords) == each.labels
    assert recorded_as(each.recorder) is each


def test_views_repeat_a_canonical_family_with_the_same_labels():
    for each in FAMILIES:
        if each.view_of:
            assert family(each.view_of).labels == each.labels
            assert BASE not in each.profiles


def test_every_profile_has_the_base_and_only_known_profiles_are_named():
    base = set(families_of(BASE))
    for profile in PROFILES:
        assert base <= set(families_of(profile))
    assert {name for each in FAMILIES for name in each.profiles} <= {BASE, *PROFILES}


def test_an_unknown_name_is_a_key_error_or_none():
    assert find("no_such_family") is None
    with pytest.raises(KeyError):
        family("no_such_family")


def test_the_metrics_page_is_current():
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == render_markdown()


def test_the_recorder_groups_are_current():
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "generate_groups.py"), "--check"], check=False, timeout=60)
    assert done.returncode == 0, "run tools/generate_groups.py"
