"""Serialized messages of each kind, as sensors of today send them. Seeds are fixed.

Functions named after a row of the benchmark return `count` different messages of one stream, each
with the header's stamp first, so that `put_stamp` can change it. Sizes are width and height.
"""

import struct
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from profiler_node.core.decode import STORE as ROS
from profiler_node.core.decode import store_with, types_in

FIRST_STAMP_NS = 1_700_000_000_000_000_000
Size = tuple[int, int]
FULL_HD, HD = (1920, 1080), (1280, 720)
WIDE_ROW, ROW = 151, 30  # numbers in a message of each type
_VISION = Path(__file__).resolve().parent.parent / 'demo' / 'vision_msgs' / 'msg'
_STAMP = struct.Struct('<iI')
_ENCAPSULATION = 4  # bytes before the first field


def put_stamp(message: bytearray, stamp_ns: int) -> None:
    """Change the header's stamp."""
    _STAMP.pack_into(message, _ENCAPSULATION, *divmod(stamp_ns, 10**9))


def row_type(columns: int) -> str:
    """Return the type of messages with a header and so many numbers."""
    return f'bench_msgs/msg/Row{columns}'


@cache
def store() -> Typestore:
    """Return the definitions of all types used here."""
    types = dict(ROS.fielddefs)
    for path in _VISION.glob('*.msg'):
        types |= types_in(f'vision_msgs/msg/{path.stem}', path.read_text(encoding='utf-8'))
    for columns in (ROW, WIDE_ROW):
        numbers = ''.join(f'float64 column_{index}\n' for index in range(columns))
        types |= types_in(row_type(columns), f'std_msgs/Header header\n{numbers}')
    return store_with(types)


def _make(message_type: str, **fields: Any) -> Any:
    """Return a message; dicts become messages of the type that the field has."""
    definition = store().fielddefs[message_type][1]
    for name, (_, about) in definition:
        if isinstance(fields.get(name), dict):
            fields[name] = _make(about, **fields[name])
    return store().types[message_type](**fields)


def _serialized(message_type: str, frame_id: str, **fields: Any) -> bytearray:
    message = _make(message_type, header=_header(frame_id), **fields)
    return bytearray(store().serialize_cdr(message, message_type))


def _header(frame_id: str) -> dict[str, Any]:
    return {'stamp': {'sec': FIRST_STAMP_NS // 10**9, 'nanosec': 0}, 'frame_id': frame_id}


def _smooth(random: np.random.Generator, size: Size, *channels: int) -> NDArray[Any]:
    """Return a smooth picture from 0 to 1, (height, width, *channels): white noise is none."""
    coarse = random.random((18, 32, *channels), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, size))


def pictures(count: int, size: Size = FULL_HD) -> list[NDArray[np.uint8]]:
    """Return camera frames, (height, width, 3): smooth, with the noise of a sensor."""
    random = np.random.default_rng(1)
    smooth = [_smooth(random, size, 3) * 255 for _ in range(count)]
    noisy = [frame + random.normal(0, 3, frame.shape) for frame in smooth]
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in noisy]


def _image(pixels: NDArray[Any], encoding: str) -> bytearray:
    height, width = pixels.shape[:2]
    return _serialized(
        'sensor_msgs/msg/Image',
        'camera_optical_frame',
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels.strides[0],
        data=pixels.view(np.uint8).ravel(),
    )


def image_bgr8(count: int, size: Size = FULL_HD) -> list[bytearray]:
    """1080p colour, 6.2 MB."""
    return [_image(pixels, 'bgr8') for pixels in pictures(count, size)]


def image_jpeg(count: int, size: Size = FULL_HD) -> list[bytearray]:
    """1080p colour as JPEG of quality 90."""
    return [
        _serialized(
            'sensor_msgs/msg/CompressedImage',
            'camera_optical_frame',
            format='bgr8; jpeg compressed bgr8',
            data=cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1],
        )
        for pixels in pictures(count, size)
    ]


def depths_m(count: int, size: Size = HD) -> list[NDArray[np.float32]]:
    """Return depth frames, (height, width) [m]: surfaces at 0.5 to 8 m with noise and NaN holes."""
    random = np.random.default_rng(2)
    frames = []
    for _ in range(count):
        depth = _smooth(random, size) * 7.5 + 0.5
        depth += random.normal(0, 0.002, depth.shape).astype(np.float32) * depth**2
        depth[_smooth(random, size) < 0.3] = np.nan
        frames.append(depth)
    return frames


def depth_32fc1(count: int, size: Size = HD) -> list[bytearray]:
    """720p depth in metres with NaN holes, 3.7 MB."""
    return [_image(depth, '32FC1') for depth in depths_m(count, size)]


def depth_16uc1(count: int, size: Size = HD) -> list[bytearray]:
    """720p depth in millimetres with holes of 0, 1.8 MB."""
    return [
        _image(np.nan_to_num(np.rint(depth * 1000)).astype(np.uint16), '16UC1')
        for depth in depths_m(count, size)
    ]


def points(count: int, columns: int = 1024) -> list[NDArray[np.float32]]:
    """Return sweeps of a 128-beam lidar, (128 * columns, 4): x, y, z [m] and intensity."""
    random = np.random.default_rng(3)
    azimuth = np.repeat(np.linspace(-np.pi, np.pi, columns, endpoint=False), 128)
    elevation = np.tile(np.radians(np.linspace(-25, 15, 128)), columns)
    sweeps = []
    for _ in range(count):
        walls = 4 + 20 * _smooth(random, (columns, 128)).T.ravel()
        range_m = np.minimum(walls, 1.8 / np.maximum(-np.sin(elevation), 1e-3))
        range_m += random.normal(0, 0.01, range_m.size)
        flat = range_m * np.cos(elevation)
        intensity = random.integers(0, 256, range_m.size)
        xyz = [flat * np.cos(azimuth), flat * np.sin(azimuth), range_m * np.sin(elevation)]
        sweeps.append(np.stack([*xyz, intensity], axis=1).astype('<f4'))
    return sweeps


def cloud(count: int, columns: int = 1024) -> list[bytearray]:
    """131,072 points of 16 bytes: x, y, z, intensity, 2.1 MB."""
    fields = [
        _make('sensor_msgs/msg/PointField', name=name, offset=4 * index, datatype=7, count=1)
        for index, name in enumerate(('x', 'y', 'z', 'intensity'))
    ]
    return [
        _serialized(
            'sensor_msgs/msg/PointCloud2',
            'lidar',
            height=1,
            width=len(sweep),
            fields=fields,
            is_bigendian=False,
            point_step=16,
            row_step=16 * len(sweep),
            data=sweep.view(np.uint8).ravel(),
            is_dense=True,
        )
        for sweep in points(count, columns)
    ]


def ranges_m(count: int) -> list[NDArray[np.float32]]:
    """Return the ranges of scans, (1,440,) [m]; some beams see nothing."""
    random = np.random.default_rng(4)
    scans = []
    for _ in range(count):
        ranges = 1 + 9 * cv2.resize(random.random((1, 40), dtype=np.float32), (1440, 1)).ravel()
        ranges += random.normal(0, 0.01, ranges.size).astype(np.float32)
        ranges[random.random(ranges.size) < 0.05] = np.inf
        scans.append(ranges)
    return scans


def scan(count: int) -> list[bytearray]:
    """1,440 beams with intensities, 12 kB."""
    return [
        _serialized(
            'sensor_msgs/msg/LaserScan',
            'laser',
            angle_min=-np.pi,
            angle_max=np.pi,
            angle_increment=2 * np.pi / 1440,
            time_increment=0.0,
            scan_time=0.05,
            range_min=0.05,
            range_max=30.0,
            ranges=ranges,
            intensities=np.rint(3000 / ranges).astype(np.float32),
        )
        for ranges in ranges_m(count)
    ]


def detections(count: int) -> list[list[dict[str, Any]]]:
    """Return frames of 50 boxes as dicts of label, score, x, y, width, height."""
    random = np.random.default_rng(5)
    names = ('person', 'forklift', 'pallet', 'shelf', 'cart')
    return [
        [
            {
                'label': str(random.choice(names)),
                'score': float(random.beta(8, 2)),
                'x': float(random.uniform(0, 1920)),
                'y': float(random.uniform(0, 1080)),
                'width': float(random.gamma(4, 30)),
                'height': float(random.gamma(4, 30)),
            }
            for _ in range(50)
        ]
        for _ in range(count)
    ]


def _detection(box: dict[str, Any]) -> Any:
    pose = {
        'position': {'x': 0.0, 'y': 0.0, 'z': 0.0},
        'orientation': {'x': 0.0, 'y': 0.0, 'z': 0.0, 'w': 1.0},
    }
    hypothesis = _make(
        'vision_msgs/msg/ObjectHypothesisWithPose',
        hypothesis={'class_id': box['label'], 'score': box['score']},
        pose={'pose': pose, 'covariance': np.zeros(36)},
    )
    return _make(
        'vision_msgs/msg/Detection2D',
        header=_header('camera_optical_frame'),
        results=[hypothesis],
        bbox={
            'center': {'position': {'x': box['x'], 'y': box['y']}, 'theta': 0.0},
            'size_x': box['width'],
            'size_y': box['height'],
        },
        id='',
    )


def boxes(count: int) -> list[bytearray]:
    """vision_msgs/Detection2DArray of 50 boxes."""
    return [
        _serialized(
            'vision_msgs/msg/Detection2DArray',
            'camera_optical_frame',
            detections=[_detection(box) for box in frame],
        )
        for frame in detections(count)
    ]


def imu(count: int) -> list[bytearray]:
    """sensor_msgs/Imu."""
    random = np.random.default_rng(6)

    def vector() -> dict[str, float]:
        return dict(zip('xyz', random.normal(0, 1, 3).tolist(), strict=True))

    return [
        _serialized(
            'sensor_msgs/msg/Imu',
            'imu',
            orientation=vector() | {'w': 1.0},
            orientation_covariance=np.full(9, 0.01),
            angular_velocity=vector(),
            angular_velocity_covariance=np.full(9, 0.02),
            linear_acceleration=vector(),
            linear_acceleration_covariance=np.full(9, 0.03),
        )
        for _ in range(count)
    ]


def rows(count: int, columns: int) -> list[bytearray]:
    """Messages of normally distributed numbers."""
    random = np.random.default_rng(7)
    return [
        _serialized(
            row_type(columns),
            'base_link',
            **{f'column_{index}': float(random.normal()) for index in range(columns)},
        )
        for _ in range(count)
    ]
