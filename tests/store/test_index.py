"""Matchers find the same series as asking each label set."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algowatch.model.labels import Labels, Matcher
from algowatch.store.index import SeriesIndex

VALUES = ["", "a", "b", "ab", "ba"]
LABEL_SETS = st.lists(
    st.fixed_dictionaries({name: st.sampled_from(VALUES) for name in ("x", "y", "z")}).map(Labels.of), unique=True
)
MATCHERS = st.lists(
    st.one_of(
        st.builds(Matcher, st.sampled_from("xyzw"), st.sampled_from(["=", "!="]), st.sampled_from(VALUES)),
        st.builds(
            Matcher, st.sampled_from("xyzw"), st.sampled_from(["=~", "!~"]), st.sampled_from(["", "a.*", ".+", ".*", "a|b"])
        ),
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(LABEL_SETS, MATCHERS, st.sets(st.integers(1, 20)))
def test_match_agrees_with_the_matchers_themselves(label_sets, matchers, gone):
    index = SeriesIndex()
    index.add((number, labels, 1) for number, labels in enumerate(label_sets, 1))
    index.remove(number for number in gone if number <= len(label_sets))
    expected = [
        number
        for number, labels in enumerate(label_sets, 1)
        if number not in gone and all(matcher.matches(labels.get(matcher.name)) for matcher in matchers)
    ]
    assert index.match(matchers).tolist() == expected
    alive = [labels for number, labels in enumerate(label_sets, 1) if number not in gone]
    assert index.label_names() == sorted({name for labels in alive for name, _ in labels})
    assert index.label_values("x") == sorted({labels.get("x") for labels in alive} - {""})


def test_a_bad_regular_expression_raises():
    index = SeriesIndex()
    index.add([(1, Labels.of(x="a"), 1)])
    with pytest.raises(re.error):
        index.match([Matcher("x", "=~", "(")])
