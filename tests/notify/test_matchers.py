import pytest

from algowatch.notify.matchers import combined, parse_matchers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("severity=critical", ['severity="critical"']),
        ('{a="b,c", d != e,}', ['a="b,c"', 'd!="e"']),
        (r'a="say \"hi\"\n\d"', [r'a="say \"hi\"\n\\d"']),
        ("a=", ['a=""']),
        ("a=~b|c", ['a=~"b|c"']),
        ('"broker name"="IB"', ['"broker name"="IB"']),
        ("  a = b c ", ['a="b c"']),
    ],
)
def test_matchers_read_as_alertmanager_reads_them(text, expected):
    assert [str(matcher) for matcher in parse_matchers(text)] == expected


@pytest.mark.parametrize("text", ["a", "=b", 'a="b', 'a=b"c', "1a=b", "a=~(", '{a="b"', "a=b,,c=d"])
def test_what_is_no_matcher_is_refused(text):
    with pytest.raises(ValueError, match="bad "):
        parse_matchers(text)


def test_the_three_spellings_are_one_sorted_list():
    found = combined({"b": "1"}, {"a": "x|y"}, ['c!="z"'])
    assert [str(matcher) for matcher in found] == ['a=~"^(?:x|y)$"', 'b="1"', 'c!="z"']
