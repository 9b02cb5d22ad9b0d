"""The fields of any message type against a walk through the decoded message."""

import copy
import math
from collections import Counter

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

from profiler_node.core.config import StreamConfig
from profiler_node.core.decode import STORE, store_of
from profiler_node.core.extract.fields import MOST_LEAVES, FieldsExtractor
from profiler_node.core.paths import PathError

ROS = get_typestore(Stores.ROS2_JAZZY)  # as rosbags has it
FIELDS = StreamConfig(kind='fields')
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
TIMES = {'builtin_interfaces/msg/Time', 'builtin_interfaces/msg/Duration'}
DTYPES = {'byte': 'int8', 'char': 'uint8'}  # as rosbags has them
KEYWORDS = {'from', 'lambda', 'None', 'class'}  # as names of fields
TEXTS = ['', 'a', 'text with spaces', 'ümläüt \U0001f6a6', 'line\nline\x00\x1b[0m', 'x' * 120]


def split(description):
    """Whether a field is an array, how long at most, of what, and whether that is a message."""
    is_array = description[0] in {Nodetype.ARRAY, Nodetype.SEQUENCE}
    inner, length = description[1] if is_array else (description, 0)
    is_message = inner[0] == Nodetype.NAME
    return is_array, length, inner[1] if is_message else inner[1][0], is_message


def attribute(name):
    return f'{name}_' if name in KEYWORDS else name


def random_message(store, message_type, random):
    """A message of numbers of all kinds, and arrays of 0 to 4; all zero where random is None."""
    fields = store.fielddefs[message_type][1]
    values = {attribute(name): random_value(store, what, random) for name, what in fields}
    return store.types[message_type](**values)


def random_value(store, description, random):
    is_array, length, base, is_message = split(description)
    size = length if is_array else 1
    if description[0] == Nodetype.SEQUENCE:
        size = int(random.integers(0, min(length or 4, 4) + 1)) if random else 0
    if is_message:
        values = [random_message(store, base, random) for _ in range(size)]
    elif base == 'string':
        most = (description[1][0][1] if is_array else description[1])[1] or 999
        values = [TEXTS[random.integers(len(TEXTS)) if random else 0][:most] for _ in range(size)]
    else:
        values = random_numbers(np.dtype(DTYPES.get(base, base)), size, random)
        return values if is_array else values[0].item()
    return values if is_array else values[0]


def random_numbers(dtype, size, random):
    if not random:
        return np.zeros(size, dtype)
    if dtype.kind == 'f':
        values = random.normal(0, 10.0 ** random.integers(-3, 9), size).astype(dtype)
        values[random.random(size) < 0.1] = random.choice([np.nan, np.inf, -np.inf])
        return values
    if dtype.kind == 'b':
        return random.random(size) < 0.5
    limits = np.iinfo(dtype)
    values = random.integers(limits.min, limits.max, size, dtype, endpoint=True)
    values[random.random(size) < 0.1] = limits.max
    values[random.random(size) < 0.1] = limits.min
    return values


def without_stamps(message):
    """The message with all that could be its stamp 0, so that all are in one window."""
    for name in ('header', 'stamp', 'timestamp'):
        if kind := getattr(getattr(message, name, None), '__msgtype__', None):
            setattr(message, name, random_message(ROS, kind, None))
    return message


def walk(store, message_type, messages, path=''):
    """Yield path, values and whether they are text of all leaves of messages of a type."""
    for name, description in store.fielddefs[message_type][1]:
        is_array, _, base, is_message = split(description)
        if name.startswith('structure_needs') or (path, base) == ('', 'std_msgs/msg/Header'):
            continue
        values = [getattr(message, attribute(name)) for message in messages]
        if is_array:
            values = [element for array in values for element in array]
        if base in TIMES:
            yield f'{path}{name}', [time.sec + time.nanosec / 1e9 for time in values], False
        elif is_message:
            yield from walk(store, base, values, f'{path}{name}.')
        elif base == 'byte':  # an octet
            yield f'{path}{name}', [int(value) % 256 for value in values], False
        else:
            yield f'{path}{name}', values, base == 'string'


def check(profile, messages, store, same_numbers, message_type):
    """Assert that the fields of profile are all leaves of messages."""
    found = {
        name.removeprefix('field/'): feature
        for name, feature in profile.features.items()
        if name.startswith('field/')
    }
    if message_type == CAMERA_INFO:
        assert found.pop('calibration').count == len(messages)
    leaves = {path: leaf for path, *leaf in walk(store, message_type, messages)}
    assert found.keys() == leaves.keys()
    for path, (values, is_text) in leaves.items():
        if is_text:
            assert dict(found[path].top(100)) == Counter(values)
            assert found[path].count == len(values)
        else:
            same_numbers(found[path], np.array(values, np.float64), rounded='stamp' in path)


@pytest.mark.parametrize('message_type', ROS.fielddefs)
def test_every_message_type_of_ros(profiled, same_numbers, message_type):
    random = np.random.default_rng(5)
    messages = [random_message(ROS, message_type, each) for each in (None, *[random] * 4)]
    messages = list(map(without_stamps, messages))
    data = [ROS.serialize_cdr(message, message_type) for message in messages]
    profile = profiled(message_type, *data, config=FIELDS)
    assert profile.counters.decoded == 5
    check(profile, messages, ROS, same_numbers, message_type)


ODD = {
    'odd_msgs/msg/Odd': """
        int32 from
        string lambda
        bool None
        Empty nothing
        Empty[] nothings
        string<=5[<=3] words
        uint8[<=2] few
        char[3] letters
        byte octet
        byte[] octets
        Inner[] class
        Inner[2] pair
        builtin_interfaces/Duration[] times
    """,
    'odd_msgs/msg/Empty': '',
    'odd_msgs/msg/Inner': """
        float64[] numbers
        bool[] flags
        string[] words
        Deep[] deep
        builtin_interfaces/Time when
    """,
    'odd_msgs/msg/Deep': 'int64[2] pair\nuint64 large\nbuiltin_interfaces/Time[] stamps',
    'builtin_interfaces/msg/Time': 'int32 sec\nuint32 nanosec',
    'builtin_interfaces/msg/Duration': 'int32 sec\nuint32 nanosec',
}


def test_odd_names_empty_messages_and_arrays_in_arrays(profiled, same_numbers):
    store, random = store_of(ODD), np.random.default_rng(6)
    messages = [random_message(store, 'odd_msgs/msg/Odd', random) for _ in range(20)]
    data = [store.serialize_cdr(message, 'odd_msgs/msg/Odd') for message in messages]
    profile = profiled('odd_msgs/msg/Odd', *data, store=store)
    assert 'field/class.deep.stamps' in profile.features
    check(profile, messages, store, same_numbers, 'odd_msgs/msg/Odd')


def test_bytes_are_unsigned_wherever_their_definition_is_from(serialized, profiled):
    data = serialized('std_msgs/msg/Byte', data=200 - 256)
    for store in (STORE, store_of({'std_msgs/msg/Byte': 'byte data'})):
        profile = profiled('std_msgs/msg/Byte', data, store=store)
        assert profile.features['field/data'].moments.max == 200


def test_a_bool_that_is_neither_0_nor_1_is_true(serialized, profiled):
    kind = 'rcl_interfaces/msg/ParameterValue'
    true, false = (
        np.array(serialized(kind, bool_value=value, bool_array_value=[value] * 3))
        for value in (True, False)
    )
    seven = np.where(true == false, true, 7).astype(np.uint8)
    features = profiled(kind, memoryview(seven.tobytes())).features
    for name, count in (('bool_value', 1), ('bool_array_value', 3)):
        moments = features[f'field/{name}'].moments
        assert (moments.count, moments.min, moments.max, moments.mean) == (count, 1, 1, 1)


@pytest.mark.parametrize('count', [0, 1, 4096, 4097, 20_000])
@pytest.mark.parametrize('name', ['Int8', 'UInt8', 'Int16', 'Int64', 'UInt64', 'Float32'])
def test_arrays_of_any_length(serialized, profiled, same_numbers, name, count):
    kind, dtype = f'std_msgs/msg/{name}MultiArray', np.dtype(name.lower())
    random = np.random.default_rng(7)
    if dtype.kind == 'f':
        values = random.normal(0, 100, count).astype(dtype)
        values[::50] = np.nan
    else:
        limits = np.iinfo(dtype)
        values = random.integers(limits.min, limits.max, count, dtype, endpoint=True)
    profile = profiled(kind, serialized(kind, data=values))
    same_numbers(profile.features['field/data'], values)


def test_chosen_fields_by_their_names(serialized, profiled, same_numbers):
    names = ['left', 'right']
    messages = [{'name': names, 'position': [0.5, 1.5]}, {'name': names[:1], 'position': [2.5]}]
    fields = (
        'first=position[0]',
        ' second = position[1] ',
        'position',
        'name[1]',
        'header.stamp.sec',
    )
    data = [serialized('sensor_msgs/msg/JointState', **message) for message in messages]
    profile = profiled('sensor_msgs/msg/JointState', *data, config=StreamConfig(fields=fields))
    found = {name: feature for name, feature in profile.features.items() if 'field/' in name}
    numbers = {
        'field/first': [0.5, 2.5],
        'field/second': [1.5, np.nan],
        'field/position': [0.5, 1.5, 2.5],
        'field/header.stamp.sec': [0.0, 0.0],
    }
    assert found.keys() == numbers.keys() | {'field/name[1]'}
    for name, values in numbers.items():
        same_numbers(found[name], values)
    assert found['field/first'].kind == 'scalar'
    assert found['field/position'].kind == 'elements'
    assert found['field/name[1]'].top(9) == [('right', 1)]


@pytest.mark.parametrize(
    ('fields', 'told'),
    [
        (('position.x',), "'position.x': number has no field 'x'"),
        (('nothing',), "sensor_msgs/msg/JointState has no field 'nothing'; it has header, name, "),
        (('name', 'name'), 'each name once'),
        (('a=name', 'a=position'), 'each name once'),
        (('header',), 'header=header of sensor_msgs/msg/JointState is no value'),
        (('=position',), 'is no value with a name'),
        (('a=',), 'is no value with a name'),
        (('position[x]',), r"'position\[x\]' is no path"),
        (('position..x',), r"'position..x' is no path"),
        ([f'f{i}=position[{i}]' for i in range(MOST_LEAVES + 1)], 'at most 256'),
    ],
)
def test_fields_that_are_not_there_or_no_values_are_told_at_the_start(fields, told):
    with pytest.raises(PathError, match=told):
        FieldsExtractor('sensor_msgs/msg/JointState', STORE, fields)


@pytest.mark.parametrize('count', [MOST_LEAVES, MOST_LEAVES + 1])
def test_the_first_256_fields_are_taken(serialized, profiled, count):
    text = '\n'.join(f'float32 f{i}' for i in range(count))
    store = store_of({'odd_msgs/msg/Wide': text})
    extractor = FieldsExtractor('odd_msgs/msg/Wide', store)
    assert extractor.left_out == (count > MOST_LEAVES)
    profile = profiled(
        'odd_msgs/msg/Wide', serialized('odd_msgs/msg/Wide', store=store), store=store
    )
    fields = {name for name in profile.features if name.startswith('field/')}
    assert fields == {f'field/f{i}' for i in range(MOST_LEAVES)}


def calibration(serialized, profiled, **given):
    profile = profiled(CAMERA_INFO, serialized(CAMERA_INFO, **given), config=FIELDS)
    ((fingerprint, _),) = profile.features['field/calibration'].top(9)
    return fingerprint


GIVEN = {
    'height': 480,
    'width': 640,
    'distortion_model': 'plumb_bob',
    'd': [0.1, -0.25, 1e-3, 0.0, math.pi],
    'k': [500.0, 0, 320, 0, 500, 240, 0, 0, 1],
    'r': [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
    'p': [500.0, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0],
    'binning_x': 1,
    'binning_y': 1,
    'roi': {'x_offset': 1, 'y_offset': 2, 'height': 3, 'width': 4, 'do_rectify': False},
}


def changes():
    """All calibrations that differ from GIVEN in one number or in the model."""
    for name, value in GIVEN.items():
        if isinstance(value, list):
            for i in range(len(value)):
                changed = copy.deepcopy(GIVEN)
                changed[name][i] = math.nextafter(value[i], math.inf)
                yield changed
        elif isinstance(value, dict):
            for inner, number in value.items():
                yield GIVEN | {name: value | {inner: not number if number is False else number + 1}}
        else:
            yield GIVEN | {name: 'fisheye' if isinstance(value, str) else value + 1}
    yield GIVEN | {'d': GIVEN['d'][:4]}
    yield GIVEN | {'d': []}


def test_each_calibration_has_a_fingerprint_of_its_own(serialized, profiled):
    found = [calibration(serialized, profiled, **each) for each in (GIVEN, {}, *changes())]
    assert len(set(found)) == len(found) > 45
    assert {len(fingerprint) for fingerprint in found} == {16}


def test_the_fingerprint_does_not_depend_on_header_or_the_sign_of_zero(serialized, profiled):
    header = {'stamp': {'sec': 7}, 'frame_id': 'another'}
    zeros = GIVEN | {'d': [-0.0 if value == 0 else value for value in GIVEN['d']]}
    expected = calibration(serialized, profiled, **GIVEN)
    assert calibration(serialized, profiled, header=header, **zeros) == expected


def test_a_calibration_of_odd_numbers_has_a_fingerprint(serialized, profiled):
    signaling = np.array([0x7FF0000000000001], np.uint64).view(np.float64)
    found = {calibration(serialized, profiled, d=d) for d in ([math.nan], [math.inf], signaling)}
    assert len(found) >= 2


def test_chosen_fields_of_a_calibration_come_without_its_fingerprint(serialized, profiled):
    config = StreamConfig(fields=('k[0]',))
    profile = profiled(CAMERA_INFO, serialized(CAMERA_INFO, **GIVEN), config=config)
    assert [name for name in profile.features if 'field/' in name] == ['field/k[0]']


@pytest.mark.parametrize(
    ('name', 'topic'),
    [
        ('euroc_camera_imu', '/imu0'),
        ('euroc_camera_imu', '/cam0/camera_info'),
        ('realsense_d435', '/device_0/sensor_0/Depth_0/info'),
        ('realsense_d435', '/device_0/sensor_0/Depth_0/info/camera_info'),
        ('realsense_d435', '/device_0/sensor_0/option/Depth Units/value'),
        ('realsense_d435', '/device_0/sensor_0/option/Depth Units/description'),
        ('realsense_d435', '/device_0/sensor_0/Depth_0/image/metadata'),
        ('realsense_d435', '/device_0/sensor_0/Depth_0/tf/0'),
    ],
)
def test_real_messages(replay, recording, same_numbers, name, topic):
    messages, profile = replay(name, topic)
    kind = profile.source.message_type
    with AnyReader([recording(name)]) as reader:
        check(profile, messages, reader.typestore, same_numbers, kind)
    if kind == CAMERA_INFO:
        assert profile.features['field/calibration'].distinct == 1


def test_realsense_stream_info_is_known_by_the_recording_alone(replay):
    messages, profile = replay('realsense_d435', '/device_0/sensor_1/Color_0/info')
    assert profile.source.message_type not in STORE.fielddefs
    assert profile.features['field/encoding'].top(1) == [(messages[0].encoding, 1)]
