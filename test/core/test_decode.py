"""Definitions that can and cannot be read, and bytes that are no message."""

import time

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from profiler_node.core.decode import (
    STORE,
    UnknownTypeError,
    decoder_for,
    store_of,
    store_with,
    types_in,
    types_in_idl,
    used_by,
)
from profiler_node.core.errors import DecodeError

ROS = get_typestore(Stores.ROS2_JAZZY)
SOME_TYPES = (
    'diagnostic_msgs/msg/DiagnosticArray',
    'sensor_msgs/msg/CameraInfo',
    'tf2_msgs/msg/TFMessage',
    'visualization_msgs/msg/MarkerArray',
)


def read(data, message_type, store=STORE):
    return decoder_for(message_type, store)(memoryview(data))


def reason(data, message_type, store=STORE):
    """Why data cannot be decoded, '' if it can."""
    try:
        read(data, message_type, store)
    except DecodeError as error:
        return error.reason
    return ''


@pytest.fixture
def samples(serialized):
    """A message of each of SOME_TYPES."""
    given = {
        'diagnostic_msgs/msg/DiagnosticArray': {
            'status': [{'name': 'motor', 'values': [{'key': 'k', 'value': 'v'}] * 2}]
        },
        'sensor_msgs/msg/CameraInfo': {'d': [0.5] * 5, 'distortion_model': 'plumb_bob'},
        'tf2_msgs/msg/TFMessage': {'transforms': [{'child_frame_id': 'base'}] * 2},
        'visualization_msgs/msg/MarkerArray': {'markers': [{'ns': 'a', 'points': [{'x': 1.0}]}]},
    }
    return {name: bytes(serialized(name, **given[name])) for name in SOME_TYPES}


@pytest.mark.parametrize('message_type', ROS.fielddefs)
def test_every_type_of_ros_can_be_decoded_and_random_bytes_are_refused(message_type):
    random = np.random.default_rng(1)
    for size in (*range(12), 40, 400, 4000):
        data = random.integers(0, 256, size, np.uint8)
        for values in (data, np.minimum(data, 1), np.where(random.random(size) < 0.7, 0, data)):
            message = b'\x00\x01\x00\x00' + values.tobytes()
            assert reason(message, message_type) in {'', 'malformed', 'not_utf8'}


@pytest.mark.parametrize('message_type', SOME_TYPES)
def test_a_message_that_ends_early_or_late_is_malformed(samples, message_type):
    data = samples[message_type]
    assert reason(data, message_type) == ''
    for end in range(len(data)):
        assert reason(data[:end], message_type) == 'malformed'
    assert reason(data + bytes(3), message_type) == ''  # what DDS fills up with
    assert reason(data + bytes(4), message_type) == 'malformed'


@pytest.mark.parametrize('message_type', SOME_TYPES)
def test_a_length_that_is_too_large_is_malformed_at_once(samples, message_type):
    data = samples[message_type]
    began_s = time.thread_time()
    for at in range(4, len(data) - 3, 4):
        for value in (2**31 - 1, 2**31, 2**32 - 1, len(data)):
            changed = bytearray(data)
            changed[at : at + 4] = value.to_bytes(4, 'little')
            assert reason(changed, message_type) in {'', 'malformed', 'not_utf8'}
    assert time.thread_time() - began_s < 5


@pytest.mark.parametrize('size', [5, 2**31, 2**32 - 1])
def test_a_long_sequence_of_empty_messages_is_malformed_at_once(size):
    store = store_of({'odd_msgs/msg/Many': 'Empty[] items', 'odd_msgs/msg/Empty': ''})
    data = b'\x00\x01\x00\x00' + size.to_bytes(4, 'little') + bytes(4)
    assert reason(data, 'odd_msgs/msg/Many', store) == 'malformed'


@pytest.mark.parametrize('little', [True, False])
def test_both_byte_orders_are_read(little):
    message = ROS.types['sensor_msgs/msg/Joy'](
        header=ROS.types['std_msgs/msg/Header'](
            stamp=ROS.types['builtin_interfaces/msg/Time'](sec=7, nanosec=8), frame_id='pad'
        ),
        axes=np.array([0.5, -2.0], np.float32),
        buttons=np.array([1, -70_000], np.int32),
    )
    data = ROS.serialize_cdr(message, 'sensor_msgs/msg/Joy', little_endian=little)
    found = read(data, 'sensor_msgs/msg/Joy')
    assert (found.header.stamp.sec, found.header.frame_id) == (7, 'pad')
    assert found.axes.tolist() == [0.5, -2.0]
    assert found.buttons.tolist() == [1, -70_000]


@pytest.mark.parametrize('head', [b'\x00\x02', b'\x00\x03', b'\x00\x07', b'\x00\x09', b'\x01\x00'])
def test_encapsulations_other_than_plain_cdr_are_named(samples, head):
    name, data = next(iter(samples.items()))
    assert reason(head + data[2:], name) == 'unsupported_encapsulation'
    assert reason(head, name) == 'malformed'


def test_a_string_that_is_not_utf8_is_named(serialized):
    data = bytes(serialized('std_msgs/msg/String', data='Tuer')).replace(b'ue', b'\xfce')
    assert reason(data, 'std_msgs/msg/String') == 'not_utf8'


def test_arrays_are_views_of_the_message(serialized):
    data = memoryview(bytes(serialized('std_msgs/msg/UInt8MultiArray', data=[1, 2, 3])))
    found = read(data, 'std_msgs/msg/UInt8MultiArray').data
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))


IDL = """
// A comment.
#include "std_msgs/msg/Header.idl"
#include "shapes/msg/Deep.idl"

module shapes {
  module msg {
    module Shape_Constants {
      @verbatim (language="comment", text="What it is.")
      const octet BOX = 1;
    };
    typedef double double__9[9];
    @verbatim (language="comment", text=
      "# Not a directive." "\\n"
      "Nor this.")
    struct Shape {
      std_msgs::msg::Header header;
      @range (min=0.0, max=1.0)
      float score;
      octet kind;
      double__9 matrix;
      sequence<shapes::msg::Deep> deep;
      sequence<octet, 4> octets;
      string<8> name;
      boolean good;
    };
  };
};
"""
MSG = """
# A comment.
byte BOX=1
std_msgs/Header header
float32 score
byte kind
float64[9] matrix
Deep[] deep
byte[<=4] octets
string<=8 name
bool good
"""
DEEP = 'int64 number'


def fields(types, name='shapes/msg/Shape'):
    return types[name][1]


def test_idl_gives_the_same_fields_as_msg():
    idl, msg = types_in_idl('Shape', IDL), types_in('shapes/msg/Shape', MSG)
    assert fields(idl) == fields(msg)
    assert used_by(idl) == used_by(msg) == {'std_msgs/msg/Header', 'shapes/msg/Deep'}


@pytest.mark.parametrize('change', [lambda t: t.replace('\n', '\r\n'), lambda t: '\ufeff' + t])
def test_line_ends_and_byte_order_marks_of_other_systems(change):
    assert fields(types_in('shapes/msg/Shape', change(MSG))) == fields(
        types_in('shapes/msg/Shape', MSG)
    )
    assert fields(types_in_idl('', change(IDL))) == fields(types_in_idl('', IDL))


def test_a_definition_may_come_with_those_that_it_uses():
    line = '=' * 80
    text = f'Deep deep\n{line}\nMSG: shapes/Deep\n{DEEP}\n'
    store = store_of({'shapes/msg/Outer': text})
    found = read(b'\x00\x01\x00\x00' + (5).to_bytes(8, 'little'), 'shapes/msg/Outer', store)
    assert found.deep.number == 5


@pytest.mark.parametrize(
    ('definitions', 'told'),
    [
        ({'a/msg/A': 'B b'}, 'a/msg/B: there is no definition'),
        ({}, 'a/msg/A: there is no definition'),
        ({'a/msg/A': 'wstring w'}, 'a/msg/wstring: there is no definition'),
        ({'a/msg/A': 'A a'}, 'a/msg/A contains itself'),
        ({'a/msg/A': 'B[] b', 'a/msg/B': 'A[] a'}, 'a/msg/A contains itself'),
        ({'a/msg/A': 'string[5000] s'}, 'a/msg/A: s has more than 4096 elements'),
        ({'a/msg/A': 'B[5000] b', 'a/msg/B': ''}, 'a/msg/A: b has more than 4096 elements'),
    ],
)
def test_a_type_that_cannot_be_decoded_is_told(definitions, told):
    store = store_of(definitions)
    with pytest.raises(UnknownTypeError, match=told):
        decoder_for('a/msg/A', store)


@pytest.mark.parametrize(('kind', 'name'), [('wstring', 'wstring'), ('long double', 'float128')])
def test_idl_types_that_cannot_be_decoded_are_told(kind, name):
    store = store_of({}, [f'module a {{ module msg {{ struct A {{ {kind} w; }}; }}; }};'])
    with pytest.raises(UnknownTypeError, match=f'a/msg/A: w is a {name}, which cannot be decoded'):
        decoder_for('a/msg/A', store)


@pytest.mark.parametrize(
    'text',
    ['int32', 'int32[ x', '\x00', 'int32 x\nint32 x_\nint32 x', '{' * 5000, 'é x'],
)
def test_a_text_that_is_no_definition_is_told_in_short(text):
    for parse in (types_in, types_in_idl):
        with pytest.raises(UnknownTypeError, match='a/msg/A') as told:
            store_with(parse('a/msg/A', text))
        assert len(str(told.value)) < 300


def test_fields_that_differ_in_python_keywords_alone_are_told():
    with pytest.raises(UnknownTypeError, match='conflicting'):
        store_of({'a/msg/A': 'int32 from\nint32 from_'})
