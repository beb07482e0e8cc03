"""Every bit of a chunk comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algowatch.model.staleness import STALE_NAN_BITS
from algowatch.store import codec

SPECIAL_BITS = [
    STALE_NAN_BITS,
    0x7FF8000000000001,
    0xFFF8DEADBEEF0001,
    0x7FF0 << 48,
    0xFFF0 << 48,
    1 << 63,
    1,
    0x8000000000000001,
]
CELLS = st.one_of(
    st.sampled_from(SPECIAL_BITS).map(lambda bits: np.uint64(bits).view(np.float64)),
    st.integers(-(2**60), 2**60).map(np.float64),
    st.integers(-(10**9), 10**9).map(lambda whole: np.float64(whole / 1000)),
    st.floats().map(np.float64),
)


def matrix_bits(values):
    return np.ascontiguousarray(values).view(np.uint64)


@st.composite
def matrices(draw):
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    pool = draw(st.lists(CELLS, min_size=1, max_size=6))
    kind = draw(st.sampled_from(["mixed", "constant rows", "counter"]))
    if kind == "counter":
        steps = draw(st.lists(st.integers(0, 100), min_size=rows * columns, max_size=rows * columns))
        return np.cumsum(np.array(steps, np.float64).reshape(rows, columns), axis=1) / draw(st.sampled_from([1, 100, 3]))
    picks = draw(st.lists(st.integers(0, len(pool) - 1), min_size=rows * columns, max_size=rows * columns))
    values = np.array([pool[pick] for pick in picks], np.float64).reshape(rows, columns)
    if kind == "constant rows":
        values[::2] = values[::2, :1]
    return values


@settings(max_examples=150, deadline=None)
@given(matrices(), st.data())
def test_values_and_mask_come_back_bit_for_bit(values, data):
    size = values.size
    present = None
    if data.draw(st.booleans()):
        cells = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
        present = np.array(cells).reshape(values.shape)
    decoded, mask = codec.decode_matrix(codec.encode_matrix(values, present))
    there = np.ones(values.shape, bool) if present is None else present
    assert (mask is None) == (present is None)
    assert mask is None or (mask == present).all()
    assert (matrix_bits(decoded)[there] == matrix_bits(values)[there]).all()


@pytest.mark.parametrize("special", SPECIAL_BITS)
def test_one_special_value_among_decimals_costs_little(special):
    rng = np.random.default_rng(1)
    values = np.round(rng.normal(100, 1, (4, 500)).cumsum(axis=1), 2)
    plain = len(codec.encode_matrix(values, None))
    values[2, 77] = np.uint64(special).view(np.float64)
    data = codec.encode_matrix(values, None)
    assert len(data) < plain * 1.1 + 40
    assert (matrix_bits(codec.decode_matrix(data)[0]) == matrix_bits(values)).all()


def test_constant_and_decimal_series_are_small():
    constant = codec.encode_matrix(np.repeat([[1.5], [2.5]], 7200, axis=1), None)
    assert len(constant) < 60
    cents = np.cumsum(np.random.default_rng(2).integers(0, 5, (10, 7200)), axis=1) / 100
    assert len(codec.encode_matrix(cents, None)) / cents.size < 0.5


def test_integers_come_back():
    for numbers in ([], [5], [-(2**62), 0, 2**62], list(range(1000, 9000, 7))):
        assert codec.decode_integers(codec.encode_integers(np.array(numbers, np.int64))).tolist() == numbers


def test_a_chunk_of_a_later_version_is_refused():
    data = bytearray(codec.encode_matrix(np.zeros((1, 1)), None))
    data[0] = 99
    with pytest.raises(ValueError, match="chunk version 99"):
        codec.decode_matrix(bytes(data))
