"""The profiler node with sensors of all kinds, over DDS."""

import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')
pytest.importorskip('vision_msgs', reason='needs vision_msgs')

import numpy as np
import yaml
from edge_profiler.msg import Profile as ProfileMessage
from geometry_msgs.msg import Pose, PoseArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, LaserScan, PointCloud2, PointField
from std_msgs.msg import Float64, String
from vision_msgs.msg import Detection2DArray

from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.wire.codec import decode

SECOND = 10**9
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def profiles(observer):
    """The profiles that come in while the test spins."""
    received = []
    observer.node.create_subscription(
        ProfileMessage,
        '/profiles',
        lambda message: received.append(decode(bytes(message.payload))),
        PROFILES_QOS,
    )
    return received


@pytest.fixture
def profiler(run, tmp_path):
    """Starts the profiler with parameters."""

    def start(**parameters):
        path = tmp_path / 'profiler.yaml'
        parameters |= {'state_dir': str(tmp_path / 'state'), 'robot_id': 'robot-7'}
        path.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}), encoding='utf-8')
        return run('profiler', '--ros-args', '--params-file', path)

    return start


def total(profiles, stream, counter='decoded'):
    return sum(getattr(p.counters, counter) for p in profiles if p.source.stream == stream)


def sensor_messages():
    """A message for each stream that is there without configuration."""
    depth = np.full((4, 6), 1500, dtype='<u2')
    points = np.array([[3, 4, 0], [0, 0, 0]], dtype='<f4')
    return {
        'image': Image(height=1, width=2, encoding='rgb8', step=6, data=[10, 20, 30, 30, 20, 10]),
        'depth': Image(height=4, width=6, encoding='mono16', step=12, data=depth.tobytes()),
        'points': PointCloud2(
            height=1, width=2, point_step=12, row_step=24, data=points.tobytes(),
            fields=[PointField(name=n, offset=4 * i, datatype=7, count=1)
                    for i, n in enumerate('xyz')],
        ),
        'scan': LaserScan(range_min=0.1, range_max=9.0, ranges=[1.0, 2.0, float('inf'), 0.05]),
        'detections': Detection2DArray(),
    }  # fmt: skip


def test_without_configuration_the_topics_of_five_sensors_are_profiled(
    observer, profiles, profiler
):
    node = profiler()
    messages = sensor_messages()
    publishers = {
        name: observer.node.create_publisher(type(message), f'/{name}', 10)
        for name, message in messages.items()
    }
    assert observer.until(lambda: all(p.get_subscription_count() for p in publishers.values()))
    for _ in range(3):
        for name, message in messages.items():
            message.header.stamp.sec = 1000
            publishers[name].publish(message)
    observer.until(lambda: False, timeout_s=0.5)
    assert node.end() == 0, node.output
    assert observer.until(lambda: all(total(profiles, name) == 3 for name in messages))
    means = {
        name: feature.moments.mean
        for profile in profiles
        for name, feature in profile.features.items()
        if feature.kind != 'categorical'
    }
    assert means['image/red_mean'] == means['image/green_mean'] == 20.0
    assert means['depth/median_m'] == 1.5  # of a mono16 image: the name says what it is
    assert (means['points/range_m'], means['points/valid_fraction']) == (5.0, 0.5)
    assert (means['scan/range_m'], means['scan/below_min_fraction']) == (1.5, 0.25)
    assert means['detections/count'] == 0.0


def test_another_topic_splits_the_streams_into_segments(observer, profiles, profiler):
    mode = observer.node.create_publisher(String, '/mode', LATCHED)
    mode.publish(String(data='docked'))
    node = profiler(
        streams=['battery'], stream={'battery': {'topic': '/voltage'}}, segment={'topic': 'mode'}
    )
    publisher = observer.node.create_publisher(Float64, '/voltage', 10)
    assert observer.until(publisher.get_subscription_count)
    assert observer.until(mode.get_subscription_count)
    observer.until(lambda: False, timeout_s=1.0)
    for name, values in (('docked', (24.0, 24.5)), ('driving', (22.0, 21.0, 20.0))):
        mode.publish(String(data=name))
        observer.until(lambda: False, timeout_s=0.5)
        for value in values:
            publisher.publish(Float64(data=value))
        observer.until(lambda: False, timeout_s=0.5)
    assert node.end() == 0, node.output
    assert observer.until(lambda: total(profiles, 'battery') == 5)
    means = {p.source.segment: p.features['field/data'].moments.mean for p in profiles}
    assert means == {'docked': 24.25, 'driving': 21.0}


def test_messages_that_overflow_the_queue_are_counted_as_lost(observer, profiles, profiler):
    node = profiler(queue_depth=1)
    publisher = observer.node.create_publisher(Image, '/image', 100)
    assert observer.until(publisher.get_subscription_count)
    observer.until(lambda: False, timeout_s=0.5)
    large = Image(height=1500, width=2000, encoding='mono8', step=2000, data=bytes(3_000_000))
    for index, count in enumerate((1, 12, 1)):  # each takes longer to profile than to send
        for _ in range(count):
            large.header.stamp.sec = 1000 + index
            publisher.publish(large)
        observer.until(lambda: False, timeout_s=1.5)
    assert node.end() == 0, node.output
    assert observer.until(lambda: total(profiles, 'image') + total(profiles, 'image', 'lost') == 14)
    assert total(profiles, 'image', 'lost') > 0


def test_further_detection_types_come_with_a_file(observer, profiles, profiler, tmp_path):
    path = tmp_path / 'detections.yaml'
    mapping = {'items': 'poses', 'position': 'position', 'orientation': 'orientation'}
    path.write_text(yaml.safe_dump({'geometry_msgs/msg/PoseArray': mapping}), encoding='utf-8')
    node = profiler(detections_file=str(path))
    publisher = observer.node.create_publisher(PoseArray, '/detections', 10)
    assert observer.until(publisher.get_subscription_count)
    pose = Pose()
    pose.position.x, pose.position.y = 6.0, 8.0
    publisher.publish(PoseArray(poses=[pose, pose]))
    observer.until(lambda: False, timeout_s=0.5)
    assert node.end() == 0, node.output
    assert observer.until(lambda: total(profiles, 'detections') == 1)
    features = profiles[0].features
    assert features['detections/count'].moments.mean == 2.0
    assert features['detections/distance_m'].moments.mean == 10.0


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [
        ({'detections_file': '/nowhere.yaml'}, '/nowhere.yaml'),
        ({'stream': {'image': {'kind': 'sound'}}}, "stream.image.kind is 'sound'"),
        ({'stream': {'image': {'type': 'Image'}}}, "stream.image.type is 'Image'"),
        ({'segment': {'topic': 'no topic'}}, "'no topic'"),
    ],
)
def test_what_is_wrong_with_the_configuration_of_streams_is_named(profiler, parameters, message):
    node = profiler(**parameters)
    assert node.wait() == 1
    assert message in node.output
    assert node.output.count('\n') == 1, node.output


def test_a_field_that_is_not_there_is_reported(observer, profiler):
    node = profiler(stream={'image': {'fields': ['colour']}})
    observer.node.create_publisher(Image, '/image', 10)
    assert node.says('/image: cannot be profiled')
    assert "has no field 'colour'" in node.output
    assert node.end() == 0
