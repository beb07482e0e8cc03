"""The wire format: against bytes that were written down by hand, back and forth, and against hostile bodies."""

import contextlib
import struct

import pytest
from cramjam import snappy
from hypothesis import given, settings
from hypothesis import strategies as st

from algowatch.errors import StoreError
from algowatch.model.labels import Labels
from algowatch.model.staleness import STALE_NAN
from algowatch.store.remote_write import decode_write_request, encode_write_request

UP = Labels.of({"__name__": "up", "job": "a"})
# WriteRequest{timeseries: {labels: {__name__, up}, labels: {job, a}, samples: {value: 1, timestamp: 1500}}}
UP_BYTES = bytes.fromhex(
    "0a28"
    "0a0e" "0a08" "5f5f6e616d655f5f" "1202" "7570"
    "0a08" "0a03" "6a6f62" "1201" "61"
    "120c" "09" "000000000000f03f" "10" "dc0b"
)  # fmt: skip


def packed(message: bytes) -> bytes:
    return bytes(snappy.compress_raw(message))


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def test_a_request_has_the_bytes_of_the_specification():
    body = encode_write_request([(UP, [(1500, 1.0)])])
    assert bytes(snappy.decompress_raw(body)) == UP_BYTES
    assert decode_write_request(body) == [(UP, [(1500, 1.0)])]


def test_zeroes_that_proto3_leaves_out_are_read():
    series = UP_BYTES[2:-14] + bytes.fromhex("1200")
    assert decode_write_request(packed(b"\x0a" + bytes((len(series),)) + series)) == [(UP, [(0, 0.0)])]


def test_staleness_markers_and_negative_times_keep_every_bit():
    body = encode_write_request([(UP, [(-5, STALE_NAN), (-4, -0.0), (2**62, float("inf"))])])
    [(_, samples)] = decode_write_request(body)
    assert [(time, bits(value)) for time, value in samples] == [
        (-5, bits(STALE_NAN)),
        (-4, bits(-0.0)),
        (2**62, bits(float("inf"))),
    ]


def test_unknown_fields_and_metadata_are_passed_over():
    metadata = bytes.fromhex("1a04" "0801" "1200") + bytes.fromhex("2001") + bytes.fromhex("2d01020304")  # fmt: skip
    assert decode_write_request(packed(metadata + UP_BYTES)) == [(UP, [(1500, 1.0)])]


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
label_sets = st.dictionaries(names, names, max_size=4).map(lambda pairs: Labels.of(pairs, __name__="m"))
sample_lists = st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), max_size=4)


@given(st.lists(st.tuples(label_sets, sample_lists), max_size=5))
@settings(max_examples=100, deadline=None)
def test_what_is_encoded_is_decoded(series):
    assert decode_write_request(encode_write_request(series)) == series


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_request_or_a_store_error(body):
    for attempt in (body, packed(body)):
        with contextlib.suppress(StoreError):
            decode_write_request(attempt)


@given(st.integers(0, len(UP_BYTES) - 1), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_one_changed_byte_is_a_request_or_a_store_error(place, byte):
    changed = bytearray(UP_BYTES)
    changed[place] = byte
    with contextlib.suppress(StoreError):
        decode_write_request(packed(bytes(changed)))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"\x0a" + b"\xff" * 9 + b"\x7f", "a field that runs past its message"),
        (b"\x0a" + b"\xff" * 20, "a number that does not end"),
        (b"\x0b\x00", "wire type 3"),
        (b"\x02\x00", "field number 0"),
        (b"\x0a\x02\x08\x01", "wire type 0 in field 1 of a series"),
        (b"\x0a\x06\x0a\x04\x0a\x02\xff\xfe", "not UTF-8"),
        (b"\x0a\x02\x0a\x00", "a label without a name"),
        (b"\x0a\x00", "no metric name"),
        (UP_BYTES[:1] + b"\x26" + UP_BYTES[2:-14] + UP_BYTES[18:28] + b"\x12\x00", "a label twice"),
        (b"\x0a\x02\x22\x00", "native histogram"),
    ],
)
def test_what_is_wrong_is_said(message, problem):
    with pytest.raises(StoreError, match=problem):
        decode_write_request(packed(message))


def test_a_small_body_that_would_unpack_to_much_is_refused_before_it_is_unpacked():
    bomb = packed(bytes(100 << 20))
    assert len(bomb) < 6 << 20
    with pytest.raises(StoreError, match="more than 67108864; send smaller batches"):
        decode_write_request(bomb)
    with pytest.raises(StoreError, match="not a snappy block"):
        decode_write_request(b"\x09nothing")
