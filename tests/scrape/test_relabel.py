import hashlib

import pytest

from algowatch.scrape.relabel import RelabelRule, relabel

ABC = {"a": "foo", "b": "bar", "c": "baz"}


@pytest.mark.parametrize(
    ("labels", "rule", "expected"),
    [
        (
            ABC,
            {"source_labels": ("a",), "regex": "f(.*)", "target_label": "d", "replacement": "ch${1}-ch${1}"},
            {**ABC, "d": "choo-choo"},
        ),
        (
            ABC,
            {"source_labels": ("a", "b"), "regex": "f(.*);(.*)r", "target_label": "a", "replacement": "b${1}${2}m"},
            {**ABC, "a": "boobam"},
        ),
        (
            ABC,
            {"source_labels": ("a", "b"), "separator": "-", "regex": "foo-bar", "target_label": "d", "replacement": "x"},
            {**ABC, "d": "x"},
        ),
        (ABC, {"source_labels": ("a",), "regex": "o+", "target_label": "d"}, ABC),
        (ABC, {"source_labels": ("nothing",), "target_label": "a"}, {"b": "bar", "c": "baz"}),
        (ABC, {"target_label": "d", "replacement": "fixed"}, {**ABC, "d": "fixed"}),
        (
            ABC,
            {"source_labels": ("a",), "regex": "(?P<x>.).*", "target_label": "${x}_1", "replacement": "${x}$$$x"},
            {**ABC, "f_1": "f$f"},
        ),
        (ABC, {"source_labels": ("a",), "regex": "(.)(.*)", "target_label": "d", "replacement": "$1x$2$9"}, {**ABC, "d": "oo"}),
        (ABC, {"source_labels": ("a",), "regex": "(.)(x)?.*", "target_label": "d", "replacement": "$1$2$"}, {**ABC, "d": "f$"}),
        ({"a": "x\ny"}, {"source_labels": ("a",), "target_label": "b"}, {"a": "x\ny", "b": "x\ny"}),
        (ABC, {"action": "keep", "source_labels": ("a",), "regex": "f.*"}, ABC),
        (ABC, {"action": "keep", "source_labels": ("a",), "regex": "f"}, None),
        (ABC, {"action": "drop", "source_labels": ("a",), "regex": "f.*"}, None),
        (ABC, {"action": "drop", "source_labels": ("a",), "regex": "oo"}, ABC),
        ({"a": "1", "b": "1"}, {"action": "keepequal", "source_labels": ("a",), "target_label": "b"}, {"a": "1", "b": "1"}),
        ({"a": "1", "b": "2"}, {"action": "keepequal", "source_labels": ("a",), "target_label": "b"}, None),
        ({"a": "1", "b": "1"}, {"action": "dropequal", "source_labels": ("a",), "target_label": "b"}, None),
        ({"a": "1", "b": "2"}, {"action": "dropequal", "source_labels": ("a",), "target_label": "b"}, {"a": "1", "b": "2"}),
        (ABC, {"action": "hashmod", "source_labels": ("c",), "target_label": "d", "modulus": 1000}, {**ABC, "d": "976"}),
        (
            {"a": "foo\nbar"},
            {"action": "hashmod", "source_labels": ("a",), "target_label": "b", "modulus": 1000},
            {"a": "foo\nbar", "b": "734"},
        ),
        (
            {"a": "foo", "b1": "bar", "b2": "baz"},
            {"action": "labelmap", "regex": "(b.*)", "replacement": "x_$1"},
            {"a": "foo", "b1": "bar", "b2": "baz", "x_b1": "bar", "x_b2": "baz"},
        ),
        ({"a": "foo", "b1": "bar"}, {"action": "labeldrop", "regex": "b.*"}, {"a": "foo"}),
        ({"a": "foo", "b1": "bar"}, {"action": "labelkeep", "regex": "b.*"}, {"b1": "bar"}),
        ({"a": "FoO"}, {"action": "lowercase", "source_labels": ("a",), "target_label": "b"}, {"a": "FoO", "b": "foo"}),
        ({"a": "FoO"}, {"action": "uppercase", "source_labels": ("a",), "target_label": "a"}, {"a": "FOO"}),
    ],
)
def test_an_action_does_what_prometheus_does(labels, rule, expected):
    assert relabel(labels, [RelabelRule(**rule)]) == expected


def test_hashmod_takes_the_last_eight_bytes_of_the_md5_sum():
    expected = int(hashlib.md5(b"foo;bar").hexdigest()[16:], 16) % 7
    rule = RelabelRule("hashmod", ("a", "b"), modulus=7, target_label="m")
    assert relabel(ABC, [rule])["m"] == str(expected)


def test_rules_run_in_order_and_the_input_stays_as_it_was():
    rules = [RelabelRule(target_label="d", replacement="x"), RelabelRule("drop", ("d",), regex="x")]
    assert relabel(ABC, rules[:1]) == {**ABC, "d": "x"}
    assert relabel(ABC, rules) is None
    assert "d" not in ABC
