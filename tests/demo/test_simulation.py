import random
from collections import Counter

import pytest

from algowatch.demo.story import Story
from algowatch.demo.trader import DAILY_LOSS_LIMIT_RATIO, STRATEGIES, Position, Trader

MONDAY = 1_790_553_600.0  # 00:00 UTC


class Heard:
    """A journal that remembers what it was told."""

    def __init__(self):
        self.counts = Counter()
        self.orders = {}
        self.quantities = Counter()
        self.switch = []

    def submitted(self, order, decision_s):
        self.counts["submitted"] += 1
        self.orders[order.order_id] = order

    def filled(self, fill):
        self.counts["fills"] += 1
        self.counts["filled"] += fill.complete
        self.quantities[fill.order.order_id] += fill.quantity

    def rejected(self, order, reason):
        self.counts["rejected"] += 1

    def cancelled(self, order, reason):
        self.counts["cancelled"] += 1

    def ticked(self, tick):
        self.counts["ticks"] += 1

    def link(self, connected):
        self.counts["up" if connected else "down"] += 1

    def kill_switch(self, active, reason):
        self.switch.append(active)

    def broker_error(self, code):
        self.counts[code] += 1


def run(seed, seconds, step=1.0, start=MONDAY + 15 * 3600):
    heard = Heard()
    trader = Trader(heard, random.Random(seed))
    for index in range(int(seconds / step)):
        trader.step(start + index * step)
    return trader, heard


def test_every_order_ends_exactly_once():
    trader, heard = run(1, 4 * 3600, step=5)
    working = sum(book.working for book in trader.books.values())
    ended = heard.counts["filled"] + heard.counts["rejected"] + heard.counts["cancelled"]
    assert heard.counts["submitted"] == ended + working
    assert heard.counts["submitted"] > 200


def test_parts_add_up_to_the_order():
    heard = run(2, 3600, step=5)[1]
    full = [order for order in heard.orders.values() if order.filled == order.quantity]
    assert any(heard.counts["fills"] > heard.counts["filled"] for _ in full)
    assert all(heard.quantities[order.order_id] == order.quantity for order in full)


def test_the_same_seed_is_the_same_market():
    first, second = run(3, 1800)[0], run(3, 1800)[0]
    assert [first.daily_pnl(name) for name in STRATEGIES] == [second.daily_pnl(name) for name in STRATEGIES]


@pytest.mark.parametrize(
    ("fills", "quantity", "realized"),
    [
        ([(1, 10, 100.0), (-1, 10, 101.0)], 0, 10.0),
        ([(-1, 10, 100.0), (1, 4, 98.0)], -6, 8.0),
        ([(1, 10, 100.0), (1, 10, 102.0), (-1, 5, 103.0)], 15, 10.0),
        ([(1, 10, 100.0), (-1, 15, 99.0)], -5, -10.0),
    ],
)
def test_a_position_books_profit_at_its_average_price(fills, quantity, realized):
    position = Position()
    total = sum(position.apply(*fill) for fill in fills)
    assert (position.quantity, total) == (quantity, pytest.approx(realized))


def test_nothing_arrives_while_the_link_is_down():
    trader, heard = run(4, 600)
    trader.drop_link()
    before = heard.counts["ticks"], heard.counts["fills"]
    for second in range(30):
        trader.step(MONDAY + 16 * 3600 + second)
    assert (heard.counts["ticks"], heard.counts["fills"]) == before


def test_the_first_incident_runs_from_link_drop_to_recovery():
    trader, heard = run(7, 1800)
    start, said = trader.now, []
    story = Story(trader, random.Random(7), lambda text, breach="": said.append((text, breach)), start)
    ticks_while_frozen = None
    for tenth in range(10, 700):
        now = start + tenth / 10
        story.advance(now)
        trader.step(now)
        if tenth == 250:
            ticks_while_frozen = heard.counts["ticks"]
        if tenth == 350:
            assert heard.counts["ticks"] == ticks_while_frozen
    assert heard.counts["down"] == heard.counts["up"] == 1
    assert heard.switch == [True, False]
    assert [breach for _, breach in said] == ["BrokerLinkDown", "", "", ""]
    assert not trader.halted


def test_the_loss_limit_halts_trading_and_closes_positions():
    trader, heard = run(5, 1800)
    trader.shock_against_positions(-DAILY_LOSS_LIMIT_RATIO + 0.03)
    for second in range(1, 60):
        trader.step(trader.now + second)
    assert trader.halted
    assert heard.switch == [True]
    assert sum(book.gross(trader.venue.prices) for book in trader.books.values()) == 0
    assert sum(book.working for book in trader.books.values()) == 0
