import pytest
from hypothesis import given
from hypothesis import strategies as st

from algowatch.scrape.schedule import aligned_timestamp_ms, first_delay_ms, next_slot_ms, offset_ms


@given(st.integers(0, 2**45), st.integers(1, 10**7), st.text(max_size=20))
def test_the_next_slot_is_the_first_one_after_now_on_the_targets_own_grid(now_ms, interval_ms, stream):
    offset = offset_ms(stream, interval_ms)
    slot_ms = next_slot_ms(now_ms, interval_ms, offset)
    assert now_ms < slot_ms <= now_ms + interval_ms
    assert slot_ms % interval_ms == offset


def test_targets_are_spread_over_the_interval():
    offsets = [offset_ms(f"target {number}", 1000) for number in range(500)]
    assert all(any(start <= offset < start + 100 for offset in offsets) for start in range(0, 1000, 100))


def test_the_first_scrape_waits_at_most_a_second():
    assert first_delay_ms(59_999, 60_000) < 1000
    assert first_delay_ms(0, 60_000) == 0


@pytest.mark.parametrize(
    ("now_ms", "interval_ms", "expected"),
    [(10_002, 1000, 10_000), (9_999, 1000, 10_000), (10_003, 1000, 10_003), (10_002, 100, 10_002)],
)
def test_a_scrape_that_begins_within_a_hair_of_its_slot_gets_the_slots_time(now_ms, interval_ms, expected):
    assert aligned_timestamp_ms(now_ms, 10_000, interval_ms) == expected
