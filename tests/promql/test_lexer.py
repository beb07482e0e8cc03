from __future__ import annotations

import pytest

from algowatch.promql.lexer import go_quote, tokenize


def kinds(text: str) -> list[str]:
    return [f"{token.kind} {token.text}" for token in tokenize(text)][:-1]


def problem(text: str) -> tuple[str, int]:
    last = tokenize(text)[-1]
    assert last.kind == "error", f"{text!r} was split without complaint"
    return last.text, last.start


def test_keywords_are_known_in_any_case_and_keep_their_spelling() -> None:
    assert kinds("SUM By offset aTaN2 Start") == [
        "aggregator SUM",
        "keyword By",
        "keyword offset",
        "operator aTaN2",
        "word Start",
    ]


def test_braces_hold_labels_only() -> None:
    assert kinds('{sum="a", by=~`b`}') == [
        "punctuation {", "identifier sum", "punctuation =", 'string "a"', "punctuation ,",
        "identifier by", "operator =~", "string `b`", "punctuation }",
    ]  # fmt: skip


def test_brackets_hold_durations_only() -> None:
    assert kinds("x[5m+STEP():1.5]")[1:] == [
        "punctuation [", "duration 5m", "operator +", "word STEP", "punctuation (", "punctuation )",
        "punctuation :", "number 1.5", "punctuation ]",
    ]  # fmt: skip


def test_comments_and_blanks_are_left_out() -> None:
    assert kinds("# first\n  a # second\r\n+ 1\t# third") == ["identifier a", "operator +", "number 1"]


def test_fill_is_a_name_unless_a_parenthesis_follows() -> None:
    assert kinds("fill + fill (1)") == [
        "identifier fill", "operator +", "keyword fill", "punctuation (", "number 1", "punctuation )",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["1", "1.", ".5", "1e6", "1.5E-3", "0x1F", "1_000_000", "Inf", "nAn"])
def test_number_is_one_token(text: str) -> None:
    assert kinds(text) == [f"number {text}"]


@pytest.mark.parametrize("operator", ["==", "!=", "<=", ">=", "</", ">/", "<", ">", "+", "-", "*", "/", "%", "^", "@"])
def test_longest_operator_wins(operator: str) -> None:
    assert kinds(f"a{operator}b") == ["identifier a", f"operator {operator}", "identifier b"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\n\t\"\\"', 'a\n\t"\\'),
        (r"'it\'s'", "it's"),
        (r"`raw \n`", r"raw \n"),
        (r'"\x41\101\u00e9\U0001F600"', "AAé😀"),
        (r'"\xc3\xa9"', "é"),
        (r'"\xff"', "\udcff"),
        ("`two\nlines`", "two\nlines"),
    ],
)
def test_strings_are_unescaped_as_go_does(text: str, value: str) -> None:
    assert tokenize(text)[0].word == value


@pytest.mark.parametrize(
    ("text", "message", "start"),
    [
        ("a $ b", "unexpected character: '$'", 2),
        ("a =~ b", "unexpected character after '=': '~'", 2),
        ("a ! b", "unexpected character after '!': ' '", 2),
        ("2.5.", 'bad number or duration syntax: "2.5."', 0),
        ("0deadbeef", 'bad number or duration syntax: "0de"', 0),
        ("x[5mm]", 'bad number or duration syntax: "5mm"', 2),
        ("((1)", "unclosed left parenthesis", 4),
        ("(1))", "unexpected right parenthesis ')'", 4),
        ("x[5m", "unclosed left bracket", 4),
        ("x[", "unexpected end of input in duration expression", 2),
        ("x]", "unexpected right bracket ']'", 1),
        ("x[1:2:3]", "unexpected repeated colon in duration expression", 5),
        ("x{", "unexpected end of input inside braces", 2),
        ("x{a*1}", "unexpected character inside braces: '*'", 3),
        ("x{{", "unexpected left brace '{'", 2),
        ('"abc', "unterminated quoted string", 0),
        ("`abc", "unterminated raw string", 0),
        (r'"\c"', "unknown escape sequence U+0063 'c'", 0),
        (r'"\xzz"', "illegal character U+007A 'z' in escape sequence", 0),
        (r'"\ud800"', "escape sequence is an invalid Unicode code point", 0),
    ],
)
def test_text_that_cannot_be_split_ends_with_prometheus_message(text: str, message: str, start: int) -> None:
    assert problem(text) == (message, start)


def test_go_quote_escapes_what_go_escapes() -> None:
    assert go_quote('a"\\\n\x01é\u2028\udcff') == '"a\\"\\\\\\n\\x01é\\u2028\\xff"'
