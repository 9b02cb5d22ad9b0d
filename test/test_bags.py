"""Recordings: all topics, their definitions, and a camera against numpy over the same frames."""

import sqlite3
from collections import Counter
from contextlib import closing
from unittest.mock import patch

import numpy as np
import pytest
from recorded import messages, write, write1
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from profiler_node.bags import profile_bag
from profiler_node.core.config import SegmentConfig, SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.decode import UnknownTypeError
from profiler_node.core.stream import Stream

STORE = get_typestore(Stores.ROS2_JAZZY)
CAMERA = '/cam0/image_raw'


@pytest.fixture(scope='module')
def bag(recording):
    return recording('euroc_camera_imu')


@pytest.fixture(scope='module')
def frames(bag):
    """The pixels of all frames, (N, 480, 752) uint8, read without the code under test."""
    with AnyReader([bag]) as reader:
        images = [
            reader.deserialize(data, connection.msgtype).data.reshape(480, 752)
            for connection, _, data in reader.messages()
            if connection.topic == CAMERA
        ]
    return np.stack(images)


@pytest.fixture(scope='module')
def whole(bag):
    (profile,) = profile_bag(bag, [CAMERA])
    return profile


def test_the_stamps_point_to_the_frames_with_the_extremes(whole, bag, frames):
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic == CAMERA]
        stamps = [
            header.stamp.sec * 10**9 + header.stamp.nanosec
            for connection, _, data in reader.messages(connections)
            for header in [reader.deserialize(data, connection.msgtype).header]
        ]
    gray = whole.features['image/gray'].moments
    assert gray.min_stamp_ns == stamps[int(frames.min(axis=(1, 2)).argmin())]
    assert gray.max_stamp_ns == stamps[int(frames.max(axis=(1, 2)).argmax())]


@pytest.mark.parametrize(
    ('name', 'topic', 'length_s'),
    [
        ('euroc_camera_imu', CAMERA, 1.0),
        ('euroc_camera_imu', '/imu0', 0.5),
        ('kinect_rgbd', '/camera/depth/image_rect', 4.0),
        ('lidar_sweeps', '/lidar/points', 0.5),
        ('scan_hokuyo_2010', '/scan', 5.0),
        ('voc_detections', '/detections', 2.0),
    ],
)
def test_windows_merged_equal_the_whole(recording, name, topic, length_s):
    (whole,) = profile_bag(recording(name), [topic])
    parts = list(profile_bag(recording(name), [topic], window=WindowConfig(length_s)))
    assert len(parts) > 2
    merged = parts[0].merged(*parts[1:])
    assert merged.counters.seen == whole.counters.seen
    assert merged.features.keys() == whole.features.keys()
    for feature_name, feature in whole.features.items():
        other = merged.features[feature_name]
        if feature.kind == 'categorical':
            assert (other.count, other.top(9)) == (feature.count, feature.top(9))
            continue
        ours, theirs = other.moments, feature.moments
        assert (ours.count, ours.min, ours.max) == (theirs.count, theirs.min, theirs.max)
        assert ours.max_stamp_ns == theirs.max_stamp_ns, feature_name
        if not feature_name.startswith('detections/count/'):  # of a 0 that was not said
            assert ours.min_stamp_ns == theirs.min_stamp_ns, feature_name
        largest = max(abs(theirs.min), abs(theirs.max))
        assert ours.mean == pytest.approx(theirs.mean, rel=1e-12, abs=1e-14 * largest)
        assert ours.m2 == pytest.approx(theirs.m2, rel=1e-9, abs=1e-15), feature_name


def test_two_runs_over_half_the_recording_merge_to_the_whole(whole, bag):
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic == CAMERA]
        messages = list(reader.messages(connections))
    halves = []
    for part in (messages[:25], messages[25:]):
        stream = Stream(whole.source, WindowConfig(), SketchConfig())
        for _, log_ns, data in part:
            assert stream.update(memoryview(data), log_ns) == []
        halves += stream.windows.close()
    merged = halves[1].merged(halves[0])
    for name, feature in whole.features.items():
        if feature.kind == 'categorical' or name in {'message/interval_s', 'message/repeated'}:
            continue
        ours, theirs = merged.features[name].moments, feature.moments
        assert (ours.count, ours.min, ours.max) == (theirs.count, theirs.min, theirs.max), name
        assert ours.min_stamp_ns == theirs.min_stamp_ns, name
        assert ours.max_stamp_ns == theirs.max_stamp_ns, name
        assert ours.mean == pytest.approx(theirs.mean, rel=1e-13), name
        assert ours.m2 == pytest.approx(theirs.m2, rel=1e-9, abs=1e-15), name
    # What lies between the halves belongs to neither.
    for name in ('message/interval_s', 'message/repeated'):
        assert merged.features[name].moments.count == 48


def test_topics_that_are_not_there_are_named(bag):
    with pytest.raises(ValueError, match='has no topic /camra'):
        list(profile_bag(bag, ['/camra']))


IDL = """{bar}
IDL: my_msgs/msg/Pack
#include "std_msgs/msg/Header.idl"
module my_msgs {{ module msg {{
  struct Pack {{ std_msgs::msg::Header header; double volts; sequence<float> cells; }};
}}; }};
{bar}
IDL: std_msgs/msg/Header
#include "builtin_interfaces/msg/Time.idl"
module std_msgs {{ module msg {{
  struct Header {{ builtin_interfaces::msg::Time stamp; string frame_id; }};
}}; }};
{bar}
IDL: builtin_interfaces/msg/Time
module builtin_interfaces {{ module msg {{
  struct Time {{ long sec; unsigned long nanosec; }};
}}; }};
""".format(bar='=' * 80)


@pytest.fixture
def packs(tmp_path, serialized):
    """A recording of three batteries, with modes between them."""
    store = get_typestore(Stores.ROS2_JAZZY)
    text = 'std_msgs/Header header\nfloat64 volts\nfloat32[] cells\n'
    store.register(get_types_from_msg(text, 'my_msgs/msg/Pack'))
    writer = Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.SQLITE3)
    with writer:
        battery = writer.add_connection('/battery', 'my_msgs/msg/Pack', typestore=store)
        mode = writer.add_connection('/mode', 'std_msgs/msg/String', typestore=store)
        for index, name in enumerate(('docked', 'docked', 'driving')):
            header = {'stamp': {'sec': 1000 + index}}
            pack = serialized(
                'my_msgs/msg/Pack', store=store, header=header, volts=24.0 - index, cells=[4.0, 3.0]
            )
            stamp_ns = (1000 + index) * 10**9
            writer.write(mode, stamp_ns, serialized('std_msgs/msg/String', data=name))
            writer.write(battery, stamp_ns + 1, pack)
        writer.write(mode, stamp_ns + 2, b'\0\1\0\0\xff')
    return tmp_path / 'bag'


def redefine(bag, change, *values):
    """Change the definition of the battery's messages in a recording."""
    (path,) = bag.glob('*.db3')
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"{change} WHERE topic_type='my_msgs/msg/Pack'", values)


def check_packs(profile):
    assert profile.counters.decoded == 3
    assert profile.features['field/volts'].moments.mean == 23.0
    assert profile.features['field/cells'].moments.count == 6


def test_a_type_that_only_the_recording_knows_is_profiled(packs):
    (profile,) = profile_bag(packs, ['/battery'])
    check_packs(profile)


def test_definitions_may_be_idl(packs):
    change = "UPDATE message_definitions SET encoding='ros2idl', encoded_message_definition=?"
    redefine(packs, change, IDL)
    (profile,) = profile_bag(packs, ['/battery'])
    check_packs(profile)


@pytest.mark.parametrize(
    'change',
    [
        'DELETE FROM message_definitions',
        "UPDATE message_definitions SET encoded_message_definition='no such thing'",
    ],
)
def test_a_type_without_a_definition_is_counted_and_the_others_are_read(packs, change):
    redefine(packs, change)
    battery, mode = profile_bag(packs)
    assert battery.source.message_type == 'my_msgs/msg/Pack'
    assert dict(battery.counters.decode_errors) == {'unknown_type': 3}
    assert battery.features == {}
    assert mode.counters.decoded == 3


def test_another_topic_splits_the_streams_into_segments(packs, logged):
    profiles = list(profile_bag(packs, ['/battery'], segment=SegmentConfig('/mode')))
    volts = {p.source.segment: p.features['field/volts'].moments for p in profiles}
    assert {name: moments.count for name, moments in volts.items()} == {'docked': 2, 'driving': 1}
    assert volts['driving'].mean == 22.0
    assert "the segment stays 'driving'" in logged[0]
    assert len(logged) == 1
    whole = profiles[0].merged(*profiles[1:])
    assert whole.source.segment == '*'
    check_packs(whole)


def test_of_two_types_on_a_topic_one_is_profiled_and_the_other_told(tmp_path, serialized, logged):
    kinds = ('std_msgs/msg/String', 'sensor_msgs/msg/LaserScan')
    with Writer(tmp_path / 'bag', version=9) as writer:
        for kind in kinds:
            connection = writer.add_connection('/x', kind, typestore=STORE)
            writer.write(connection, 10**18, serialized(kind))
    (profile,) = profile_bag(tmp_path / 'bag')
    assert (profile.source.message_type, profile.counters.seen) == (kinds[1], 1)
    text = f'/x: 1 messages of {kinds[0]}, another type than is profiled'
    assert logged == [f'{tmp_path / "bag"}: {text}']
    (other,) = profile_bag(tmp_path / 'bag', streams={'/x': StreamConfig(type=kinds[0])})
    assert other.source.message_type == kinds[0]


def test_fields_are_chosen_and_renamed_by_configuration(packs):
    config = StreamConfig(fields=('supply=volts', 'cells[1]'))
    (profile,) = profile_bag(packs, ['/battery'], streams={'/battery': config})
    fields = {name for name in profile.features if name.startswith('field/')}
    assert fields == {'field/supply', 'field/cells[1]'}
    assert profile.features['field/cells[1]'].moments.mean == 3.0


def test_every_topic_of_a_real_recording_has_profiles_of_all_its_messages(each_recording):
    with AnyReader([each_recording], default_typestore=STORE) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
    decoded = Counter()
    for profile in profile_bag(each_recording):
        assert profile.counters.decoded == profile.counters.seen
        groups = {feature.partition('/')[0] for feature in profile.features}
        assert groups - {'message'}, profile.source.topic
        decoded[profile.source.topic] += profile.counters.decoded
    assert decoded == counts


def test_topics_without_a_definition_do_not_hide_those_that_have_one(recording):
    """A RealSense's recording has a type of its own: with no definition it is counted."""
    with patch('profiler_node.bags._recorded_store', side_effect=UnknownTypeError):
        profiles = list(profile_bag(recording('realsense_d435')))
    unknown = [p for p in profiles if 'unknown_type' in p.counters.decode_errors]
    assert {p.source.message_type for p in unknown} == {'realsense_msgs/msg/StreamInfo'}
    assert sum(p.counters.seen for p in unknown) == 2
    assert sum(p.counters.decoded for p in profiles) == 133


def test_a_ros1_recording_gives_the_profiles_of_the_same_messages_in_ros2(tmp_path):
    items = messages(2.0)
    expected = {p.source.stream: p for p in profile_bag(write(tmp_path / 'bag', items))}
    found = {p.source.stream: p for p in profile_bag(write1(tmp_path / 'a.bag', items))}
    assert found.keys() == expected.keys() == {'camera', 'imu'}
    for name, profile in expected.items():
        assert found[name].counters.decoded == profile.counters.seen
        assert found[name].source == profile.source
        assert found[name].features.keys() == profile.features.keys()


def test_types_of_ros1_come_from_the_bag_with_its_times_and_without_its_sequence(tmp_path):
    store = get_typestore(Stores.ROS1_NOETIC)
    text = 'Header header\ntime due\nduration took\nchar letter\nfloat32[] cells\n'
    store.register(get_types_from_msg(text, 'my_msgs/msg/Job'))
    time, span = (store.types[f'builtin_interfaces/msg/{name}'] for name in ('Time', 'Duration'))
    with Writer1(tmp_path / 'a.bag') as writer:
        connection = writer.add_connection('jobs//all', 'my_msgs/msg/Job', typestore=store)
        for number in range(3):
            header = store.types['std_msgs/msg/Header'](77, time(1000 + number, 5), 'base')
            cells = np.array([1.5, 2.5], np.float32)
            job = store.types['my_msgs/msg/Job'](header, time(7, 8), span(9, 10), 65, cells)
            data = store.serialize_ros1(job, 'my_msgs/msg/Job')
            writer.write(connection, (1000 + number) * 10**9, data)
        writer.write(connection, 1004 * 10**9, b'short')
    (profile,) = profile_bag(tmp_path / 'a.bag')
    assert (profile.source.stream, profile.source.message_type) == ('jobs/all', 'my_msgs/msg/Job')
    assert profile.counters.decoded == 3
    assert dict(profile.counters.decode_errors) == {'malformed': 1}
    means = {
        name: feature.moments.mean
        for name, feature in profile.features.items()
        if name.startswith('field/')
    }
    assert means == {
        **{'field/due': 7.000000008, 'field/took': 9.00000001},
        **{'field/letter': 65.0, 'field/cells': 2.0},
    }
    assert profile.features['message/frame_id'].top(1) == [('base', 3)]
    assert profile.features['message/interval_s'].moments.mean == 1.0


def test_definitions_of_unknown_encoding_are_taken_from_what_is_installed(tmp_path):
    bag = write(tmp_path / 'bag', messages(1.0), 'sqlite')
    (path,) = bag.glob('*.db3')
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE message_definitions SET encoding='unknown'")
    assert {p.source.stream: p.counters.decoded for p in profile_bag(bag)} == {
        'camera': 10,
        'imu': 50,
    }


def test_segments_do_not_depend_on_where_their_topic_is_in_the_file(tmp_path, serialized):
    """As of a converter that writes one topic after the other, more than is sorted in memory."""
    frames = [item for item in messages(4.0, pixels=600_000) if item[0] == '/camera']
    with Writer(tmp_path / 'bag', version=9) as writer:
        camera = writer.add_connection('/camera', 'sensor_msgs/msg/Image', typestore=STORE)
        mode = writer.add_connection('/mode', 'std_msgs/msg/String', typestore=STORE)
        for _, log_ns, data in frames:
            writer.write(camera, log_ns, data)
        for index, name in ((0, 'docked'), (10, 'driving'), (30, 'docked')):
            writer.write(mode, frames[index][1], serialized('std_msgs/msg/String', data=name))
    profiles = profile_bag(tmp_path / 'bag', ['/camera'], segment=SegmentConfig('/mode'))
    assert {p.source.segment: p.counters.decoded for p in profiles} == {
        'docked': 20,
        'driving': 20,
    }
