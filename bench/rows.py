"""What is measured, and against what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, cycle

import datasketches
import numpy as np
from messages import (
    FIRST_STAMP_NS,
    ROW,
    WIDE_ROW,
    boxes,
    cloud,
    depth_16uc1,
    depth_32fc1,
    depths_m,
    image_bgr8,
    image_jpeg,
    imu,
    points,
    put_stamp,
    row_type,
    rows,
    scan,
    store,
)
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Imu
from timing import Call
from vision_msgs.msg import Detection2DArray

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.profile import Profile, Source
from profiler_node.core.stream import Sensing, Stream
from profiler_node.mappings import read_mappings
from profiler_node.wire.codec import decode, encode

_INTERVAL_NS = 10_000_000
_WINDOW_NS = 3_600_000_000_000
_MESSAGES = 4  # different ones, which take turns


@dataclass(frozen=True)
class Row:
    """One line of the table.

    size: bytes that are profiled, or of the profile. prepare: what ours needs done before each
    call. baseline: the library call that ours is to be compared with. profile: what ours has made.
    """

    name: str
    size: int
    ours: Call
    profile: Callable[[], Profile]
    baseline: Call | None = None
    prepare: Call | None = None


class Feed:
    """Feeds one stream with messages in turn, in one long window."""

    def __init__(
        self, message_type: str, messages: Sequence[bytearray], interval_ns: int = _INTERVAL_NS
    ) -> None:
        self._stream = Stream(
            Source('robot', 'stream', '/topic', message_type),
            WindowConfig(_WINDOW_NS / 1e9),
            SketchConfig(),
            Sensing(store=store(), mappings=read_mappings()),
        )
        self._messages = cycle(messages)
        self._stamps_ns = count(FIRST_STAMP_NS, interval_ns)

    def __call__(self) -> None:
        """Profile the next message, from its bytes to the updated window."""
        message, stamp_ns = next(self._messages), next(self._stamps_ns)
        put_stamp(message, stamp_ns)
        self._stream.update(memoryview(message), stamp_ns + 5_000_000)

    def profile(self) -> Profile:
        """Return the profile of the messages so far, and begin a new one."""
        (profile,) = self._stream.windows.close()
        return profile


def _row(
    name: str,
    message_type: str,
    messages: Sequence[bytearray],
    baseline: Call | None = None,
) -> Row:
    feed = Feed(message_type, messages)
    return Row(name, len(messages[0]), feed, feed.profile, baseline)


def _kll(*columns: NDArray[np.float32]) -> Call:
    """Return what sketches each of columns, value by value."""
    sketches = [datasketches.kll_floats_sketch(200) for _ in columns]

    def update() -> None:
        for sketch, column in zip(sketches, columns, strict=True):
            sketch.update(column)

    return update


def _deserialized(message_class: type, message: bytearray) -> Call:
    """Return what makes a Python message of bytes, as rclpy does for each subscription."""
    data = bytes(message)
    return lambda: deserialize_message(data, message_class)


def sensor_rows() -> list[Row]:
    """Return the rows from serialized bytes to the updated window."""
    depth_m = depths_m(1)[0].ravel()
    x, y, z, intensity = np.ascontiguousarray(points(1)[0].T)
    range_m = np.sqrt(x * x + y * y + z * z)
    n = _MESSAGES
    image, camera = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
    millimetres = np.nan_to_num(np.rint(depth_m * 1000))
    return [
        _row('image_bgr8_1080p', image, image_bgr8(n)),
        _row('image_jpeg_1080p', camera, image_jpeg(n)),
        _row('depth_16uc1_720p', image, depth_16uc1(n), _kll(millimetres)),
        _row('depth_32fc1_720p', image, depth_32fc1(n), _kll(depth_m)),
        _row(
            'cloud_131k',
            'sensor_msgs/msg/PointCloud2',
            cloud(n),
            _kll(x, y, z, range_m, intensity),
        ),
        _row('scan_1440', 'sensor_msgs/msg/LaserScan', scan(n)),
        _row(
            'boxes_50',
            'vision_msgs/msg/Detection2DArray',
            boxes(n),
            _deserialized(Detection2DArray, boxes(1)[0]),
        ),
        _row('imu', 'sensor_msgs/msg/Imu', imu(n), _deserialized(Imu, imu(1)[0])),
        _row('row_151', row_type(WIDE_ROW), rows(500, WIDE_ROW)),
    ]


def profile_rows() -> list[Row]:
    """Return the rows about windows and profiles of 30 numbers a message."""
    messages = rows(3000, ROW)

    def filled() -> Profile:
        feed = Feed(row_type(ROW), messages)
        for _ in messages:
            feed()
        return feed.profile()

    first, second = filled(), filled()
    names = [f'field/column_{index}' for index in range(ROW)]
    first, second = first.with_features(names), second.with_features(names)
    payload = encode(first)
    # Of a cloud, whose five histograms of floats are the most work.
    sweeps = cloud(1)
    closing = Feed('sensor_msgs/msg/PointCloud2', sweeps, _WINDOW_NS)
    closing()
    closed = closing.profile()
    return [
        Row('window_close', len(sweeps[0]), closing.profile, lambda: closed, prepare=closing),
        Row('merge_30', len(payload), lambda: first.merged(second), lambda: first),
        Row('encode_30', len(payload), lambda: encode(first), lambda: first),
        Row('decode_30', len(payload), lambda: decode(payload), lambda: first),
    ]
