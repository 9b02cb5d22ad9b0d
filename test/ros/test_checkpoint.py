"""A profiler that is killed, and one that goes on in its place."""

import signal
import time

import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')

from edge_profiler.msg import Profile as ProfileMessage
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64, String

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.profile import Source
from profiler_node.core.timeline import Message
from profiler_node.core.windows import Windows
from profiler_node.fleet.store import read_profiles
from profiler_node.ros.checkpoint import Checkpoints
from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.wire.checkpoint import (
    Checkpoint,
    StreamState,
    pack_checkpoint,
    unpack_checkpoint,
)
from profiler_node.wire.codec import decode, encode

SECOND = 10**9
LATENESS_NS = 2 * SECOND
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Run:
    """Profilers with one state folder, one after the other, and what they publish of /number."""

    def __init__(self, start, observer, folder):
        self._start, self._observer, self._folder = start, observer, folder
        self.path = folder / 'profiler' / 'checkpoint'
        self.received = []
        self._dead = set()
        observer.node.create_subscription(
            ProfileMessage, '/profiles', self.received.append, PROFILES_QOS
        )

    def start(self, *settings, topic='profiles'):
        settings = ['robot_id:=robot', 'streams:=[number]', f'state_dir:={self._folder}', *settings]
        settings += ['checkpoint_interval_s:=1.0']
        parameters = [a for s in settings for a in ('-p', s)]
        remapping = '-r', f'profiles:={topic}'
        return self._start('profiler', '--ros-args', *parameters, *remapping)

    def subscriptions(self, publisher):
        """Identifiers of those that publisher may know of, dead ones for a while too."""
        ends = self._observer.node.get_subscriptions_info_by_topic('/number')
        name = f'std_msgs/msg/{publisher.msg_type.__name__}'
        return {bytes(end.endpoint_gid) for end in ends if end.topic_type == name}

    def publish(self, publisher, *values):
        """Publish once a profiler that lives listens."""

        def is_heard():
            ends = self.subscriptions(publisher)
            return ends - self._dead and publisher.get_subscription_count() >= len(ends)

        assert self._observer.until(is_heard), 'nobody subscribed'
        for value in values:
            publisher.publish(publisher.msg_type(data=value))

    def in_checkpoint(self):
        """How many messages are in the open windows of the file."""
        if not self.path.exists():
            return 0
        states = unpack_checkpoint(self.path.read_bytes()).streams
        return sum(p.counters.seen for state in states for p in state.snapshot.open)

    def kill(self, profiler, publisher):
        self._dead |= self.subscriptions(publisher)
        profiler.end(signal.SIGKILL)

    def profiles(self):
        return [decode(bytes(message.payload)) for message in self.received]


@pytest.fixture
def profiling(run, observer, tmp_path):
    return Run(run, observer, tmp_path / 'state')


@pytest.fixture
def publisher(observer):
    return observer.node.create_publisher(Float64, '/number', QoSProfile(depth=1000))


LONG = 'window.length_s:=86400.0'


def test_a_killed_profiler_goes_on_in_the_same_window(profiling, observer, publisher):
    profiler = profiling.start(LONG)
    profiling.publish(publisher, *map(float, range(50)))
    assert observer.until(lambda: profiling.in_checkpoint() == 50)
    profiling.kill(profiler, publisher)
    for _ in range(5):
        publisher.publish(Float64(data=-1.0))  # nobody is there to hear it
    profiler = profiling.start(LONG)
    profiling.publish(publisher, *map(float, range(100, 120)))
    assert observer.until(lambda: profiling.in_checkpoint() == 70)
    assert profiler.end() == 0, profiler.output
    assert observer.until(lambda: profiling.received)
    (profile,) = profiling.profiles()
    assert profile.epoch == 0
    counters = profile.counters
    assert (counters.seen, counters.decoded, counters.lost) == (70, 70, 0)
    assert profile.counters.interruptions == profiling.received[0].interruptions == 1
    moments = profile.features['field/data'].moments
    assert (moments.count, moments.min, moments.max) == (70, 0.0, 119.0)
    assert profile.features['message/interval_s'].moments.count == 68
    assert 'going on after an interruption: 1 open window' in profiler.output


def test_what_the_bridge_may_not_have_kept_is_published_once_more(profiling, observer, publisher):
    settings = ('window.length_s:=1.0', 'window.allowed_lateness_s:=0.1')
    profiler = profiling.start(*settings)
    profiling.publish(publisher, 1.0)

    def is_kept():
        path = profiling.path
        return path.exists() and unpack_checkpoint(path.read_bytes()).recent

    assert observer.until(is_kept)
    profiling.kill(profiler, publisher)
    before = list(profiling.received)
    profiling.start(*settings)
    assert observer.until(lambda: len(profiling.received) > len(before))
    assert profiling.received[len(before) :] == before


def test_a_clean_end_leaves_nothing_to_go_on_with(profiling, observer, publisher):
    profiler = profiling.start(LONG)
    profiling.publish(publisher, 1.0)
    assert observer.until(profiling.in_checkpoint)
    assert profiler.end(signal.SIGTERM) == 0, profiler.output
    assert [path.name for path in profiling.path.parent.iterdir()] == ['checkpoint.lock']


def test_what_nobody_has_heard_at_the_end_is_published_at_the_next_start(
    profiling, observer, publisher
):
    profiler = profiling.start(LONG, topic='unheard')
    profiling.publish(publisher, 1.0)
    assert observer.until(profiling.in_checkpoint)
    assert profiler.end(signal.SIGTERM) == 0, profiler.output
    assert not profiling.received
    profiling.start(LONG)
    assert observer.until(lambda: profiling.received)
    assert [profile.counters.seen for profile in profiling.profiles()] == [1]


@pytest.mark.parametrize('change', ['tags', 'type', 'length'])
def test_what_is_another_stream_now_is_not_merged(profiling, observer, publisher, change):
    profiler = profiling.start(LONG, "tags:=['firmware=1']")
    profiling.publish(publisher, 1.0, 2.0)
    assert observer.until(lambda: profiling.in_checkpoint() == 2)
    profiling.kill(profiler, publisher)
    firmware = 2 if change == 'tags' else 1
    length = 'window.length_s:=7200.0' if change == 'length' else LONG
    if change == 'type':
        observer.node.destroy_publisher(publisher)
        publisher = observer.node.create_publisher(String, '/number', 10)
    profiler = profiling.start(length, f"tags:=['firmware={firmware}']")
    assert observer.until(lambda: profiling.received)
    profiling.publish(publisher, 'three' if change == 'type' else 3.0)
    assert observer.until(lambda: profiling.in_checkpoint() == 1)
    assert profiler.end() == 0, profiler.output
    assert observer.until(lambda: len(profiling.received) == 2)
    killed, after = profiling.profiles()
    assert (killed.epoch, killed.counters.seen, killed.counters.interruptions) == (0, 2, 1)
    assert (after.epoch, after.counters.seen, after.counters.interruptions) == (65536, 1, 0)
    assert killed.source.tags == {'firmware': '1'}
    assert after.source.tags == {'firmware': str(firmware)}


def test_a_window_is_published_when_it_is_over_though_nothing_comes_any_more(
    profiling, observer, publisher
):
    settings = ('window.length_s:=6.0', 'window.allowed_lateness_s:=0.5')
    profiler = profiling.start(*settings)
    while time.time() % 6.0 > 1.0:  # so that it is not over before it is killed
        observer.until(lambda: False, 0.05)
    profiling.publish(publisher, 1.0)
    assert observer.until(profiling.in_checkpoint)
    profiling.kill(profiler, publisher)
    observer.node.destroy_publisher(publisher)
    profiler = profiling.start(*settings)
    assert observer.until(lambda: profiling.received), profiler.output
    (profile,) = profiling.profiles()
    assert (profile.counters.seen, profile.counters.interruptions) == (1, 1)


def test_a_latched_message_is_not_counted_again(profiling, observer):
    publisher = observer.node.create_publisher(Float64, '/number', LATCHED)
    profiler = profiling.start(LONG)
    profiling.publish(publisher, 1.0)
    assert observer.until(profiling.in_checkpoint)
    profiling.kill(profiler, publisher)
    profiler = profiling.start(LONG)
    profiling.publish(publisher, 2.0)
    assert observer.until(lambda: profiling.in_checkpoint() == 2)
    assert profiler.end() == 0
    assert observer.until(lambda: profiling.received)
    assert [p.counters.seen for p in profiling.profiles()] == [2]


def test_both_nodes_are_killed_and_the_store_has_each_message_once(
    run, profiling, observer, publisher, tmp_path
):
    def start_both():
        bridge = run('bridge', '--ros-args', '-p', f'state_dir:={tmp_path}/state')
        return profiling.start('window.length_s:=2.0'), bridge

    sent = 0

    def send_until_closed(windows):
        nonlocal sent
        before = len(profiling.received)

        def are_closed():
            nonlocal sent
            profiling.publish(publisher, float(sent))
            sent += 1
            observer.until(lambda: False, 0.1)
            return len(profiling.received) >= before + windows

        assert observer.until(are_closed, 30.0)

    profiler, bridge = start_both()
    send_until_closed(2)
    assert observer.until(profiling.in_checkpoint)
    profiling.kill(profiler, publisher)
    bridge.end(signal.SIGKILL)
    profiler, bridge = start_both()
    send_until_closed(3)
    bridge.signal(signal.SIGINT)
    assert profiler.end() == 0, profiler.output
    assert bridge.wait() == 0, bridge.output
    stored = list(read_profiles(str(tmp_path / 'state' / 'bridge' / 'store'), pytest.fail))
    assert len({profile.identity for profile in stored}) == len(stored)
    assert any(profile.counters.interruptions for profile in stored)
    lost = sent - sum(profile.counters.seen for profile in stored)
    assert 0 <= lost <= 30, 'about a second of 10 Hz'


def test_a_damaged_file_is_set_aside(profiling, observer, publisher):
    profiling.path.parent.mkdir(parents=True)
    profiling.path.write_bytes(b'edge_profiler checkpoint \x01' + bytes(100))
    profiler = profiling.start(LONG)
    profiling.publish(publisher, 1.0)
    assert observer.until(profiling.in_checkpoint), profiler.output
    assert 'the checksum does not fit; kept as' in profiler.output
    assert len(list(profiling.path.parent.glob('checkpoint.corrupt-*'))) == 1


def test_a_second_profiler_of_the_same_name_leaves_the_file_alone(profiling, observer, publisher):
    first = profiling.start(LONG)
    profiling.publish(publisher, 1.0)
    assert observer.until(profiling.in_checkpoint)
    second = profiling.start(LONG)
    assert second.says('is of another profiler of this name'), second.output
    assert observer.until(lambda: publisher.get_subscription_count() == 2)
    profiling.publish(publisher, 2.0)
    assert observer.until(lambda: profiling.in_checkpoint() == 2)
    assert second.end() == 0
    assert profiling.in_checkpoint() == 2
    assert first.end() == 0
    assert observer.until(lambda: len(profiling.received) == 2)
    assert sorted((p.epoch, p.counters.seen) for p in profiling.profiles()) == [(0, 2), (65536, 1)]


class Log(list):
    """What was logged, each with its level."""

    def info(self, text):
        self.append(('info', text))

    def error(self, text):
        self.append(('error', text))


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'profiler' / 'checkpoint'


def state(stamp_s=105.0, silent_s=0.0, name='number'):
    """A stream with an open window of [100, 110), whose last message is so long ago."""
    source = Source('robot', name, '/number', 'std_msgs/msg/Float64')
    windows = Windows(source, WindowConfig(10.0), SketchConfig())
    windows.add(Message(round(stamp_s * SECOND), {'field/data': 1.0}))
    heard_ns = time.time_ns() - round(silent_s * SECOND)
    return StreamState(name, 'digest', heard_ns, windows.snapshot())


def taken_over(path, *states, recent=()):
    """A new owner of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack_checkpoint(Checkpoint(states, recent)))
    return owner(path)[0]


def owner(path, interval_s=10.0):
    log = Log()
    checkpoints = Checkpoints(path, interval_s, log)
    checkpoints.take_over()
    return checkpoints, log


def until_written(checkpoints, handled=0):
    deadline_s = time.monotonic() + 20.0
    while not checkpoints.errors and checkpoints.written_s is None:
        assert time.monotonic() < deadline_s
        checkpoints.is_due(handled)


def test_a_window_that_is_over_is_left_over_and_one_that_is_not_waits(path):
    checkpoints = taken_over(path, state(silent_s=7.5), state(silent_s=6.5, name='other'))
    (left,) = checkpoints.left_over(LATENESS_NS)
    assert (left.source.stream, left.counters.interruptions) == ('number', 1)
    assert checkpoints.left_over(LATENESS_NS) == []
    assert checkpoints.take('number').state.snapshot.closed_until_ns == 110 * SECOND
    assert checkpoints.take('other') is not None
    assert checkpoints.take('other') is checkpoints.take('number') is None


@pytest.mark.parametrize('set_s', [-1e9, 1e9])
def test_a_clock_that_was_set_holds_up_no_window(path, set_s):
    """Set back: the window is over after as much steady time; set forward: at once."""
    checkpoints = taken_over(path, state(silent_s=set_s))
    assert len(checkpoints.left_over(LATENESS_NS)) == (set_s > 0)
    deadline_s = time.monotonic() + 20.0
    checkpoints = taken_over(path.with_name('other'), state(109.9, silent_s=set_s))
    while not checkpoints.left_over(SECOND // 10):
        assert time.monotonic() < deadline_s


def test_what_nobody_went_on_with_is_in_the_next_file_too(path):
    checkpoints = taken_over(path, state())
    checkpoints.published(b'payload')
    assert checkpoints.is_due(0)
    checkpoints.write([state(name='new')], handled=0)
    until_written(checkpoints)
    written = unpack_checkpoint(path.read_bytes())
    assert [s.name for s in written.streams] == ['new', 'number']
    assert written.recent == (b'payload',)


def test_it_is_written_when_messages_came_and_the_interval_is_over_or_profiles_went(path):
    checkpoints, _ = owner(path)
    assert not checkpoints.is_due(handled=1)
    checkpoints.published(b'')
    assert checkpoints.is_due(handled=1)
    every_second, _ = owner(path.with_name('other'), interval_s=1.0)
    assert every_second.is_due(handled=1)
    assert not every_second.is_due(handled=0)


def test_a_disk_that_takes_nothing_is_told_once_and_tried_again(path):
    checkpoints, log = owner(path, interval_s=1.0)
    obstacle = path.with_name('checkpoint.new')
    obstacle.mkdir()
    for errors in (1, 2):
        assert checkpoints.is_due(handled=errors)
        checkpoints.write([state()], handled=errors)
        while checkpoints.errors < errors:
            checkpoints.is_due(errors)
    assert [level for level, _ in log] == ['error']
    assert 'cannot be written' in checkpoints.problem
    obstacle.rmdir()
    assert checkpoints.is_due(handled=2), 'nothing new came, but nothing was written either'
    checkpoints.write([state()], handled=2)
    while checkpoints.written_s is None:
        checkpoints.is_due(2)
    assert [level for level, _ in log] == ['error', 'info']
    assert (checkpoints.problem, checkpoints.errors) == ('', 2)
    assert len(unpack_checkpoint(path.read_bytes()).streams) == 1


def test_profiles_that_have_not_arrived_are_kept_for_the_next_start(path):
    checkpoints, _ = owner(path)
    payload = encode(state().snapshot.open[0])
    checkpoints.published(payload)
    checkpoints.finish()
    checkpoints.close(arrived=False)
    assert unpack_checkpoint(path.read_bytes()) == Checkpoint(recent=(payload,))


def test_only_the_last_profiles_are_kept(path, monkeypatch):
    now_s = 1000.0
    monkeypatch.setattr(time, 'monotonic', lambda: now_s)
    checkpoints, _ = owner(path)
    for index in range(100):
        now_s += 1.0
        checkpoints.published(b'%d' % index)
    checkpoints.finish()
    checkpoints.close(arrived=False)
    recent = unpack_checkpoint(path.read_bytes()).recent
    assert recent == tuple(b'%d' % index for index in range(69, 100))


def test_without_an_interval_there_is_no_file(path):
    checkpoints, log = owner(path, interval_s=0.0)
    checkpoints.published(b'')
    assert not checkpoints.is_due(handled=1)
    checkpoints.finish()
    checkpoints.close(arrived=True)
    assert log == []
    assert not path.parent.exists()
