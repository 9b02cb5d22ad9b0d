"""Features in the making: exact counts and moments, in constant memory."""

import math
import tracemalloc

import numpy as np
import pytest

from profiler_node.core.accumulators import CategoryAccumulator, NumericAccumulator
from profiler_node.core.config import SketchConfig
from profiler_node.core.elements import float_bins, histogram
from profiler_node.core.observation import Levels, Weights
from profiler_node.core.sketches import rank_error

RANDOM = np.random.default_rng(8)
FLOATS = np.full(3, 9.0, np.float32)
RANKS = (0.01, 0.1, 0.5, 0.9, 0.99)


def numeric(*values, kind='elements'):
    accumulator = NumericAccumulator(kind, SketchConfig())
    for stamp_ns, value in enumerate(values):
        accumulator.add(value, stamp_ns)
    return accumulator.finish()


def check(feature, values, width=0.0):
    """Compare with numpy; width: of the bins, relative."""
    moments = feature.moments
    assert moments.count == values.size
    assert (moments.min, moments.max) == (values.min(), values.max())
    assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    assert moments.m2 == pytest.approx(np.square(values - values.mean()).sum(), rel=1e-10)
    ordered = np.sort(values)
    for rank, value in zip(RANKS, feature.quantiles(RANKS), strict=True):
        low, high = sorted((value * (1 - width), value * (1 + width)))
        below = np.searchsorted(ordered, low, 'left') / values.size
        upto = np.searchsorted(ordered, high, 'right') / values.size
        # 99 of 100 answers are within the bound, and in practice all within twice the bound.
        assert max(below - rank, rank - upto, 0.0) <= 2 * rank_error(200)


@pytest.mark.parametrize('scale', [1e-30, 1.0, 1e30])
def test_numbers_one_by_one_are_those_of_numpy(scale):
    values = RANDOM.normal(3.0, 1.0, 5000) * scale
    check(numeric(*values.tolist(), kind='scalar'), values, width=1e-6)


def test_elements_in_any_form_are_one_feature():
    few, levels = RANDOM.normal(9.0, 2.0, 800), RANDOM.integers(0, 256, (30, 40), dtype=np.uint8)
    deep = RANDOM.integers(0, 65_536, (30, 40)).astype(np.uint16)
    floats = RANDOM.normal(50.0, 9.0, (40, 50)).astype(np.float32)
    feature = numeric(
        few, Levels(histogram(levels)), Levels(histogram(deep), 0.01), float_bins(floats)
    )
    parts = (few, levels, deep * 0.01, floats)
    values = np.concatenate([part.ravel().astype(np.float64) for part in parts])
    check(feature, values, width=0.008)


def test_what_is_not_finite_is_counted_apart():
    feature = numeric(1.0, math.nan, math.inf, -math.inf, math.inf, 3.0, kind='scalar')
    assert (feature.missing, feature.pos_inf, feature.neg_inf) == (1, 2, 1)
    assert (feature.moments.count, feature.moments.mean) == (2, 2.0)


def test_what_float64_cannot_sum_the_squares_of_counts_as_infinite():
    feature = numeric(1e200, -1e160, 1e140, -1e140, kind='scalar')
    assert (feature.moments.count, feature.pos_inf, feature.neg_inf) == (2, 1, 1)
    assert math.isfinite(feature.moments.m2)
    assert np.isfinite(feature.quantiles([0.0, 0.5, 1.0])).all()


def test_the_stamps_are_of_the_messages_with_the_extremes():
    feature = numeric(np.array([2.0, 5.0]), np.array([1.0, 9.0]), np.array([9.0, 1.0, 4.0]))
    assert (feature.moments.min_stamp_ns, feature.moments.max_stamp_ns) == (1, 1)


def test_a_feature_as_it_is_now_can_be_had_at_any_time():
    accumulator = NumericAccumulator('elements', SketchConfig())
    parts = (np.array([1.0]), Levels(np.eye(1, 256, 7)[0].astype(np.int64) * 5), float_bins(FLOATS))
    for stamp_ns, part in enumerate(parts):
        accumulator.add(part, stamp_ns)
    first, second = accumulator.finish(), accumulator.finish()
    assert first.moments == second.moments
    assert first.moments.count == 1 + 5 + 3
    assert first.kll == second.kll
    assert first.quantiles([0.5]) == [7.0]
    accumulator.add(np.array([2.0]), 9)
    assert accumulator.finish().moments.count == first.moments.count + 1


def test_no_values_are_an_empty_feature():
    feature = numeric(np.empty(0), Levels(np.zeros(256, np.int64)))
    assert (feature.moments.count, feature.quantiles([0.5])) == (0, [])


def category(*values):
    accumulator = CategoryAccumulator(SketchConfig())
    for value in values:
        accumulator.add(value, 0)
    return accumulator.finish()


def test_a_long_category_is_cut_and_stays_one_of_its_own():
    feature = category('x' * 10_000, 'x' * 10_000, 'x' * 10_001, 'x' * 128)
    assert [(len(name), count) for name, count in feature.top(3)] == [(128, 2), (128, 1), (128, 1)]
    assert feature.distinct == 3


def test_an_empty_string_is_a_category():
    feature = category('', '', 'imu')
    assert (feature.distinct, feature.top(1)) == (2, [('', 2)])


def test_a_million_distinct_categories_take_little_memory():
    accumulator = CategoryAccumulator(SketchConfig())
    tracemalloc.start()
    for start in range(0, 1_000_000, 1000):
        accumulator.add(tuple(f'label {n}' for n in range(start, start + 1000)), 0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    feature = accumulator.finish()
    assert held < 1_000_000
    assert feature.count == 1_000_000
    assert feature.distinct == pytest.approx(1_000_000, rel=2.6 * 1.04 / 64)
    assert len(feature.hll) + len(feature.frequent) < 10_000


def test_text_that_is_no_unicode_is_counted():
    assert category('\ud800', 'ok').count == 2


def test_weights_count_a_category_so_many_times():
    few, others = ('a', 'b', 'c'), ('c', 'd')
    accumulator = CategoryAccumulator(SketchConfig())
    accumulator.add('a', 1)
    for counts in ((1, 0, 2**40), (10, 0, 5)):
        accumulator.add(Weights(few, np.array(counts)), 2)
    early = accumulator.finish()
    accumulator.add(Weights(others, np.array([7, 0])), 3)
    late = accumulator.finish()
    assert early.top(9) == [('c', 2**40 + 5), ('a', 12)]
    assert late.top(9) == [('c', 2**40 + 12), ('a', 12)]
    assert (early.count, late.count, late.distinct) == (2**40 + 17, 2**40 + 24, 2)


def test_weights_that_are_given_stay_as_they_are():
    counts = np.array([1, 2])
    accumulator = CategoryAccumulator(SketchConfig())
    for _ in range(3):
        accumulator.add(Weights(('a', 'b'), counts), 1)
    assert accumulator.finish().top(9) == [('b', 6), ('a', 3)]
    assert counts.tolist() == [1, 2]
