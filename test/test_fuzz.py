"""Damaged messages: whatever the bytes, a stream counts them, in bounded memory and time.

FUZZ_MESSAGES says how many to try, FUZZ_SEED which ones.
"""

import os
import resource
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.decode import STORE, store_of
from profiler_node.core.pixels.encodings import ENCODINGS
from profiler_node.core.profile import Source
from profiler_node.core.stream import Sensing, Stream
from profiler_node.mappings import all_mappings
from profiler_node.wire.codec import decode, encode

MESSAGES = int(os.environ.get('FUZZ_MESSAGES', '20000'))
SEED = int(os.environ.get('FUZZ_SEED', '1'))
MEMORY_BYTES = 500_000_000  # that all streams and messages may take together
CPU_S = 5.0  # that one message may take
LARGE_BYTES = 100_000  # larger ones get a tenth of the turns
NASTY = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 0x7F800000, 0x7FC00000, 2**16], '<u4')
MAPPINGS = all_mappings()
DEPTH = StreamConfig(kind='depth', depth_max_m=10.0)


@dataclass
class Sample:
    """Good messages of one stream."""

    message_type: str
    messages: list[bytes]
    config: StreamConfig = field(default_factory=StreamConfig)
    store: object = STORE

    def stream(self):
        sensing = Sensing(self.config, self.store, MAPPINGS)
        source = Source('robot', 'stream', '/topic', self.message_type)
        return Stream(source, WindowConfig(), SketchConfig(), sensing)


def damaged(random, message):
    """The message with some of its bytes changed, most often near the start, or cut, or longer."""
    data = np.frombuffer(message, np.uint8).copy()
    for _ in range(random.integers(1, 5)):
        if not data.size:
            break
        reach = data.size if random.random() < 0.4 else min(data.size, 200)
        at = int(random.integers(reach))
        match random.integers(7):
            case 0:
                data[at] ^= 1 << random.integers(8)
            case 1:
                data[at : at + 8] = random.integers(0, 256, data[at : at + 8].size)
            case 2 | 3:  # a length, a size or a number
                word = at // 4 * 4
                data[word : word + 4] = random.choice(NASTY, 1).view(np.uint8)[: data.size - word]
            case 4:
                data = data[:at]
            case 5:
                data = np.delete(data, slice(at, at + int(random.integers(1, 64))))
            case 6:
                data = np.insert(data, at, data[: random.integers(1, 64)])
    return data.tobytes()


def damage(samples, count):
    """Feed count damaged messages, by turns, and check the books of each stream."""
    streams = [sample.stream() for sample in samples]
    fed, closed = [0] * len(samples), [[] for _ in samples]
    turn = -1
    while sum(fed) < count:
        turn += 1
        which = turn % len(samples)
        sample, random = samples[which], np.random.default_rng([SEED, turn])
        message = sample.messages[random.integers(len(sample.messages))]
        if len(message) > LARGE_BYTES and turn // len(samples) % 10:
            continue
        data = memoryview(damaged(random, message))
        before_s = time.thread_time()
        try:
            closed[which] += streams[which].update(data, 10**18 + turn * 10**8)
        except Exception as error:
            text = f'{sample.message_type}, FUZZ_SEED={SEED}, turn {turn}: {error!r}'
            raise AssertionError(text) from error
        assert time.thread_time() - before_s < CPU_S, (sample.message_type, turn)
        fed[which] += 1
    for stream, profiles, total in zip(streams, closed, fed, strict=True):
        profiles.extend(stream.windows.close())
        assert sum(profile.counters.seen for profile in profiles) == total
    every = [profile for profiles in closed for profile in profiles]
    for profile in every:
        counters = profile.counters
        errors = sum(counters.decode_errors.values())
        assert counters.seen == counters.decoded + errors + counters.late
        assert decode(encode(profile)) == profile
    return every


@pytest.fixture
def memory():
    """Makes allocations fail that are much larger than the messages warrant."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def images(image):
    """An image of each encoding, of random pixels."""
    random = np.random.default_rng(2)
    messages = []
    for name, encoding in ENCODINGS.items():
        rows = 12 * encoding.rows // 2
        pixels = random.integers(0, 256, (rows, 16 * encoding.pixel_bytes), dtype=np.uint8)
        messages.append(bytes(image(pixels, name, height=12, width=16)))
    return messages


def compressed(serialized):
    """Compressed images of each format, small and smooth."""
    gray = cv2.resize(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3, (40, 30))
    colour = cv2.applyColorMap(gray, cv2.COLORMAP_JET)
    deep = gray.astype(np.uint16) * 200
    formats = {
        'bgr8; jpeg compressed bgr8': ('.jpg', colour),
        'mono8; jpeg compressed ': ('.jpg', gray),
        'bgr8; png compressed bgr8': ('.png', colour),
        '16UC1; png compressed ': ('.png', deep),
        'webp': ('.webp', colour),
        '16UC1; compressedDepth png': ('.png', deep),
        '32FC1; compressedDepth png': ('.png', deep),
        '16UC1; compressedDepth rvl': ('rvl', np.arange(400, dtype=np.uint8)),
    }
    messages = []
    for name, (suffix, pixels) in formats.items():
        data = pixels if suffix == 'rvl' else cv2.imencode(suffix, pixels)[1].ravel()
        if 'compressedDepth' in name:
            head = [np.array([0], '<i4'), np.array([100.0, 0.5], '<f4')]
            head += [np.array([20, 10], '<u4')] if suffix == 'rvl' else []
            data = np.concatenate([*(part.view(np.uint8) for part in head), data])
        message = serialized('sensor_msgs/msg/CompressedImage', format=name, data=data)
        messages.append(bytes(message))
    return messages


def cloud(serialized):
    """A cloud with fields of all kinds."""
    record = np.dtype(
        {
            'names': ['x', 'y', 'z', 'intensity', 'ring', 't'],
            'formats': ['<f4', '<f4', '<f4', 'u1', '<u2', '<f8'],
            'offsets': [0, 4, 8, 12, 14, 16],
            'itemsize': 24,
        }
    )
    points = np.zeros(50, record)
    points['x'] = np.linspace(-5, 5, 50)
    types = {'f4': 7, 'u1': 2, 'u2': 4, 'f8': 8}
    fields = [
        {'name': name, 'offset': offset, 'datatype': types[dtype.str[1:]], 'count': 1}
        for name, (dtype, offset) in record.fields.items()
    ]
    data = points.view(np.uint8).ravel()
    message = serialized(
        'sensor_msgs/msg/PointCloud2',
        **{'height': 5, 'width': 10, 'fields': fields, 'point_step': 24, 'row_step': 240},
        data=data,
    )
    return [bytes(message)]


def boxes(serialized, store):
    """Detections with several hypotheses."""
    results = [{'hypothesis': {'class_id': name, 'score': 0.5}} for name in ('car', 'person')]
    box = {'size_x': 4.0, 'size_y': 3.0, 'center': {'position': {'x': 9.0, 'y': 8.0}}}
    detection = {'results': results, 'bbox': box, 'id': '7'}
    kind = 'vision_msgs/msg/Detection2DArray'
    return [bytes(serialized(kind, store=store, detections=[detection] * n)) for n in (0, 1, 5)]


OTHERS = {
    'sensor_msgs/msg/CameraInfo': {'d': [0.1] * 5, 'k': [500.0] * 9},
    'sensor_msgs/msg/Imu': {},
    'sensor_msgs/msg/JointState': {'name': ['a', 'b'], 'position': [1.0, 2.0]},
    'sensor_msgs/msg/LaserScan': {'ranges': [1.0] * 90, 'range_max': 9.0, 'intensities': [3.0]},
    'sensor_msgs/msg/MultiEchoLaserScan': {'ranges': [{'echoes': [1.0, 2.0]}] * 9},
    'diagnostic_msgs/msg/DiagnosticArray': {'status': [{'name': 'x', 'values': [{'key': 'k'}]}]},
    'geometry_msgs/msg/PolygonStamped': {'polygon': {'points': [{'x': 1.0}, {'y': 2.0}, {}]}},
    'nav_msgs/msg/OccupancyGrid': {'data': [0, 50, -1] * 40},
    'nav_msgs/msg/Odometry': {},
    'nav_msgs/msg/Path': {'poses': [{'header': {'frame_id': 'map'}}] * 20},
    'std_msgs/msg/Float64MultiArray': {'data': [1.0] * 30},
    'std_msgs/msg/String': {'data': 'driving'},
    'tf2_msgs/msg/TFMessage': {'transforms': [{'child_frame_id': 'base'}] * 3},
}


@pytest.mark.usefixtures('memory')
def test_damaged_small_messages_of_every_kind(image, serialized, vision_store):
    picture, small = 'sensor_msgs/msg/Image', compressed(serialized)
    samples = [
        Sample(picture, images(image)),
        Sample(picture, images(image), DEPTH),
        Sample('sensor_msgs/msg/CompressedImage', small),
        Sample('sensor_msgs/msg/CompressedImage', small, DEPTH),
        Sample('sensor_msgs/msg/PointCloud2', cloud(serialized)),
        Sample(
            'vision_msgs/msg/Detection2DArray', boxes(serialized, vision_store), store=vision_store
        ),
        *(Sample(kind, [bytes(serialized(kind, **given))]) for kind, given in OTHERS.items()),
    ]
    profiles = damage(samples, MESSAGES // 2)
    reasons = {reason for profile in profiles for reason in profile.counters.decode_errors}
    assert {'malformed', 'short_data', 'bad_step', 'unsupported_encoding', 'bad_fields'} <= reasons
    assert sum(profile.counters.decoded for profile in profiles) > MESSAGES // 20


@pytest.mark.usefixtures('memory')
def test_damaged_messages_of_real_recordings(recordings):
    samples = []
    for path in recordings:
        with Reader(path) as reader:
            seen = set()
            for connection in reader.connections:
                if connection.msgtype in seen and 'Image' not in connection.msgtype:
                    continue
                seen.add(connection.msgtype)
                store = store_of({connection.msgtype: connection.msgdef.data})
                taken = islice(reader.messages([connection]), 3)
                messages = [bytes(data) for _, _, data in taken]
                samples.append(Sample(connection.msgtype, messages, store=store))
    assert len(samples) > 15
    damage(samples, MESSAGES - MESSAGES // 2)
