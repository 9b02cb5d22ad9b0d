"""The launch file that plays a recording, up to the store; a stand-in plays it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('launch_ros', reason='needs launch_ros, which comes with ROS 2')
pytest.importorskip('edge_profiler', reason='needs the package built with colcon')

from domain_coordinator import domain_id
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from profiler_node.bags import profile_bag
from profiler_node.core.config import WindowConfig
from profiler_node.fleet.store import read_profiles

SECOND = 10**9
BEGIN = 1_700_000_000 * SECOND
IMAGE, TOPIC = 'sensor_msgs/msg/Image', '/front/image_raw'
STAND_IN = Path(__file__).parent / 'ros2_bag_play.py'
CONFIG = """
/**:
  ros__parameters:
    window: {length_s: 2.0, allowed_lateness_s: 0.5}
"""
# What `ros2 launch edge_profiler replay.launch.py` does.
LAUNCH = """
import sys
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file = get_package_share_directory('edge_profiler') + '/launch/replay.launch.py'
pairs = [argument.split(':=', 1) for argument in sys.argv[1:]]
source = PythonLaunchDescriptionSource(file)
service = LaunchService(noninteractive=True)
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=pairs)])
)
sys.exit(service.run())
"""


@pytest.fixture
def bag(tmp_path):
    """Five seconds of a camera."""
    store = get_typestore(Stores.ROS2_JAZZY)
    header, stamp = store.types['std_msgs/msg/Header'], store.types['builtin_interfaces/msg/Time']
    path = tmp_path / 'bag'
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, IMAGE, typestore=store)
        for index in range(50):
            stamp_ns = BEGIN + index * SECOND // 10
            pixels = np.full(16, index, dtype=np.uint8)
            head = header(stamp(*divmod(stamp_ns, SECOND)), 'camera')
            image = store.types[IMAGE](head, 4, 4, 'mono8', 0, 4, pixels)
            writer.write(connection, stamp_ns, store.serialize_cdr(image, IMAGE))
    return path


@pytest.fixture
def replay(tmp_path):
    """Launches with arguments until all has ended; returns the exit status and the output."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    ros2 = folder / 'ros2'
    ros2.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n', encoding='utf-8')
    ros2.chmod(0o755)
    config = tmp_path / 'profiler.yaml'
    config.write_text(CONFIG, encoding='utf-8')

    def run(**arguments):
        given = {'config_file': config, 'image': TOPIC, 'store_url': tmp_path / 'store'} | arguments
        with domain_id() as domain:
            environment = os.environ | {
                'PATH': f'{folder}:{os.environ["PATH"]}',
                'ROS_DOMAIN_ID': str(domain),
                'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
                'ROS_STATIC_PEERS': '',
                'ROS_HOME': str(tmp_path / 'ros'),
                'ROS_LOG_DIR': str(tmp_path / 'log'),
            }
            command = [sys.executable, '-c', LAUNCH, *(f'{k}:={v}' for k, v in given.items())]
            ended = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=90, check=False
            )
        return ended.returncode, ended.stdout + ended.stderr

    return run


def numbers(profiles):
    return {
        (*p.identity[1:3], p.epoch, p.window_start_ns): (
            p.counters.decoded,
            p.features['image/gray'].moments,
        )
        for p in profiles
    }


def expected(bag):
    window = WindowConfig(length_s=2.0, allowed_lateness_s=0.5)
    profiles = profile_bag(bag, [TOPIC], window=window)
    return {('image', *key[1:]): value for key, value in numbers(profiles).items()}


def stored(folder):
    problems = []
    profiles = list(read_profiles(str(folder), problems.append))
    assert problems == []
    return profiles


def test_a_recording_is_in_the_store_to_its_last_window_when_all_has_ended(replay, bag, tmp_path):
    status, output = replay(bag=bag, rate=2.0, robot_id='robot-7')
    assert status == 0, output
    assert output.count('process has finished cleanly') == 3, output
    profiles = stored(tmp_path / 'store')
    assert numbers(profiles) == expected(bag)
    assert {p.source.robot_id for p in profiles} == {'robot-7'}
    assert sum(p.counters.decoded for p in profiles) == 50


def test_each_time_through_a_loop_is_an_epoch_in_the_store(replay, bag, tmp_path):
    status, output = replay(bag=bag, rate=4.0, loop='true')
    assert status == 0, output
    once = expected(bag)
    loops = {(*key[:2], loop, key[3]): once[key] for key in once for loop in range(3)}
    assert numbers(stored(tmp_path / 'store')) == loops


def test_a_part_of_a_recording_without_the_bridge(replay, bag, tmp_path):
    status, output = replay(bag=bag, rate=4.0, start_offset=3.0, bridge='false')
    assert status == 0, output
    assert 'player: 20 messages' in output
    assert output.count('process has finished cleanly') == 2, output
    assert not (tmp_path / 'store').exists()


def test_a_node_that_cannot_start_ends_all(replay, bag, tmp_path):
    config = tmp_path / 'bad.yaml'
    config.write_text(CONFIG.replace('length_s', 'size_s'), encoding='utf-8')
    _, output = replay(bag=bag, config_file=config)
    assert 'size_s' in output
    assert 'player' not in output


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        ({'bag': '/nowhere/bag'}, 'bag:=/nowhere/bag does not exist'),
        ({'loop': 'twice'}, 'loop:=twice must be true or false'),
        ({'play_arguments': '--sideways'}, 'unrecognized arguments: --sideways'),
    ],
)
def test_what_cannot_be_played_is_said_and_all_ends(replay, bag, arguments, named):
    status, output = replay(**{'bag': bag, **arguments})
    assert named in output
    assert status == (0 if 'play_arguments' in arguments else 1)
