"""The `depth/` features.

REP-118: 16UC1 is millimetres with 0 for invalid, 32FC1 is metres with NaN. All fractions are of all
pixels; they and the valid one add up to 1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.elements import float_bins, histogram
from profiler_node.core.observation import Counts, Levels, Observation
from profiler_node.core.pixels.encodings import Pixels

DEPTH_ENCODINGS = {'16UC1', '32FC1', '64FC1'}
_MM = 0.001
_SENTINEL = 65_535
_FARTHEST_M = 1e38  # below the largest float32, which is a sentinel too
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class DepthLimits:
    """How depth is to be read.

    scale_m: metres of 1 in the data; 0: 0.001 for integers, 1 for floats. min_m, max_m: what is
    outside is not valid; max_m 0: no limit.
    """

    scale_m: float = 0.0
    min_m: float = 0.0
    max_m: float = 0.0

    @property
    def bounds_m(self) -> tuple[float, float]:
        """What is valid, both included, as far as rounding goes: 9 * 0.001 is more than 0.009."""
        return self.min_m * (1 - _ROUNDING), (self.max_m or _FARTHEST_M) * (1 + _ROUNDING)


def add_depth(observation: Observation, pixels: Pixels, limits: DepthLimits) -> None:
    """Add the features of pixels, (H, W) of any type."""
    if pixels.dtype.kind == 'u':
        _add_integer_depth(observation, pixels, limits)
    elif pixels.dtype.kind == 'i':  # below 0 it is out of range
        limits = replace(limits, scale_m=limits.scale_m or _MM)
        _add_float_depth(observation, pixels.astype(np.float64), limits)
    else:
        _add_float_depth(observation, pixels, limits)


def _add_integer_depth(observation: Observation, pixels: Pixels, limits: DepthLimits) -> None:
    unit = limits.scale_m or _MM
    counts = histogram(pixels)
    zeros, counts[0] = int(counts[0]), 0
    counts[_SENTINEL:] = 0
    metres = np.arange(counts.size) * unit
    low, high = limits.bounds_m
    counts[(metres < low) | (metres > high)] = 0
    valid = int(counts.sum())
    _add_fractions(observation, pixels.size, {'valid': valid, 'zero': zeros, 'nan': 0, 'inf': 0})
    observation['depth/range_m'] = Levels(counts, unit)
    if not valid:
        _add_frame(observation, *[math.nan] * 4)
        return
    occupied = np.flatnonzero(counts)
    ranks = (valid - 1) // 2, valid // 2
    middle = occupied[np.searchsorted(np.cumsum(counts[occupied]), ranks, side='right')]
    mean = int((occupied * counts[occupied]).sum()) / valid * unit
    median = float((middle * unit).mean())
    _add_frame(observation, int(occupied[0]) * unit, int(occupied[-1]) * unit, mean, median)


def _add_float_depth(observation: Observation, pixels: Pixels, limits: DepthLimits) -> None:
    values = pixels.ravel()
    if limits.scale_m not in (0.0, 1.0):
        with np.errstate(over='ignore', invalid='ignore'):  # beyond float64, signaling NaN
            values = np.multiply(values, limits.scale_m, dtype=np.float64)
    low, high = limits.bounds_m
    valid = (values > 0) & (values >= low) & (values <= high)
    found = int(np.count_nonzero(valid))
    counts = {'valid': found, 'zero': 0, 'nan': 0, 'inf': 0}
    if found < values.size:
        counts['zero'] = int(np.count_nonzero(values == 0))
        counts['nan'] = int(np.count_nonzero(np.isnan(values)))
        counts['inf'] = int(np.count_nonzero(np.isinf(values)))
    _add_fractions(observation, pixels.size, counts)
    values = values.compress(valid) if found < values.size else values
    observation['depth/range_m'] = bins = float_bins(values)
    if found:
        _add_frame(observation, bins.min, bins.max, bins.mean, _median(values, bins.counts))
    else:
        _add_frame(observation, *[math.nan] * 4)


def _median(values: NDArray[Any], counts: Counts) -> float:
    """Return the median of values, (N,) positive; counts: theirs, as in FloatBins."""
    if values.dtype != np.float32:
        return float(np.median(values))
    # Its bin is known, so that few need to be sorted, as integers, whose order is the same.
    ranks = (values.size - 1) // 2, values.size // 2
    first, last = np.searchsorted(np.cumsum(counts), ranks, side='right').tolist()
    low, high = np.array([first << 16, last << 16 | 0xFFFF], np.uint32).view(np.float32)
    near = values.compress((values >= low) & (values <= high)).view(np.uint32)
    skipped = int(counts[:first].sum())
    near = np.partition(near, ranks[0] - skipped).view(np.float32)
    return (float(near[ranks[0] - skipped]) + float(near[ranks[1] - skipped :].min())) / 2


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
