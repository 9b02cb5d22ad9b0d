"""One stream: stamps, health of the messages, and the choice of what extracts the features."""

import pytest

from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.decode import NO_TYPES, store_of
from profiler_node.core.extract.detections import DetectionMapping
from profiler_node.core.paths import PathError
from profiler_node.core.profile import Source
from profiler_node.core.stream import Sensing, Stream

SECOND = 10**9
TIME = {'builtin_interfaces/msg/Time': 'int32 sec\nuint32 nanosec'}
RECEIVED = 10**18
TWIST, FLOAT = 'geometry_msgs/msg/TwistStamped', 'std_msgs/msg/Float64'


def make(message_type=TWIST, **sensing):
    source = Source('robot', 'stream', '/topic', message_type)
    return Stream(source, WindowConfig(3600.0), SketchConfig(), Sensing(**sensing))


@pytest.fixture
def twist(serialized):
    def serialize(stamp_ns):
        seconds, nanoseconds = divmod(stamp_ns, SECOND)
        header = {'stamp': {'sec': seconds, 'nanosec': nanoseconds}, 'frame_id': 'base'}
        return serialized(TWIST, header=header)

    return serialize


def profile_of(stream, *messages, **given):
    for message in messages:
        assert stream.update(message, RECEIVED, **given) == []
    (profile,) = stream.windows.close()
    return profile


def test_duplicate_stamps_and_those_that_run_back_are_counted(twist):
    offsets = (0, 100, 100, 90, 200)
    profile = profile_of(make(), *(twist(RECEIVED + offset) for offset in offsets))
    counters = profile.counters
    assert (counters.duplicate_stamps, counters.stamp_regressions) == (1, 1)
    assert profile.features['message/interval_s'].moments.count == 3


def test_a_stamp_of_zero_takes_the_receive_time_and_is_counted(twist):
    profile = profile_of(make(), twist(0), twist(RECEIVED))
    assert profile.counters.zero_stamps == 1
    assert profile.window_start_ns <= RECEIVED < profile.window_end_ns
    assert profile.features['message/latency_s'].moments.count == 1


@pytest.mark.parametrize(
    ('ahead_s', 'foreign'),
    [(-0.5, 0), (0.9, 0), (1.1, 1), (-3599, 0), (-3601, 1), (-RECEIVED // SECOND + 5, 1)],
)
def test_latency_is_signed_and_says_when_the_clock_is_another(twist, ahead_s, foreign):
    profile = profile_of(make(), twist(RECEIVED + round(ahead_s * SECOND)))
    assert profile.counters.foreign_stamps == foreign
    latency = profile.features['message/latency_s'].moments
    assert latency.mean == pytest.approx(-ahead_s, rel=1e-9)


def test_before_simulated_time_begins_there_is_no_latency(twist):
    stream = make()
    assert stream.update(twist(RECEIVED), receive_ns=0) == []
    (profile,) = stream.windows.close()
    assert profile.counters.foreign_stamps == 0
    assert 'message/latency_s' not in profile.features


def test_messages_without_a_stamp_are_taken_at_the_receive_time(serialized):
    profile = profile_of(make(FLOAT), serialized(FLOAT, data=3.0))
    assert profile.counters.zero_stamps == 0
    assert profile.window_start_ns <= RECEIVED < profile.window_end_ns
    assert 'message/latency_s' not in profile.features
    assert profile.features['field/data'].moments.mean == 3.0


def test_what_was_lost_is_counted_whatever_came_after_it(twist):
    stream = make()
    good, bad = twist(RECEIVED), memoryview(b'\0\1\0\0')
    stream.update(good, RECEIVED, lost=0)
    stream.update(bad, RECEIVED, lost=2)
    stream.update(twist(RECEIVED - 3600 * SECOND), RECEIVED, lost=3)  # late
    profile = profile_of(stream, twist(RECEIVED + 1), lost=4)
    assert profile.counters.lost == 9
    assert (profile.counters.seen, profile.counters.late, profile.counters.decoded) == (4, 1, 2)
    assert dict(profile.counters.decode_errors) == {'malformed': 1}


def test_without_sequence_numbers_gaps_in_regular_stamps_are_lost_messages(twist):
    stamps = [RECEIVED + n * SECOND // 10 for n in range(40) if n not in {20, 21}]
    counters = profile_of(make(), *map(twist, stamps)).counters
    assert counters.lost == counters.stamp_gaps == 2


def test_what_the_source_left_out_is_told_from_what_was_lost_on_the_way(twist):
    stamps = [RECEIVED + n * SECOND // 10 for n in range(40) if n not in {20, 21}]
    counters = profile_of(make(), *map(twist, stamps), lost=0).counters
    assert (counters.lost, counters.stamp_gaps) == (0, 2)


def test_a_type_without_a_definition_is_counted(twist):
    stream = make(store=NO_TYPES)
    assert TWIST in stream.problem
    profile = profile_of(stream, twist(RECEIVED))
    assert dict(profile.counters.decode_errors) == {'unknown_type': 1}


def test_the_size_is_in_whole_words_with_and_without_padding(serialized):
    kind = 'std_msgs/msg/String'
    bare = bytes(serialized(kind, data='abcd'))
    assert len(bare) % 4
    padded = bare + b'\0' * (-len(bare) % 4)
    profile = profile_of(make(kind), memoryview(bare), memoryview(padded))
    sizes = profile.features['message/size_bytes'].moments
    assert sizes.min == sizes.max == len(padded)


def test_a_field_that_is_not_there_is_an_error_at_start():
    with pytest.raises(PathError, match="no field 'speed'"):
        make(config=StreamConfig(fields=('twist.speed',)))


def test_more_fields_than_are_profiled_are_said():
    text = '\n'.join(f'float32 f{index}' for index in range(257))
    stream = make('my_msgs/msg/Wide', store=store_of({'my_msgs/msg/Wide': text}))
    assert 'only the first 256 fields' in stream.problem


IMAGE = 'string encoding\nuint32 height\nuint32 width\nuint32 step\nuint8 is_bigendian\n'


@pytest.mark.parametrize(
    ('message_type', 'text'),
    [
        ('sensor_msgs/msg/Image', 'float32 brightness'),
        (
            'sensor_msgs/msg/Image',
            f'std_msgs/Header header\n{IMAGE}string data\nfloat32 brightness',
        ),
        ('sensor_msgs/msg/Image', f'string header\n{IMAGE}uint8[] data\nfloat32 brightness'),
        ('vision_msgs/msg/Detection2D', 'float32 brightness'),
    ],
)
def test_a_type_of_another_layout_than_is_known_is_taken_by_its_fields(
    serialized, message_type, text
):
    header = 'uint32 seq\nstring frame_id'  # not the one of ROS 2
    store = store_of({'std_msgs/msg/Header': header, message_type: text})
    mappings = {'vision_msgs/msg/Detection2D': DetectionMapping(items='detections')}
    stream = make(message_type, store=store, mappings=mappings)
    assert 'all its fields are taken' in stream.problem
    profile = profile_of(stream, serialized(message_type, store=store, brightness=3.0))
    assert profile.features['field/brightness'].moments.mean == 3.0
    assert profile.counters.decoded == 1


def test_a_header_that_is_a_string_is_no_header(serialized):
    store = store_of({'my_msgs/msg/Note': 'string header\nbuiltin_interfaces/Time stamp', **TIME})
    stream = make('my_msgs/msg/Note', store=store)
    note = serialized('my_msgs/msg/Note', store=store, header='x', stamp={'sec': 7})
    profile = profile_of(stream, note)
    assert profile.features['field/header'].top(1) == [('x', 1)]
    assert profile.window_start_ns == 0
