"""All elements of a message into exact histograms, near memory speed."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.moments import LARGEST, level_moments
from profiler_node.core.observation import Counts, FloatBins, Levels, Value

FLOAT_BINS = 2**16
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_SIGN = 2**15  # the bin of -0.0, which the negative numbers follow
_UPPER_HALF = int(np.dtype('<u4').isnative)  # which uint16 of a float32
_WIDEST = 2**24  # OpenCV counts in float32, which is exact up to here
_BLOCK = 2**15  # elements whose float64 stay in the cache
_SAMPLE = 1009  # every so many: no divisor of the columns or rings of a sensor
_FEW = 4096  # so many elements of a message may as well be sketched one by one
_BINNED = (np.uint8, np.uint16, np.float32, np.float64)


def histogram(plane: NDArray[Any]) -> Counts:
    """Return how often each of the levels occurs in plane, (H, W) uint8 or uint16, not empty.

    The result is (256,) or (65,536,).
    """
    levels = 256 if plane.dtype == np.uint8 else 65_536
    # Of 16 bits, few levels occur in most planes: the others are as much work as the elements.
    first, last = (0, 255) if levels == 256 else (int(plane.min()), int(plane.max()))
    span = last + 1 - first
    if plane.size < 4 * span:
        return np.bincount(plane.ravel(), minlength=levels)
    counts = np.zeros(levels, dtype=np.int64)
    rows = max(1, _WIDEST // plane.shape[1])
    for top in range(0, plane.shape[0], rows):
        for left in range(0, plane.shape[1], _WIDEST):
            part = plane[top : top + rows, left : left + _WIDEST]
            found = cv2.calcHist([part], [0], None, [span], [first, last + 1])
            counts[first : last + 1] += found.ravel().astype(np.int64)
    return counts


def float_bins(values: NDArray[Any]) -> FloatBins:
    """Return the elements of values, any shape of float32 or float64 in one piece."""
    row = values.ravel()
    most = min(LARGEST, float(np.finfo(row.dtype).max))
    bins = bins_between(row, -most, most)
    if bins.count + bins.missing < row.size:
        pos_inf, neg_inf = int(np.count_nonzero(row > most)), int(np.count_nonzero(row < -most))
        bins = replace(bins, pos_inf=pos_inf, neg_inf=neg_inf)
    return bins


def bins_between(row: NDArray[Any], low: float, high: float) -> FloatBins:
    """Return the elements of row, (N,), that are from low to high; the others are left out.

    Of these, NaN are counted as missing.
    """
    origin = _typical(row, low, high)
    if origin is None:
        missing = int(np.count_nonzero(np.isnan(row)))
        return FloatBins(np.zeros(FLOAT_BINS, dtype=np.int64), 0, 0.0, 0.0, 0.0, 0.0, missing)
    least = most = float(origin)
    outside = missing = 0
    total = squares = 0.0
    halves = np.empty(row.size, np.uint16)
    # Used again for each block: the memory of new ones would cost as much as the sums.
    filled, differences = np.empty((1, _BLOCK), row.dtype), np.empty(_BLOCK, np.float64)
    for start in range(0, row.size, _BLOCK):
        part, left_out, nans = _filled(row[start : start + _BLOCK], low, high, origin, filled)
        outside, missing = outside + left_out, missing + nans
        least, most = min(least, float(part.min())), max(most, float(part.max()))
        halves[start : start + _BLOCK] = _upper_halves(part)
        offsets = differences[: part.size]
        # From a value in their midst, so that no digits are lost where it is far from 0.
        np.copyto(offsets, part)
        offsets -= origin
        total += float(offsets.sum())
        # Not np.dot, whose last digit depends on the number of threads.
        squares += float(np.square(offsets, out=offsets).sum())
    counts = histogram(halves.reshape(1, -1))
    counts[_upper_halves(np.array([origin]))] -= outside
    count = row.size - outside
    m2 = max(squares - total * total / count, 0.0)
    return FloatBins(counts, count, float(origin) + total / count, m2, least, most, missing)


def _typical(row: NDArray[Any], low: float, high: float) -> Any:
    """Return an element of row, (N,), from low to high that is near the middle, or None."""
    for some in (row[::_SAMPLE], row):
        some = some.compress((some >= low) & (some <= high))  # noqa: PLW2901 (the same, less)
        if some.size:
            return np.partition(some, some.size // 2)[some.size // 2]
    return None


def _filled(
    part: NDArray[Any], low: float, high: float, origin: Any, filled: NDArray[Any]
) -> tuple[NDArray[Any], int, int]:
    """Return part, (N,), with origin for what is outside, how much that is, and how much is NaN.

    With an element in their place min, max and the differences from it stay the same, and nothing
    has to be moved together, which takes several times as long. filled: (1, M >= N), to fill.
    """
    above, below = part >= low, part <= high
    inside = above & below
    outside = part.size - int(np.count_nonzero(inside))
    if not outside:
        return part, 0, 0
    filled = filled[:, : part.size]
    filled.fill(origin)
    cv2.copyTo(part.reshape(1, -1), inside.view(np.uint8).reshape(1, -1), filled)
    return filled[0], outside, part.size - int(np.count_nonzero(above | below))


def _upper_halves(row: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the upper 16 bits of row, (N,), as float32."""
    if row.dtype != np.float32:
        row = np.clip(row, -_FLOAT32_MAX, _FLOAT32_MAX).astype(np.float32)
    return row.view(np.uint16)[_UPPER_HALF::2]


def _signed_bins(row: NDArray[Any]) -> FloatBins:
    """Return the elements of row, (1, N) int8 or int16."""
    unsigned = histogram(row.view(f'u{row.itemsize}'))
    half = unsigned.size // 2
    counts = np.roll(unsigned, half)  # from the smallest number on
    count, mean, m2 = level_moments(counts)
    numbers = np.flatnonzero(counts) - half
    halves = _upper_halves(numbers.astype(np.float32))
    bins = np.bincount(halves, counts[numbers + half], FLOAT_BINS).astype(np.int64)
    return FloatBins(bins, count, mean - half, m2, float(numbers[0]), float(numbers[-1]))


def bin_values(counts: Counts) -> tuple[NDArray[np.float32], Counts]:
    """Return the middles of the occupied bins of FloatBins.counts, increasing, and their counts."""
    counts = counts.copy()
    counts[0] += counts[_SIGN]  # -0.0 is 0.0
    counts[_SIGN] = 0
    # Downwards from the largest negative number to the smallest, then upwards from 0.
    order = np.concatenate([np.arange(FLOAT_BINS - 1, _SIGN, -1), np.arange(_SIGN)])
    occupied = order[counts[order] > 0]
    patterns = occupied.astype(np.uint32) << 16 | np.where(occupied == 0, 0, 0x8000)
    return patterns.astype(np.uint32).view(np.float32), counts[occupied]


def elements(values: NDArray[Any]) -> Value:
    """Return the elements of values, any shape and real type, in a form that suits their number."""
    if values.size <= _FEW and values.dtype == np.float64:  # the commonest by far
        return values.flatten()
    row = np.ascontiguousarray(values).reshape(1, -1)
    if row.dtype == np.bool_:  # rosbags makes them of bytes, which need not be 0 or 1
        row = (row.view(np.uint8) != 0).view(np.uint8)
    if row.size > _FEW and row.dtype in (np.int8, np.int16):
        return _signed_bins(row)
    if row.size <= _FEW or row.dtype not in _BINNED:
        with np.errstate(over='ignore', invalid='ignore'):  # beyond float64, signaling NaN
            row = row.astype(np.float64)
    if row.size <= _FEW:
        return np.asarray(row[0], np.float64)
    return Levels(histogram(row)) if row.dtype.kind == 'u' else float_bins(row)
