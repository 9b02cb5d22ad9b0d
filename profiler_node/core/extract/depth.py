"""The `depth/` features.

REP-118: 16UC1 is millimetres with 0 for invalid, 32FC1 is metres with NaN. All fractions are of all
pixels; they and the valid one add up to 1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.elements import bin_values, float_bins, histogram
from profiler_node.core.observation import FloatBins, Levels, Observation
from profiler_node.core.pixels.encodings import Pixels

DEPTH_ENCODINGS = {'16UC1', '32FC1', '64FC1'}
_MM = 0.001
_SENTINEL = 65_535


@dataclass(frozen=True, slots=True)
class DepthLimits:
    """How depth is to be read.

    scale_m: metres of 1 in the data; 0: 0.001 for integers, 1 for floats. min_m, max_m: what is
    outside is not valid; max_m 0: no limit.
    """

    scale_m: float = 0.0
    min_m: float = 0.0
    max_m: float = 0.0


def add_depth(observation: Observation, pixels: Pixels, limits: DepthLimits) -> None:
    """Add the features of pixels, (H, W) uint8, uint16, float32 or float64."""
    if pixels.dtype.kind == 'u':
        _add_integer_depth(observation, pixels, limits)
    else:
        _add_float_depth(observation, np.ascontiguousarray(pixels), limits)


def _add_integer_depth(observation: Observation, pixels: Pixels, limits: DepthLimits) -> None:
    unit = limits.scale_m or _MM
    counts = histogram(pixels)
    zeros, counts[0] = int(counts[0]), 0
    counts[_SENTINEL:] = 0
    metres = np.arange(counts.size) * unit
    counts[metres < limits.min_m] = 0
    if limits.max_m:
        counts[metres > limits.max_m] = 0
    valid = int(counts.sum())
    _add_fractions(observation, pixels.size, {'valid': valid, 'zero': zeros, 'nan': 0, 'inf': 0})
    observation['depth/range_m'] = Levels(counts, unit)
    if not valid:
        _add_frame(observation, *[math.nan] * 4)
        return
    occupied = np.flatnonzero(counts)
    upto = np.cumsum(counts[occupied])
    middle = occupied[np.searchsorted(upto, [(valid - 1) // 2, valid // 2], side='right')]
    mean = int((occupied * counts[occupied]).sum()) / valid * unit
    _add_frame(
        observation,
        int(occupied[0]) * unit,
        int(occupied[-1]) * unit,
        mean,
        (int(middle[0]) + int(middle[1])) / 2 * unit,
    )


def _add_float_depth(observation: Observation, pixels: Pixels, limits: DepthLimits) -> None:
    if limits.scale_m and limits.scale_m != 1.0:
        pixels = pixels * pixels.dtype.type(limits.scale_m)
    info = np.finfo(pixels.dtype)
    low = max(limits.min_m, float(info.smallest_subnormal))
    valid = np.asarray(cv2.inRange(pixels, low, limits.max_m or float(info.max)), np.uint8)
    bins = float_bins(pixels, valid)
    counts = {'valid': bins.count, 'zero': 0, 'nan': 0, 'inf': 0}
    if bins.count < pixels.size:
        counts['zero'] = pixels.size - cv2.countNonZero(pixels)
        counts['nan'] = int(np.count_nonzero(np.isnan(pixels)))
        counts['inf'] = int(np.count_nonzero(np.isinf(pixels)))
    _add_fractions(observation, pixels.size, counts)
    observation['depth/range_m'] = bins
    if bins.count:
        _add_frame(observation, bins.min, bins.max, bins.mean, _median(pixels, valid, bins))
    else:
        _add_frame(observation, *[math.nan] * 4)


def _median(pixels: Pixels, valid: NDArray[np.uint8], bins: FloatBins) -> float:
    """Return the median of the valid pixels: its bin is known, so few need to be sorted."""
    middles, counts = bin_values(bins.counts)
    upto = np.cumsum(counts)
    ranks = (bins.count - 1) // 2, bins.count // 2
    first, last = np.searchsorted(upto, ranks, side='right')
    # float64 is rounded into its bin: look from the middle of the bin before to that of the next.
    low = float(middles[first - 1]) if first else -math.inf
    high = float(middles[last + 1]) if last + 1 < middles.size else math.inf
    chosen = pixels[valid != 0]
    near = np.sort(chosen[(chosen >= low) & (chosen <= high)])
    skipped = int(np.count_nonzero(chosen < low))
    return (float(near[ranks[0] - skipped]) + float(near[ranks[1] - skipped])) / 2


def _add_fractions(observation: Observation, size: int, counts: Mapping[str, int]) -> None:
    """Add what share of size pixels each of counts is; out of range is the rest."""
    for name, count in counts.items():
        observation[f'depth/{name}_fraction'] = count / size
    observation['depth/out_of_range_fraction'] = (size - sum(counts.values())) / size


def _add_frame(
    observation: Observation, min_m: float, max_m: float, mean_m: float, median_m: float
) -> None:
    observation['depth/min_m'] = min_m
    observation['depth/max_m'] = max_m
    observation['depth/mean_m'] = mean_m
    observation['depth/median_m'] = median_m
