"""The `points/` features of sensor_msgs/PointCloud2.

A point is valid when x, y and z are finite and not all 0, which is how drivers mark no return.
Ranges and azimuths are in the sensor's frame (REP-103: x forward, y left).
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.elements import elements, float_bins
from profiler_node.core.errors import DecodeError
from profiler_node.core.observation import Observation

_DATATYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_INTENSITY = ('intensity', 'reflectivity', 'reflectance', 'intensities', 'i')
_RING = ('ring', 'laser_id', 'line')
_SECTORS = 360
_LARGEST = 2**31 - 1  # columns of an OpenCV image


class PointsExtractor:
    """The `points/` features of each cloud of one stream."""

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message. Raises DecodeError."""
        fields = {field.name: field for field in reversed(message.fields)}
        observation['points/fields'] = ','.join(
            f'{field.name}:{_DATATYPES.get(field.datatype, "?")}' for field in message.fields[:64]
        )
        if missing := {'x', 'y', 'z'} - fields.keys():
            raise DecodeError('no_xyz', f'cloud without {", ".join(sorted(missing))}')
        count = message.width * message.height
        x, y, z = xyz = [_coordinate(_column(message, fields[name])) for name in 'xyz']
        observation['points/count'] = float(count)
        if not count:
            return
        valid = _valid(x, y, z)
        found = cv2.countNonZero(valid)
        observation['points/valid_fraction'] = found / count
        with np.errstate(over='ignore', invalid='ignore'):
            range_m = np.sqrt(sum(np.square(axis, dtype=np.float64) for axis in xyz))
        bins = float_bins(range_m, valid)
        observation['points/range_m'] = bins
        for name, values in zip('xyz', xyz, strict=True):
            observation[f'points/{name}_m'] = float_bins(values, valid)
        observation['points/min_range_m'] = bins.min if bins.count else math.nan
        observation['points/max_range_m'] = bins.max if bins.count else math.nan
        observation['points/azimuth_coverage'] = _azimuth_coverage(x, y, valid)
        for feature, names in (('intensity', _INTENSITY), ('ring', _RING)):
            if name := next(filter(fields.__contains__, names), ''):
                values = _column(message, fields[name])[valid != 0]
                observation[f'points/{feature}'] = elements(values)


def _column(message: Any, field: Any) -> NDArray[Any]:
    """Return one field of all points, (1, N) in this machine's byte order.

    Raises DecodeError where field, steps, size and data do not fit together.
    """
    if field.datatype not in _DATATYPES:
        raise DecodeError('bad_fields', f'field {field.name!r} of datatype {field.datatype}')
    dtype = np.dtype(_DATATYPES[field.datatype]).newbyteorder('>' if message.is_bigendian else '<')
    width, height = message.width, message.height
    point_step, row_step = message.point_step, message.row_step
    if field.offset + dtype.itemsize > point_step:
        raise DecodeError('bad_fields', f'field {field.name!r} ends beyond {point_step} bytes')
    if height > 1 and row_step < width * point_step:
        raise DecodeError('bad_step', f'row_step {row_step} for {width} points of {point_step}')
    if not width or not height:
        return np.empty((1, 0), dtype.newbyteorder('='))
    last = (height - 1) * row_step * (height > 1) + (width - 1) * point_step
    if last + field.offset + dtype.itemsize > message.data.size or width * height > _LARGEST:
        raise DecodeError('short_data', f'{message.data.size} bytes for {width}x{height} points')
    column: NDArray[Any] = np.ndarray(
        (height, width), dtype, message.data.data, field.offset, (row_step, point_step)
    )
    return np.ascontiguousarray(column, dtype.newbyteorder('=')).reshape(1, -1)


def _coordinate(column: NDArray[Any]) -> NDArray[Any]:
    """Return column as float32 or float64."""
    return column if column.dtype.kind == 'f' else column.astype(np.float64)


def _valid(x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.uint8]:
    """Return which points are valid, (1, N), 255 or 0."""
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    somewhere = (x != 0) | (y != 0) | (z != 0)
    return np.asarray(np.where(finite & somewhere, 255, 0), np.uint8)


def _azimuth_coverage(x: NDArray[Any], y: NDArray[Any], valid: NDArray[np.uint8]) -> float:
    """Return the share of the 360 sectors of one degree that hold a valid point."""
    here = valid != 0
    azimuth_deg = np.degrees(np.arctan2(y[here], x[here], dtype=np.float64)) % 360
    # The remainder of a tiny negative angle is 360 itself.
    sectors = np.bincount(azimuth_deg.astype(np.int64) % _SECTORS, minlength=_SECTORS)
    return int(np.count_nonzero(sectors)) / _SECTORS
