import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from algowatch.errors import ExpositionError
from algowatch.model.labels import Labels, quote
from algowatch.scrape.exposition import MAX_LABELS, MAX_LINE_LENGTH, format_openmetrics_float, parse_exposition


def samples(text, **more):
    body = text if isinstance(text, bytes) else text.encode()
    return [(str(sample.labels), sample.value, sample.timestamp_ms) for sample in parse_exposition(body, **more).samples]


def error(text, **more):
    with pytest.raises(ExpositionError) as caught:
        samples(text, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x 1", [("x", 1.0, None)]),
        ("x 1 1700000000000\n", [("x", 1.0, 1700000000000)]),
        ("x 1 -5\n", [("x", 1.0, -5)]),
        ('  x\t{ a = "b" ,}\t 1e3 \n', [('x{a="b"}', 1000.0, None)]),
        ('x{a="b\\\\c\\"d\\ne\\f"} 1\n', [('x{a="b\\\\c\\"d\\ne\\\\f"}', 1.0, None)]),
        ('{"my.metric","a b"="c"} 1\n', [('{"my.metric", "a b"="c"}', 1.0, None)]),
        ('x{a="",b="}{,="} +Inf\n', [('x{b="}{,="}', math.inf, None)]),
        ("x{} -inf\n", [("x", -math.inf, None)]),
        ("# just a comment\n\n#\nx 0x\n"[:-4] + ".5\n", [("x", 0.5, None)]),
        ("# HELP\tx  text \n# TYPE x\tgauge\nx 1.\n", [("x", 1.0, None)]),
        (
            '# TYPE h histogram\nh_bucket{le="1"} 5\nh_bucket{le="+inf"} 6\n',
            [('h_bucket{le="1.0"}', 5, None), ('h_bucket{le="+Inf"}', 6, None)],
        ),
        (
            '# TYPE s summary\ns{quantile="0"} 5\n# TYPE g gauge\ng{le="1"} 1\n',
            [('s{quantile="0.0"}', 5, None), ('g{le="1"}', 1, None)],
        ),
    ],
)
def test_text_is_read(text, expected):
    assert samples(text) == expected


def test_nan_is_a_value():
    assert math.isnan(samples("x NaN\n")[0][1])


def test_metadata_is_kept():
    found = parse_exposition(b"# HELP x one\\\\two\\nthree\n# TYPE x counter\n# TYPE y untyped\nx 1\n").metadata
    assert (found["x"].help, found["x"].type, found["y"].type) == ("one\\two\nthree", "counter", "unknown")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x 1\nx\n", "line 2: expected a value: 'x'"),
        ("x 1_000\n", "line 1: not a number: '1_000': 'x 1_000'"),
        ("x 0x1\n", "line 1: not a number: '0x1': 'x 0x1'"),
        ("x +nan\n", "line 1: not a number: '+nan': 'x +nan'"),
        ("x 1e999\n", "line 1: number out of range: '1e999': 'x 1e999'"),
        ("x ١\n", "line 1: not a number: '١': 'x ١'"),
        ("x 1 1.5\n", "line 1: expected a timestamp in milliseconds, got '1.5': 'x 1 1.5'"),
        ("x 1 5 6\n", "line 1: unexpected text after the sample: 'x 1 5 6'"),
        ('x{a="b" 1\n', "line 1: expected a comma or a closing brace: 'x{a=\"b\" 1'"),
        ('x{a="b} 1\n', "line 1: a quoted text does not end: 'x{a=\"b} 1'"),
        ("x{a=b} 1\n", "line 1: expected a value in double quotes for label 'a': 'x{a=b} 1'"),
        ("x{a} 1\n", "line 1: expected '=' after label name 'a': 'x{a} 1'"),
        ('x{1a="b"} 1\n', "line 1: expected a label name: 'x{1a=\"b\"} 1'"),
        ('x{a="b",a="c"} 1\n', "line 1: label name 'a' is not unique: 'x{a=\"b\",a=\"c\"} 1'"),
        ('x{"y"} 1\n', "line 1: expected '=' after label name 'y': 'x{\"y\"} 1'"),
        ('{a="b"} 1\n', "line 1: expected a metric name: '{a=\"b\"} 1'"),
        ("# TYPE x timer\n", "line 1: invalid metric type 'timer': '# TYPE x timer'"),
        ("# TYPE 1 gauge\n", "line 1: expected a metric name: '# TYPE 1 gauge'"),
        ("<html>\n", "line 1: expected a metric name: '<html>'"),
        ("x 1\r\n", "line 1: not a number: '1\\r': 'x 1\\r'"),
        (b'x 1\nx{a="\xff"} 1\n', "line 2: invalid UTF-8 at byte 9"),
        ('x 1\nx{a="\0"} 1\n', "line 2: a NUL character"),
    ],
)
def test_text_that_is_wrong_names_the_line(text, message):
    assert error(text) == message


def test_openmetrics_is_read_with_its_exemplars():
    body = (
        b'# HELP x_seconds a \\"b\\"\n# TYPE x_seconds counter\n# UNIT x_seconds seconds\n'
        b'x_seconds_total{a="b"} 5 1700000000.789 # {trace_id="t",span="s"} 0.5 1700000000.25\n'
        b'x_seconds_total{a="c"} 6 # {} 0.25\n# EOF\n'
    )
    found = parse_exposition(body, openmetrics=True)
    first, second = found.samples
    assert (first.value, first.timestamp_ms) == (5, 1700000000789)
    assert (first.exemplar.labels, first.exemplar.value) == (Labels.of(trace_id="t", span="s"), 0.5)
    assert first.exemplar.timestamp_ms == 1700000000250
    assert (second.timestamp_ms, second.exemplar.labels, second.exemplar.timestamp_ms) == (None, Labels(), None)
    about = found.metadata["x_seconds"]
    assert (about.type, about.help, about.unit) == ("counter", 'a "b"', "seconds")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x 1\n", "line 1: the body does not end with # EOF; it may have been cut off"),
        ("", "line 1: the body does not end with # EOF; it may have been cut off"),
        ("# EOF\nx 1\n", "line 2: text after # EOF: 'x 1'"),
        ("\n# EOF\n", "line 1: an empty line, which OpenMetrics does not have"),
        ("x  1\n# EOF\n", "line 1: expected a value: 'x  1'"),
        ("x 1 \n# EOF\n", "line 1: expected a timestamp in seconds; not a number: '': 'x 1 '"),
        ("#comment\n# EOF\n", "line 1: expected # HELP, # TYPE, # UNIT or # EOF: '#comment'"),
        ('x{a="b",} 1\n# EOF\n', "line 1: a comma before the closing brace: 'x{a=\"b\",} 1'"),
        ("# TYPE x untyped\n# EOF\n", "line 1: invalid metric type 'untyped': '# TYPE x untyped'"),
        ("# UNIT x seconds\n# EOF\n", "line 1: unit 'seconds' is not a suffix of metric 'x': '# UNIT x seconds'"),
        ('x 1 # {a="b"}\n# EOF\n', "line 1: expected one blank before an exemplar's value: 'x 1 # {a=\"b\"}'"),
        ("x 1 Inf\n# EOF\n", "line 1: expected a timestamp in seconds; not a time: 'Inf': 'x 1 Inf'"),
    ],
)
def test_openmetrics_that_is_wrong_names_the_line(text, message):
    assert error(text, openmetrics=True) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'x{a="' + b"b" * 10_000_000 + b'"} 1\n', f"line 1: the line is longer than {MAX_LINE_LENGTH} characters"),
        (b"x" * 10_000_000, f"line 1: the line is longer than {MAX_LINE_LENGTH} characters"),
        (b"x{" + b",".join(b'a%d="b"' % n for n in range(50_000)) + b"} 1\n", f"line 1: more than {MAX_LABELS} labels"),
        (b'x{a="' + b"\\" * 500_001, "line 1: a quoted text does not end"),
        (b"{" * 500_000, "line 1: expected a label name"),
    ],
    ids=["long value", "long name", "many labels", "backslashes", "braces"],
)
def test_hostile_bodies_are_refused_in_bounds(body, message):
    assert message in error(body)
    assert len(error(body)) < 400


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"),
        (1, "1.0"),
        (-1, "-1.0"),
        (0.005, "0.005"),
        (123456, "123456.0"),
        (1e6, "1e+06"),
        (1234567, "1.234567e+06"),
        (1e-5, "1e-05"),
        (0.0001, "0.0001"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_floats_in_le_and_quantile_are_spelled_as_go_does(value, text):
    assert format_openmetrics_float(value) == text


names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,12}", fullmatch=True)
label_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in ("le", "quantile"))
label_values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
values = st.floats(allow_nan=False)
series = st.tuples(names, st.dictionaries(label_names, label_values, max_size=4), values, st.none() | st.integers(0, 2**41))


@given(st.lists(series, max_size=6))
def test_what_is_written_is_read_back(found):
    lines = []
    for name, labels, value, timestamp_ms in found:
        inner = ",".join(f"{key}={quote(text)}" for key, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value!r}" + ("" if timestamp_ms is None else f" {timestamp_ms}"))
    read = parse_exposition("\n".join(lines).encode()).samples
    assert [(sample.labels, sample.value, sample.timestamp_ms) for sample in read] == [
        (Labels.of({**labels, "__name__": name}), value, timestamp_ms) for name, labels, value, timestamp_ms in found
    ]


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.booleans())
def test_any_bytes_are_read_or_refused_cleanly(body, openmetrics):
    try:
        parse_exposition(body, openmetrics=openmetrics)
    except ExpositionError:
        return


TEXT = """# HELP go_gc a "summary"
# TYPE go_gc summary
go_gc{quantile="0.5"} 4.9351e-05
go_gc_sum 17.391350544
# TYPE http_requests counter
http_requests_total{method="post",code="200"} 1027 1395066363000
# TYPE lat histogram
lat_bucket{le="0.05"} 24054
lat_bucket{le="+Inf"} 144320
lat_count 144320
something_weird{problem="division by \\\\ zero, \\"x\\" \\n"} +Inf -3982045
no_labels 12.47
"""
OPENMETRICS = """# HELP a help text
# TYPE a counter
a_total{x="1"} 17.0 1520879607.789 # {id="counter-test"} 5.0
a_created{x="1"} 1520872607.123 1520879607.789
# TYPE h_seconds histogram
# UNIT h_seconds seconds
h_seconds_bucket{le="0.5"} 1.0 # {trace_id="q"} 0.4 123.456
h_seconds_bucket{le="+Inf"} 2.0
h_seconds_count 2.0
h_seconds_sum 3.5
# TYPE i info
i_info{version="1.0"} 1.0
# EOF
"""


def comparable(families):
    return sorted(
        (str(Labels.of({**sample.labels, "__name__": sample.name})), sample.value, stamp(sample.timestamp))
        for family in families
        for sample in family.samples
    )


def stamp(seconds):
    return None if seconds is None else int(float(seconds) * 1000)


@pytest.mark.parametrize(("text", "oracle"), [(TEXT, text_families), (OPENMETRICS, openmetrics_families)])
def test_prometheus_clients_parser_reads_the_same(text, oracle):
    assert sorted(samples(text, openmetrics=oracle is openmetrics_families)) == comparable(oracle(text))
