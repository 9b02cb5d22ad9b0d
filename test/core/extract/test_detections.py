"""Odd detections, mappings of one's own, mappings that do not fit, and a real detector's output."""

import math
from collections import Counter

import numpy as np
import pytest

from profiler_node.core.decode import STORE, store_with, types_in
from profiler_node.core.extract.detections import DetectionMapping, DetectionsExtractor
from profiler_node.core.paths import PathError

NAN, INF = math.nan, math.inf
ITEMS = 'test_msgs/msg/Items'
DEFINITIONS = {
    ITEMS: 'std_msgs/Header header\nItem[] items\nstring[] names\nfloat64 number\nGroup[] groups',
    'test_msgs/msg/Group': 'Item[] items',
    'test_msgs/msg/Item': """
        uint8 kind
        bool good
        float64 score
        float64 width
        float64 height
        float64[] numbers
        float64[3] place
        uint8[16] uuid
        string name
        string[] names
        geometry_msgs/Point point
        geometry_msgs/Quaternion turn
        geometry_msgs/Point[] corners
        Part[] parts
        Word[] words
        builtin_interfaces/Time time
    """,
    'test_msgs/msg/Part': 'string name\nfloat64 score\nuint8[] codes',
    'test_msgs/msg/Word': 'string x\nfloat64 y',
}


def extended_store():
    types = dict(STORE.fielddefs)
    for name, text in DEFINITIONS.items():
        types |= types_in(name, text)
    return store_with(types)


TYPES = extended_store()


@pytest.fixture
def detected(serialized, profiled):
    """The profile of messages with these items, read by a mapping of these paths."""

    def profile(*messages, items='items', **mapping):
        data = [serialized(ITEMS, store=TYPES, items=message) for message in messages]
        mappings = {ITEMS: DetectionMapping(items=items, **mapping)}
        return profiled(ITEMS, *data, store=TYPES, mappings=mappings)

    return profile


def top(profile, name):
    return dict(profile.features[f'detections/{name}'].top(100))


def counts(profile):
    start = 'detections/count/'
    return {
        name.removeprefix(start): feature.moments
        for name, feature in profile.features.items()
        if name.startswith(start)
    }


def totals(profile):
    return {name: round(each.mean * each.count) for name, each in counts(profile).items()}


def test_no_detections_are_a_count_of_0_and_no_elements(detected):
    paths = {'label': 'name', 'score': 'score', 'width': 'width', 'track_id': 'name'}
    profile = detected([], [], **paths, position='point', orientation='turn', polygon='corners')
    count = profile.features['detections/count'].moments
    assert (count.count, count.min, count.max) == (2, 0, 0)
    for name in ('score', 'width', 'distance_m', 'yaw_rad', 'area'):
        assert profile.features[f'detections/{name}'].moments.count == 0
    assert profile.features['detections/label'].count == 0
    assert counts(profile) == {}


def test_a_label_counts_in_every_message_from_the_first_of_the_window(detected):
    messages = [[], [{'name': 'car'}] * 3, [{'name': 'dog'}], [{'name': 'car'}, {'name': 'dog'}]]
    profile = detected(*messages, label='name')
    car, dog = counts(profile)['car'], counts(profile)['dog']
    assert (car.count, car.min, car.max, car.mean) == (4, 0, 3, 1)
    assert (dog.count, dog.min, dog.max, dog.mean) == (4, 0, 1, 0.5)
    assert top(profile, 'label') == {'car': 4, 'dog': 2}


def test_the_labels_after_the_first_32_are_counted_together(detected):
    first = [{'name': f'label {i}'} for i in range(30)]
    second = [{'name': f'label {i}'} for i in range(20, 50)] * 2
    profile = detected(first, second, [], label='name')
    expected = {f'label {i}': 1 + 2 * (i >= 20) for i in range(30)}
    expected |= {'label 30': 2, 'label 31': 2, 'other': 36}
    assert totals(profile) == expected
    assert {each.count for each in counts(profile).values()} == {3}
    assert profile.features['detections/label'].count == 90


def test_the_features_stay_as_many_whatever_the_labels(serialized):
    extract = DetectionsExtractor(ITEMS, TYPES, DetectionMapping(items='items', label='name'))
    for start in range(0, 3000, 500):
        items = [{'name': f'label {i}'} for i in range(start, start + 500)]
        data = serialized(ITEMS, store=TYPES, items=items)
        observation = {}
        extract(TYPES.deserialize_cdr(data, ITEMS), observation)
    assert len(observation) == 2 + 32 + 1
    assert observation['detections/count/other'] == 500
    assert observation['detections/count/label 0'] == 0


@pytest.mark.parametrize(
    ('label', 'name'),
    [
        pytest.param('x' * 10_000, 'x' * 64, id='10 kB'),
        ('a\n\x00\x1b[31mb\x7f\u2028', 'a\ufffd\ufffd\ufffd[31mb\ufffd\ufffd'),
        ('traffic light/réd 🚦', 'traffic light/réd 🚦'),
        ('', 'none'),
        (' ', ' '),
    ],
)
def test_a_label_in_the_name_of_a_feature_is_short_and_printable(detected, label, name):
    profile = detected([{'name': label}] * 2, label='name')
    assert totals(profile) == {name: 2}
    said = {name[:119]: count for name, count in top(profile, 'label').items()}
    assert said == {label[:119] or 'none': 2}


def test_a_label_that_is_not_utf8_makes_the_message_unreadable(serialized, profiled):
    data = bytes(serialized(ITEMS, store=TYPES, items=[{'name': 'Laeufer'}]))
    data = data.replace(b'Laeufer', 'Läufer'.encode('latin-1') + b'r')
    mappings = {ITEMS: DetectionMapping(items='items', label='name')}
    profile = profiled(ITEMS, memoryview(data), store=TYPES, mappings=mappings)
    assert profile.counters.decode_errors == {'not_utf8': 1}


@pytest.mark.parametrize(
    ('path', 'values', 'labels', 'expected'),
    [
        ('kind', [0, 1, 1, 255], {1: 'car', 7: 'dog'}, {'0': 1, 'car': 2, '255': 1}),
        ('good', [True, False, True], {}, {'true': 2, 'false': 1}),
        ('good', [True, False, True], {True: 'yes'}, {'yes': 2, 'false': 1}),
        ('name', ['0', '1', 'x'], {0: 'person', 'x': 'y'}, {'person': 1, '1': 1, 'y': 1}),
        ('score', [1.0, 2.5, NAN, NAN, INF], {1: 'one'}, {'one': 1, '2.5': 1, 'nan': 2, 'inf': 1}),
    ],
)
def test_labels_of_any_single_kind_and_their_names(detected, path, values, labels, expected):
    profile = detected([{path: value} for value in values], label=path, labels=labels)
    assert top(profile, 'label') == totals(profile) == expected


@pytest.mark.parametrize(
    ('parts', 'label', 'score'),
    [
        ([], 'none', NAN),
        ([('a', NAN)], 'a', NAN),
        ([('a', NAN), ('b', -1.0), ('c', NAN)], 'b', -1.0),
        ([('a', 0.5), ('b', 0.5)], 'a', 0.5),
        ([('a', 0.5), ('b', INF)], 'b', INF),
    ],
)
def test_the_hypothesis_with_the_highest_score_counts(detected, same_numbers, parts, label, score):
    item = {'parts': [{'name': name, 'score': value} for name, value in parts]}
    paths = {'hypothesis_label': 'name', 'hypothesis_score': 'score'}
    profile = detected([item], hypotheses='parts', **paths)
    assert top(profile, 'label') == totals(profile) == {label: 1}
    same_numbers(profile.features['detections/score'], [score])


def test_label_and_score_of_a_detection_go_before_those_of_its_hypotheses(detected, same_numbers):
    item = {'name': 'whole', 'score': 0.25, 'parts': [{'name': 'part', 'score': 0.75}]}
    paths = {'hypotheses': 'parts', 'hypothesis_label': 'name', 'hypothesis_score': 'score'}
    profile = detected([item], label='name', score='score', **paths)
    assert top(profile, 'label') == {'whole': 1}
    same_numbers(profile.features['detections/score'], [0.25])


def test_odd_numbers_are_counted_as_they_are(detected, same_features):
    sizes = [(-4.0, 2.0), (3.0, 0.0), (NAN, 5.0), (INF, -INF), (1e150, 1e150), (0.0, -0.0)]
    items = [{'width': width, 'height': height, 'score': width} for width, height in sizes]
    profile = detected(items, width='width', height='height', score='score')
    widths = [-4.0, 3.0, NAN, INF, INF, 0.0]  # beyond 1e140 is infinite
    expected = {
        'count': [6],
        'width': widths,
        'height': [2.0, 0.0, 5.0, -INF, INF, 0.0],
        'score': widths,
        'area': [-8.0, 0.0, NAN, -INF, INF, 0.0],
        'aspect_ratio': [-2.0, NAN, NAN, NAN, 1.0, NAN],
    }
    same_features(profile, 'detections', expected)


def test_polygons_with_odd_points_do_not_warn(detected, same_numbers):
    corners = [{'x': INF, 'y': 1.0}, {'x': -INF, 'y': NAN}, {'x': INF, 'y': 1e308}]
    profile = detected([{'corners': corners}, {}], polygon='corners')
    same_numbers(profile.features['detections/width'], [INF, NAN])
    same_numbers(profile.features['detections/area'], [NAN, NAN])


@pytest.mark.parametrize(
    ('turn', 'yaw_rad'),
    [
        ((0.0, 0.0, 0.0, 0.0), NAN),
        ((0.0, 0.0, 0.0, 1.0), 0.0),
        ((0.0, 0.0, 5.0, 5.0), math.pi / 2),
        ((0.0, 0.0, -1.0, 1.0), -math.pi / 2),
        ((0.0, 0.0, 1.0, 0.0), math.pi),
        ((NAN, 0.0, 0.0, 1.0), NAN),
    ],
)
def test_yaw_of_quaternions_of_any_length(detected, same_numbers, turn, yaw_rad):
    profile = detected([{'turn': dict(zip('xyzw', turn, strict=True))}], orientation='turn')
    same_numbers(profile.features['detections/yaw_rad'], [yaw_rad], rounded=True)


def test_boxes_in_space_that_are_not_filled_in_beside_those_in_the_image_do_not_count(
    detected, same_features
):
    items = [
        {'width': 8.0, 'point': {'x': 3.0, 'z': 4.0}, 'place': [1.0, 2.0, 4.0]},
        {'width': 9.0, 'turn': {'w': 1.0}},
        {'width': 7.0, 'place': [2.0, 2.0, 2.0], 'turn': {'w': 1.0}},
    ]
    space = {'position': 'point', 'dimensions': 'place', 'orientation': 'turn'}
    expected = {
        'count': [3],
        'distance_m': [5.0, 0.0],
        'length_m': [1.0, 2.0],
        'width_m': [2.0, 2.0],
        'height_m': [4.0, 2.0],
        'volume_m3': [8.0, 8.0],
        'yaw_rad': [NAN, 0.0],
    }
    same_features(
        detected(items, width='width', **space), 'detections', expected | {'width': [8, 9, 7]}
    )
    alone = {name: [*values, *[0.0] * (name != 'count')] for name, values in expected.items()}
    same_features(detected(items, **space), 'detections', alone)


def test_vectors_and_edges_may_be_elements_of_arrays(detected, same_features):
    items = [
        {'place': [2.0, 3.0, 6.0], 'numbers': [10.0, 20.0, 14.0, 28.0]},
        {'place': [0.0, 0.0, 1.0], 'numbers': [10.0, 20.0, 11.0]},
    ]
    edges = {name: f'numbers[{i}]' for i, name in enumerate(('left', 'top', 'right', 'bottom'))}
    expected = {
        'count': [2],
        'distance_m': [7.0, 1.0],
        'width': [4.0, 1.0],
        'height': [8.0, NAN],
        'center_x': [12.0, 10.5],
        'center_y': [24.0, NAN],
        'area': [32.0, NAN],
        'aspect_ratio': [0.5, NAN],
    }
    same_features(detected(items, **edges, position='place'), 'detections', expected)


@pytest.mark.parametrize(
    ('where', 'count'),
    [
        ({'kind': [1, 3]}, 2),
        ({'kind': [1.0]}, 1),
        ({'good': [True]}, 3),
        ({'name': ['b', 4]}, 2),
        ({'good': [True], 'kind': [2, 3]}, 2),
        ({'numbers[0]': [7.0]}, 1),
        ({'kind': []}, 0),
    ],
)
def test_only_items_with_the_values_asked_for_count(detected, where, count):
    items = [
        {'kind': 1, 'good': True, 'name': 'a'},
        {'kind': 2, 'good': True, 'name': 'b', 'numbers': [7.0]},
        {'kind': 3, 'good': True, 'name': '4'},
        {'kind': 4},
    ]
    assert detected(items, where=where).features['detections/count'].moments.max == count


@pytest.mark.parametrize(
    ('path', 'values', 'ids'),
    [
        ('name', ['7', '', '7', '8'], {'7': 2, '8': 1}),
        ('kind', [0, 3, 3], {'0': 1, '3': 2}),
        ('uuid', [[1] * 16, [0] * 16], {'01' * 16: 1, '00' * 16: 1}),
    ],
)
def test_track_ids_of_any_kind(detected, path, values, ids):
    assert top(detected([{path: value} for value in values], track_id=path), 'track_id') == ids


def test_a_message_can_be_a_detection_and_lists_can_be_in_lists(serialized, profiled):
    groups = [{'items': [{'kind': 1}] * 2}, {}, {'items': [{'kind': 2}]}]
    data = serialized(ITEMS, store=TYPES, groups=groups, number=4.0)
    nested = DetectionMapping(items='groups.items', label='kind')
    profile = profiled(ITEMS, data, store=TYPES, mappings={ITEMS: nested})
    assert totals(profile) == {'1': 2, '2': 1}
    single = DetectionMapping(score='number', width=('nothing', 'number'))
    profile = profiled(ITEMS, data, store=TYPES, mappings={ITEMS: single})
    assert profile.features['detections/count'].moments.mean == 1
    assert profile.features['detections/width'].moments.mean == 4.0


PART = {'hypothesis_label': 'name', 'hypothesis_score': 'score'}


@pytest.mark.parametrize(
    ('mapping', 'told'),
    [
        ({'items': 'itemz'}, r"items: 'itemz': test_msgs/msg/Items has no field 'itemz'"),
        ({'items': 'names'}, r"items: 'names' of test_msgs/msg/Items is not a list of message"),
        ({'items': 'header'}, r"items: 'header' of test_msgs/msg/Items is not a list"),
        ({'items': 'number.x'}, r"'number.x': number has no field 'x'"),
        ({'label': 'names'}, r"label: 'names' of test_msgs/msg/Item is not a single"),
        ({'label': 'uuid'}, r"label: 'uuid' of test_msgs/msg/Item is not a single"),
        ({'label': 'parts.name'}, r"label: 'parts.name' of test_msgs/msg/Item is not a single"),
        ({'score': 'name'}, r"score: 'name' of test_msgs/msg/Item is not a single number"),
        ({'score': 'time'}, r"score: 'time' of test_msgs/msg/Item is not a single number"),
        ({'width': 'numbers'}, r"width: 'numbers' of test_msgs/msg/Item is not a single number"),
        ({'width': 'place[3]'}, r"width: 'place\[3\]': there are at most 3 elements"),
        ({'width': 'score[0]'}, r"width: 'score\[0\]' is no array"),
        ({'width': 'place[-1]'}, r"width: 'place\[-1\]' is no path"),
        ({'width': ('a', 'b')}, r"width: 'a': .*no field 'a'.*; 'b': .*no field 'b'"),
        ({'position': 'name'}, r"position: 'name\[0\]' is no array"),
        ({'position': 'parts'}, r"position: 'parts.x': test_msgs/msg/Part has no field 'x'"),
        ({'position': 'corners'}, r"position: 'corners.x' of test_msgs/msg/Item is not a single"),
        ({'orientation': 'point'}, r"orientation: 'point.w': geometry_msgs/msg/Point has no"),
        ({'orientation': 'place'}, r"orientation: 'place\[3\]': there are at most 3"),
        ({'polygon': 'point'}, r"polygon: 'point' of test_msgs/msg/Item is not a list"),
        ({'polygon': 'parts'}, r"polygon: 'x': test_msgs/msg/Part has no field 'x'"),
        ({'polygon': 'words'}, r"polygon: 'x' of test_msgs/msg/Word is not a single number"),
        ({'polygon': 'numbers'}, r"polygon: 'numbers' of test_msgs/msg/Item is not a list of mess"),
        ({'hypotheses': 'names', **PART}, r"hypotheses: 'names' of .*Item is not a list of mess"),
        ({'hypotheses': 'words', **PART}, r"hypothesis_label: 'name': test_msgs/msg/Word has no"),
        (
            {'hypotheses': 'parts', **PART, 'hypothesis_score': 'name'},
            r"hypothesis_score: 'name' of test_msgs/msg/Part is not a single number",
        ),
        (
            {'hypotheses': 'parts', **PART, 'hypothesis_label': 'codes'},
            r"hypothesis_label: 'codes' of test_msgs/msg/Part is not a single",
        ),
        ({'track_id': 'names'}, r"track_id: 'names' of test_msgs/msg/Item is not a single"),
        ({'track_id': 'parts.codes'}, r"track_id: 'parts.codes' of .*Item is not a single"),
        ({'where': {'names': ['a']}}, r"where: 'names' of test_msgs/msg/Item is not a single"),
        ({'where': {'no': [1]}}, r"where: 'no': test_msgs/msg/Item has no field 'no'"),
        ({'where': {'kind': ['1']}}, r"where: 'kind' of test_msgs/msg/Item is never '1'"),
        ({'where': {'name': [True]}}, r"where: 'name' of test_msgs/msg/Item is never True"),
        ({'label': 'kind', 'labels': {'1': 'a'}}, r"labels: 'kind' of .*Item is never '1'"),
        ({'label': 'name', 'labels': {1.5: 'a'}}, r"labels: 'name' of .*Item is never 1.5"),
    ],
)
def test_a_path_that_does_not_fit_is_told_at_the_start(mapping, told):
    with pytest.raises(PathError, match=told):
        DetectionsExtractor(ITEMS, TYPES, DetectionMapping(**({'items': 'items'} | mapping)))


def test_a_real_detector(replay, same_features):
    messages, profile = replay('voc_detections', '/detections')
    arrays = [message.detections for message in messages]
    every = [detection for array in arrays for detection in array]
    best = [max(d.results, key=lambda r: r.hypothesis.score).hypothesis for d in every]
    names = [[d.results[0].hypothesis.class_id for d in array] for array in arrays]
    labels = Counter(hypothesis.class_id for hypothesis in best)
    assert {len(d.results) for d in every} == {1}
    width = np.array([d.bbox.size_x for d in every])
    height = np.array([d.bbox.size_y for d in every])
    expected = {
        'count': [len(array) for array in arrays],
        'score': [hypothesis.score for hypothesis in best],
        'width': width,
        'height': height,
        'area': width * height,
        'aspect_ratio': width / height,
        'center_x': [d.bbox.center.position.x for d in every],
        'center_y': [d.bbox.center.position.y for d in every],
    }
    first = list(dict.fromkeys(name for found in names for name in found))[:32]
    for label in first:
        expected[f'count/{label}'] = [found.count(label) for found in names]
    expected['count/other'] = [sum(name not in first for name in found) for found in names]
    assert sum(expected['count/other']) > 0
    same_features(profile, 'detections', expected)
    feature = profile.features['detections/label']
    assert feature.count == len(every)
    assert dict(feature.top(100)) == labels
    assert profile.features['detections/track_id'].count == sum(bool(d.id) for d in every)
