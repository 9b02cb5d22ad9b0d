"""Detection features of every shipped mapping against plain Python.

The definitions in detection_types.txt are our own: only names and types are those of the packages.
"""

import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from profiler_node.core.decode import STORE, store_with, types_in
from profiler_node.mappings import read_mappings

MAPPINGS = read_mappings()
NAN = math.nan
SAME_TYPES = {  # package names, and what the package was called before
    'autoware_perception_msgs': 'autoware_auto_perception_msgs',
    'yolo_msgs': 'yolov8_msgs',
    'zed_msgs': 'zed_interfaces',
}


def stores_of(text):
    """ROS's types and those in text by layout: a type on a line, its fields on the next ones."""
    types = defaultdict(lambda: dict(STORE.fielddefs))
    for block in text.split('\n\n'):
        head, _, fields = block.partition('\n')
        layout, _, name = head.rpartition(' ')
        package = name.partition('/')[0]
        before = name.replace(package, SAME_TYPES.get(package, package))
        for each in {name, before}:
            types[layout] |= types_in(each, fields.replace(package, each.partition('/')[0]))
    return {layout: store_with(types[''] | types[layout]) for layout in ('', 'galactic', 'foxy')}


STORES = stores_of(Path(__file__).with_name('detection_types.txt').read_text(encoding='utf-8'))


@pytest.fixture
def detected(serialized, profiled):
    """The profile of messages of a type, given as nested dicts."""

    def profile(message_type, *messages, layout=''):
        store = STORES[layout]
        data = [serialized(message_type, store=store, **message) for message in messages]
        return profiled(message_type, *data, store=store, mappings=MAPPINGS)

    return profile


class Box:
    """A detection with everything that any message type says of one, in numbers of float32."""

    def __init__(self, random, index):
        self.kind = int(random.integers(0, 3))
        self.score = float(np.float32(random.random()))
        whole = random.integers(1, 4000, 11)
        self.u, self.v, self.width, self.height = (whole[:4] + 4000).tolist()
        self.size = (whole[4:7] / 8).tolist()
        self.place = (whole[7:10] / 8 - 250).tolist()
        self.quaternion = (random.integers(-99, 99, 4) / 8).tolist()
        self.id = index % 5
        self.uuid = [self.id, 255, *[0] * 14]

    @property
    def label(self):
        return f'class {self.kind}'

    def pose(self):
        orientation = dict(zip('xyzw', self.quaternion, strict=True))
        return {'position': xyz(self.place), 'orientation': orientation}

    def flat(self, layout):
        center = {'x': self.u, 'y': self.v}
        center = center if layout else {'position': center}
        return {'center': center, 'size_x': self.width, 'size_y': self.height}

    def solid(self):
        return {'center': self.pose(), 'size': xyz(self.size)}

    def corners(self):
        left, top = self.u - self.width / 2, self.v - self.height / 2
        right, bottom = left + self.width, top + self.height
        return [(left, top), (right, top), (right, bottom), (left, bottom)]


def xyz(values):
    return dict(zip('xyz', values, strict=True))


def hypotheses(box, layout):
    """Three of them, of which the second is the best."""
    found = [('poor', box.score / 2), (box.label, box.score), ('bad', NAN)]
    name = 'id' if layout == 'foxy' else 'class_id'
    return [{name: label, 'score': score} for label, score in found]


def hypotheses_with_pose(box, layout):
    found = hypotheses(box, layout)
    return found if layout == 'foxy' else [{'hypothesis': item} for item in found]


def vision(box, layout, bbox):
    name = 'tracking_id' if layout == 'foxy' else 'id'
    return {'results': hypotheses_with_pose(box, layout), 'bbox': bbox, name: str(box.id)}


def autoware(box, pose='pose_with_covariance', **more):
    classes = [(2, 0.1), (box.kind, 0.7), (9, 0.2)]
    return more | {
        'existence_probability': box.score,
        'classification': [{'label': n, 'probability': p} for n, p in classes],
        'kinematics': {pose: {'pose': box.pose()}},
        'shape': {'dimensions': xyz(box.size)},
    }


def yolo(box):
    center = {'position': {'x': box.u, 'y': box.v}}
    return {
        'class_name': box.label,
        'score': box.score,
        'id': str(box.id),
        'bbox': {'center': center, 'size': {'x': box.width, 'y': box.height}},
        'bbox3d': box.solid(),
    }


def zed(box):
    box.u, box.v = 3000 + box.width / 2, 4000 + box.height / 2
    length, width, height = box.size
    return {
        'label': box.label,
        'label_id': box.id,
        'confidence': box.score,
        'position': box.place,
        'bounding_box_2d': {'corners': [{'kp': list(map(int, kp))} for kp in box.corners()]},
        'dimensions_3d': [width, height, length],
    }


def derived(box):
    box.score = float(round(255 * box.score))
    return {
        'id': box.id,
        'pose': box.pose(),
        'shape': {'type': 1, 'dimensions': box.size},
        'classification': box.kind,
        'classification_certainty': int(box.score),
    }


IMAGE = ['width', 'height', 'area', 'aspect_ratio', 'center_x', 'center_y']
SIZE = ['length_m', 'width_m', 'height_m', 'volume_m3']
SPACE = [*SIZE, 'distance_m', 'yaw_rad']
LAYOUTS = {  # the list, an item of it, what is profiled
    'vision_msgs/msg/Detection2DArray': (
        'detections',
        lambda box, layout: vision(box, layout, box.flat(layout)),
        ['score', 'label', 'id', *IMAGE],
    ),
    'vision_msgs/msg/Detection3DArray': (
        'detections',
        lambda box, layout: vision(box, layout, box.solid()),
        ['score', 'label', 'id', *SPACE],
    ),
    'vision_msgs/msg/BoundingBox2DArray': ('boxes', Box.flat, IMAGE),
    'vision_msgs/msg/BoundingBox3DArray': ('boxes', lambda box, _: box.solid(), SPACE),
    'depthai_ros_msgs/msg/SpatialDetectionArray': (
        'detections',
        lambda box, layout: {
            'results': hypotheses(box, layout),
            'bbox': box.flat(layout),
            'position': xyz(box.place),
            'tracking_id': str(box.id),
        },
        ['score', 'label', 'id', *IMAGE, 'distance_m'],
    ),
    'depthai_ros_msgs/msg/TrackDetection2DArray': (
        'detections',
        lambda box, layout: {
            'results': hypotheses_with_pose(box, layout),
            'bbox': box.flat(layout),
            'tracking_id': str(box.id),
        },
        ['score', 'label', 'id', *IMAGE],
    ),
    'autoware_perception_msgs/msg/DetectedObjects': (
        'objects',
        lambda box, _: autoware(box),
        ['score', 'label', *SPACE],
    ),
    'autoware_perception_msgs/msg/TrackedObjects': (
        'objects',
        lambda box, _: autoware(box, object_id={'uuid': box.uuid}),
        ['score', 'label', 'uuid', *SPACE],
    ),
    'autoware_perception_msgs/msg/PredictedObjects': (
        'objects',
        lambda box, _: autoware(box, 'initial_pose_with_covariance', object_id={'uuid': box.uuid}),
        ['score', 'label', 'uuid', *SPACE],
    ),
    'yolo_msgs/msg/DetectionArray': (
        'detections',
        lambda box, _: yolo(box),
        ['score', 'label', 'id', *IMAGE, *SPACE],
    ),
    'zed_msgs/msg/ObjectsStamped': (
        'objects',
        lambda box, _: zed(box),
        ['score', 'label', 'id', *IMAGE, *SIZE, 'distance_m'],
    ),
    'derived_object_msgs/msg/ObjectArray': (
        'objects',
        lambda box, _: derived(box),
        ['score', 'label', 'id', *SPACE],
    ),
    'radar_msgs/msg/RadarTracks': (
        'tracks',
        lambda box, _: {
            'uuid': {'uuid': box.uuid},
            'position': xyz(box.place),
            'size': xyz(box.size),
            'classification': box.kind,
        },
        ['label', 'uuid', *SIZE, 'distance_m'],
    ),
    'foxglove_msgs/msg/ImageAnnotations': (
        'points',
        lambda box, _: {'type': 2, 'points': [{'x': x, 'y': y} for x, y in box.corners()]},
        IMAGE,
    ),
}
LAYOUTS |= {
    message_type.replace(now, before): case
    for now, before in SAME_TYPES.items()
    for message_type, case in LAYOUTS.items()
    if message_type.startswith(now)
}
LABELS = {  # of kinds 0, 1 and 2
    'autoware': ['unknown', 'car', 'truck'],
    'derived': ['unknown', 'unknown_small', 'unknown_medium'],
    'radar': ['no_classification', 'static', 'dynamic'],
}


def plain_features(box):
    length, width, height = box.size
    x, y, z, w = box.quaternion
    return {
        'score': box.score,
        'width': box.width,
        'height': box.height,
        'area': box.width * box.height,
        'aspect_ratio': box.width / box.height,
        'center_x': box.u,
        'center_y': box.v,
        'length_m': length,
        'width_m': width,
        'height_m': height,
        'volume_m3': length * width * height,
        'distance_m': math.hypot(*box.place),
        'yaw_rad': math.atan2(2 * (w * z + x * y), w * w + x * x - y * y - z * z),
    }


def test_every_shipped_mapping_is_tested():
    assert MAPPINGS.keys() == {*LAYOUTS, 'geometry_msgs/msg/PolygonStamped'}


@pytest.mark.parametrize(
    ('message_type', 'layout'),
    [
        *((message_type, '') for message_type in LAYOUTS),
        *((name, 'galactic') for name in LAYOUTS if name.startswith(('vision', 'depthai'))),
        *((name, 'foxy') for name in LAYOUTS if name.startswith(('vision', 'depthai'))),
    ],
)
def test_a_shipped_mapping_against_plain_python(detected, same_numbers, message_type, layout):
    items, item, wanted = LAYOUTS[message_type]
    random = np.random.default_rng(3)
    messages = [[Box(random, i) for i in range(size)] for size in (0, 1, 7, 0, 60)]
    given = [{items: [item(box, layout) for box in boxes]} for boxes in messages]
    profile = detected(message_type, *given, layout=layout)
    assert profile.counters.decoded == len(messages)
    every = [box for boxes in messages for box in boxes]
    expected = {'count': [len(boxes) for boxes in messages]}
    for name in set(wanted) - {'label', 'id', 'uuid'}:
        expected[name] = [plain_features(box)[name] for box in every]
    categories = {}
    if 'label' in wanted:
        names = LABELS.get(message_type.partition('_')[0], [f'class {i}' for i in range(3)])
        categories['label'] = Counter(names[box.kind] for box in every)
        for kind, name in enumerate(names):
            of_kind = [[box for box in boxes if box.kind == kind] for boxes in messages]
            expected[f'count/{name}'] = [len(boxes) for boxes in of_kind]
    if 'id' in wanted:
        categories['track_id'] = Counter(str(box.id) for box in every)
    if 'uuid' in wanted:
        categories['track_id'] = Counter(bytes(box.uuid).hex() for box in every)
    found = {
        name.removeprefix('detections/'): feature
        for name, feature in profile.features.items()
        if name.startswith('detections/')
    }
    assert found.keys() == expected.keys() | categories.keys()
    for name, values in expected.items():
        same_numbers(found[name], values, rounded=name in {'distance_m', 'yaw_rad'})
    for name, counts in categories.items():
        assert dict(found[name].top(100)) == counts
        assert found[name].distinct == len(counts)


def test_a_polygon_is_one_detection_unless_it_has_no_points(detected, same_features):
    polygons = [
        [(2.0, 1.0), (6.0, 1.0), (2.0, 4.0)],
        [],
        [(-1.0, 0.0), (3.0, 0.0), (3.0, 2.0), (1.0, 2.0), (1.0, 5.0), (-1.0, 5.0)],
        [(1.0, 1.0)],
    ]
    messages = [{'polygon': {'points': [{'x': x, 'y': y} for x, y in p]}} for p in polygons]
    profile = detected('geometry_msgs/msg/PolygonStamped', *messages)
    expected = {
        'count': [1, 0, 1, 1],
        'width': [4, 4, 0],
        'height': [3, 5, 0],
        'area': [6, 14, 0],
        'aspect_ratio': [4 / 3, 4 / 5, NAN],
        'center_x': [4, 1, 1],
        'center_y': [2.5, 2.5, 1],
    }
    same_features(profile, 'detections', expected)


def test_only_closed_lines_of_annotations_are_polygons(detected):
    points = [{'type': kind, 'points': [{'x': 1.0}]} for kind in range(5)]
    profile = detected('foxglove_msgs/msg/ImageAnnotations', {'points': points})
    assert profile.features['detections/count'].moments.max == 1
