"""Histograms and moments of all elements, against plain counting and exact sums."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from profiler_node.core.elements import FLOAT_BINS, bin_values, elements, float_bins, histogram
from profiler_node.core.moments import LARGEST
from profiler_node.core.observation import FloatBins, Levels

RANDOM = np.random.default_rng(14)
NAN, INF = np.nan, np.inf
FLOAT32_MAX = np.finfo(np.float32).max


def exact_moments(values):
    """Mean and m2 of values without any rounding, as fractions."""
    parts = [Fraction(value) for value in values.ravel().tolist()]
    mean = sum(parts) / len(parts)
    return mean, sum((part - mean) ** 2 for part in parts)


def same_moments(bins, values):
    mean, m2 = exact_moments(values)
    largest = float(np.abs(values).max())
    assert bins.mean == pytest.approx(float(mean), rel=1e-13, abs=1e-16 * largest)
    assert bins.m2 == pytest.approx(float(m2), rel=1e-12, abs=0)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (9, 1), (30, 40), (480, 640), (1, 300_000)])
def test_a_histogram_counts_every_level(dtype, shape):
    plane = RANDOM.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    counts = histogram(plane)
    levels, expected = np.unique(plane, return_counts=True)
    assert (counts.size, counts.dtype) == (np.iinfo(dtype).max + 1, np.int64)
    assert np.array_equal(np.flatnonzero(counts), levels)
    assert np.array_equal(counts[levels], expected)


def test_a_histogram_of_a_part_of_an_image():
    plane = RANDOM.integers(0, 65_536, (600, 700)).astype(np.uint16)[5:595, 10:690]
    assert np.array_equal(histogram(plane), np.bincount(plane.ravel(), minlength=65_536))


@pytest.mark.parametrize('shape', [(1, 2**24 + 10), (3, 2**23), (2**12 + 1, 2**12)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_counts_beyond_the_digits_of_float32_are_exact(shape, dtype):
    plane = np.full(shape, 200, dtype)
    plane[-1, -7:] = 3
    counts = histogram(plane)
    assert (counts[200], counts[3], counts.sum()) == (plane.size - 7, 7, plane.size)


VALUES = {
    'depth': lambda n: RANDOM.gamma(2, 2, n),
    'around_0': lambda n: RANDOM.normal(0, 1, n),
    'far_from_0': lambda n: 1e6 + RANDOM.normal(0, 0.2, n),
    'far_below_0': lambda n: -1000 + RANDOM.normal(0, 1e-3, n),
    'one_far_away': lambda n: np.where(np.arange(n) == n // 2, -1e6, 1e3 + RANDOM.random(n)),
    'nearly_constant': lambda n: np.where(np.arange(n) == n // 2, 1000.5, 1000.0),
    'wide': lambda n: RANDOM.normal(0, 1, n) * 10.0 ** RANDOM.integers(-30, 30, n),
    'denormal': lambda n: RANDOM.normal(0, 1e-40, n),
    'zeros': lambda n: np.where(RANDOM.random(n) < 0.5, 0.0, -0.0),
}


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('count', [1, 2, 5000])
@pytest.mark.parametrize('name', VALUES)
def test_moments_of_floats_are_exact(name, count, dtype):
    values = VALUES[name](count).astype(dtype)
    bins = float_bins(values)
    assert (bins.count, bins.missing, bins.pos_inf, bins.neg_inf) == (count, 0, 0, 0)
    assert (bins.min, bins.max) == (values.min(), values.max())
    same_moments(bins, values)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_moments_of_many_floats_far_from_0(dtype):
    values = (1e5 + RANDOM.normal(0, 0.1, (700, 1000))).astype(dtype)
    bins = float_bins(values)
    # About the first value, and with 64 bits of mantissa.
    offsets = values.astype(np.longdouble) - values[0, 0].astype(np.longdouble)
    mean = offsets.mean()
    assert bins.mean == pytest.approx(float(values[0, 0] + mean), rel=1e-15)
    assert bins.m2 == pytest.approx(float(np.square(offsets - mean).sum()), rel=1e-12)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('value', [0.0, 0.1, -7.3, 1e-45, -1e-300, 3.4e38, 1e-38])
def test_equal_floats_have_no_spread(value, dtype):
    bins = float_bins(np.full((300, 301), value, dtype))
    assert bins.m2 == 0.0
    assert bins.mean == bins.min == bins.max == dtype(value)


@pytest.mark.parametrize('count', [1000, 300_000])
@pytest.mark.parametrize('name', VALUES)
def test_floats_are_counted_by_the_upper_half_of_their_pattern(name, count):
    values = VALUES[name](count).astype(np.float32)
    expected = np.bincount(values.view(np.uint32) >> 16, minlength=FLOAT_BINS)
    assert np.array_equal(float_bins(values).counts, expected)
    wide = float_bins(values.astype(np.float64))
    assert np.array_equal(wide.counts, expected)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32)))
def test_any_floats_are_counted_once_and_found_within_half_a_bin(values):
    bins = float_bins(values)
    finite = np.sort(values[np.isfinite(values)])
    assert (bins.missing, bins.pos_inf, bins.neg_inf) == (
        np.isnan(values).sum(),
        (values == INF).sum(),
        (values == -INF).sum(),
    )
    middles, counts = bin_values(bins.counts)
    assert (np.diff(middles) > 0).all()
    assert bins.count == counts.sum() == finite.size
    found = np.repeat(middles, counts).astype(np.float64)
    # Denormal numbers, which have fewer digits, by the least width of a bin.
    assert np.allclose(found, finite, rtol=2**-8, atol=2.0**-133)
    if finite.size:
        same_moments(bins, finite)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_what_is_not_finite_is_counted_apart(dtype):
    values = np.array([[NAN, INF, 1.0, -INF, 2.0, INF, NAN, NAN, 4.0]], dtype)
    bins = float_bins(values)
    assert (bins.missing, bins.pos_inf, bins.neg_inf, bins.count) == (3, 2, 1, 3)
    assert (bins.min, bins.max, bins.counts.sum()) == (1.0, 4.0, 3)
    same_moments(bins, np.array([1.0, 2.0, 4.0]))


@pytest.mark.parametrize('values', [[], [NAN] * 5, [INF, -INF], [1e141, -1e300, 1.7e308]])
def test_without_a_finite_element_all_is_0(values):
    bins = float_bins(np.array(values, np.float64))
    assert (bins.count, bins.mean, bins.m2, bins.min, bins.max) == (0, 0, 0, 0, 0)
    assert bins.missing + bins.pos_inf + bins.neg_inf == len(values)
    assert not bins.counts.any()


def test_numbers_whose_squares_cannot_be_summed_count_as_infinite():
    beyond = np.nextafter(LARGEST, INF)
    values = np.array([LARGEST, -LARGEST, beyond, -beyond, 1e200, 1.7e308, NAN, 3.0] * 1000)
    bins = float_bins(values)
    assert (bins.count, bins.pos_inf, bins.neg_inf, bins.missing) == (3000, 3000, 1000, 1000)
    assert (bins.min, bins.max) == (-LARGEST, LARGEST)
    assert bins.m2 == pytest.approx(2000 * LARGEST**2, rel=1e-12)


def test_float64_beyond_float32_go_into_its_outermost_bins():
    bins = float_bins(np.array([1e39, -1e100, 1e140, 1e-60, -1e-300, 5.0]))
    assert (bins.count, bins.min, bins.max) == (6, -1e100, 1e140)
    middles, counts = bin_values(bins.counts)
    assert np.isfinite(middles).all()
    assert counts.tolist() == [1, 2, 1, 2]
    assert middles == pytest.approx([-FLOAT32_MAX, 0, 5, FLOAT32_MAX], rel=2**-8)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_the_largest_numbers_of_float32(dtype):
    bins = float_bins(np.full(5000, FLOAT32_MAX, dtype))
    assert (bins.min, bins.max, bins.m2) == (FLOAT32_MAX, FLOAT32_MAX, 0.0)
    assert float_bins(-np.full(5000, FLOAT32_MAX, dtype)).max == -FLOAT32_MAX


def test_a_signaling_nan_is_missing_and_no_warning():
    values = np.full(9000, 0x7FA00000, np.uint32)
    values[:3000] = 0x3F800000
    bins = elements(values.view(np.float32))
    assert (bins.count, bins.missing, bins.mean) == (3000, 6000, 1.0)
    assert np.isnan(elements(values.view(np.float32)[-10:])).all()


INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@pytest.mark.parametrize('count', [0, 1, 4096, 4097, 70_000])
@pytest.mark.parametrize('dtype', [*INTEGERS, np.float32, np.float64, np.longdouble, '>f4', '>i2'])
def test_elements_of_any_type_and_number(dtype, count):
    dtype = np.dtype(dtype)
    if dtype.kind == 'f':
        values = RANDOM.normal(5, 100, count).astype(dtype)
    else:
        info = np.iinfo(dtype)
        values = RANDOM.integers(info.min, info.max, count, dtype.newbyteorder('='), endpoint=True)
        values = values.astype(dtype)
    expected = values.astype(np.float64)
    found = elements(values)
    if count <= 4096:
        assert found.dtype == np.float64
        assert np.array_equal(found, expected)
    elif dtype in (np.uint8, np.uint16):
        assert isinstance(found, Levels)
        assert np.array_equal(
            np.repeat(np.arange(found.counts.size), found.counts), np.sort(values)
        )
    else:
        assert isinstance(found, FloatBins)
        assert (found.count, found.min, found.max) == (count, expected.min(), expected.max())
        mean = expected.mean()
        assert found.mean == pytest.approx(mean, rel=1e-12, abs=1e-15 * np.abs(expected).max())
        assert found.m2 == pytest.approx(np.square(expected - mean).sum(), rel=1e-12)


@pytest.mark.parametrize('shape', [(6,), (2, 3), (100, 200)])
def test_bools_are_0_and_1_whatever_their_bytes(shape):
    values = RANDOM.choice(np.array([0, 1, 2, 128, 255], np.uint8), shape)
    found = elements(values.view(np.bool_))
    if isinstance(found, Levels):
        assert found.counts[:2].tolist() == [(values == 0).sum(), (values != 0).sum()]
        assert found.counts[2:].sum() == 0
    else:
        assert np.array_equal(found, (values != 0).ravel().astype(np.float64))


def test_strided_elements_are_those_that_they_show():
    values = RANDOM.normal(0, 1, (200, 300)).astype(np.float32)
    same_moments(elements(values[::2, ::-3]), values[::2, ::-3])


@pytest.mark.parametrize('dtype', [np.int8, np.int16])
def test_signed_numbers_are_counted_without_a_copy_of_each(dtype):
    info = np.iinfo(dtype)
    values = RANDOM.integers(info.min, info.max, (300, 400), endpoint=True).astype(dtype)
    bins = elements(values)
    assert (bins.count, bins.min, bins.max) == (values.size, values.min(), values.max())
    same_moments(bins, values)
    assert np.array_equal(bins.counts, float_bins(values.astype(np.float32)).counts)
