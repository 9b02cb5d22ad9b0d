"""What the profiler says of itself on /diagnostics."""

import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Float64, String

from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.profile import Source
from profiler_node.core.stream import Stream
from profiler_node.health import Level
from profiler_node.ros.channel import Channel

SECOND = 10**9
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Board:
    """The newest status of each name, as a monitor shows it."""

    def __init__(self, observer):
        self.statuses = {}
        self.stamps_ns = []
        observer.node.create_subscription(DiagnosticArray, '/diagnostics', self._take, 10)

    def _take(self, message):
        stamp = message.header.stamp
        self.stamps_ns.append(stamp.sec * SECOND + stamp.nanosec)
        self.statuses |= {status.name: status for status in message.status}

    def level(self, name):
        return self.statuses[name].level if name in self.statuses else None

    def message(self, name):
        return self.statuses[name].message if name in self.statuses else ''

    def values(self, name):
        return {pair.key: pair.value for pair in self.statuses[name].values}


@pytest.fixture
def board(observer):
    return Board(observer)


@pytest.fixture
def profiler(run, tmp_path):
    def start(*settings):
        settings = [f'state_dir:={tmp_path}', 'robot_id:=robot-7', *settings]
        return run('profiler', '--ros-args', *(a for s in settings for a in ('-p', s)))

    return start


def repeat(observer, publisher, message, condition):
    """Publish message ten times a second until condition holds."""

    def publish():
        publisher.publish(message)
        observer.until(lambda: False, 0.1)
        return condition()

    return observer.until(publish, 30.0)


def test_process_and_streams_are_told_once_a_second(profiler, observer, board):
    running = profiler('streams:=[image, number]', 'checkpoint_interval_s:=1.0')
    publisher = observer.node.create_publisher(Float64, '/number', 10)
    number = 'profiler: number'
    assert repeat(
        observer, publisher, Float64(data=1.0), lambda: board.message(number).endswith('Hz')
    )
    board.stamps_ns.clear()
    assert repeat(observer, publisher, Float64(data=1.0), lambda: len(board.stamps_ns) == 5)
    period_s = (board.stamps_ns[-1] - board.stamps_ns[0]) / 4 / SECOND
    assert period_s == pytest.approx(1.0, abs=0.3)
    assert set(board.statuses) == {'profiler: process', 'profiler: image', number}
    assert {status.hardware_id for status in board.statuses.values()} == {'robot-7'}
    values = board.values(number)
    assert (board.level(number), values['topic']) == (OK, '/number')
    assert (values['type'], values['publishers']) == ('std_msgs/msg/Float64', '1')
    assert 2.0 < float(values['rate [Hz]']) < 12.0
    assert float(values['last message [s ago]']) < 5.0
    assert int(values['seen']) == int(values['decoded']) > 20
    assert values['problem'] == ''
    process = board.values('profiler: process')
    assert board.level('profiler: process') == OK
    assert 0.0 < float(process['CPU [share of one core]']) < 3.0
    assert float(process['most memory [MB]']) > 10.0
    assert float(process['checkpoint [s ago]']) < 5.0
    assert int(process['checkpoint [bytes]']) > 100
    assert running.end() == 0


def test_a_topic_without_a_publisher_is_a_warning_if_somebody_named_it(profiler, observer, board):
    profiler('streams:=[image, depth, mine]', 'stream.depth.topic:=/camera/depth')
    names = [f'profiler: {name}' for name in ('image', 'depth', 'mine')]
    assert observer.until(lambda: board.level(names[0]) is not None)
    assert [board.level(name) for name in names] == [OK, WARN, WARN]
    assert {board.message(name) for name in names} == {'nobody publishes'}
    observer.node.create_publisher(Image, '/image', 10)
    assert observer.until(lambda: board.message(names[0]) == 'waiting for the first message')
    assert board.level(names[0]) == OK


@pytest.fixture
def another_node(observer):  # noqa: ARG001 (isolates)
    """A node of another participant: in one, a topic has one type."""
    context = rclpy.Context()
    context.init()
    node = rclpy.create_node('another', context=context)
    yield node
    node.destroy_node()
    context.shutdown()


def test_a_topic_that_cannot_be_taken_is_an_error_until_it_can(
    profiler, observer, board, another_node
):
    profiler('streams:=[number]', 'stream.number.type:=std_msgs/msg/Float64')
    name = 'profiler: number'
    wrong = another_node.create_publisher(String, '/number', 10)
    assert observer.until(lambda: board.level(name) == ERROR)
    assert 'std_msgs/msg/String is published, not std_msgs/msg/Float64' in board.message(name)
    right = observer.node.create_publisher(Float64, '/number', 10)
    assert repeat(observer, right, Float64(data=1.0), lambda: board.level(name) == WARN)
    assert board.message(name) == 'profiling std_msgs/msg/Float64, not std_msgs/msg/String'
    another_node.destroy_publisher(wrong)
    assert repeat(observer, right, Float64(data=1.0), lambda: board.level(name) == OK)
    assert board.values(name)['problem'] == ''


def test_a_publisher_whose_qos_is_incompatible_is_told(profiler, observer, board):
    override = 'qos_overrides./number.subscription.reliability:=reliable'
    profiler('streams:=[number]', override)
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    publisher = observer.node.create_publisher(Float64, '/number', best_effort)
    name = 'profiler: number'
    reason = 'Best effort publisher and reliable subscription'
    assert observer.until(lambda: reason in board.message(name))
    assert board.level(name) == WARN
    observer.node.destroy_publisher(publisher)
    reliable = observer.node.create_publisher(Float64, '/number', 10)
    assert repeat(observer, reliable, Float64(data=1.0), lambda: board.level(name) == OK)


def test_messages_that_cannot_be_decoded_are_told_by_reason(profiler, observer, board):
    profiler('streams:=[image]')
    publisher = observer.node.create_publisher(Image, '/image', 10)
    bad = Image(height=2, width=2, encoding='what', step=2, data=bytes(4))
    name = 'profiler: image'
    assert repeat(observer, publisher, bad, lambda: board.level(name) == ERROR)
    assert 'messages cannot be decoded' in board.message(name)
    (reason,) = (key for key in board.values(name) if key.startswith('not decoded, '))
    assert int(board.values(name)[reason]) > 0
    good = Image(height=2, width=2, encoding='mono8', step=2, data=bytes(4))
    assert repeat(observer, publisher, good, lambda: board.level(name) == WARN)
    assert repeat(observer, publisher, good, lambda: board.level(name) == OK)


def test_a_checkpoint_that_cannot_be_written_is_told(profiler, observer, board, tmp_path):
    (tmp_path / 'profiler' / 'checkpoint.new').mkdir(parents=True)
    profiler('streams:=[number]', 'checkpoint_interval_s:=1.0')
    publisher = observer.node.create_publisher(Float64, '/number', 10)
    name = 'profiler: process'
    assert repeat(observer, publisher, Float64(data=1.0), lambda: board.level(name) == WARN)
    assert 'no checkpoint' in board.message(name)
    assert int(board.values(name)['checkpoints not written']) > 0
    (tmp_path / 'profiler' / 'checkpoint.new').rmdir()
    assert repeat(observer, publisher, Float64(data=1.0), lambda: board.level(name) == OK)


def test_a_namespace_is_in_the_name(run, observer, board, tmp_path):
    run('profiler', '--ros-args', '-r', '__ns:=/left', '-p', f'state_dir:={tmp_path}')
    assert observer.until(lambda: 'left/profiler: process' in board.statuses)


class FakeInput:
    """A topic with one publisher."""

    resolved, publishers, problem, fails = '/number', 1, '', False


def heard(channel, count, interval_s, start_s=100.0):
    """Have messages arrive; return the time of the last [s]."""
    for index in range(count):
        channel.arrived(round((start_s + index * interval_s) * SECOND))
    return start_s + (count - 1) * interval_s


@pytest.mark.parametrize(
    ('interval_s', 'longest_s'), [(0.01, 5.0), (0.4, 5.0), (2.0, 20.0), (60.0, 600.0)]
)
def test_silence_is_a_warning_when_it_is_long_for_this_stream(interval_s, longest_s):
    channel = Channel('number', StreamConfig(), FakeInput())
    last_s = heard(channel, 50, interval_s)
    assert channel.status(1.0, round((last_s + 0.98 * longest_s) * SECOND)).level == Level.OK
    status = channel.status(1.0, round((last_s + 1.02 * longest_s) * SECOND))
    assert (status.level, status.message) == (Level.WARN, f'silent for {1.02 * longest_s:.0f} s')


def test_one_long_silence_is_not_taken_for_the_usual_interval():
    channel = Channel('number', StreamConfig(), FakeInput())
    heard(channel, 50, 1.0)
    last_s = heard(channel, 1, 0.0, start_s=10_000.0)
    assert channel.status(1.0, round((last_s + 20.0) * SECOND)).level == Level.WARN


def test_the_rate_is_that_of_the_last_ten_seconds(monkeypatch):
    monkeypatch.setattr('time.monotonic_ns', lambda: 0)
    channel = Channel('number', StreamConfig(), FakeInput())
    for second in range(1, 31):
        heard(channel, 4 if second > 15 else 1, 0.1, start_s=float(second))
        values = channel.status(1.0, (second + 1) * SECOND).values
    assert values['rate [Hz]'] == '4.00'


def test_totals_are_those_of_all_windows_of_this_process():
    source = Source('robot', 'number', '/number', 'std_msgs/msg/Float64')
    stream = Stream(source, WindowConfig(1.0), SketchConfig())
    channel = Channel('number', StreamConfig(), FakeInput(), stream)
    for index in range(40):
        stream.update(memoryview(b'\0\1\0\0' + bytes(8)), index * SECOND // 4)
    stream.update(memoryview(b''), 10 * SECOND)
    stream.windows.add_shed(10 * SECOND)
    values = channel.status(1.0, SECOND).values
    assert (values['seen'], values['decoded'], values['left out']) == (42, 40, 1)
    assert [n for key, n in values.items() if key.startswith('not decoded')] == [1]
    successor = Stream(source, WindowConfig(1.0), SketchConfig())
    successor.windows.resume(stream.windows.snapshot())
    assert successor.windows.totals().seen == 0
