"""The `scan/` features of sensor_msgs/LaserScan, by REP-117.

NaN is no measurement, inf no return within reach, -inf an object too close. A range of 0, which
drivers send for no return, is below the minimum even where that is 0. Fractions are of all
beams; valid, inf, nan, below_min and above_max add up to 1. Intensities are those of all beams.
"""

import math
from typing import Any

import numpy as np

from profiler_node.core.elements import elements
from profiler_node.core.observation import Observation


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
        if message.intensities.size:
            observation['scan/intensity'] = elements(message.intensities)
