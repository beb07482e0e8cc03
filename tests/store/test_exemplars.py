from algowatch.model.labels import Labels, Matcher
from algowatch.store.exemplars import Exemplars, StoredExemplar

BUY, SELL = Labels.of({"__name__": "fills", "side": "BUY"}), Labels.of({"__name__": "fills", "side": "SELL"})
TRACE = Labels.of({"trace_id": "a"})
FILLS = [[Matcher("__name__", "=", "fills")]]


def test_only_the_newest_are_kept_whatever_their_series():
    kept = Exemplars(limit=3)
    for at in range(3):
        kept.add(BUY, TRACE, 1.0, at)
    kept.add(SELL, TRACE, 2.0, 0)
    assert len(kept) == 3
    assert [(series, [found.timestamp_ms for found in entries]) for series, entries in kept.select(FILLS, 0, 9)] == [
        (BUY, [1, 2]),
        (SELL, [0]),
    ]


def test_a_series_that_has_lost_its_last_exemplar_is_forgotten():
    kept = Exemplars(limit=1)
    kept.add(BUY, TRACE, 1.0, 1)
    kept.add(SELL, TRACE, 1.0, 1)
    assert kept.select(FILLS, 0, 9) == [(SELL, [StoredExemplar(TRACE, 1.0, 1)])]


def test_one_that_is_not_newer_or_too_long_is_refused():
    kept = Exemplars()
    assert kept.add(BUY, TRACE, 1.0, 5)
    assert not kept.add(BUY, TRACE, 1.0, 5)
    assert not kept.add(BUY, Labels.of({"trace_id": "x" * 121}), 1.0, 6)
    assert kept.add(BUY, Labels.of({"trace_id": "x" * 120}), 1.0, 6)


def test_both_ends_of_the_span_count_and_matchers_are_obeyed():
    kept = Exemplars()
    for at in (1, 2, 3):
        kept.add(BUY, TRACE, 1.0, at)
    kept.add(SELL, TRACE, 1.0, 2)
    [(series, found)] = kept.select([[Matcher("side", "=~", "B.*")]], 1, 2)
    assert (series, [entry.timestamp_ms for entry in found]) == (BUY, [1, 2])
