import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algowatch.model.labels import Labels, Matcher

pairs = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=6)


@given(pairs)
def test_equal_content_is_equal_and_hashes_alike_in_any_order(content: dict[str, str]):
    forwards, backwards = Labels.of(content), Labels.of(reversed(list(content.items())))
    assert forwards == backwards
    assert hash(forwards) == hash(backwards)
    assert forwards.fingerprint() == backwards.fingerprint()


def test_an_empty_value_is_no_label():
    assert Labels.of(a="", b="x") == Labels.of(b="x")


def test_fingerprint_is_the_one_alertmanager_computes():
    # FNV-1a 64 of no bytes at all is the offset basis; of one pair, worked out by hand with the reference algorithm.
    assert Labels.of().fingerprint() == 0xCBF29CE484222325


def test_text_is_what_promql_writes():
    assert str(Labels.of(__name__="up", job='a"b')) == r'up{job="a\"b"}'
    assert str(Labels.of(__name__="up")) == "up"
    assert str(Labels.of()) == "{}"
    assert str(Labels.of({"__name__": "my.metric", "a b": "x"})) == '{"my.metric", "a b"="x"}'


@pytest.mark.parametrize(
    ("op", "pattern", "value", "expected"),
    [
        ("=", "a", "a", True),
        ("!=", "a", "", True),
        ("=~", "a|b", "b", True),
        ("=~", "a", "ab", False),
        ("!~", "a.*", "abc", False),
        ("=~", "a.b", "a\nb", True),
    ],
)
def test_matchers_are_anchored_and_a_missing_label_is_empty(op, pattern, value, expected):
    assert Matcher("l", op, pattern).matches(value) is expected


def test_a_pattern_that_does_not_compile_raises():
    with pytest.raises(re.error):
        Matcher("l", "=~", "(").matches("x")
