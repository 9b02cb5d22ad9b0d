"""The sketches, the only place that knows the datasketches library.

Guarantees, at 99 % confidence:
- KLL (quantiles): a rank is within `rank_error(k)` of the truth, 1.33 % for k = 200, after any
  number of merges.
- HLL (distinct values): within 2.6 * 1.04 / sqrt(2^lg_k), 4.2 % for lg_k = 12.
- Frequent items: exact while there are at most 0.75 * 2^lg_max_k categories, then each count is
  within 3.5 / 2^lg_max_k of the total.

Finished sketches are `bytes` in the library's own cross-language format. Bytes whose structure is
damaged raise SketchError; that a number inside was changed is for a checksum to find.
"""

import struct
from collections.abc import Iterable, Sequence
from copy import copy
from functools import lru_cache
from typing import Any

import datasketches  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

FLOAT32_MAX = float(np.finfo(np.float32).max)
# Preamble ints, serial version, family, flags, k, m, n, min_k and number of levels.
_KLL_HEADER = struct.Struct('<BBBBHBxQHBx')
_KLL_SHAPE = struct.Struct('<4xH2xQ2xB')  # k, n and number of levels alone
_KLL_FULL, _KLL_SERIAL, _KLL_FAMILY = 5, 1, 15  # of a sketch with more than one item
_KLL_SORTED = 2  # flag: level 0 is sorted
_KLL_MIN_LEVEL = 8  # m
# Preamble ints, lg_k, flags, number in a list or smallest value in an array, and mode.
_HLL_HEADER = struct.Struct('<BxxBxBBB')
_HLL_LIST, _HLL_SET, _HLL_ARRAY = (2, 0), (3, 1), (10, 2)  # preamble ints and mode, of HLL_4
_HLL_EMPTY, _HLL_COMPACT = 4, 8  # flags
_HLL_LG_K = 4, 21
_DISTINCT_LG_K, _FREQUENT_LG_MAX_K = 12, 3  # of sketches of one value
_HLL_MOST = 48  # smallest value in an array: the largest, 15 more, is to fit into 6 bits
_MOST_VALUES = 2**63 - 1  # of merged ones together: beyond it the library never returns
_EXACT_K = 65_535  # the largest k: a sketch that has room for a whole histogram
_RAISED = (ValueError, IndexError, RuntimeError, OverflowError, MemoryError, struct.error)


class SketchError(ValueError):
    """Bytes that are no sketch of the expected kind."""


class _Damage:
    """Turns what the library raises for damaged bytes into SketchError."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _RAISED):
            raise SketchError(f'damaged sketch: {error}') from error


_damage = _Damage()


def _kll(data: bytes) -> Any:
    """Return the KLL sketch in data; for use within _damage."""
    if data and data[0] == _KLL_FULL:
        _check_levels(data)
    return datasketches.kll_floats_sketch.deserialize(data)


def _check_levels(data: bytes) -> None:
    """Raise ValueError or struct.error where a KLL sketch is not made as it says.

    The library trusts number and sizes of the levels and leaves its memory where they are wrong.
    """
    k, count, levels = _KLL_SHAPE.unpack_from(data)
    if not 0 < levels <= count.bit_length():
        raise ValueError(f'{levels} levels of {count} values')
    starts = struct.unpack_from(f'<{levels}I', data, _KLL_HEADER.size)
    end = _room(k, levels)
    if len(data) != _KLL_HEADER.size + 4 * (levels + 2 + end - starts[0]):
        raise ValueError(f'{len(data)} bytes of {count} values')
    weight = 0
    for start in reversed(starts):
        if start > end:
            raise ValueError('a level that ends before it starts')
        weight += weight + end - start  # an item of each level counts twice as much as one below
        end = start
    if weight != count:
        raise ValueError(f'{weight} values instead of {count}')


@lru_cache(256)
def _room(k: int, levels: int) -> int:
    """Return how many items a KLL sketch of so many levels has room for, as the library does."""
    # By the depth below the top level: k, two thirds of it, four ninths, ..., rounded.
    shares = ((2 * (k << depth) // 3**depth + 1) // 2 for depth in range(levels))
    return sum(max(_KLL_MIN_LEVEL, share) for share in shares)


def rank_error(k: int) -> float:
    """Return the KLL rank error for k, as a share of the count."""
    return float(datasketches.kll_floats_sketch.get_normalized_rank_error(k, False))


class QuantileSketch:
    """A KLL sketch of float32."""

    def __init__(self, k: int) -> None:
        self._kll = datasketches.kll_floats_sketch(k)

    def copy(self) -> 'QuantileSketch':
        """Return an independent copy."""
        other = QuantileSketch(self._kll.k)
        other._kll = copy(self._kll)
        return other

    def update(self, values: NDArray[np.float64]) -> None:
        """Add values, (N,) finite; what float32 cannot hold becomes its largest number."""
        self._kll.update(np.clip(values, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32))

    def update_weighted(self, values: NDArray[np.float32], weights: NDArray[np.int64]) -> None:
        """Add each of values, (N,) strictly increasing, weights, (N,) > 0, times."""
        for part in _exact_sketches(values, weights) if values.size else ():
            self._kll.merge(datasketches.kll_floats_sketch.deserialize(part))

    def to_bytes(self) -> bytes:
        """Return the serialized sketch."""
        return bytes(self._kll.serialize())


def _exact_sketches(values: NDArray[np.float32], weights: NDArray[np.int64]) -> Iterable[bytes]:
    """Yield serialized KLL sketches that hold the weighted values without any error.

    An item of KLL level i counts 2^i times, so a value goes into level i for every bit i that is
    set in its weight. The layout is the one of kll_sketch::serialize in datasketches-cpp: preamble,
    n, min_k, number of levels, start of each level, min, max, items from level 0 up.
    """
    n = int(weights.sum())
    bits = range(int(weights.max()).bit_length())
    levels = [values.compress(weights & 1 << bit != 0) for bit in bits]
    # A level may take any free room, only the sum over all levels is bounded.
    room = _room(_EXACT_K, len(levels))
    if (total := sum(level.size for level in levels)) > room:
        half = values.size // 2
        yield from _exact_sketches(values[:half], weights[:half])
        yield from _exact_sketches(values[half:], weights[half:])
    elif n == 1:
        # The library has a layout of its own for a single item.
        single = datasketches.kll_floats_sketch(_EXACT_K)
        single.update(values)
        yield bytes(single.serialize())
    else:
        starts = room - total + np.cumsum([0, *(level.size for level in levels[:-1])])
        preamble = (_KLL_FULL, _KLL_SERIAL, _KLL_FAMILY, _KLL_SORTED, _EXACT_K, _KLL_MIN_LEVEL)
        items = np.concatenate([[values[0], values[-1]], *levels]).astype('<f4')
        yield b''.join(
            (
                _KLL_HEADER.pack(*preamble, n, _EXACT_K, len(levels)),
                starts.astype('<u4').tobytes(),
                items.tobytes(),
            )
        )


def merge_quantiles(sketches: Sequence[bytes]) -> bytes:
    """Return the KLL sketch of all the data behind sketches, one or more."""
    with _damage:
        merged = _kll(sketches[0])
        for data in sketches[1:]:
            other = _kll(data)
            if merged.n + other.n > _MOST_VALUES:
                raise ValueError(f'{merged.n} and {other.n} values are too many')
            merged.merge(other)
        return bytes(merged.serialize())


def zeros_like(sketch: bytes) -> bytes:
    """Return a KLL sketch of as many values as sketch has, all 0."""
    with _damage:
        kll = _kll(sketch)
        return _zeros(kll.k, kll.n)


@lru_cache(256)
def _zeros(k: int, count: int) -> bytes:
    zeros = QuantileSketch(k)
    if count:
        zeros.update_weighted(np.zeros(1, np.float32), np.array([count]))
    return zeros.to_bytes()


def quantiles(sketch: bytes, ranks: Sequence[float]) -> list[float]:
    """Return the smallest values whose rank is at least each of ranks; [] for an empty sketch."""
    with _damage:
        kll = _kll(sketch)
        return [] if kll.is_empty() else list(kll.get_quantiles(list(ranks), True))


class CategorySketch:
    """Distinct count (HLL) and most frequent ones (frequent items) of a set of strings."""

    def __init__(self, hll_lg_k: int, frequent_lg_max_k: int) -> None:
        self._hll = datasketches.hll_sketch(hll_lg_k, datasketches.tgt_hll_type.HLL_4)
        self._frequent = datasketches.frequent_strings_sketch(frequent_lg_max_k)

    def update(self, value: str, weight: int = 1) -> None:
        """Add value weight times."""
        self._hll.update(value or '\0')  # it would leave out an empty string
        self._frequent.update(value, weight)

    def to_bytes(self) -> tuple[bytes, bytes]:
        """Return the serialized HLL and frequent-items sketches."""
        return bytes(self._hll.serialize_compact()), bytes(self._frequent.serialize())


def _hll(data: bytes) -> Any:
    """Return the HLL sketch in data; for use within _damage."""
    _check_hll(data)
    return datasketches.hll_sketch.deserialize(data)


def _check_hll(data: bytes) -> None:
    """Raise ValueError or struct.error where an HLL sketch is not one as CategorySketch makes it.

    The library trusts the counts in it, and that the exceptions of the array are all listed.
    """
    form, lg_k, flags, few, mode = _HLL_HEADER.unpack_from(data)
    if not (flags & _HLL_COMPACT and _HLL_LG_K[0] <= lg_k <= _HLL_LG_K[1]):
        raise ValueError(f'an HLL sketch of lg_k {lg_k}, flags {flags:#x}')
    if (form, mode) == _HLL_LIST:
        fits = few < 8 and len(data) == 8 + 4 * few and (few == 0) == bool(flags & _HLL_EMPTY)
    elif (form, mode) == _HLL_SET:
        (count,) = struct.unpack_from('<I', data, 8)
        fits = 4 * count <= 3 << lg_k - 3 and len(data) == 12 + 4 * count
    elif (form, mode) == _HLL_ARRAY:
        fits = few <= _HLL_MOST and _exceptions_fit(data, lg_k)
    else:
        raise ValueError(f'an HLL sketch of form {form}, mode {mode}')
    if not fits:
        raise ValueError(f'{len(data)} bytes that do not fit the counts in them')


def _exceptions_fit(data: bytes, lg_k: int) -> bool:
    """Return whether the array in data is whole, and lists the slots that it has no room for."""
    (exceptions,) = struct.unpack_from('<I', data, 36)
    size = 1 << lg_k - 1  # two slots a byte
    if len(data) != 40 + size + 4 * exceptions:
        return False
    pairs = np.frombuffer(data, np.uint8, size, 40)
    left_out = np.count_nonzero(pairs & 15 == 15) + np.count_nonzero(pairs >> 4 == 15)
    listed = np.frombuffer(data, '<u4', exceptions, 40 + size) & (2 * size - 1)
    return left_out == exceptions == len({*listed.tolist()}) and all(
        pairs[slot >> 1] >> 4 * (slot & 1) & 15 == 15 for slot in listed.tolist()
    )


@lru_cache(256)
def distinct_of(value: str) -> bytes:
    """Return the HLL sketch of one value."""
    sketch = CategorySketch(_DISTINCT_LG_K, _FREQUENT_LG_MAX_K)
    sketch.update(value)
    return sketch.to_bytes()[0]


def merge_distinct(sketches: Sequence[bytes]) -> bytes:
    """Return the HLL sketch of all the data behind sketches, one or more."""
    with _damage:
        hlls = [_hll(data) for data in sketches]
        union = datasketches.hll_union(max(hll.lg_config_k for hll in hlls))
        for hll in hlls:
            union.update(hll)
        merged = union.get_result(datasketches.tgt_hll_type.HLL_4)
        return _in_order(bytes(merged.serialize_compact()))


def _in_order(hll: bytes) -> bytes:
    """Return an HLL sketch with the list in it, if there is one, in an order of its own."""
    ints = hll[0]
    if ints == _HLL_ARRAY[0]:
        return hll
    return hll[: 4 * ints] + np.sort(np.frombuffer(hll, '<u4', offset=4 * ints)).tobytes()


def distinct(sketch: bytes) -> int:
    """Return the estimated number of distinct values."""
    with _damage:
        estimate: int = round(_hll(sketch).get_estimate())
        return estimate


def merge_frequent(sketches: Sequence[bytes]) -> bytes:
    """Return the frequent-items sketch of all the data behind sketches, one or more."""
    with _damage:
        merged = datasketches.frequent_strings_sketch.deserialize(sketches[0])
        for data in sketches[1:]:
            merged.merge(datasketches.frequent_strings_sketch.deserialize(data))
        return bytes(merged.serialize())


def frequent(sketch: bytes, most: int) -> list[tuple[str, int]]:
    """Return up to `most` categories with their estimated counts, most frequent first."""
    with _damage:
        items = datasketches.frequent_strings_sketch.deserialize(sketch).get_frequent_items(
            datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
        )
    ranked = sorted(((item[0], item[1]) for item in items), key=lambda item: (-item[1], item[0]))
    return ranked[:most]
