"""Windows of generated messages, with a fault or without."""

import numpy as np
import pytest

from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.profile import Source
from profiler_node.core.stream import Sensing, Stream
from profiler_node.detect.statistics import window_of
from profiler_node.mappings import all_mappings

MINUTE = 60 * 10**9
START = 1_700_000_040 * 10**9
MESSAGES = 8
HEIGHT, WIDTH = 48, 64
IMAGE, CLOUD = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/PointCloud2'
BOXES = 'vision_msgs/msg/Detection2DArray'


def colours(random, _):
    """A wall that is more red than green than blue, with a texture that differs by image."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    texture = 20 * np.sin(rows / random.uniform(2, 3)) * np.cos(columns / random.uniform(2, 3))
    light = random.normal(1.0, 0.02)
    image = np.array([60.0, 100.0, 150.0]) * light + texture[..., None]
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def depths(random, _):
    """A slope from 1 to 5 m [mm]; some pixels have none."""
    image = np.linspace(1000, 5000, HEIGHT)[:, None] * random.normal(1.0, 0.02, (1, WIDTH))
    image[random.random(image.shape) < 0.1] = 0
    return image.astype('<u2')


def points(random, _):
    """A round room of about 8 m, (3600, 3) float32."""
    azimuth = np.radians(np.arange(3600) / 10 - 180)
    distance = 8 + np.sin(3 * azimuth) + random.normal(0, 0.05, azimuth.shape)
    flat = np.cos(azimuth) * distance, np.sin(azimuth) * distance
    return np.stack([*flat, random.normal(0, 0.2, azimuth.shape)], axis=1).astype('<f4')


def boxes(random, _):
    """Six boxes or so: label, score, width and height."""
    return [
        (
            str(random.choice(['person', 'cart', 'shelf'], p=[0.5, 0.3, 0.2])),
            float(np.clip(random.normal(0.8, 0.05), 0, 1)),
            float(random.lognormal(4, 0.3)),
            float(random.lognormal(4.5, 0.3)),
        )
        for _ in range(5 + random.integers(3))
    ]


@pytest.fixture(scope='session')
def messages(serialized, vision_store):
    """Serializes what the functions above return, by stream."""

    def header(stamp_ns, frame_id):
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        return {'stamp': {'sec': seconds, 'nanosec': nanoseconds}, 'frame_id': frame_id}

    def image(pixels, encoding, stamp_ns, frame_id):
        rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
        return serialized(
            IMAGE,
            header=header(stamp_ns, frame_id),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            step=rows.shape[1],
            data=rows.ravel(),
        )

    def cloud(xyz, stamp_ns, frame_id):
        fields = [
            {'name': name, 'offset': 4 * index, 'datatype': 7, 'count': 1}
            for index, name in enumerate('xyz')
        ]
        return serialized(
            CLOUD,
            header=header(stamp_ns, frame_id),
            height=1,
            width=len(xyz),
            fields=fields,
            point_step=12,
            row_step=12 * len(xyz),
            data=np.ascontiguousarray(xyz).view(np.uint8).ravel(),
        )

    def detections(found, stamp_ns, frame_id):
        items = [
            {
                'results': [{'hypothesis': {'class_id': label, 'score': score}}],
                'bbox': {
                    'center': {'position': {'x': 30.0, 'y': 20.0}},
                    'size_x': width,
                    'size_y': height,
                },
            }
            for label, score, width, height in found
        ]
        return serialized(BOXES, vision_store, header=header(stamp_ns, frame_id), detections=items)

    def serialize(stream, content, stamp_ns, frame_id='optical'):
        if stream == 'camera':
            return image(content, 'bgr8', stamp_ns, frame_id)
        if stream == 'depth':
            return image(content, '16UC1', stamp_ns, frame_id)
        make = cloud if stream == 'lidar' else detections
        return make(content, stamp_ns, frame_id)

    return serialize


MAKE = {'camera': colours, 'depth': depths, 'lidar': points, 'boxes': boxes}
TYPES = {'camera': IMAGE, 'depth': IMAGE, 'lidar': CLOUD, 'boxes': BOXES}


@pytest.fixture(scope='session')
def profile_at(messages, vision_store):
    """Profiles the messages of one minute of a stream.

    fault: changes the content of each. count: how many. keep: which of them are sent. late_ns: how
    late. tags, robot_id, frame_id: as they are named.
    """

    def profile(
        stream,
        minute,
        fault=None,
        *,
        count=MESSAGES,
        keep=lambda _: True,
        late_ns=10**7,
        robot_id='r1',
        tags=None,
        frame_id='optical',
        seed=0,
    ):
        random = np.random.default_rng([seed, minute, sum(map(ord, stream + robot_id))])
        config = StreamConfig(kind='depth') if stream == 'depth' else StreamConfig()
        sensing = Sensing(config=config, store=vision_store, mappings=all_mappings(''))
        source = Source(robot_id, stream, f'/{stream}', TYPES[stream], tags or {})
        made = Stream(source, WindowConfig(60.0), SketchConfig(), sensing)
        start_ns = START + minute * MINUTE
        for index in range(count):
            content = MAKE[stream](random, index)
            if fault:
                content = fault(content, random)
            stamp_ns = start_ns + int((index + 0.5) * MINUTE / count)
            if keep(index):
                data = memoryview(messages(stream, content, stamp_ns, frame_id))
                assert made.update(data, stamp_ns + late_ns) == []
        (result,) = made.windows.close()
        return result

    return profile


@pytest.fixture(scope='session')
def window_at(profile_at):
    """What is compared of the messages of one minute; as profile_at."""
    return lambda *args, **kwargs: window_of(profile_at(*args, **kwargs))


@pytest.fixture(scope='session')
def normal_windows(window_at):
    """Forty good windows of each stream."""
    return {stream: [window_at(stream, minute) for minute in range(40)] for stream in MAKE}
