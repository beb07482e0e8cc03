import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algowatch.model.labels import Labels
from algowatch.model.protocols import QueryResult, SeriesMatrix
from algowatch.web.encode import encode_result, encode_time, format_value, format_values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e6, "1000000"),
        (1e16, "10000000000000000"),
        (123456789012345680.0, "123456789012345680"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (5e-324, "5e-324"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_a_value_is_spelled_as_prometheus_spells_it(value, text):
    assert format_value(value) == text
    assert format_values(np.array([value])) == [text.encode()]


@given(st.lists(st.floats(), max_size=30))
def test_values_read_back_as_they_were_and_the_fast_way_spells_as_the_slow_one(values):
    texts = format_values(np.array(values, dtype=np.float64))
    assert [text.decode() for text in texts] == [format_value(value) for value in values]
    read = [float(text) for text in texts]
    assert all((math.isnan(a) and math.isnan(b)) or a == b for a, b in zip(read, values, strict=True))


@given(st.integers(min_value=-(10**14), max_value=10**14))
def test_times_are_seconds_to_the_millisecond(time_ms):
    assert round(float(encode_time(time_ms)) * 1000) == time_ms


def result(kind, values, present, steps=(1000, 2000)):
    labels = [Labels.of(__name__="x", row=str(row)) for row in range(len(values))]
    return QueryResult(kind, labels, np.array(steps), np.array(values, dtype=float), np.array(present, dtype=bool))


def test_a_range_answer_leaves_out_what_is_not_there():
    encoded = encode_result(
        result("matrix", [[1, 2], [3, 4], [5, 6]], [[True, True], [False, True], [False, False]]), instant=False
    )
    assert json.loads(encoded) == {
        "resultType": "matrix",
        "result": [
            {"metric": {"__name__": "x", "row": "0"}, "values": [[1, "1"], [2, "2"]]},
            {"metric": {"__name__": "x", "row": "1"}, "values": [[2, "4"]]},
        ],
    }


def test_an_instant_answer_is_the_last_step():
    encoded = encode_result(result("vector", [[1], [2]], [[True], [False]], steps=(1500,)), instant=True)
    assert json.loads(encoded)["result"] == [{"metric": {"__name__": "x", "row": "0"}, "value": [1.5, "1"]}]


def test_a_scalar_is_a_pair_and_a_string_is_text():
    assert json.loads(encode_result(result("scalar", [[2.5]], [[True]], steps=(1000,)), instant=True)) == {
        "resultType": "scalar",
        "result": [1, "2.5"],
    }
    text = QueryResult("string", [], np.array([1000]), np.empty((0, 1)), np.empty((0, 1), dtype=bool), text='a"b')
    assert json.loads(encode_result(text, instant=True))["result"] == [1, 'a"b']


def test_raw_samples_of_a_range_vector_keep_their_own_times():
    matrix = SeriesMatrix(
        [Labels.of(a="1")], np.array([10, 20, 30]), np.array([[1.0, 2.0, 3.0]]), np.array([[True, False, True]])
    )
    answer = QueryResult("matrix", [], np.array([30]), np.empty((0, 1)), np.empty((0, 1), dtype=bool), matrices=[matrix])
    assert json.loads(encode_result(answer, instant=True))["result"] == [
        {"metric": {"a": "1"}, "values": [[0.01, "1"], [0.03, "3"]]}
    ]


def test_markup_in_a_label_stays_a_json_string():
    labels = [Labels.of(a='</script>"\n')]
    answer = QueryResult("vector", labels, np.array([0]), np.array([[1.0]]), np.array([[True]]))
    assert json.loads(encode_result(answer, instant=True))["result"][0]["metric"] == {"a": '</script>"\n'}
