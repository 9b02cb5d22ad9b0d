"""A small recording of a moving scene, made up but consistent: python scene.py OUTPUT_FOLDER.

A robot drifts through a hall of boxes, some of which move. Camera, depth camera and lidar look at
the same boxes by ray casting, and the detections are what the camera sees of them. Everything is a
function of time and a fixed seed, so that two runs write the same messages.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

Floats = NDArray[np.float64]

NS_PER_S = 1_000_000_000
START_NS = 1_700_000_000 * NS_PER_S
DURATION_S = 12.0
CAMERA_HZ, LIDAR_HZ = 15.0, 10.0

WIDTH, HEIGHT, FOCAL = 320, 240, 240.0  # pixels
MOUNT_M = 1.2  # height of the sensors
DEPTH_RANGE_M = (0.3, 9.0)
LIDAR_RINGS, LIDAR_COLUMNS, LIDAR_RANGE_M = 16, 900, 30.0

MESSAGES = Path(__file__).parent / 'vision_msgs' / 'msg'


@dataclass(frozen=True)
class Box:
    """An axis-aligned box; position and velocity are of its base's centre in the hall's frame."""

    label: str
    position_m: tuple[float, float]
    size_m: tuple[float, float, float]
    colour_bgr: tuple[int, int, int]
    velocity_m_s: tuple[float, float] = (0.0, 0.0)

    def bounds(self, time_s: float) -> tuple[Floats, Floats]:
        """Return the lower and the upper corner [m]; a moving box turns back every 4 s."""
        swing_s = abs((time_s + 2.0) % 8.0 - 4.0) - 2.0
        x, y = (p + v * swing_s for p, v in zip(self.position_m, self.velocity_m_s, strict=True))
        length, width, height = self.size_m
        low = np.array([x - length / 2, y - width / 2, 0.0])
        return low, low + np.array([length, width, height])


BOXES = (
    Box('person', (4.0, -0.8), (0.4, 0.5, 1.75), (60, 70, 190), (0.2, 0.7)),
    Box('person', (6.0, 1.6), (0.4, 0.5, 1.65), (150, 90, 50), (-0.4, -0.5)),
    Box('person', (7.5, -2.2), (0.4, 0.5, 1.80), (70, 160, 80), (0.0, 0.9)),
    Box('cart', (5.2, 0.4), (1.2, 0.7, 1.00), (40, 150, 215), (0.6, 0.1)),
    Box('pallet', (3.4, 1.5), (1.2, 0.8, 0.25), (70, 120, 160)),
    Box('shelf', (8.6, 3.0), (0.6, 3.0, 2.40), (140, 140, 130)),
    Box('shelf', (8.6, -3.6), (0.6, 2.0, 2.40), (140, 140, 130)),
)
WALLS_M = (-12.0, 12.0)  # the hall, in x and in y
CEILING_M = 4.0


def pose(time_s: float) -> tuple[Floats, float]:
    """Return the sensors' position [m], (3,), and heading [rad] in the hall's frame."""
    x, y = 0.06 * time_s, 0.15 * math.sin(0.5 * time_s)
    return np.array([x, y, MOUNT_M]), 0.12 * math.sin(0.7 * time_s)


def cast(origin: Floats, rays: Floats, time_s: float) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Return what each of rays, (N, 3), hits first, in the hall's frame.

    The range along the ray in units of its length, (N,); the index of the box, -1 for the hall; and
    the cosine at which the surface is hit, (N,).
    """
    with np.errstate(divide='ignore'):
        inverse = 1.0 / rays
    # From inside, the hall's surfaces are hit at the nearest of the far planes.
    far = np.maximum(
        (np.array([WALLS_M[0], WALLS_M[0], 0.0]) - origin) * inverse,
        (np.array([WALLS_M[1], WALLS_M[1], CEILING_M]) - origin) * inverse,
    )
    distance, axis = far.min(axis=1), far.argmin(axis=1)
    owner = np.full(len(rays), -1)
    for index, box in enumerate(BOXES):
        first, second = ((bound - origin) * inverse for bound in box.bounds(time_s))
        near, leave = np.minimum(first, second), np.maximum(first, second)
        enter = near.max(axis=1)
        hit = (enter < leave.min(axis=1)) & (enter > 0) & (enter < distance)
        distance = np.where(hit, enter, distance)
        axis = np.where(hit, near.argmax(axis=1), axis)
        owner = np.where(hit, index, owner)
    unit = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return distance, owner, np.abs(np.take_along_axis(unit, axis[:, None], axis=1)[:, 0])


def rotate(vectors: Floats, heading_rad: float) -> Floats:
    """Return vectors, (N, 3), turned by heading about z."""
    cosine, sine = math.cos(heading_rad), math.sin(heading_rad)
    turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(vectors @ turn)


def camera_rays() -> Floats:
    """Return the ray of each pixel, (H * W, 3), x forward, y left, z up, of length 1 along x."""
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    left, up = (WIDTH / 2 - columns) / FOCAL, (HEIGHT / 2 - rows) / FOCAL
    return np.stack([np.ones_like(left), left, up], axis=-1).reshape(-1, 3)


def lidar_rays() -> Floats:
    """Return the unit ray of each beam, (rings * columns, 3)."""
    elevation = np.radians(np.linspace(-15.0, 15.0, LIDAR_RINGS))[:, None]
    azimuth = np.linspace(-math.pi, math.pi, LIDAR_COLUMNS, endpoint=False)[None, :]
    parts = (
        np.cos(elevation) * np.cos(azimuth),
        np.cos(elevation) * np.sin(azimuth),
        np.sin(elevation) * np.ones_like(azimuth),
    )
    return np.stack(parts, axis=-1).reshape(-1, 3)


class Scene:
    """Renders the messages of the four sensors."""

    def __init__(self, types: Typestore) -> None:
        self._types = types.types
        self._random = np.random.default_rng(1)
        self._camera = camera_rays()
        self._lidar = lidar_rays()

    def _header(self, time_s: float, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(START_NS + round(time_s * NS_PER_S), NS_PER_S)
        stamp = self._types['builtin_interfaces/msg/Time'](sec=seconds, nanosec=nanoseconds)
        return self._types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)

    def camera(self, time_s: float) -> Iterator[tuple[str, Any]]:
        """Yield topic and message of the image, the depth image and the detections at time_s."""
        origin, heading = pose(time_s)
        rays = rotate(self._camera, heading)
        depth, owner, cosine = cast(origin, rays, time_s)
        header = self._header(time_s, 'camera_optical_frame')
        yield (
            '/camera/image_raw',
            self._image(header, origin + rays * depth[:, None], owner, cosine),
        )
        yield '/camera/depth/image_rect_raw', self._depth(header, depth, cosine)
        yield '/detections', self._detections(header, owner.reshape(HEIGHT, WIDTH))

    def _image(self, header: Any, points: Floats, owner: NDArray[np.int64], cosine: Floats) -> Any:
        checks = np.floor(points + 0.01).sum(axis=1) % 2  # off the planes of the hall
        hall = np.stack([150 + 40 * checks, 160 + 35 * checks, 165 + 30 * checks], axis=-1)
        colours = np.array([box.colour_bgr for box in BOXES], dtype=float)
        surface = np.where(owner[:, None] < 0, hall, colours[owner])
        lit = surface * (0.35 + 0.65 * cosine[:, None])
        blurred = cv2.GaussianBlur(lit.reshape(HEIGHT, WIDTH, 3), (3, 3), 0)
        noisy = blurred + self._random.normal(0.0, 1.5, blurred.shape)
        return self._types['sensor_msgs/msg/Image'](
            header=header,
            height=HEIGHT,
            width=WIDTH,
            encoding='bgr8',
            is_bigendian=0,
            step=3 * WIDTH,
            data=np.clip(noisy, 0, 255).astype(np.uint8).ravel(),
        )

    def _depth(self, header: Any, depth: Floats, cosine: Floats) -> Any:
        """Millimetres; 0 out of range, at grazing surfaces and, for a few pixels, by chance."""
        noisy = depth + self._random.normal(0.0, 0.002, depth.shape) * depth**2
        low, high = DEPTH_RANGE_M
        lost = (noisy < low) | (noisy > high) | (cosine < 0.08)
        lost |= self._random.random(depth.shape) < 0.01
        return self._types['sensor_msgs/msg/Image'](
            header=header,
            height=HEIGHT,
            width=WIDTH,
            encoding='16UC1',
            is_bigendian=0,
            step=2 * WIDTH,
            data=np.where(lost, 0, np.round(noisy * 1000)).astype('<u2').view(np.uint8),
        )

    def _detections(self, header: Any, owner: NDArray[np.int64]) -> Any:
        """A box around what is seen of each object, if it is enough."""
        types = self._types
        found = []
        for index, box in enumerate(BOXES):
            rows, columns = np.nonzero(owner == index)
            if rows.size < 60:
                continue
            left, right = float(columns.min()), float(columns.max() + 1)
            top, bottom = float(rows.min()), float(rows.max() + 1)
            centre = types['vision_msgs/msg/Point2D'](x=(left + right) / 2, y=(top + bottom) / 2)
            score = 1.0 - 0.5 * math.exp(-rows.size / 900) + self._random.normal(0.0, 0.01)
            hypothesis = types['vision_msgs/msg/ObjectHypothesis'](
                class_id=box.label, score=min(max(score, 0.0), 1.0)
            )
            found.append(
                types['vision_msgs/msg/Detection2D'](
                    header=header,
                    results=[
                        types['vision_msgs/msg/ObjectHypothesisWithPose'](
                            hypothesis=hypothesis, pose=self._no_pose()
                        )
                    ],
                    bbox=types['vision_msgs/msg/BoundingBox2D'](
                        center=types['vision_msgs/msg/Pose2D'](position=centre, theta=0.0),
                        size_x=right - left,
                        size_y=bottom - top,
                    ),
                    id=str(index),
                )
            )
        return types['vision_msgs/msg/Detection2DArray'](header=header, detections=found)

    def _no_pose(self) -> Any:
        types = self._types
        pose_message = types['geometry_msgs/msg/Pose'](
            position=types['geometry_msgs/msg/Point'](x=0.0, y=0.0, z=0.0),
            orientation=types['geometry_msgs/msg/Quaternion'](x=0.0, y=0.0, z=0.0, w=1.0),
        )
        return types['geometry_msgs/msg/PoseWithCovariance'](
            pose=pose_message, covariance=np.zeros(36)
        )

    def lidar(self, time_s: float) -> Iterator[tuple[str, Any]]:
        """Yield topic and message of the point cloud at time_s."""
        origin, heading = pose(time_s)
        distance, owner, cosine = cast(origin, rotate(self._lidar, heading), time_s)
        distance = distance + self._random.normal(0.0, 0.01, distance.shape)
        seen = (distance < LIDAR_RANGE_M) & (self._random.random(distance.shape) > 0.02)
        points = np.empty((int(seen.sum()), 4), dtype='<f4')
        points[:, :3] = self._lidar[seen] * distance[seen, None]
        points[:, 3] = np.where(owner[seen] < 0, 60.0, 120.0) * cosine[seen]
        field = self._types['sensor_msgs/msg/PointField']
        yield (
            '/lidar/points',
            self._types['sensor_msgs/msg/PointCloud2'](
                header=self._header(time_s, 'lidar'),
                height=1,
                width=len(points),
                fields=[
                    field(name=name, offset=4 * index, datatype=7, count=1)
                    for index, name in enumerate(('x', 'y', 'z', 'intensity'))
                ],
                is_bigendian=False,
                point_step=16,
                row_step=16 * len(points),
                data=points.view(np.uint8).ravel(),
                is_dense=True,
            ),
        )


def typestore() -> Typestore:
    """Return ROS's own types and those of vision_msgs."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for path in MESSAGES.glob('*.msg'):
        types.update(
            get_types_from_msg(path.read_text(encoding='utf-8'), f'vision_msgs/msg/{path.stem}')
        )
    store.register(types)
    return store


def write_scene(folder: Path) -> None:
    """Write the recording as an MCAP bag into folder, which must not exist yet."""
    store = typestore()
    scene = Scene(store)
    ticks = [(n / CAMERA_HZ, scene.camera) for n in range(int(DURATION_S * CAMERA_HZ))]
    ticks += [(n / LIDAR_HZ, scene.lidar) for n in range(int(DURATION_S * LIDAR_HZ))]
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    with writer:
        for time_s, sensor in sorted(ticks, key=lambda tick: tick[0]):
            for topic, message in sensor(time_s):
                name = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, name, typestore=store)
                stamp_ns = START_NS + round(time_s * NS_PER_S)
                # A driver needs a moment to hand out what it took at the stamp.
                writer.write(
                    connections[topic], stamp_ns + 8_000_000, store.serialize_cdr(message, name)
                )


if __name__ == '__main__':
    write_scene(Path(sys.argv[1]))
