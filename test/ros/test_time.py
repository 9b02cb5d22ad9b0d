"""Time over DDS: simulated, paused, fast, slow, looped, set forward and back, and out of range."""

import time

import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')

import yaml
from edge_profiler.msg import Profile as ProfileMessage
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Temperature

from profiler_node.bags import profile_bag
from profiler_node.core.config import SegmentConfig, StreamConfig, WindowConfig
from profiler_node.ros.channel import Channel
from profiler_node.ros.process import ProcessNode, drain
from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.wire.codec import decode

SECOND = 10**9
DAY = 86_400 * SECOND
BEGIN = 1_700_000_000 * SECOND  # the start of a window of any length used here
WINDOW = WindowConfig(length_s=2.0, allowed_lateness_s=0.5)
STORE = get_typestore(Stores.ROS2_JAZZY)
TEMPERATURE, STRING = 'sensor_msgs/msg/Temperature', 'std_msgs/msg/String'
LATE_CENTURY = 4_102_444_800  # [s] 2100-01-01


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
def profiler(run, observer, tmp_path):
    """Starts the profiler of these streams, each of the topic of its name."""

    def start(*streams, window=WINDOW, sim=True, **more):
        parameters = {
            'use_sim_time': sim,
            'streams': list(streams),
            'stream': {name: {'topic': f'/{name}'} for name in streams},
            'state_dir': str(tmp_path / 'state'),
            'window': {
                'length_s': window.length_s,
                'allowed_lateness_s': window.allowed_lateness_s,
            },
        }
        path = tmp_path / 'profiler.yaml'
        text = yaml.safe_dump({'/**': {'ros__parameters': parameters | more}})
        path.write_text(text, encoding='utf-8')
        node = run('profiler', '--ros-args', '--params-file', path)
        assert observer.until(lambda: observer.node.count_publishers('/profiles')), node.output
        return node

    return start


def temperature(stamp_ns, value):
    """A message, and the way it is in a recording."""
    header = STORE.types['std_msgs/msg/Header']
    stamp = STORE.types['builtin_interfaces/msg/Time'](*divmod(stamp_ns, SECOND))
    message = STORE.types[TEMPERATURE](header(stamp, 'motor'), value, 0.0)
    return STORE.serialize_cdr(message, TEMPERATURE)


@pytest.fixture
def bag(tmp_path):
    """Writes temperatures: log time [s after BEGIN] and stamp [ns] of each message, by topic."""

    def write(begin_ns=BEGIN, modes=(), **topics):
        path = tmp_path / 'bag'
        rows = []
        with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            for topic, times in topics.items():
                connection = writer.add_connection(f'/{topic}', TEMPERATURE, typestore=STORE)
                for index, each in enumerate(times):
                    log_s, stamp_ns = each if isinstance(each, tuple) else (each, None)
                    log_ns = begin_ns + round(log_s * SECOND)
                    data = temperature(log_ns if stamp_ns is None else stamp_ns, 20.0 + index)
                    rows.append((log_ns, connection, data))
            for log_s, mode in modes:
                connection = next(
                    (c for c in writer.connections if c.topic == '/mode'), None
                ) or writer.add_connection('/mode', STRING, typestore=STORE)
                data = STORE.serialize_cdr(STORE.types[STRING](mode), STRING)
                rows.append((begin_ns + round(log_s * SECOND), connection, data))
            for log_ns, connection, data in sorted(rows, key=lambda row: row[0]):
                writer.write(connection, log_ns, data)
        return path

    return write


def every(period_s, until_s, begin_s=0.0):
    return [begin_s + n * period_s for n in range(round((until_s - begin_s) / period_s))]


def found(profiles):
    """What the numbers of each profile are, by stream, segment, epoch and start."""
    names = 'seen', 'decoded', 'late', 'duplicate_stamps', 'stamp_regressions', 'zero_stamps'
    return {
        p.identity[1:]: (
            [getattr(p.counters, name) for name in names],
            p.features['field/temperature'].moments,
            p.features['message/interval_s'].moments if p.counters.decoded > 1 else None,
        )
        for p in profiles
    }


def play(run, observer, profiles, node, *arguments):
    """Play with arguments, end the node, and return what it found."""
    player = run('player', *arguments)
    assert player.wait(60.0) == 0, player.output
    assert node.end() == 0, node.output
    count = None
    while len(profiles) != count:  # they are here already: the node waits for that
        count = len(profiles)
        observer.until(lambda: False, timeout_s=0.3)
    identities = [p.identity for p in profiles]
    assert len(set(identities)) == len(identities)
    return found(profiles)


@pytest.mark.parametrize('clock', [(), ('--clock', '20')], ids=['stops', 'stands still'])
def test_a_pause_of_the_simulation_closes_no_window(run, observer, profiles, profiler, bag, clock):
    """It is longer than a window and its lateness; one stream has a message now and then."""
    path = bag(often=every(0.1, 4.0), seldom=[0.2, 1.6, 2.4, 3.0])
    node = profiler('often', 'seldom')
    expect = '--expect', '/often', '/seldom'
    live = play(
        run, observer, profiles, node, path, '--rate', 2, '--pause', '0.95:3.5', *clock, *expect
    )
    assert live == found(profile_bag(path, window=WINDOW))


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ('rate', 'length_s'),
    [
        (0.1, 0.8),
        pytest.param(4.0, 8.0, marks=LONG),
        pytest.param(10.0, 12.0, marks=LONG),
    ],
)
def test_the_rate_of_the_simulation_changes_nothing(
    run, observer, profiles, profiler, bag, rate, length_s
):
    """At a tenth of it a message is missed for longer than a window waits, in steady time."""
    window = WindowConfig(length_s=0.5, allowed_lateness_s=0.1)
    path = bag(often=every(0.05, length_s), seldom=every(0.25, length_s, 0.05))
    node = profiler('often', 'seldom', window=window)
    expect = '--expect', '/often', '/seldom'
    live = play(run, observer, profiles, node, path, '--rate', rate, *expect)
    assert live == found(profile_bag(path, window=window))


def test_a_stream_that_ends_is_closed_while_the_simulation_goes_on(
    run, observer, profiles, profiler, bag
):
    path = bag(short=[0.1, 0.2, 0.3], long=every(0.1, 6.0))
    profiler('short', 'long')
    run('player', path, '--expect', '/short', '/long')
    assert observer.until(lambda: [p for p in profiles if p.source.stream == 'short'])
    assert sum(p.counters.seen for p in profiles if p.source.stream == 'long') < 60


@pytest.mark.parametrize('rate', [pytest.param(2.0, marks=LONG), 10.0])
def test_each_loop_is_an_epoch_with_the_numbers_of_the_recording(
    run, observer, profiles, profiler, bag, rate
):
    path = bag(
        often=every(0.1, 5.0), seldom=every(1.0, 5.0, 0.5), few=[0.3, 4.9], jumps=[1.0, 0.2, 4.0]
    )
    names = 'often', 'seldom', 'few', 'jumps'
    node = profiler(*names)
    expect = [f'/{name}' for name in names]
    live = play(
        run, observer, profiles, node, path, '--loop', 3, '--rate', rate, '--expect', *expect
    )
    once = list(profile_bag(path, window=WINDOW))
    assert {p.epoch for p in once} == {0}
    loops = [
        {(*key[:2], loop, *key[3:]): value for key, value in found(once).items()}
        for loop in range(3)
    ]
    for loop, expected in enumerate(loops):
        ours = {key: value for key, value in live.items() if key[2] == loop}
        assert without_regression(ours) == without_regression(expected)
    assert len(live) == 3 * len(once)
    assert sum(p.counters.late for p in profiles) == 0


def without_regression(numbers):
    """Without what a loop differs by: its first stamp is behind that of the message before."""
    return {key: (values[0][:4], *values[1:]) for key, values in numbers.items()}


def test_segments_go_on_through_loops(run, observer, profiles, profiler, bag):
    times = every(0.1, 1.9, 0.3) + every(0.1, 3.9, 2.3)
    # Topics overtake each other: so long is nothing published beside a change.
    modes = [(0.0, 'docked'), (2.1, 'driving'), (4.1, 'driving')]
    path = bag(modes=modes, motor=times)
    node = profiler('motor', segment={'topic': '/mode'})
    play(run, observer, profiles, node, path, '--loop', 2, '--expect', '/motor', '/mode')
    counts = {(p.epoch, p.source.segment): p.counters.decoded for p in profiles}
    assert counts == {(n, name): 16 for n in range(2) for name in ('docked', 'driving')}
    once = profile_bag(path, ['/motor'], window=WINDOW, segment=SegmentConfig(topic='/mode'))
    means = {p.source.segment: p.features['field/temperature'].moments.mean for p in once}
    for profile in profiles:
        moments = profile.features['field/temperature'].moments
        assert moments.mean == means[profile.source.segment]


def message(stamp_ns, value):
    result = Temperature(temperature=value)
    result.header.stamp.sec, result.header.stamp.nanosec = divmod(stamp_ns, SECOND)
    return result


def publish(observer, topic, stamps_ns):
    """Publish a temperature for each stamp, once somebody listens."""
    publisher = observer.node.create_publisher(Temperature, topic, 10)
    assert observer.until(publisher.get_subscription_count), 'nobody subscribed'
    observer.until(lambda: False, timeout_s=0.5)
    for index, stamp_ns in enumerate(stamps_ns):
        publisher.publish(message(stamp_ns, float(index)))
        observer.until(lambda: False, timeout_s=0.02)
    return publisher


@pytest.mark.parametrize(
    'step_s', [3600, -3600, *(pytest.param(s, marks=LONG) for s in (40 * 86_400, -3))]
)
def test_a_wall_clock_that_is_set_loses_nothing(observer, profiles, profiler, step_s):
    """The stamps of a driver jump there and, when the clock is put right, back."""
    node = profiler('motor', sim=False)
    ticks = [BEGIN + n * SECOND // 20 for n in range(60)]
    stamps = [
        tick + (step_s * SECOND if 20 <= index < 40 else 0) for index, tick in enumerate(ticks)
    ]
    publisher = publish(observer, '/motor', stamps)
    assert node.end() == 0, node.output
    assert observer.until(lambda: sum(p.counters.seen for p in profiles) == 60)
    observer.node.destroy_publisher(publisher)
    assert sum(p.counters.decoded for p in profiles) == 60
    assert sum(p.counters.late for p in profiles) == 0
    assert sorted({p.epoch for p in profiles}) == [0, 1]
    # Forward is no new epoch, back is one.
    stepped_ns = BEGIN + SECOND + step_s * SECOND
    (epoch,) = {p.epoch for p in profiles if p.window_start_ns <= stepped_ns < p.window_end_ns}
    assert epoch == int(step_s < 0)


@pytest.mark.parametrize('days', [-400, pytest.param(3, marks=LONG)])
def test_log_times_and_stamps_may_be_days_apart(run, observer, profiles, profiler, bag, days):
    stamps = [(s, BEGIN + days * DAY + round(s * SECOND)) for s in every(0.1, 4.0)]
    path = bag(motor=stamps)
    node = profiler('motor')
    live = play(run, observer, profiles, node, path, '--rate', 4, '--expect', '/motor')
    offline = list(profile_bag(path, window=WINDOW))
    assert live == found(offline)
    assert [p.counters.foreign_stamps for p in offline] == [20, 20]
    ours = sorted(profiles, key=lambda p: p.window_start_ns)
    # Before the first /clock there is no time to tell the difference from.
    assert all(p.counters.foreign_stamps >= 19 for p in ours)
    latency_s = ours[1].features['message/latency_s'].moments
    assert latency_s.mean == pytest.approx(-days * 86_400, abs=1.0)


def test_stamps_of_zero_are_taken_at_the_time_of_the_simulation(
    run, observer, profiles, profiler, bag
):
    """The clock, told often, begins before them."""
    path = bag(motor=[(s, 0) for s in every(0.1, 4.0, 0.5)], other=[0.0])
    node = profiler('motor')
    play(run, observer, profiles, node, path, '--clock', 100, '--expect', '/motor')
    assert sum(p.counters.zero_stamps for p in profiles) == 35
    starts = sorted((p.window_start_ns - BEGIN) // SECOND for p in profiles)
    assert starts == [0, 2]
    counts = {(p.window_start_ns - BEGIN) // SECOND: p.counters.decoded for p in profiles}
    # A message at the edge may be handled on either side of it.
    assert counts[0] == pytest.approx(15, abs=2)


def test_stamps_of_zero_are_taken_at_the_wall_clock_of_a_robot(observer, profiles, profiler):
    node = profiler('motor', sim=False, window=WindowConfig(length_s=60.0))
    before_ns = time.time_ns()
    publish(observer, '/motor', [0] * 10)
    assert node.end() == 0, node.output
    assert observer.until(lambda: sum(p.counters.zero_stamps for p in profiles) == 10)
    assert all(before_ns - 60 * SECOND < p.window_start_ns < time.time_ns() for p in profiles)


def test_a_recording_of_1970_is_as_any_other(run, observer, profiles, profiler, bag):
    path = bag(begin_ns=SECOND // 2, motor=every(0.1, 4.0))
    node = profiler('motor')
    live = play(run, observer, profiles, node, path, '--rate', 4, '--loop', 2, '--expect', '/motor')
    once = found(profile_bag(path, window=WINDOW))
    assert {key[-2] for key in live} == {0, 2 * SECOND, 4 * SECOND}
    assert without_regression({k: v for k, v in live.items() if k[2] == 0}) == without_regression(
        once
    )
    assert len(live) == 2 * len(once)


def test_a_clock_that_is_set_right_from_1970_loses_nothing(observer, profiles, profiler):
    node = profiler('motor', sim=False)
    stamps = [5 * SECOND + n for n in range(5)] + [BEGIN + n for n in range(5)]
    publish(observer, '/motor', stamps)
    assert node.end() == 0, node.output
    assert observer.until(lambda: sum(p.counters.decoded for p in profiles) == 10)
    assert [(p.epoch, p.window_start_ns) for p in profiles] == [(0, 4 * SECOND), (0, BEGIN)]


def test_a_recording_of_2100_is_profiled_though_ros_cannot_say_that_time(
    run, observer, profiles, profiler, bag
):
    """Seconds are 32 bits with a sign: stamps and /clock arrive as times before 1970."""
    wrapped_ns = (LATE_CENTURY - 2**32) * SECOND
    stamps = [(s, wrapped_ns + round(s * SECOND)) for s in every(0.1, 4.0)]
    path = bag(begin_ns=LATE_CENTURY * SECOND, motor=stamps)
    node = profiler('motor')
    live = play(run, observer, profiles, node, path, '--rate', 4, '--expect', '/motor')
    assert node.output.count('before 1970, or after 2038') == 1
    offline = list(profile_bag(path, window=WINDOW))
    assert live == found(offline)
    assert [p.window_start_ns for p in offline] == [wrapped_ns, wrapped_ns + 2 * SECOND]
    assert [p.counters.foreign_stamps for p in offline] == [20, 20]


def test_stamps_of_2100_of_a_live_driver_are_told_as_of_another_clock(observer, profiles, profiler):
    node = profiler('motor', sim=False)
    wrapped_ns = (LATE_CENTURY - 2**32) * SECOND
    publish(observer, '/motor', [wrapped_ns + n for n in range(5)])
    assert node.end() == 0, node.output
    assert observer.until(lambda: profiles)
    (profile,) = profiles
    assert (profile.counters.decoded, profile.counters.foreign_stamps) == (5, 5)
    assert profile.window_start_ns == wrapped_ns


def test_without_a_clock_steady_time_closes_windows(observer, profiles, profiler):
    """use_sim_time, and nobody simulates."""
    profiler('motor')
    publish(observer, '/motor', [BEGIN, BEGIN + SECOND])
    assert observer.until(lambda: profiles, timeout_s=8.0)


def test_a_simulation_that_begins_anew_starts_the_silence_anew():
    channel = Channel('motor', StreamConfig())
    channel.heard(steady_ns=100 * SECOND, simulated_ns=50 * SECOND)
    assert channel.silent_ns(110 * SECOND, 51 * SECOND) == SECOND
    assert channel.silent_ns(111 * SECOND, 80 * SECOND) == 11 * SECOND  # it is fast
    assert channel.silent_ns(112 * SECOND, 10 * SECOND) == 0
    assert channel.silent_ns(113 * SECOND, 12 * SECOND) == 2 * SECOND
    channel.heard(steady_ns=120 * SECOND, simulated_ns=0)  # before the first /clock
    assert channel.silent_ns(121 * SECOND, 0) == SECOND
    assert channel.silent_ns(122 * SECOND, 1000 * SECOND) == 0


class Executor:
    """Runs a timer or /clock, and at every fifth spin a message."""

    def __init__(self, node, messages):
        self.node, self.left, self.spins = node, messages, 0

    def spin_once(self, timeout_sec):
        self.spins += 1
        if self.spins % 5 == 0 and self.left:
            self.left -= 1
            self.node.handled += 1
        elif not self.left:
            time.sleep(timeout_sec)


def test_messages_that_wait_behind_the_clock_are_handled_at_the_end(observer):
    del observer  # it makes rclpy ready
    node = ProcessNode('draining')
    executor = Executor(node, messages=3)
    drain(executor, node)
    node.destroy_node()
    assert (executor.left, node.handled) == (0, 3)
