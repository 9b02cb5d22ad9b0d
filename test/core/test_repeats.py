"""Whether a message says the same as the one before it, whatever its type and size."""

import tracemalloc
import weakref

import numpy as np
import pytest

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.decode import STORE, store_with, types_in
from profiler_node.core.profile import Source
from profiler_node.core.repeats import Repeats
from profiler_node.core.sketches import rank_error
from profiler_node.core.stream import Sensing, Stream

SECOND = 10**9
BEGINS_WITH_STAMP = 'test_msgs/msg/BeginsWithStamp'
ENDS_WITH_STAMP = 'test_msgs/msg/EndsWithStamp'
ENDS_WITH_HEADER = 'test_msgs/msg/EndsWithHeader'
TEXTS = {
    BEGINS_WITH_STAMP: 'builtin_interfaces/Time stamp\nstring name\nint32 level',
    ENDS_WITH_STAMP: 'string name\nint32 level\nbuiltin_interfaces/Time stamp',
    ENDS_WITH_HEADER: 'string name\nint32 level\nstd_msgs/Header header',
}
TYPES = {
    name: definition
    for key, text in TEXTS.items()
    for name, definition in types_in(key, text).items()
}
TEST_STORE = store_with(STORE.fielddefs | TYPES)


def stream_of(message_type, window_s=3600.0):
    source = Source('robot', 'stream', '/topic', message_type)
    return Stream(source, WindowConfig(window_s), SketchConfig(), Sensing(store=TEST_STORE))


def header(index, frame_id='base'):
    return {'stamp': {'sec': 3600 + index, 'nanosec': 7}, 'frame_id': frame_id}


def repeated_of(profile):
    """How many messages repeat the one before, of how many that have one before."""
    feature = profile.features.get('message/repeated')
    return (
        (round(feature.moments.mean * feature.moments.count), feature.moments.count)
        if feature
        else (0, 0)
    )


def counted(message_type, messages, **given):
    stream = stream_of(message_type)
    for index, message in enumerate(messages):
        assert stream.update(memoryview(message), (3600 + index) * SECOND, **given) == []
    (profile,) = stream.windows.close()
    assert profile.counters.seen == len(messages)
    return repeated_of(profile)


CONTENTS = {  # of two messages that differ
    'sensor_msgs/msg/Imu': [{'linear_acceleration': {'z': z}} for z in (9.81, 9.82)],
    'sensor_msgs/msg/JointState': [{'position': [1.0, position]} for position in (2.0, 3.0)],
    'sensor_msgs/msg/LaserScan': [{'ranges': np.full(30_000, r, np.float32)} for r in (1.0, 2.0)],
    'sensor_msgs/msg/Image': [
        {'encoding': 'mono8', 'height': 400, 'width': 500, 'step': 500, 'data': data}
        for data in (np.zeros(200_000, np.uint8), np.append(np.zeros(199_999, np.uint8), [1]))
    ],
    'sensor_msgs/msg/PointCloud2': [{'is_dense': dense} for dense in (False, True)],
}


@pytest.mark.parametrize('little_endian', [True, False])
@pytest.mark.parametrize('message_type', CONTENTS)
def test_the_stamp_is_no_part_of_what_is_repeated(serialized, message_type, little_endian):
    one, other = CONTENTS[message_type]
    order = (one, one, other, other, other, one)
    messages = [
        serialized(message_type, header=header(index), **content)
        for index, content in enumerate(order)
    ]
    if not little_endian:
        decoded = [STORE.deserialize_cdr(message, message_type) for message in messages]
        messages = [STORE.serialize_cdr(d, message_type, little_endian=False) for d in decoded]
    assert counted(message_type, messages) == (3, 5)


def test_the_frame_is_no_part_of_what_is_repeated(serialized):
    frames = ['imu_1', 'imu_2', 'imu_3']
    messages = [
        serialized('sensor_msgs/msg/Imu', header=header(index, frame_id))
        for index, frame_id in enumerate(frames)
    ]
    assert counted('sensor_msgs/msg/Imu', messages) == (2, 2)


def test_of_a_message_without_a_header_all_is_compared(serialized):
    messages = [serialized('std_msgs/msg/Float64', data=data) for data in (1.0, 1.0, 2.0)]
    assert counted('std_msgs/msg/Float64', messages) == (1, 2)
    messages = [serialized('std_msgs/msg/String', data=data) for data in ('a', 'a', 'b', 'b')]
    assert counted('std_msgs/msg/String', messages) == (2, 3)
    assert counted('std_msgs/msg/Empty', [serialized('std_msgs/msg/Empty')] * 3) == (2, 2)


@pytest.mark.parametrize(
    ('message_type', 'expected'),
    [(BEGINS_WITH_STAMP, (1, 2)), (ENDS_WITH_STAMP, (0, 0)), (ENDS_WITH_HEADER, (0, 0))],
)
def test_a_stamp_that_is_not_at_the_start_leaves_it_unknown(serialized, message_type, expected):
    """Rather than to say that nothing is ever repeated."""
    messages = []
    for index, level in enumerate((1, 1, 2)):
        time = header(index)
        stamp = {'header': time} if message_type == ENDS_WITH_HEADER else {'stamp': time['stamp']}
        messages.append(serialized(message_type, TEST_STORE, name='x', level=level, **stamp))
    assert counted(message_type, messages) == expected


def test_the_message_before_may_be_of_another_window_and_segment(serialized):
    stream = stream_of('sensor_msgs/msg/Imu', window_s=1.0)
    profiles = []
    for index, segment in enumerate(('a', 'a', 'b', 'b')):
        message = serialized('sensor_msgs/msg/Imu', header=header(index))
        profiles += stream.update(message, (3600 + index) * SECOND, segment)
    profiles += stream.windows.close()
    assert [repeated_of(profile) for profile in profiles] == [(0, 0), (1, 1), (1, 1), (1, 1)]


def test_after_a_restart_the_message_before_is_not_known(serialized):
    message = serialized('std_msgs/msg/Float64', data=1.0)
    before, after = stream_of('std_msgs/msg/Float64'), stream_of('std_msgs/msg/Float64')
    for stream in (before, after):
        for second in range(3):
            stream.update(message, (3600 + second) * SECOND)
        if stream is before:
            after.windows.resume(before.windows.snapshot())
    (profile,) = after.windows.close()
    assert profile.counters.seen == 6
    assert repeated_of(profile) == (4, 4)


def test_a_message_that_was_left_out_is_not_the_message_before(serialized):
    message = serialized('std_msgs/msg/Float64', data=1.0)
    stream = stream_of('std_msgs/msg/Float64')
    for second in range(3):
        stream.update(message, (3600 + second) * SECOND)
        stream.windows.add_shed((3600 + second) * SECOND)
    (profile,) = stream.windows.close()
    assert repeated_of(profile) == (2, 2)


def test_what_could_not_be_decoded_is_not_the_message_before(serialized):
    good = serialized('sensor_msgs/msg/Imu', header=header(0))
    cut = memoryview(bytes(good)[:-9])
    assert counted('sensor_msgs/msg/Imu', [cut, good, cut, good]) == (1, 1)


def test_a_message_whose_content_is_bad_is_compared_too(serialized):
    bad = {'encoding': 'no_such', 'height': 1, 'width': 1, 'step': 1, 'data': [1]}
    messages = [serialized('sensor_msgs/msg/Image', header=header(n), **bad) for n in range(3)]
    assert counted('sensor_msgs/msg/Image', messages) == (2, 2)


SIZES = (0, 1, 100, 4096, 2**16, 2**16 + 1, 2**17 + 5000, 2**18 + 4096, 10**6)


@pytest.mark.parametrize('size', SIZES)
def test_every_byte_counts(size):
    random = np.random.default_rng(1)
    data = random.integers(0, 256, size, np.uint8)
    repeats = Repeats()
    assert repeats(memoryview(data.tobytes())) is None
    assert repeats(memoryview(data.tobytes())) is True
    places = {0, size // 2, size - 1, 4095, 4096, 2**16, 2**17 + 4095, 2**17 + 4096}
    for place in sorted(place for place in places if 0 <= place < size):
        other = data.copy()
        other[place] ^= 1
        assert repeats(memoryview(other.tobytes())) is False, place
        assert repeats(memoryview(data.tobytes())) is False, place
        assert repeats(memoryview(data.tobytes())) is True
    assert repeats(memoryview(data.tobytes() + b'\0')) is False
    assert repeats(memoryview(data.tobytes())) is False


def test_a_small_message_keeps_no_part_of_what_it_was_in():
    chunk = np.zeros(10**6, np.uint8)
    gone = weakref.ref(chunk)
    repeats = Repeats()
    repeats(memoryview(chunk)[5:60])
    del chunk
    assert gone() is None


def test_a_large_message_is_not_copied():
    message = np.zeros(10**7, np.uint8)
    repeats = Repeats()
    tracemalloc.start()
    repeats(memoryview(message))
    assert repeats(memoryview(message)) is True
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize('count', [9, 257, 1000])
def test_the_feature_is_that_of_so_many_zeros_and_ones(serialized, count):
    random = np.random.default_rng(count)
    values = random.integers(0, 2, count).astype(float)
    stream = stream_of('std_msgs/msg/Float64')
    for index, value in enumerate(values):
        message = serialized('std_msgs/msg/Float64', data=value)
        stream.update(message, (3600 + index) * SECOND)
    (profile,) = stream.windows.close()
    same = (values[1:] == values[:-1]).astype(float)
    feature = profile.features['message/repeated']
    moments = feature.moments
    assert (moments.count, moments.mean) == (same.size, pytest.approx(same.mean(), rel=1e-15))
    assert moments.m2 == pytest.approx(same.var() * same.size, rel=1e-12)
    assert (moments.min, moments.max) == (same.min(), same.max())
    stamps = [3601 + int(np.argmin(same)), 3601 + int(np.argmax(same))]
    assert [moments.min_stamp_ns, moments.max_stamp_ns] == [s * SECOND for s in stamps]
    rank, error = 1 - same.mean(), 2 * rank_error(200)
    assert feature.quantiles([rank - error, rank + error]) == [0.0, 1.0]
