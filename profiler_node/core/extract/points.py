"""The `points/` features of sensor_msgs/PointCloud2.

A point is valid when x, y and z are finite and not all 0, which is how drivers mark no return. All
but its share and the count is of valid points. Ranges and azimuths are in the cloud's frame
(REP-103: x forward, y left) and computed in float64.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.elements import elements
from profiler_node.core.errors import DecodeError
from profiler_node.core.extract.sectors import add_sectors, point_sectors, rough_azimuth_deg
from profiler_node.core.observation import Observation

_DATATYPES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_FIELDS = {
    'x': ('x',),
    'y': ('y',),
    'z': ('z',),
    'intensity': ('intensity', 'reflectivity', 'reflectance', 'intensities', 'i'),
    'ring': ('ring', 'channel', 'laser_id', 'laser', 'line', 'layer', 'line_id', 'channel_id'),
}
"""What drivers call the field of a feature, the usual name first."""

_FARTHEST_M = 1e38  # below the largest float32, which can mean no return
_LARGEST = 2**31 - 1  # columns of an OpenCV image
_DEGREES = 360
_SAMPLE = 17  # every so many: no divisor of the columns or rings of a sensor


class PointsExtractor:
    """The `points/` features of each cloud of one stream."""

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message. Raises DecodeError."""
        observation['points/fields'] = ','.join(
            f'{field.name}:{_DATATYPES.get(field.datatype, "?")}' for field in message.fields[:64]
        )
        count = _count(message)
        observation['points/count'] = float(count)
        if not count:
            return
        columns = _columns(message)
        with np.errstate(over='ignore', invalid='ignore'):  # beyond float64, signaling NaN
            x, y, z = (np.square(columns[axis], dtype=np.float64) for axis in 'xyz')
        columns['range'] = range_m = np.sqrt(x + y + z)
        valid = (range_m > 0) & (range_m <= _FARTHEST_M)
        found = int(np.count_nonzero(valid))
        observation['points/valid_fraction'] = found / count
        if found < count:
            columns = {feature: column.compress(valid) for feature, column in columns.items()}
        _add_points(observation, columns)


def _add_points(observation: Observation, columns: dict[str, NDArray[Any]]) -> None:
    """Add the features of valid points; columns: (N,) each."""
    for feature, column in columns.items():
        name = feature if feature in {'intensity', 'ring'} else f'{feature}_m'
        observation[f'points/{name}'] = elements(column)
    range_m = columns['range']
    observation['points/min_range_m'] = float(range_m.min()) if range_m.size else math.nan
    observation['points/max_range_m'] = float(range_m.max()) if range_m.size else math.nan
    x, y = columns['x'], columns['y']
    rough_deg = rough_azimuth_deg(x, y)
    observation['points/azimuth_coverage'] = _azimuth_coverage(x, y, rough_deg)
    add_sectors(observation, 'points', point_sectors(x, y, rough_deg), range_m)


def _count(message: Any) -> int:
    """Return how many points there are.

    Raises DecodeError where size, steps and data do not fit together.
    """
    width, height, size = message.width, message.height, message.data.size
    point_step, row_step = message.point_step, message.row_step
    count: int = width * height
    if not count:
        if size:
            raise DecodeError('bad_size', f'{width}x{height} points in {size} bytes')
        return 0
    # Of a single row, row_step says nothing, and some drivers leave it 0.
    if not point_step or (height > 1 and row_step < width * point_step):
        raise DecodeError('bad_step', f'row_step {row_step} for {width} points of {point_step}')
    if (height - 1) * row_step + width * point_step > size:
        raise DecodeError('short_data', f'{size} bytes for {width}x{height} points')
    if count > _LARGEST:
        raise DecodeError('bad_size', f'{width}x{height} points are more than OpenCV can hold')
    return count


def _columns(message: Any) -> dict[str, NDArray[Any]]:
    """Return the features that message has fields for, (N,) each in this machine's byte order.

    Raises DecodeError for fields that do not fit together.
    """
    fields = {field.name: field for field in reversed(message.fields)}
    found = {
        feature: fields[name]
        for feature, names in _FIELDS.items()
        if (name := next(filter(fields.__contains__, names), None)) is not None
    }
    if missing := [axis for axis in 'xyz' if axis not in found]:
        raise DecodeError('no_xyz', f'cloud without {", ".join(missing)}')
    end = 0
    for field in sorted(found.values(), key=lambda field: field.offset):
        if field.offset < end:
            raise DecodeError('bad_fields', f'field {field.name!r} overlaps another')
        end = field.offset + _dtype(message, field).itemsize
    if end > message.point_step:
        raise DecodeError('bad_fields', f'fields end beyond {message.point_step} bytes')
    return {feature: _column(message, field) for feature, field in found.items()}


def _dtype(message: Any, field: Any) -> 'np.dtype[Any]':
    """Return the type of field. Raises DecodeError."""
    if field.datatype not in _DATATYPES:
        raise DecodeError('bad_fields', f'field {field.name!r} of datatype {field.datatype}')
    return np.dtype(f'{">" if message.is_bigendian else "<"}{_DATATYPES[field.datatype]}')


def _column(message: Any, field: Any) -> NDArray[Any]:
    """Return one field of all points, (N,), which must be within the data."""
    dtype = _dtype(message, field)
    column: NDArray[Any] = np.ndarray(
        (message.height, message.width),
        dtype,
        message.data.data,
        field.offset,
        (message.row_step, message.point_step),
    )
    return np.ascontiguousarray(column, dtype.newbyteorder('=')).ravel()


def _azimuth_coverage(x: NDArray[Any], y: NDArray[Any], rough_deg: NDArray[np.float32]) -> float:
    """Return the share of the 360 sectors of one degree that hold a point; all are (N,)."""
    hit = np.zeros(_DEGREES, dtype=np.bool_)
    hit[_degree_of(x[::_SAMPLE], y[::_SAMPLE])] = True
    if x.size and not hit.all():
        # A rough angle tells the points that may be in a sector without any so far.
        known = hit & np.roll(hit, 1) & np.roll(hit, -1)
        rest = ~np.append(known, known[0])[rough_deg.astype(np.intp)]  # up to 360 itself
        hit[_degree_of(x.compress(rest), y.compress(rest))] = True
    return int(np.count_nonzero(hit)) / _DEGREES


def _degree_of(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.intp]:
    """Return the sector of one degree of each point, (N,)."""
    azimuth_deg = np.degrees(np.arctan2(y, x, dtype=np.float64))
    azimuth_deg += 360.0 * (azimuth_deg < 0)  # five times as quick as the remainder
    degrees: NDArray[np.intp] = azimuth_deg.astype(np.intp)
    degrees[degrees == _DEGREES] = 0  # of a tiny negative angle
    return degrees
