"""The budget of a day, whatever the clock does."""

import pytest

from profiler_node.bridge.budget import ByteBudget

DAY_NS = 86_400 * 10**9
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2


@pytest.mark.parametrize('ahead_days', [2, 400, 3_650])
def test_a_clock_that_was_ahead_costs_no_day_after_it_was_set_right(ahead_days):
    budget = ByteBudget(0, 1_000, {})
    kept = budget.charge(1_000, 0.0, NOON_NS + ahead_days * DAY_NS)
    for set_right in (budget, ByteBudget(0, 1_000, kept)):
        assert set_right.left_today(NOON_NS) == 1_000
        assert set_right.wait_s(500, 1.0, NOON_NS) == 0.0


def test_a_clock_that_goes_back_over_midnight_gives_nothing_back():
    budget = ByteBudget(0, 1_000, {})
    budget.charge(1_000, 0.0, NOON_NS)
    assert budget.left_today(NOON_NS - DAY_NS) == 0
    assert budget.wait_s(500, 1.0, NOON_NS - DAY_NS) == 43_200.0
    assert budget.wait_s(500, 1.0, NOON_NS) == 43_200.0
    assert budget.wait_s(500, 1.0, NOON_NS + DAY_NS) == 0.0
