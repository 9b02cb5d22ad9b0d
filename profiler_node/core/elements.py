"""All elements of a message into exact histograms, near memory speed."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.observation import Counts, FloatBins, Levels, Value

FLOAT_BINS = 2**16
_SIGN = 2**15  # the bin of -0.0, which the negative numbers follow
_UPPER_HALF = int(np.dtype('<u4').isnative)  # which uint16 of a float32
_WIDEST = 2**24  # OpenCV counts in float32, which is exact up to here
_FEW = 4096  # so many elements of a message may as well be sketched one by one


def histogram(plane: NDArray[Any]) -> Counts:
    """Return how often each of the levels occurs in plane, (H, W) uint8 or uint16.

    The result is (256,) or (65,536,).
    """
    levels = 256 if plane.dtype == np.uint8 else 65_536
    rows = max(1, _WIDEST // plane.shape[1])
    counts = np.zeros(levels, dtype=np.int64)
    for top in range(0, plane.shape[0], rows):
        for left in range(0, plane.shape[1], _WIDEST):
            part = plane[top : top + rows, left : left + _WIDEST]
            found = cv2.calcHist([part], [0], None, [levels], [0, levels])
            counts += found.ravel().astype(np.int64)
    return counts


def float_bins(values: NDArray[Any], among: NDArray[np.uint8] | None = None) -> FloatBins:
    """Return the elements of values, (H, W) float32 or float64 in one piece.

    among: (H, W), 0 where an element is to be left out; None: all count.
    """
    most = float(np.finfo(values.dtype).max)
    chosen = np.asarray(cv2.inRange(values, -most, most), np.uint8)
    if among is not None:
        chosen &= among
    count = cv2.countNonZero(chosen)
    odd = _not_finite(values, among, count)
    if not count:
        return FloatBins(np.zeros(FLOAT_BINS, dtype=np.int64), 0, 0.0, 0.0, 0.0, 0.0, *odd)
    low, high, _, _ = cv2.minMaxLoc(values, chosen)
    if left_out := values.size - count:
        # Masks are slow in OpenCV: what is left out becomes the minimum and is subtracted again.
        filled = np.full_like(values, low)
        values = cv2.copyTo(values, chosen, filled)
    counts = histogram(_upper_halves(values))
    counts[int(_upper_halves(np.full((1, 1), low, values.dtype))[0, 0])] -= left_out
    above_low = np.subtract(values, low, dtype=np.float64).ravel()
    total = float(above_low.sum())
    m2 = max(float(np.dot(above_low, above_low)) - total * total / count, 0.0)
    return FloatBins(counts, count, low + total / count, m2, low, high, *odd)


def _not_finite(
    values: NDArray[Any], among: NDArray[np.uint8] | None, finite: int
) -> tuple[int, int, int]:
    """Return how many of the elements are NaN, inf and -inf."""
    total = values.size if among is None else cv2.countNonZero(among)
    if finite == total:
        return 0, 0, 0
    chosen = values if among is None else values[among != 0]
    pos_inf = int(np.count_nonzero(chosen == math.inf))
    neg_inf = int(np.count_nonzero(chosen == -math.inf))
    return total - finite - pos_inf - neg_inf, pos_inf, neg_inf


def _upper_halves(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the upper 16 bits of values, (H, W), as float32."""
    if values.dtype != np.float32:
        limit = np.finfo(np.float32).max
        values = np.clip(values, -limit, limit).astype(np.float32)
    height, width = values.shape
    halves = values.view(np.uint16).reshape(height, width, 2)
    return np.asarray(cv2.extractChannel(halves, _UPPER_HALF), np.uint16)


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
    if values.size <= _FEW:
        return values.ravel().astype(np.float64)
    row = np.ascontiguousarray(values).reshape(1, -1)
    if row.dtype == np.bool_:  # rosbags makes them of bytes, which need not be 0 or 1
        row = (row.view(np.uint8) != 0).view(np.uint8)
    if row.dtype in (np.uint8, np.uint16):
        return Levels(histogram(row))
    return float_bins(row if row.dtype.kind == 'f' else row.astype(np.float64))
