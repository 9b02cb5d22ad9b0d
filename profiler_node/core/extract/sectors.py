"""The `sector` and `sector_range_cm` features: where around the sensor something is, and how far.

A sector is 10 degrees of azimuth in the sensor's frame (REP-103: x forward, y left): '00' begins at
-180 degrees, '18' is ahead and to the left of it, '35' ends at 180. Azimuths are computed in
float64, so that a border is as sharp as the coordinates.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.elements import histogram
from profiler_node.core.observation import Counts, Observation, Weights

Sectors = NDArray[np.uint8]

_COUNT = 36
_NAMES = tuple(f'{index:02}' for index in range(_COUNT))
_SECTOR_DEG = 360 // _COUNT
_PARTS = 256  # of a sector, so that the remainder is a byte
_DOUBTFUL = 3  # parts, 0.12 degrees: OpenCV's angles are good to 0.01, though 0.3 are promised
_MOST_CM = 2.0**36
_MANY = 4096  # points
_LONG_RUN = 8


def sectors_of(azimuth_deg: NDArray[np.float64]) -> Sectors:
    """Return the sector of each azimuth, (N,) from -180 to 180."""
    sectors: Sectors = ((azimuth_deg + 180) / _SECTOR_DEG).astype(np.uint8)
    sectors[sectors == _COUNT] = 0  # 180 degrees are -180
    return sectors


def rough_azimuth_deg(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float32]:
    """Return the angle of each point, (N,) from 0 to 360, quickly and nearly right."""
    if not x.size:  # OpenCV returns one for none
        return np.zeros(0, np.float32)
    x, y = x.astype(np.float32, copy=False), y.astype(np.float32, copy=False)
    return np.asarray(cv2.phase(x, y, angleInDegrees=True), np.float32).ravel()


def point_sectors(x: NDArray[Any], y: NDArray[Any], rough_deg: NDArray[np.float32]) -> Sectors:
    """Return the sector of each point, (N,); rough_deg: of rough_azimuth_deg."""
    parts = (rough_deg * np.float32(_PARTS / _SECTOR_DEG)).astype(np.uint16)
    sectors: Sectors = (parts // _PARTS).astype(np.uint8)
    sectors += np.uint8(_COUNT // 2)
    np.minimum(sectors, sectors - np.uint8(_COUNT), out=sectors)  # 36 less, but below 0 is large
    from_border: NDArray[np.uint8] = parts.astype(np.uint8) + np.uint8(_DOUBTFUL)
    near = np.flatnonzero(from_border < 2 * _DOUBTFUL)
    sectors[near] = sectors_of(np.degrees(np.arctan2(y[near], x[near], dtype=np.float64)))
    return sectors


def add_sectors(
    observation: Observation, group: str, sectors: Sectors, range_m: NDArray[np.float64]
) -> None:
    """Add the features of returns, (N,), by sector: how many there are, and their ranges' sum."""
    counts, sums_m = _sums(sectors, range_m)
    # An absurd sum is cut off, so that those of a week fit into the 64 bits of the sketch.
    sums_cm = np.rint(np.maximum(np.minimum(sums_m * 100, _MOST_CM), 0))
    observation[f'{group}/sector'] = Weights(_NAMES, counts)
    observation[f'{group}/sector_range_cm'] = Weights(_NAMES, sums_cm.astype(np.int64))


def _sums(sectors: Sectors, range_m: NDArray[np.float64]) -> tuple[Counts, NDArray[np.float64]]:
    """Return how many of sectors, (N,), are each one, and the sum of their ranges, (36,) both."""
    counts: Counts
    sums: NDArray[np.float64]
    begins = sectors[1:] != sectors[:-1]
    if sectors.size < _MANY:
        counts = np.bincount(sectors, minlength=_COUNT)
    elif np.count_nonzero(begins) * _LONG_RUN > sectors.size:
        counts = histogram(sectors.reshape(1, -1))[:_COUNT]
    else:
        # Neighbours share a sector, mostly, and are summed many times as quickly where they do.
        starts = np.append(0, np.flatnonzero(begins) + 1)
        lengths = np.diff(starts, append=sectors.size)
        sectors, range_m = sectors[starts], np.add.reduceat(range_m, starts)
        counts = np.bincount(sectors, lengths, _COUNT).astype(np.int64)
    sums = np.bincount(sectors, range_m, _COUNT).astype(np.float64, copy=False)
    return counts, sums
