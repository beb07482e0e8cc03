import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algowatch.errors import ExpositionError
from algowatch.scrape.body import BodyReader

BEFORE = b'# TYPE x counter\nx{a="b c"} 1\nx{a="d"} 2\ny +Inf\n'


def fast(before, body, openmetrics=False):
    reader = BodyReader()
    reader.read(before, openmetrics=openmetrics)
    exposition = reader.exposition
    values = reader.read_unchanged_layout(body, openmetrics=openmetrics)
    if values is not None:
        assert reader.exposition is exposition
    return None if values is None else values.tolist()


def test_changed_numbers_are_read_without_the_strict_parser():
    assert fast(BEFORE, b'# TYPE x counter\nx{a="b c"} 1e3\nx{a="d"} -2.5\ny +Inf\n') == [1000, -2.5, math.inf]


def test_an_equal_body_gives_equal_values_in_a_fresh_array():
    reader = BodyReader()
    first = reader.read(BEFORE, openmetrics=False)
    first[:] = 0
    assert reader.read(BEFORE, openmetrics=False).tolist() == [1, 2, math.inf]


@pytest.mark.parametrize(
    "body",
    [
        b'# TYPE x gauge\nx{a="b c"} 1\nx{a="d"} 2\ny +Inf\n',
        b'# TYPE x counter\nx{a="b  c"} 1\nx{a="d"} 2\ny +Inf\n',
        b'# TYPE x counter\nx{a="d"} 1\nx{a="b c"} 2\ny +Inf\n',
        b'# TYPE x counter\nx{a="b c"} 1\nx{a="d"} 2\n',
        b'# TYPE x counter\nx{a="b c"} 1\nx{a="d"} 2\ny +Inf\nz 1\n',
        b'# TYPE x counter\nx{a="b c"} 1 17\nx{a="d"} 2\ny +Inf\n',
    ],
    ids=["type", "blank in a value", "order", "fewer", "more", "timestamp"],
)
def test_any_other_change_goes_to_the_strict_parser(body):
    assert fast(BEFORE, body) is None


@pytest.mark.parametrize("value", [b"1_0", b"0x1", b"one", b"", b"1\r", b"--1", b"1e999", b"1.2.3"])
def test_what_the_strict_parser_refuses_is_refused_behind_an_unchanged_series_too(value):
    reader = BodyReader()
    reader.read(BEFORE, openmetrics=False)
    body = BEFORE.replace(b'"d"} 2', b'"d"} ' + value)
    with pytest.raises(ExpositionError, match="line 3"):
        reader.read(body, openmetrics=False)
    assert reader.read(BEFORE, openmetrics=False).tolist() == [1, 2, math.inf]


def test_a_value_that_becomes_infinite_is_read():
    assert fast(BEFORE, BEFORE.replace(b" 2\n", b" -inf\n")) == [1, -math.inf, math.inf]


def test_timestamps_and_exemplars_change_in_place():
    before = b'x_total{a="b"} 5 17.5 # {id="1"} 2\ny 1\n# EOF\n'
    after = b'x_total{a="b"} 6 18.5 # {id="2"} 3 18\ny 2\n# EOF\n'
    reader = BodyReader()
    reader.read(before, openmetrics=True)
    layout = reader.exposition.samples
    assert reader.read(after, openmetrics=True).tolist() == [6, 2]
    sample = reader.exposition.samples[0]
    assert reader.exposition.samples is layout
    assert (sample.timestamp_ms, sample.exemplar.value, sample.exemplar.timestamp_ms) == (18500, 3, 18000)


def test_the_same_bytes_in_the_other_format_are_read_anew():
    reader = BodyReader()
    body = b"x 1\n# EOF\n"
    reader.read(body, openmetrics=False)
    assert reader.read_unchanged_layout(body, openmetrics=True) is None


number = st.floats().map(repr) | st.integers(-(10**20), 10**20).map(str) | st.sampled_from(["NaN", "+Inf", "-Inf", "1e5", ".5"])


@given(st.lists(st.lists(number, min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_fast_way_and_the_strict_way_agree(bodies):
    reader = BodyReader()
    for numbers in bodies:
        body = "".join(f'm{{i="{index} x"}} {text}\n' for index, text in enumerate(numbers)).encode()
        strictly = BodyReader().read(body, openmetrics=False)
        np.testing.assert_array_equal(reader.read(body, openmetrics=False).view(np.uint64), strictly.view(np.uint64))
