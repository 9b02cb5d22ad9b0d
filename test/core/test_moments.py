"""Moments against the statistics of the numbers themselves."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.core.moments import Moments, level_moments, moments_of

numbers = st.lists(st.floats(-1e6, 1e6), max_size=60)


def of(values, first_stamp=0):
    stamps = np.arange(first_stamp, first_stamp + len(values), dtype=np.int64)
    return moments_of(np.array(values, dtype=np.float64), stamps)


@given(numbers, numbers)
def test_merged_equals_the_moments_of_all_numbers(left, right):
    merged = of(left).merged(of(right, len(left)))
    whole = of(left + right)
    assert (merged.count, merged.min, merged.max) == (whole.count, whole.min, whole.max)
    assert (merged.min_stamp_ns, merged.max_stamp_ns) == (whole.min_stamp_ns, whole.max_stamp_ns)
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-9)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-6)


@given(numbers, numbers)
def test_merging_is_commutative_to_the_last_bit(left, right):
    assert of(left).merged(of(right, 100)) == of(right, 100).merged(of(left))


@given(st.lists(numbers, max_size=5))
def test_merging_many_at_once_is_merging_one_by_one_to_the_last_bit(parts):
    moments = [of(part, 10 * index) for index, part in enumerate(parts)]
    assert Moments().merged(*moments) == reduce(Moments.merged, moments, Moments())


def test_the_earliest_message_with_an_extreme_is_named():
    moments = of([3.0, 1.0, 1.0, 5.0, 5.0], first_stamp=10)
    assert (moments.min_stamp_ns, moments.max_stamp_ns) == (11, 13)
    shuffled = moments_of(np.array([1.0, 1.0, 2.0]), np.array([50, 40, 45]))
    assert shuffled.min_stamp_ns == 40
    later = Moments(1, 1.0, 0.0, 1.0, 1.0, 99, 99)
    assert moments.merged(later).min_stamp_ns == 11
    assert later.merged(moments).min_stamp_ns == 11


def test_a_large_mean_does_not_swallow_a_small_deviation():
    values = 1.7e9 + np.array([0.0, 0.1, 0.2] * 1000)
    left, right = of(values[:1500]), of(values[1500:])
    assert left.merged(right).stddev == pytest.approx(np.std(values - 1.7e9), rel=1e-6)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=256))
def test_levels_are_summed_exactly(counts):
    count, mean, m2 = level_moments(np.array(counts, dtype=np.int64))
    total = sum(level * n for level, n in enumerate(counts))
    squares = sum(level * level * n for level, n in enumerate(counts))
    assert count == sum(counts)
    if count:
        assert mean == total / count
        assert m2 == (count * squares - total * total) / count
