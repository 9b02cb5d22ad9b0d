"""The launch file, included with a remapping as a robot's bringup does it."""

import contextlib
import os
import shutil
import tempfile
import time
import unittest
from pathlib import Path

import pytest

pytest.importorskip('launch_testing', reason='needs launch_testing, which comes with ROS 2')
pytest.importorskip('edge_profiler', reason='needs the package built with colcon')

import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
import rclpy
from ament_index_python.packages import get_package_share_directory
from domain_coordinator import domain_id
from edge_profiler.msg import Profile
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import SetRemap
from sensor_msgs.msg import Image

from profiler_node.fleet.store import read_profiles
from profiler_node.ros.qos import PROFILES_QOS

TOPIC = '/front_camera/image_raw'
SECOND = 10**9

resources = contextlib.ExitStack()
folder = Path(tempfile.gettempdir()) / f'edge-profiler-launch-{os.getpid()}'


@pytest.mark.launch_test
@launch_testing.markers.keep_alive
def generate_test_description():
    os.environ['ROS_DOMAIN_ID'] = str(resources.enter_context(domain_id()))
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    os.environ['ROS_STATIC_PEERS'] = ''
    os.environ['ROS_HOME'] = str(folder / 'ros')
    resources.callback(os.environ.pop, 'ROS_HOME')
    share = Path(get_package_share_directory('edge_profiler'))
    ours = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / 'launch' / 'profiler.launch.py')),
        launch_arguments={'robot_id': '007', 'store_url': str(folder / 'store')}.items(),
    )
    return LaunchDescription(
        [
            GroupAction([SetRemap('image', TOPIC), ours]),
            launch_testing.actions.ReadyToTest(),
        ]
    )


def image(stamp_s):
    message = Image(height=4, width=4, encoding='mono8', step=4, data=bytes([90] * 16))
    message.header.stamp.sec = stamp_s
    return message


class TestWhileRunning(unittest.TestCase):
    def setUp(self):
        rclpy.init()
        self.node = rclpy.create_node('observer')

    def tearDown(self):
        self.node.destroy_node()
        rclpy.shutdown()

    def until(self, condition, timeout_s=15.0):
        deadline_s = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline_s:
            rclpy.spin_once(self.node, timeout_sec=0.1)
        return condition()

    def test_the_remapped_topic_is_profiled(self):
        received = []
        self.node.create_subscription(Profile, 'profiles', received.append, PROFILES_QOS)
        publisher = self.node.create_publisher(Image, TOPIC, 10)
        self.assertTrue(self.until(publisher.get_subscription_count), 'nobody subscribed')
        for stamp_s in (1000, 1001, 1100, 1101):
            publisher.publish(image(stamp_s))
        self.assertTrue(self.until(lambda: received), 'no profile of the first window')
        profile = received[0]
        self.assertEqual((profile.robot_id, profile.topic), ('007', TOPIC))
        self.assertEqual(profile.messages_decoded, 2)


@launch_testing.post_shutdown_test()
class TestAfterShutdown(unittest.TestCase):
    def test_the_nodes_end_well_and_the_last_window_is_in_the_store(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
        problems = []
        profiles = list(read_profiles(str(folder / 'store'), problems.append))
        self.assertEqual([p.window_start_ns // SECOND for p in profiles], [960, 1080])
        self.assertEqual([p.counters.decoded for p in profiles], [2, 2])
        self.assertEqual(problems, [])

    @classmethod
    def tearDownClass(cls):
        resources.close()
        shutil.rmtree(folder)
