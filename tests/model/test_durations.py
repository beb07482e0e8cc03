import pytest

from algowatch.model.durations import format_duration, parse_duration
from algowatch.model.staleness import STALE_NAN, is_stale
from algowatch.model.timestamps import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0", 0), ("500ms", 500), ("15s", 15_000), ("1h30m", 5_400_000), ("2w", 1_209_600_000), ("1y", 31_536_000_000)],
)
def test_durations_read_as_prometheus_reads_them(text, milliseconds):
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "5", "1m1h", "1m1m", "1.5h", "-1s", "5 m"])
def test_what_is_no_duration_raises(text):
    with pytest.raises(ValueError, match="not a valid duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "1h30m", "2w", "8d", "1s500ms"])
def test_durations_print_as_prometheus_prints_them(text):
    assert format_duration(parse_duration(text.replace("0s", "0") if text == "0s" else text)) == text


def test_times_read_both_spellings():
    assert parse_time("1700000000.5") == 1_700_000_000_500
    assert parse_time("2023-11-14T22:13:20.5Z") == 1_700_000_000_500
    assert format_time(1_700_000_000_500) == "2023-11-14T22:13:20.500Z"


@pytest.mark.parametrize("text", ["NaN", "Inf", "yesterday", "2023-11-14T22:13:20"])
def test_what_is_no_time_raises(text):
    with pytest.raises(ValueError, match="cannot parse"):
        parse_time(text)


def test_only_the_marker_is_stale():
    assert is_stale(STALE_NAN)
    assert not is_stale(float("nan"))
