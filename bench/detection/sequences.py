"""Messages to judge detection by: real recordings and the generated scene, as windows of a minute.

The stamps of all are made new, evenly in windows of a minute with a jitter of 2 %: recordings are
too short to have minutes, and those of unlike scenes have no rate of their own.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.highlevel import AnyReader

from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.profile import Source
from profiler_node.core.stream import Sensing, Stream
from profiler_node.detect.statistics import Window, window_of
from profiler_node.mappings import all_mappings

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'demo'))

import scene  # noqa: E402

FOLDER = Path(os.environ.get('EDGE_PROFILER_DATA', ROOT.parent / 'shared' / 'data'))
MINUTE_S, NS = 60, 10**9
START_NS = 1_700_000_040 * NS
LATENCY_NS, JITTER = 8_000_000, 0.02
SIZE = 320, 240  # of photographs
SCENE_FRAMES = 240
LIDARS = 8
MOST_POINTS = 20_000
STORE = scene.typestore()


@dataclass
class Sent:
    """A message, when its stamp is after the start of its window, and how late it comes [ns]."""

    after_ns: int
    message: Any
    latency_ns: int = LATENCY_NS


@dataclass
class Material:
    """A stream's messages: the even runs of them for the reference, the odd ones to be judged."""

    name: str
    kind: str
    split: str
    messages: list[Any]
    per_window: int
    config: StreamConfig = field(default_factory=StreamConfig)

    def block(self, random: np.random.Generator, half: int | None) -> list[Any]:
        """Return the messages of a window: neighbours from one half, or of all."""
        run = max(1, min(self.per_window, len(self.messages) // 8))
        own = [m for i, m in enumerate(self.messages) if half is None or (i // run) % 2 == half]
        start = int(random.integers(len(own)))
        return [own[(start + step) % len(own)] for step in range(self.per_window)]

    def sent(self, messages: Sequence[Any], random: np.random.Generator) -> list[Sent]:
        """Return messages with the times of a minute."""
        period = MINUTE_S * NS / len(messages)
        return [
            Sent(
                int((index + 0.5 + random.normal(0, JITTER)) * period),
                message,
                LATENCY_NS + int(abs(random.normal(0, 1e6))),
            )
            for index, message in enumerate(messages)
        ]

    def window(self, number: int, sent: Sequence[Sent], robot_id: str = 'r') -> Window:
        """Return what is compared of the messages of the number-th minute."""
        kind = sent[0].message.__msgtype__
        sensing = Sensing(config=self.config, store=STORE, mappings=all_mappings(''))
        source = Source(robot_id, self.name, f'/{self.name}', kind)
        stream = Stream(source, WindowConfig(float(MINUTE_S)), SketchConfig(), sensing)
        start_ns = START_NS + number * MINUTE_S * NS
        for each in sent:
            stamp_ns = start_ns + each.after_ns
            message = stamped(each.message, stamp_ns)
            data = memoryview(STORE.serialize_cdr(message, kind))
            stream.update(data, stamp_ns + each.latency_ns)
        (profile,) = stream.windows.close()
        return window_of(profile)

    def windows(self, count: int, random: np.random.Generator, half: int | None) -> list[Window]:
        """Return so many windows of one half, one after the other."""
        return [
            self.window(number, self.sent(self.block(random, half), random))
            for number in range(count)
        ]


def stamped(message: Any, stamp_ns: int) -> Any:
    """Return message with another stamp."""
    time = STORE.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, NS))
    return replace(message, header=replace(message.header, stamp=time))


def read(name: str, topic: str) -> list[Any]:
    """Return the messages of a topic of a recording."""
    with AnyReader([FOLDER / name]) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        return [reader.deserialize(m[2], m[0].msgtype) for m in reader.messages(connections)]


def photographs(name: str, topic: str) -> list[Any]:
    """Return compressed images as raw ones of one size."""
    images = []
    for message in read(name, topic):
        pixels = cv2.resize(cv2.imdecode(message.data, cv2.IMREAD_COLOR), SIZE)
        images.append(
            STORE.types['sensor_msgs/msg/Image'](
                header=message.header,
                height=SIZE[1],
                width=SIZE[0],
                encoding='bgr8',
                is_bigendian=0,
                step=3 * SIZE[0],
                data=pixels.ravel(),
            )
        )
    return images


def lidar_like(cloud: Any, count: int) -> list[Any]:
    """Return clouds as a lidar would take that turns on the spot, from one real sweep.

    Turned by a few degrees, with noise on the ranges, and a few points lost.
    """
    random = np.random.default_rng(5)
    offsets = [f.offset for f in cloud.fields if f.name in {'x', 'y', 'z'}]
    rows = cloud.data.reshape(-1, cloud.point_step)
    rows = rows[random.permutation(len(rows))[:MOST_POINTS]]
    points = np.concatenate([rows[:, o : o + 4] for o in offsets], axis=1).view('<f4')
    clouds = []
    for _ in range(count):
        kept = random.random(len(rows)) > random.uniform(0.0, 0.04)
        angle = np.radians(random.uniform(-4, 4))
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])
        moved = points[kept] @ np.vstack([turn, [0, 0, 1]]).T.astype(np.float32)
        moved *= (1 + random.normal(0, 0.01, (len(moved), 1)) + random.normal(0, 0.02)).astype('f4')
        data = rows[kept].copy()
        for axis, offset in enumerate(offsets):
            data[:, offset : offset + 4] = moved[:, axis : axis + 1].astype('<f4').view(np.uint8)
        clouds.append(
            replace(cloud, height=1, width=len(data), row_step=data.size, data=data.ravel())
        )
    return clouds


@cache
def scene_messages() -> dict[str, list[Any]]:
    """Return the messages of the generated scene by topic."""
    made = scene.Scene(STORE)
    found: dict[str, list[Any]] = {}
    for index in range(SCENE_FRAMES):
        for sensor in (made.camera, made.lidar):
            for topic, message in sensor(index / 6.0):
                found.setdefault(topic, []).append(message)
    return found


def sequences() -> dict[str, Callable[[], Material]]:
    """Return what makes each sequence, by name, those of development first."""
    depth, plain = StreamConfig(kind='depth'), StreamConfig()
    found: dict[str, Callable[[], Material]] = {}

    def add(*about: Any, config: StreamConfig = plain) -> None:
        name, kind, split, per_window, build = about
        found[name] = lambda: Material(name, kind, split, build(), per_window, config)

    kinect, jpeg = 'kinect_rgbd', '/camera/image_raw/compressed'
    add('kinect colour', 'colour', 'dev', 12, partial(read, kinect, '/camera/color/image_raw'))
    add('euroc gray', 'gray', 'dev', 12, partial(read, 'euroc_camera_imu', '/cam0/image_raw'))
    add('hokuyo', 'scan', 'dev', 15, partial(read, 'scan_hokuyo_2010', '/scan'))
    for index in range(LIDARS):
        split = 'dev' if index % 2 else 'held-out'
        add(f'lidar {index}', 'cloud', split, 12, partial(lidar, index))
    add('scene colour', 'colour', 'dev', 12, partial(of_scene, '/camera/image_raw'))
    add(
        'scene depth',
        'depth',
        'dev',
        12,
        partial(of_scene, '/camera/depth/image_rect_raw'),
        config=depth,
    )
    add('scene boxes', 'boxes', 'dev', 30, partial(of_scene, '/detections'))
    add('scene lidar', 'cloud', 'dev', 12, partial(of_scene, '/lidar/points'))
    add('voc colour', 'colour', 'held-out', 20, partial(photographs, 'voc_detections', jpeg))
    add('voc boxes', 'boxes', 'held-out', 20, partial(read, 'voc_detections', '/detections'))
    rect, raw = '/camera/depth/image_rect', '/camera/depth/image_rect_raw'
    add('kinect depth', 'depth', 'held-out', 12, partial(read, kinect, rect), config=depth)
    add('kinect depth mm', 'depth', 'held-out', 12, partial(read, kinect, raw), config=depth)
    add('sick', 'scan', 'held-out', 20, partial(read, 'scan_sick_intel_lab', '/scan'))
    return found


def lidar(index: int) -> list[Any]:
    """Return clouds like those of one lidar model, the models by the size of their clouds."""
    clouds = read('lidar_sweeps', '/lidar/points')
    return lidar_like(sorted(clouds, key=lambda cloud: cloud.width * cloud.height)[index], 24)


def of_scene(topic: str) -> list[Any]:
    """Return the messages of one topic of the generated scene."""
    return scene_messages()[topic]
