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

from profiler_node.core.elements import bins_between, histogram
from profiler_node.core.observation import FloatBins, Levels, Observation
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
    levels = np.flatnonzero(counts > 0)
    low, high = limits.bounds_m
    outside = (levels * unit < low) | (levels * unit > high)
    counts[levels.compress(outside)] = 0
    levels = levels.compress(~outside)
    until = np.cumsum(counts[levels])
    valid = int(until[-1]) if until.size else 0
    _add_fractions(observation, pixels.size, {'valid': valid, 'zero': zeros, 'nan': 0, 'inf': 0})
    observation['depth/range_m'] = Levels(counts, unit)
    if not valid:
        _add_frame(observation, *[math.nan] * 4)
        return
    middle = levels[np.searchsorted(until, [(valid - 1) // 2, valid // 2], side='right')]
    mean = int(np.dot(levels, counts[levels])) / valid * unit
    median = float((middle * unit).mean())
    _add_frame(observation, int(levels[0]) * unit, int(levels[-1]) * unit, mean, median)


def _add_float_depth(observation: Observation, pixels: Pixels, limits: DepthLimits) -> None:
    values = pixels.ravel()
    if limits.scale_m not in (0.0, 1.0):
        with np.errstate(over='ignore', invalid='ignore'):  # beyond float64, signaling NaN
            values = np.multiply(values, limits.scale_m, dtype=np.float64)
    low, high = limits.bounds_m
    least = float(np.nextafter(values.dtype.type(0), values.dtype.type(1)))
    bins = bins_between(values, max(low, least), high)
    counts = {'valid': bins.count, 'zero': 0, 'nan': bins.missing, 'inf': 0}
    if bins.count + bins.missing < values.size:
        counts['zero'] = int(np.count_nonzero(values == 0))
        counts['inf'] = int(np.count_nonzero(np.isinf(values)))
    bins = replace(bins, missing=0)
    _add_fractions(observation, pixels.size, counts)
    observation['depth/range_m'] = bins
    if bins.count:
        _add_frame(observation, bins.min, bins.max, bins.mean, _median(values, bins))
    else:
        _add_frame(observation, *[math.nan] * 4)


def _median(values: NDArray[Any], bins: FloatBins) -> float:
    """Return the median of those of values, (N,), that are in bins, which are all positive."""
    low, high = bins.min, bins.max
    ranks = [(bins.count - 1) // 2, bins.count // 2]
    if values.dtype == np.float32:  # its bin is known, so that few need to be sorted
        until = np.cumsum(bins.counts)
        first, last = np.searchsorted(until, ranks, side='right').tolist()
        edges = np.array([first << 16, last << 16 | 0xFFFF], np.uint32).view(np.float32)
        low, high = max(low, float(edges[0])), min(high, float(edges[1]))
        ranks = [rank - int(until[first] - bins.counts[first]) for rank in ranks]
    blocks = (values[start : start + 2**15] for start in range(0, values.size, 2**15))
    near = np.concatenate([b.compress((b >= low) & (b <= high)) for b in blocks])
    near = np.partition(near, ranks[0])
    return (float(near[ranks[0]]) + float(near[ranks[1] :].min())) / 2


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
