"""Templates against the text that Go's text/template gives for them."""
# ruff: noqa: E501 - a table reads better unbroken

from __future__ import annotations

import pytest

from algowatch.errors import TemplateError
from algowatch.gotemplate.template import Limits, Template
from algowatch.gotemplate.values import StringMap, Struct

DATA = {"l": [1, 2, 3], "m": StringMap(a="1", b="2"), "s": Struct(Name="n", Rate=0.5), "none": None, "big": 1e6, "empty": []}

RENDERED = [
    ("plain", "plain"),
    ("{{ 1 }} {{ 1e6 }} {{ 0x1F }} {{ 1_000 }} {{ 'a' }} {{ true }} {{ -3 }}", "1 1e+06 31 1000 97 true -3"),
    ("{{ `raw\\n` }}|{{ \"tab\\t\\u00e9\" }}", "raw\\n|tab\té"),
    ("a  {{- 3 -}}  b{{/* note */}}c {{- /* note */ -}} d", "a3bcd"),
    ("{{ .m.a }} {{ .m.zz }} {{ .zz.deeper }} {{ .none }}", "1 <no value> <no value> <no value>"),
    ("{{ .s.Name }} {{ .s }} {{ .m }} {{ .l }} {{ .big }}", "n {n 0.5} map[a:1 b:2] [1 2 3] 1e+06"),
    ("{{ if .empty }}a{{ else if .l }}b{{ else }}c{{ end }}", "b"),
    ("{{ if and 1 0 3 }}a{{ else }}b{{ end }}{{ or 0 \"\" 7 }}{{ not 1 }}", "b7false"),
    ("{{ range $i, $e := .l }}{{ $i }}={{ $e }},{{ end }}", "0=1,1=2,2=3,"),
    ("{{ range $k, $v := .m }}{{ $k }}:{{ $v }} {{ end }}", "a:1 b:2 "),
    ("{{ range .empty }}x{{ else }}none{{ end }}", "none"),
    ("{{ range .l }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}", "1"),
    ("{{ with .m.a }}[{{ . }}]{{ end }}{{ with .none }}x{{ else }}y{{ end }}", "[1]y"),
    ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ $y }}{{ end }}{{ $x }}", "32"),
    ("{{ range $i := .l }}{{ $i }}{{ $.big }};{{ end }}", "11e+06;21e+06;31e+06;"),
    ('{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" .m.b }}{{ block "q" 5 }}({{ . }}){{ end }}', "<2>(5)"),
    ("{{ (index .l 1) }} {{ index .m \"b\" }} {{ len .m }} {{ slice \"abcd\" 1 3 }}", "2 2 2 bc"),
    ("{{ print 1 2 \"a\" \"b\" 3 4 }}|{{ println 1 \"a\" }}", "1 2a b3 4|1 a\n".replace("a b", "ab")),
    ("{{ eq 1 2 1 }} {{ ne \"a\" \"b\" }} {{ lt 1 2 }} {{ le 2.0 2.0 }} {{ gt \"b\" \"a\" }} {{ ge 1 2 }}", "true true true true true false"),
    ("{{ html \"<a href='x'>&\" }} {{ js \"it's\" }} {{ urlquery \"a b&c\" }}", "&lt;a href=&#39;x&#39;&gt;&amp; it\\'s a+b%26c"),
    ("{{ \"x\" | printf \"%s-%s\" \"y\" | len }}", "3"),
    ("{{ (printf \"%d\" 7) | printf \"%s!\" }}", "7!"),
    ("{{ print nil }} {{ eq .none nil }}", "<nil> true"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RENDERED, ids=[text for text, _ in RENDERED])
def test_template_renders_as_go_renders_it(text: str, expected: str) -> None:
    assert Template(text, name="x").render(DATA) == expected


PRINTED = [
    ("%v %v %v", '"s" 1 2.5', "s 1 2.5"),
    ("%5.1f|%-6s|%6s|%05d|%+d|% d", '3.14159 "ab" "cd" 42 5 5', "  3.1|ab    |    cd|00042|+5| 5"),
    ("%q %x %X %t %c %U %o %b", '"a\\"\\n" "hi" 255 true 65 8364 8 5', '"a\\"\\n" 6869 FF true A U+20AC 10 101'),
    ("%e %g %G %.2g %.3f %F", "1e6 1e6 1e-7 1234.5 2.0 1.5", "1.000000e+06 1e+06 1E-07 1.2e+03 2.000 1.500000"),
    ("%d", "1.5", "%!d(float64=1.5)"),
    ("%s %f", "1 2", "%!s(int=1) %!f(int=2)"),
    ("%d %d", "1", "1 %!d(MISSING)"),
    ("%d", "1 2 \"x\"", "1%!(EXTRA int=2, string=x)"),
    ("100%% %z", "1", "100% %!z(int=1)"),
    ("%.2s|%.0f|%*d", '"abcdef" 2.5 5 7', "ab|2|    7"),
    ("%T %T %T", '1 "a" 1.5', "int string float64"),
    ("%", "", "%!(NOVERB)"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "args", "expected"), PRINTED, ids=[form for form, _, _ in PRINTED])
def test_printf_prints_as_go_prints(form: str, args: str, expected: str) -> None:
    assert Template("{{ printf `" + form + "` " + args + " }}").render(None) == expected


FLOATS = [(0.0, "0"), (100000.0, "100000"), (1e6, "1e+06"), (123456789.0, "1.23456789e+08"), (1234567.5, "1.2345675e+06"),
          (0.0001, "0.0001"), (0.00001, "1e-05"), (-2.5, "-2.5"), (1e100, "1e+100"), (float("nan"), "NaN"),
          (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (0.1 + 0.2, "0.30000000000000004")]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), FLOATS)
def test_float_prints_its_shortest_form_with_gos_exponent(value: float, expected: str) -> None:
    assert Template("{{ . }}").render(value) == expected


def test_missing_key_option_zero_gives_the_empty_string_for_string_maps() -> None:
    template = Template("[{{ .m.zz }}][{{ .zz }}]", missing_key="zero")
    assert template.render(DATA) == "[][<no value>]"


def test_missing_key_option_error_names_the_key() -> None:
    with pytest.raises(TemplateError, match='map has no entry for key "zz"'):
        Template("{{ .zz }}", missing_key="error").render(DATA)


WRONG = [
    ("a\n{{ if }}x{{ end }}", "template: x:2: missing value for if"),
    ("{{ .a", "template: x:1: unclosed action"),
    ("{{ end }}", "template: x:1: unexpected {{end}}"),
    ("{{ nope 1 }}", 'template: x:1: function "nope" not defined'),
    ("\n\n{{ $y }}", 'template: x:3: undefined variable "$y"'),
    ("{{ if 1 }}", "unexpected end of text in {{if}}"),
    ('{{ "abc }}', "unterminated quoted string"),
    ("{{ /* x }}", "unexpected '/' in action"),
    ("{{/* x }}", "unclosed comment"),
    ("{{ break }}", "{{break}} outside {{range}}"),
    ("{{ 1 | 2 }}", "non executable command in pipeline stage: 2"),
    ("{{ (1 }}", "unclosed left paren"),
    ("{{ 99999999999999999999 }}", "integer overflow"),
    ("{{ define \"x\" }}", "unexpected end of text in the definition"),
    ("{{ 3k }}", "bad number syntax"),
    ("(" * 3 + "{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "levels deep"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), WRONG, ids=[text[:30] for text, _ in WRONG])
def test_wrong_template_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text, name="x")
    assert problem in str(caught.value)


FAILING = [
    ("{{ .s.Nope }}", "can't evaluate field Nope in type struct"),
    ("{{ .none.x }}", "nil pointer evaluating interface {}.x"),
    ("{{ if eq 1 1.0 }}{{ end }}", "error calling eq: incompatible types for comparison"),
    ("{{ index .l 5 }}", "error calling index: index out of range: 5"),
    ("{{ len 3 }}", "error calling len: len of type int"),
    ("{{ range 1.5 }}{{ end }}", "range can't iterate over 1.5"),
    ('{{ template "nope" }}', 'template "nope" not defined'),
    ("{{ .big 1 }}", "big is not a method but has arguments"),
    ("{{ not 1 2 }}", "wrong number of args for not: want 1 got 2"),
    ("\n{{ 1 3 }}", "x:2: executing \"x\" at <1>: can't give argument to non-function 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), FAILING, ids=[text for text, _ in FAILING])
def test_failing_template_says_where_and_what(text: str, problem: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text, name="x").render(DATA)
    assert problem in str(caught.value)


HOSTILE = [
    "{{ range 3000000000 }}x{{ end }}",
    "{{ range 3000000000 }}{{ end }}",
    "{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}",
    '{{ define "r" }}{{ template "r" }}{{ end }}{{ template "r" }}',
    '{{ $x := "0123456789" }}{{ range 60 }}{{ $x = printf "%s%s" $x $x }}{{ end }}',
    '{{ printf "%1000000000d" 1 }}',
    '{{ printf "%*d" 1000000000 1 }}',
    '{{ range 90000 }}{{ printf "%9999d" 1 }}{{ end }}',
    "{{ $x := `" + "y" * 900_000 + "` }}{{ html $x $x $x }}",
]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", HOSTILE, ids=[text[:40] for text in HOSTILE])
def test_hostile_template_ends_with_an_error(text: str) -> None:
    with pytest.raises(TemplateError):
        Template(text).render(None)


def test_output_limit_is_obeyed_to_the_character() -> None:
    template = Template("{{ range . }}x{{ end }}", limits=Limits(output=10))
    assert template.render(10) == "x" * 10
    with pytest.raises(TemplateError, match="gave more than 10 characters"):
        template.render(11)


def test_defined_templates_of_several_texts_reach_each_other() -> None:
    template = Template('{{ define "title" }}[{{ template "inner" . }}]{{ end }}', name="a")
    template.add('{{ define "inner" }}{{ .x }}{{ end }}', "b")
    assert template.render({"x": 3}, only="title") == "[3]"


def test_values_offer_methods_by_name() -> None:
    class Pairs(StringMap):
        go_methods = {"Names": "names", "Without": "without"}  # noqa: RUF012

        def names(self) -> list[str]:
            return sorted(self)

        def without(self, name: str) -> Pairs:
            return Pairs((key, value) for key, value in self.items() if key != name)

    text = "{{ .p.Names }} {{ (.p.Without `b`).Names }} {{ range .p.Names }}{{ . }};{{ end }}"
    assert Template(text).render({"p": Pairs(b="2", a="1")}) == "[a b] [a] a;b;"
