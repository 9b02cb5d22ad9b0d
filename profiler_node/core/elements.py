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
_BLOCK = 2**17  # elements whose float64 stay in the cache
_FEW = 4096  # so many elements of a message may as well be sketched one by one
_BINNED = (np.uint8, np.uint16, np.float32, np.float64)


def histogram(plane: NDArray[Any]) -> Counts:
    """Return how often each of the levels occurs in plane, (H, W) uint8 or uint16.

    The result is (256,) or (65,536,).
    """
    levels = 256 if plane.dtype == np.uint8 else 65_536
    if plane.size < 4 * levels:  # the levels of calcHist's result would cost more than the elements
        return np.bincount(plane.ravel(), minlength=levels)
    counts = np.zeros(levels, dtype=np.int64)
    rows = max(1, _WIDEST // plane.shape[1])
    for top in range(0, plane.shape[0], rows):
        for left in range(0, plane.shape[1], _WIDEST):
            part = plane[top : top + rows, left : left + _WIDEST]
            found = cv2.calcHist([part], [0], None, [levels], [0, levels])
            counts += found.ravel().astype(np.int64)
    return counts


def float_bins(values: NDArray[Any]) -> FloatBins:
    """Return the elements of values, any shape of float32 or float64 in one piece."""
    row = values.reshape(1, -1)
    if not row.size:
        return FloatBins(np.zeros(FLOAT_BINS, dtype=np.int64), 0, 0.0, 0.0, 0.0, 0.0)
    most = min(LARGEST, float(np.finfo(row.dtype).max))
    low, high = float(row.min()), float(row.max())
    if not (low >= -most and high <= most):
        return _finite_bins(row, most)
    counts = histogram(_upper_halves(row))
    # About the mean, so that no digits are lost where it is far from 0. Where all are equal,
    # rounding must not make a spread.
    near_mean = min(max(cv2.mean(row)[0], low), high)
    total, squares = _offset_sums(row, near_mean)
    m2 = max(squares - total * total / row.size, 0.0)
    return FloatBins(counts, row.size, near_mean + total / row.size, m2, low, high)


def _finite_bins(row: NDArray[Any], most: float) -> FloatBins:
    """Return the elements of row, (1, N), some of which are NaN or beyond most."""
    finite = float_bins(row.compress((np.abs(row) <= most).ravel(), axis=1))
    pos_inf, neg_inf = int(np.count_nonzero(row > most)), int(np.count_nonzero(row < -most))
    missing = row.size - finite.count - pos_inf - neg_inf
    return replace(finite, missing=missing, pos_inf=pos_inf, neg_inf=neg_inf)


def _offset_sums(row: NDArray[Any], origin: float) -> tuple[float, float]:
    """Return the sums of row - origin, (1, N), and of its squares."""
    total = squares = 0.0
    for start in range(0, row.size, _BLOCK):
        offsets = np.subtract(row[0, start : start + _BLOCK], origin, dtype=np.float64)
        total += float(offsets.sum())
        squares += float(np.dot(offsets, offsets))
    return total, squares


def _upper_halves(row: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the upper 16 bits of row, (1, N), as float32."""
    if row.dtype != np.float32:
        row = np.clip(row, -_FLOAT32_MAX, _FLOAT32_MAX).astype(np.float32)
    return np.ascontiguousarray(row.view(np.uint16)[:, _UPPER_HALF::2])


def _signed_bins(row: NDArray[Any]) -> FloatBins:
    """Return the elements of row, (1, N) int8 or int16."""
    unsigned = histogram(row.view(f'u{row.itemsize}'))
    half = unsigned.size // 2
    counts = np.roll(unsigned, half)  # from the smallest number on
    count, mean, m2 = level_moments(counts)
    numbers = np.flatnonzero(counts) - half
    halves = _upper_halves(numbers.astype(np.float32).reshape(1, -1)).ravel()
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
