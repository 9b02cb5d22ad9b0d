"""The `scan/` features of sensor_msgs/LaserScan, by REP-117.

NaN is no measurement, inf no return within reach, -inf an object too close. A range of 0, which
drivers send for no return, is below the minimum even where that is 0. Fractions are of all
beams; valid, inf, nan, below_min and above_max add up to 1. Intensities are those of all beams.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.elements import elements
from profiler_node.core.extract.sectors import add_sectors, sectors_of
from profiler_node.core.observation import Observation

_GEOMETRIES = 16  # kept: of a few scanners, or of one that leaves beams out


class ScanExtractor:
    """The `scan/` features of each scan of one stream."""

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message."""
        ranges = message.ranges
        beams = ranges.size
        observation['scan/beams'] = float(beams)
        if not beams:
            return
        low, high = message.range_min, message.range_max
        if not high > low:  # not set by the driver: any distance will do
            low, high = 0.0, math.inf
        below = (ranges < low) | (ranges == 0) | (ranges == -math.inf)
        nan, infinite = np.isnan(ranges), ranges == math.inf
        above = (ranges > high) & ~infinite
        valid = ~(below | nan | infinite | above)
        for name, which in (
            ('valid', valid),
            ('inf', infinite),
            ('nan', nan),
            ('below_min', below),
            ('above_max', above),
        ):
            observation[f'scan/{name}_fraction'] = int(np.count_nonzero(which)) / beams
        range_m = ranges[valid].astype(np.float64)
        observation['scan/range_m'] = elements(range_m)
        observation['scan/min_m'] = float(range_m.min()) if range_m.size else math.nan
        observation['scan/max_m'] = float(range_m.max()) if range_m.size else math.nan
        observation['scan/mean_m'] = float(range_m.mean()) if range_m.size else math.nan
        sectors = _sectors(beams, message.angle_min, message.angle_increment)
        if sectors is not None:
            add_sectors(observation, 'scan', sectors[valid], range_m)
        if message.intensities.size:
            observation['scan/intensity'] = elements(message.intensities)


@lru_cache(_GEOMETRIES)
def _sectors(beams: int, angle_min: float, angle_increment: float) -> NDArray[np.uint8] | None:
    """Return the sector of each beam, (N,), None where the angles [rad] are no numbers."""
    if not math.isfinite(angle_min + beams * angle_increment):
        return None
    azimuth_deg: NDArray[np.float64] = np.degrees(angle_min + np.arange(beams) * angle_increment)
    return sectors_of((azimuth_deg + 180) % 360 - 180)
