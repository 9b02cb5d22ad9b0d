"""Sketches against the exact answer, within the bounds that their theory gives."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler_node.core import sketches
from profiler_node.core.sketches import CategorySketch, QuantileSketch, SketchError

RANKS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
DISTRIBUTIONS = {
    'uniform': lambda random, n: random.random(n),
    'lognormal': lambda random, n: random.lognormal(0.0, 3.0, n),
    'two_values': lambda random, n: random.integers(0, 2, n).astype(float),
    'sorted': lambda random, n: np.sort(random.normal(size=n)),
    'constant': lambda _, n: np.full(n, 7.25),
}


def kll(values, k=200):
    sketch = QuantileSketch(k)
    sketch.update(np.asarray(values, dtype=np.float64))
    return sketch.to_bytes()


def rank_errors(values, answers, ranks=RANKS):
    """How far each answer's rank is from the one that was asked for."""
    ordered = np.sort(np.asarray(values, dtype=np.float32))
    for rank, answer in zip(ranks, answers, strict=True):
        below = np.searchsorted(ordered, np.float32(answer), 'left') / ordered.size
        upto = np.searchsorted(ordered, np.float32(answer), 'right') / ordered.size
        yield max(0.0, below - rank, rank - upto)


# The bound holds with 99 % confidence for each answer; twice the bound in practice always.
@pytest.mark.parametrize('size', [1, 10, 1000, 300_000])
@pytest.mark.parametrize('name', DISTRIBUTIONS)
def test_quantiles_are_within_the_rank_error(name, size):
    values = DISTRIBUTIONS[name](np.random.default_rng(1), size)
    answers = sketches.quantiles(kll(values), RANKS)
    assert max(rank_errors(values, answers)) <= 2 * sketches.rank_error(200)


@pytest.mark.parametrize('name', DISTRIBUTIONS)
def test_merged_sketches_are_as_good(name):
    parts = [DISTRIBUTIONS[name](np.random.default_rng(seed), 20_000) for seed in range(8)]
    sketched = [kll(part) for part in parts]
    answers = sketches.quantiles(sketches.merge_quantiles(sketched), RANKS)
    assert max(rank_errors(np.concatenate(parts), answers)) <= 2 * sketches.rank_error(200)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.integers(-1000, 1000), st.integers(1, 5_000_000), min_size=1, max_size=300)
)
def test_a_weighted_update_is_like_adding_each_value_its_number_of_times(histogram):
    values = np.array(sorted(histogram), dtype=np.float32)
    weights = np.array([histogram[int(value)] for value in values], dtype=np.int64)
    sketch = QuantileSketch(200)
    sketch.update_weighted(values, weights)
    upto = np.cumsum(weights) / weights.sum()
    for rank, answer in zip(RANKS, sketches.quantiles(sketch.to_bytes(), RANKS), strict=True):
        at = int(np.searchsorted(values, np.float32(answer)))
        assert values[at] == np.float32(answer), 'not one of the values'
        low = upto[at - 1] if at else 0.0
        assert low - rank <= sketches.rank_error(200)
        assert rank - upto[at] <= sketches.rank_error(200)


def test_a_histogram_larger_than_any_sketch_is_taken_in_parts():
    random = np.random.default_rng(2)
    values = np.arange(200_000, dtype=np.float32)
    weights = random.integers(1, 2**20, values.size)
    sketch = QuantileSketch(200)
    sketch.update_weighted(values, weights)
    upto = np.cumsum(weights) / weights.sum()
    answers = np.array(sketches.quantiles(sketch.to_bytes(), RANKS), dtype=int)
    assert np.abs(upto[answers] - RANKS).max() <= 2 * sketches.rank_error(200)


def test_what_float32_cannot_hold_becomes_its_largest_number():
    assert sketches.quantiles(kll([1e300, -1e300]), (0.0, 1.0)) == [
        -sketches.FLOAT32_MAX,
        sketches.FLOAT32_MAX,
    ]


def test_an_empty_sketch_has_no_quantiles_and_merges():
    assert sketches.quantiles(kll([]), RANKS) == []
    assert sketches.quantiles(sketches.merge_quantiles([kll([]), kll([3.0])]), (0.5,)) == [3.0]


def categories(values):
    sketch = CategorySketch(12, 7)
    for value in values:
        sketch.update(value)
    return sketch.to_bytes()


def test_few_categories_are_counted_exactly():
    hll, frequent = categories(['car'] * 5 + ['person'] * 7 + ['Straße'])
    assert sketches.distinct(hll) == 3
    assert sketches.frequent(frequent, 2) == [('person', 7), ('car', 5)]


def test_merged_categories_are_those_of_all():
    (left_hll, left), (right_hll, right) = categories('aab'), categories('bcc')
    assert sketches.distinct(sketches.merge_distinct([left_hll, right_hll])) == 3
    merged = sketches.merge_frequent([left, right])
    assert sketches.frequent(merged, 9) == [('a', 2), ('b', 2), ('c', 2)]


def test_many_categories_stay_within_the_bounds_and_small():
    random = np.random.default_rng(3)
    values = [f'id-{n}' for n in range(50_000)] + ['common'] * 20_000
    random.shuffle(values)
    hll, frequent = categories(values)
    # The library's HLL stays within 4 % of the truth at lg_k = 12 in 99 % of cases.
    assert sketches.distinct(hll) == pytest.approx(50_001, rel=2.6 * 1.04 / 2**6)
    (value, count), *_ = sketches.frequent(frequent, 1)
    assert value == 'common'
    assert count == pytest.approx(20_000, abs=3.5 / 2**7 * len(values))
    assert len(hll) < 3000
    assert len(frequent) < 5000


@pytest.mark.parametrize('damage', [b'', b'\x00', b'junk' * 20, kll(range(1000))[:100]])
def test_bytes_that_are_no_sketch_raise_a_sketch_error(damage):
    for use in (
        lambda: sketches.quantiles(damage, (0.5,)),
        lambda: sketches.distinct(damage),
        lambda: sketches.frequent(damage, 1),
        lambda: sketches.merge_quantiles([kll([1.0]), damage]),
    ):
        with pytest.raises(SketchError):
            use()


@pytest.mark.parametrize('size', [0, 1, 3, 5000])
def test_a_flipped_bit_in_a_sketch_is_an_error_or_another_number_never_a_crash(size):
    whole = kll(np.arange(size))
    for position in range(min(8 * len(whole), 8 * 64)):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        try:
            sketches.quantiles(bytes(damaged), RANKS)
            sketches.merge_quantiles([whole, bytes(damaged)])
        except SketchError:
            continue


def leveled(*sizes, count=None, k=200):
    """A serialized KLL sketch of zeros, with levels of these sizes."""
    total = sum(size << level for level, size in enumerate(sizes)) if count is None else count
    room = sum(
        max(8, (2 * (k << depth) // 3**depth + 1) // 2) for depth in range(len(sizes))
    )  # KLL's capacity of each level, in the library's rounding
    starts = [(room - sum(sizes[level:])) % 2**32 for level in range(len(sizes))]
    head = struct.pack('<BBBBHBxQHBx', 5, 1, 15, 2, k, 8, total, k, len(sizes))
    return head + struct.pack(f'<{len(sizes)}I', *starts) + bytes(4 * (sum(sizes) + 2))


def test_levels_as_the_library_writes_them_are_read():
    assert sketches.quantiles(leveled(3, 0, 5), (0.5,)) == [0.0]
    assert sketches.quantiles(sketches.merge_quantiles([leveled(4, 2)] * 3), (1.0,)) == [0.0]


# On each of these the library would write where it may not, or never return.
@pytest.mark.parametrize(
    'damage',
    [
        leveled(3, 5, count=12),  # the levels hold 13
        leveled(20, -4, 3, count=24),  # they go backwards
        leveled(400),  # more than there is room for
        leveled(10, *[0] * 59),  # as many levels take 2^59 values
        leveled(*[0] * 40),
        leveled(3, 5)[:-4],
        leveled(3, 5)[:26],
        leveled(*[1] * 9)[:20],
    ],
)
def test_levels_that_cannot_be_are_refused(damage):
    with pytest.raises(SketchError):
        sketches.quantiles(damage, (0.5,))
    with pytest.raises(SketchError):
        sketches.merge_quantiles([kll([1.0, 2.0]), damage])


def test_more_values_than_can_be_counted_do_not_merge():
    many = leveled(*[0] * 59, 8)
    assert sketches.quantiles(many, (0.5,)) == [0.0]
    with pytest.raises(SketchError, match='too many'):
        sketches.merge_quantiles([many, many])


# As the empty sketch, the list, the set and the array of HLL.
@pytest.mark.parametrize('size', [0, 3, 300, 5000])
def test_a_flipped_bit_in_a_category_sketch_is_no_crash(size):
    for whole, (merge, read) in zip(
        categories([f'value {n}' for n in range(size)]),
        (
            (sketches.merge_distinct, sketches.distinct),
            (sketches.merge_frequent, lambda data: sketches.frequent(data, 5)),
        ),
        strict=True,
    ):
        for position in (*range(min(8 * len(whole), 8 * 64)), *range(8 * 64, 8 * len(whole), 5)):
            damaged = bytearray(whole)
            damaged[position // 8] ^= 1 << position % 8
            try:
                read(bytes(damaged))
                read(merge([whole, bytes(damaged)]))
            except SketchError:
                continue


def test_an_array_whose_exceptions_are_not_listed_is_refused():
    hll, _ = categories([f'value {n}' for n in range(5000)])
    slots = bytearray(hll)
    slots[40] = 0xFF  # two exceptions more than the list after the array has
    with pytest.raises(SketchError):
        sketches.distinct(bytes(slots))


def test_a_list_of_more_than_a_list_can_hold_is_refused():
    hll, _ = categories('abc')
    with pytest.raises(SketchError):
        sketches.distinct(hll[:6] + bytes([200, hll[7]]) + bytes(4 * 200))
