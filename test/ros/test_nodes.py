"""Both nodes, as processes over DDS: from serialized images to objects in a store."""

import signal
import time

import numpy as np
import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')

from edge_profiler.msg import Profile as ProfileMessage
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from profiler_node.bags import profile_bag
from profiler_node.core.config import WindowConfig
from profiler_node.fleet.store import read_profiles
from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.wire.codec import decode

SECOND = 10**9
PIXELS = np.random.default_rng(6).integers(0, 256, (24, 32, 3), dtype=np.uint8)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def image_message(stamp_ns=None):
    stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
    message = Image(height=24, width=32, encoding='rgb8', step=96, data=PIXELS.tobytes())
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    message.header.frame_id = 'camera'
    return message


def stored(folder):
    problems = []
    profiles = list(read_profiles(str(folder), problems.append))
    assert problems == []
    return sorted(profiles, key=lambda profile: profile.identity)


@pytest.fixture
def profiles(observer):
    """The profile messages that come in while the test spins."""
    received = []
    observer.node.create_subscription(ProfileMessage, '/profiles', received.append, PROFILES_QOS)
    return received


@pytest.fixture
def arguments(tmp_path):
    return ['--ros-args', '-p', f'state_dir:={tmp_path}/state', '-p', 'robot_id:=robot-7']


def publish(observer, publisher, count, stamps_ns=None):
    """Publish count images once somebody listens."""
    assert observer.until(publisher.get_subscription_count), 'nobody subscribed'
    for index in range(count):
        publisher.publish(image_message(stamps_ns[index] if stamps_ns else None))
        observer.until(lambda: False, timeout_s=0.02)


def test_a_remapped_topic_is_profiled_and_flushed_at_the_end(run, observer, profiles, arguments):
    profiler = run('profiler', *arguments, '-r', 'image:=/cam/rgb', '-p', "tags:=['firmware=1.4']")
    publisher = observer.node.create_publisher(Image, '/cam/rgb', 10)
    publish(observer, publisher, 7)
    started_s = time.monotonic()
    assert profiler.end() == 0, profiler.output
    assert time.monotonic() - started_s < 5.0
    assert observer.until(lambda: sum(p.messages_decoded for p in profiles) == 7)
    message = profiles[0]
    assert (message.robot_id, message.stream, message.topic) == ('robot-7', 'image', '/cam/rgb')
    assert message.tags == ['firmware=1.4']
    summary = {feature.name: feature for feature in message.features}
    assert summary['image/red_mean'].mean == pytest.approx(PIXELS[:, :, 0].mean())
    assert summary['image/red'].kind == 'elements'
    assert summary['image/encoding'].top == 'rgb8'
    profile = decode(bytes(message.payload))
    assert profile.features['image/red'].moments.mean == pytest.approx(PIXELS[:, :, 0].mean())
    assert 0 <= profile.features['message/latency_s'].moments.mean < 5.0
    assert profile.counters.cpu_ns > 0
    assert profile.counters.peak_rss_bytes > 10_000_000


def test_what_had_come_in_when_the_node_is_stopped_is_profiled(run, observer, profiles, arguments):
    profiler = run('profiler', *arguments)
    publisher = observer.node.create_publisher(Image, '/image', 10)
    publish(observer, publisher, 1)
    large = Image(height=1500, width=2000, encoding='mono8', step=2000, data=bytes(3_000_000))
    large.header.stamp.sec = 1000
    for _ in range(8):  # each takes longer to profile than to send
        publisher.publish(large)
    observer.until(lambda: False, timeout_s=0.03)
    assert profiler.end() == 0
    assert observer.until(lambda: sum(p.messages_decoded for p in profiles) == 9)


def test_profiles_come_out_when_windows_close_not_only_at_the_end(
    run, observer, profiles, arguments
):
    window = ['-p', 'window.length_s:=1.0', '-p', 'window.allowed_lateness_s:=0.5']
    run('profiler', *arguments, *window)
    publisher = observer.node.create_publisher(Image, '/image', 10)
    publish(observer, publisher, 60, [SECOND * 1000 + n * SECOND // 10 for n in range(60)])
    assert observer.until(lambda: len(profiles) >= 5)
    starts_s = [p.window_start_ns // SECOND for p in profiles[:5]]
    assert starts_s == [1000, 1001, 1002, 1003, 1004]
    # The last window has nothing after it: it is closed by the time that goes by.
    assert observer.until(lambda: len(profiles) == 6, timeout_s=5.0)
    assert sum(p.messages_decoded for p in profiles) == 60


@pytest.mark.parametrize('qos', [BEST_EFFORT, LATCHED], ids=['best effort', 'transient local'])
def test_the_subscription_matches_what_a_late_publisher_offers(
    run, observer, profiles, arguments, qos
):
    profiler = run('profiler', *arguments)
    time.sleep(1.5)
    publisher = observer.node.create_publisher(Image, '/image', qos)
    publish(observer, publisher, 5)
    assert profiler.end(signal.SIGTERM) == 0
    assert observer.until(lambda: sum(p.messages_decoded for p in profiles) == 5)
    expected = 'best_effort, volatile' if qos is BEST_EFFORT else 'reliable, transient_local'
    assert expected in profiler.output


def test_a_weaker_publisher_that_joins_is_heard_too(run, observer, profiles, arguments):
    profiler = run('profiler', *arguments)
    first = observer.node.create_publisher(Image, '/image', 10)
    publish(observer, first, 3)
    second = observer.node.create_publisher(Image, '/image', BEST_EFFORT)
    publish(observer, second, 4)
    assert profiler.end() == 0
    assert observer.until(lambda: sum(p.messages_decoded for p in profiles) == 7)


def test_a_latched_message_is_not_counted_again_when_a_weaker_publisher_has_gone(
    run, observer, profiles, arguments
):
    profiler = run('profiler', *arguments)
    latched = observer.node.create_publisher(Image, '/image', LATCHED)
    publish(observer, latched, 5)
    weaker = observer.node.create_publisher(Image, '/image', BEST_EFFORT)
    publish(observer, weaker, 1)
    observer.node.destroy_publisher(weaker)
    observer.until(lambda: False, timeout_s=2.5)
    assert profiler.end() == 0
    assert observer.until(lambda: profiles)
    assert sum(p.messages_seen for p in profiles) == 6


def test_profiles_on_a_remapped_topic_reach_the_store(run, observer, arguments, tmp_path):
    remap = ['-r', 'profiles:=/fleet/profiles']
    bridge = run('bridge', *arguments[:3], '-p', f'store_url:={tmp_path}/store', *remap)
    window = ['-p', 'window.length_s:=0.1', '-p', 'window.allowed_lateness_s:=6.0']
    profiler = run('profiler', *arguments, *window, *remap)
    publisher = observer.node.create_publisher(Image, '/image', 10)
    publish(observer, publisher, 40, [SECOND * 1000 + n * SECOND // 10 for n in range(40)])
    bridge.signal(signal.SIGINT)
    assert profiler.end() == 0
    assert bridge.wait() == 0, bridge.output
    assert sum(p.counters.decoded for p in stored(tmp_path / 'store')) == 40


def test_a_qos_override_is_kept(run, observer, profiles, arguments):
    override = 'qos_overrides./image.subscription.reliability:=best_effort'
    profiler = run('profiler', *arguments, '-p', override)
    publisher = observer.node.create_publisher(Image, '/image', 10)
    publish(observer, publisher, 3)
    assert profiler.end() == 0
    assert 'best_effort, volatile' in profiler.output
    assert observer.until(lambda: sum(p.messages_decoded for p in profiles) == 3)


@pytest.mark.parametrize('given', ['reliability:=somewhat', 'reliability:=1', 'depth:=some'])
def test_a_bad_qos_override_is_reported(run, observer, arguments, given):
    override = f'qos_overrides./image.subscription.{given}'
    profiler = run('profiler', *arguments, '-p', override)
    observer.node.create_publisher(Image, '/image', 10)
    assert profiler.says('/image: cannot be subscribed'), profiler.output
    assert profiler.end() == 0


def test_bad_images_are_counted_and_the_node_lives_on(run, observer, profiles, arguments):
    profiler = run('profiler', *arguments)
    publisher = observer.node.create_publisher(Image, '/image', 10)
    publish(observer, publisher, 1)
    for change in ({'step': 3}, {'encoding': 'what'}, {'height': 2**31}):
        message = image_message()
        for name, value in change.items():
            setattr(message, name, value)
        publisher.publish(message)
    publish(observer, publisher, 1)
    assert profiler.end() == 0, profiler.output
    assert observer.until(lambda: sum(p.messages_seen for p in profiles) == 5)
    assert sum(p.decode_errors for p in profiles) == 3


@pytest.mark.parametrize('stamp_s', [-(2**31), 2**31 - 1])
def test_the_extreme_stamps_are_profiled(run, observer, profiles, arguments, stamp_s):
    profiler = run('profiler', *arguments)
    publisher = observer.node.create_publisher(Image, '/image', 10)
    publish(observer, publisher, 2, [stamp_s * SECOND] * 2)
    assert profiler.end() == 0, profiler.output
    assert observer.until(lambda: profiles)
    assert profiles[0].window_start_ns <= stamp_s * SECOND < profiles[0].window_end_ns


def test_a_topic_of_another_type_than_the_given_is_reported(run, observer, arguments):
    profiler = run('profiler', *arguments, '-p', 'stream.image.type:=sensor_msgs/msg/Image')
    observer.node.create_publisher(String, '/image', 10)
    refusal = 'std_msgs/msg/String is published, not sensor_msgs/msg/Image'
    warning = f'/image: cannot be profiled: {refusal}'
    assert profiler.says(warning), profiler.output
    assert profiler.end() == 0


def test_a_recording_reaches_the_store_with_the_numbers_of_the_bag(
    run, arguments, recording, tmp_path
):
    bag = recording('euroc_camera_imu')
    bridge = run('bridge', *arguments[:3], '-p', f'store_url:={tmp_path}/store')
    topic = '/cam0/image_raw'
    settings = ['-p', 'window.length_s:=1.0', '-p', 'use_sim_time:=true', '-r', f'image:={topic}']
    profiler = run('profiler', *arguments, *settings)
    player = run('player', bag, '--expect', topic)
    assert player.wait() == 0, player.output
    # Both at once, as a launch file does: the bridge stays until the profiler has flushed.
    profiler.signal(signal.SIGINT)
    assert bridge.end() == 0, bridge.output
    assert profiler.wait() == 0, profiler.output
    live = stored(tmp_path / 'store')
    offline = list(profile_bag(bag, [topic], window=WindowConfig(length_s=1.0)))
    assert [p.identity[3:] for p in live] == [p.identity[3:] for p in offline]
    for ours, theirs in zip(live, offline, strict=True):
        assert ours.counters.decoded == theirs.counters.decoded
        for name in ('image/gray', 'image/gray_mean', 'image/sharpness', 'message/interval_s'):
            assert ours.features[name].moments == theirs.features[name].moments, name


def test_a_bridge_that_starts_late_still_gets_the_profiles(run, observer, arguments, tmp_path):
    window = ['-p', 'window.length_s:=1.0', '-p', 'window.allowed_lateness_s:=0.5']
    profiler = run('profiler', *arguments, *window)
    publisher = observer.node.create_publisher(Image, '/image', 10)
    publish(observer, publisher, 30, [SECOND * 1000 + n * SECOND // 10 for n in range(30)])
    bridge = run('bridge', *arguments[:3], '-p', f'store_url:={tmp_path}/store')
    time.sleep(2.0)
    profiler.end()
    bridge.end()
    assert sum(p.counters.decoded for p in stored(tmp_path / 'store')) == 30


def test_a_restart_within_a_window_takes_a_new_epoch(run, observer, profiles, arguments):
    publisher = observer.node.create_publisher(Image, '/image', 10)
    for _ in range(2):
        profiler = run('profiler', *arguments)
        publish(observer, publisher, 3, [SECOND * 1000] * 3)
        assert profiler.end() == 0
        assert observer.until(lambda: not publisher.get_subscription_count())
    assert observer.until(lambda: len(profiles) == 2)
    assert [(p.epoch, p.messages_decoded) for p in profiles] == [(0, 3), (65536, 3)]


def test_a_namespace_moves_the_topics_and_names_the_stream(run, observer, arguments):
    received = []
    topic = '/left/profiles'
    observer.node.create_subscription(ProfileMessage, topic, received.append, PROFILES_QOS)
    profiler = run('profiler', *arguments, '-r', '__ns:=/left')
    publisher = observer.node.create_publisher(Image, '/left/image', 10)
    publish(observer, publisher, 2)
    assert profiler.end() == 0
    assert observer.until(lambda: received)
    assert (received[0].stream, received[0].topic) == ('left/image', '/left/image')
