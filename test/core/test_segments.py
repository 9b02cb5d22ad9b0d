"""The latest value of another topic's field as the name of a segment."""

import math

import pytest

from profiler_node.core.config import SegmentConfig
from profiler_node.core.decode import STORE, UnknownTypeError
from profiler_node.core.paths import PathError
from profiler_node.core.segments import MOST_SEGMENTS, Segments


def segments(message_type, field='data'):
    return Segments(message_type, STORE, SegmentConfig('/mode', field))


def stamp(sec, nanosec=0):
    return {'header': {'stamp': {'sec': sec, 'nanosec': nanosec}}}


@pytest.mark.parametrize(
    ('message_type', 'field', 'given', 'segment'),
    [
        ('std_msgs/msg/Bool', 'data', {'data': True}, 'true'),
        ('std_msgs/msg/Bool', 'data', {'data': False}, 'false'),
        ('std_msgs/msg/Int64', 'data', {'data': -(2**63)}, '-9223372036854775808'),
        ('std_msgs/msg/UInt8', 'data', {'data': 7}, '7'),
        ('std_msgs/msg/Byte', 'data', {'data': -1}, '255'),
        ('std_msgs/msg/Float64', 'data', {'data': 0.1}, '0.1'),
        ('std_msgs/msg/Float64', 'data', {'data': 3.0}, '3.0'),
        ('std_msgs/msg/Float32', 'data', {'data': math.nan}, 'nan'),
        ('std_msgs/msg/Float32', 'data', {'data': -math.inf}, '-inf'),
        ('std_msgs/msg/String', 'data', {'data': 'Driving'}, 'Driving'),
        ('std_msgs/msg/String', 'data', {'data': ''}, ''),
        ('std_msgs/msg/String', 'data', {'data': 'ü \U0001f327'}, 'ü \U0001f327'),
        ('std_msgs/msg/String', 'data', {'data': 'a\nb\x00\x1b[0m'}, 'a\ufffdb\ufffd\ufffd[0m'),
        ('std_msgs/msg/String', 'data', {'data': 'x' * 10_000}, 'x' * 64),
        ('sensor_msgs/msg/Imu', 'header.stamp', stamp(5, 500_000_000), '5.5'),
        ('sensor_msgs/msg/Imu', 'header.stamp.sec', stamp(5), '5'),
        ('sensor_msgs/msg/Joy', 'buttons[1]', {'buttons': [3, 4]}, '4'),
        ('sensor_msgs/msg/Joy', 'buttons[1]', {'buttons': [3]}, ''),
        ('diagnostic_msgs/msg/DiagnosticArray', 'status[0].name', {'status': [{'name': 'a'}]}, 'a'),
    ],
)
def test_a_value_of_any_kind_as_text(serialized, message_type, field, given, segment):
    followed = segments(message_type, field)
    assert followed.current == ''
    followed.update(serialized(message_type, **given))
    assert followed.current == segment


def test_the_latest_value_counts_and_the_17th_different_one_is_other(serialized):
    followed = segments('std_msgs/msg/Int32')
    named = []
    for value in [*range(20), 3, 19, 15, 16]:
        followed.update(serialized('std_msgs/msg/Int32', data=value))
        named.append(followed.current)
    assert named == [*map(str, range(16)), *['other'] * 4, '3', 'other', '15', 'other']
    assert MOST_SEGMENTS == 16


def test_the_segment_stays_when_a_message_cannot_be_read(serialized):
    followed = segments('std_msgs/msg/String')
    good = bytes(serialized('std_msgs/msg/String', data='rain'))
    followed.update(memoryview(good))
    for bad in (b'', good[:-3], good + bytes(9), good.replace(b'ai', b'\xff\xfe')):
        followed.update(memoryview(bad))
        assert (followed.current, bool(followed.problem)) == ('rain', True)
    followed.update(memoryview(good))
    assert followed.problem == ''


@pytest.mark.parametrize(
    ('message_type', 'field', 'told'),
    [
        ('std_msgs/msg/String', 'mode', "'mode': std_msgs/msg/String has no field 'mode'"),
        ('std_msgs/msg/String', '', "segment.field is '', which is no single value"),
        ('sensor_msgs/msg/Imu', 'header', "segment.field is 'header', which is no single value"),
        ('sensor_msgs/msg/Joy', 'buttons', "'buttons', which is no single value of sensor_msgs"),
        ('geometry_msgs/msg/PoseArray', 'poses.position.x', 'which is no single value'),
    ],
)
def test_a_field_that_is_no_single_value_is_told_at_the_start(message_type, field, told):
    with pytest.raises(PathError, match=told):
        segments(message_type, field)


def test_a_type_without_a_definition_is_told_at_the_start():
    with pytest.raises(UnknownTypeError, match='no_msgs/msg/Nothing'):
        segments('no_msgs/msg/Nothing')
