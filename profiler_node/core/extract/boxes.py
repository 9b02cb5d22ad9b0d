"""Sizes and places of the detections in a message, from whatever numbers are given of them.

Where numbers are infinite or overflow, NumPy would warn: the caller says whether it is to.
"""

import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float64]]
"""Numbers of each detection by name, (N,); NaN where there is none."""

IN_IMAGE = ('center_x', 'center_y', 'left', 'top', 'right', 'bottom', 'width', 'height')
SIZES = ('length_m', 'width_m', 'height_m')
POSITION = ('x_m', 'y_m', 'z_m')
QUATERNION = ('qx', 'qy', 'qz', 'qw')

_EXTENT = ('left', 'top', 'right', 'bottom', 'area')
_point = attrgetter('x', 'y')


def extents(polygons: Iterable[Sequence[Any]]) -> Columns:
    """Return left, top, right, bottom and area of polygons, lists of points with x and y."""
    rows = np.array([_extent(points) for points in polygons], dtype=np.float64)
    return dict(zip(_EXTENT, rows.reshape(-1, len(_EXTENT)).T, strict=True))


def _extent(points: Sequence[Any]) -> tuple[float, float, float, float, float]:
    if not points:
        return (math.nan,) * 5
    x, y = np.array(list(map(_point, points)), dtype=np.float64).T
    # About the first corner, so that little is lost far from the origin.
    across, down = x - x[0], y - y[0]
    area = abs(float(np.dot(across, np.roll(down, -1)) - np.dot(down, np.roll(across, -1)))) / 2
    return float(x.min()), float(y.min()), float(x.max()), float(y.max()), area


def boxes(given: Columns) -> Columns:
    """Return sizes and centres in the image, as far as they are given or follow from edges."""
    found = {}
    for size, centre, low, high in (
        ('width', 'center_x', 'left', 'right'),
        ('height', 'center_y', 'top', 'bottom'),
    ):
        if size in given:
            found[size] = given[size]
        elif low in given and high in given:
            found[size] = given[high] - given[low]
        if centre in given:
            found[centre] = given[centre]
        elif low in given and size in found:
            found[centre] = given[low] + found[size] / 2
    if 'width' in found and 'height' in found:
        found['area'] = given.get('area', found['width'] * found['height'])
        found['aspect_ratio'] = found['width'] / _or_nan(found['height'])
    return found


def boxes_3d(given: Columns) -> Columns:
    """Return sizes [m], volume [m^3], distance from the origin [m] and yaw [rad].

    Where there are boxes in the image too, those in space need not be filled in: they are left out
    where all sizes and places are 0.
    """
    columns = {name: given[name] for name in (*SIZES, *POSITION, *QUATERNION) if name in given}
    places = [columns[name] for name in (*SIZES, *POSITION) if name in columns]
    if places and any(name in given for name in IN_IMAGE):
        filled = np.any(places, axis=0)
        columns = {name: column[filled] for name, column in columns.items()}
    found = {name: columns[name] for name in SIZES if name in columns}
    if len(found) == len(SIZES):
        found['volume_m3'] = np.prod(list(found.values()), axis=0)
    if POSITION[0] in columns:
        found['distance_m'] = np.linalg.norm([columns[name] for name in POSITION], axis=0)
    if QUATERNION[0] in columns:
        found['yaw_rad'] = _yaw_rad(*(columns[name] for name in QUATERNION))
    return found


def _yaw_rad(x: Any, y: Any, z: Any, w: Any) -> NDArray[np.float64]:
    """Return the rotation about z of quaternions [rad], NaN for one of length 0."""
    yaw = np.arctan2(2 * (w * z + x * y), w * w + x * x - y * y - z * z)
    return np.where(np.any((x, y, z, w), axis=0), yaw, np.nan)


def _or_nan(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values == 0, np.nan, values)
