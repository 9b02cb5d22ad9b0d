"""A profiler with a CPU budget leaves messages out, evenly, and counts them."""

import time

import numpy as np
import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')

from edge_profiler.msg import Profile as ProfileMessage
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Float64

from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.wire.codec import decode

BUDGET, RATE_HZ, SECONDS = 0.1, 25, 12
HEIGHT, WIDTH = 1080, 1920


def test_a_budget_of_a_tenth_of_a_core_is_kept(run, observer, tmp_path):
    received = []
    observer.node.create_subscription(ProfileMessage, '/profiles', received.append, PROFILES_QOS)
    settings = [f'state_dir:={tmp_path}', f'cpu_budget:={BUDGET}', 'streams:=[image, number]']
    settings += ['window.length_s:=86400.0']
    arguments = [part for setting in settings for part in ('-p', setting)]
    profiler = run('profiler', '--ros-args', *arguments)
    images = observer.node.create_publisher(Image, '/image', QoSProfile(depth=10))
    numbers = observer.node.create_publisher(Float64, '/number', QoSProfile(depth=1000))
    for publisher in (images, numbers):
        assert observer.until(publisher.get_subscription_count), 'nobody subscribed'
    pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image = Image(height=HEIGHT, width=WIDTH, encoding='bgr8', step=3 * WIDTH)
    image.data = pixels.tobytes()
    start_s = time.monotonic()
    for count in range(RATE_HZ * SECONDS):
        stamp_ns = time.time_ns()
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        images.publish(image)
        numbers.publish(Float64(data=float(count)))
        time.sleep(max(0.0, start_s + (count + 1) / RATE_HZ - time.monotonic()))
    elapsed_s = time.monotonic() - start_s
    assert profiler.end() == 0, profiler.output
    assert observer.until(lambda: len(received) == 2)
    found = {message.stream: decode(bytes(message.payload)) for message in received}
    counters = found['image'].counters
    assert counters.seen == counters.decoded + counters.shed
    assert counters.seen + counters.lost == RATE_HZ * SECONDS
    assert counters.shed > 0.3 * counters.seen
    # In the first second it cannot know what an image costs.
    assert counters.cpu_ns / 1e9 < BUDGET * elapsed_s + 0.5
    assert found['image'].features['image/red'].moments.count == counters.decoded * HEIGHT * WIDTH
    cheap = found['number']
    assert (cheap.counters.shed, cheap.counters.lost) == (0, 0)
    assert cheap.features['field/data'].moments.count == RATE_HZ * SECONDS
    assert 'leaving messages out, cpu_budget: image' in profiler.output
