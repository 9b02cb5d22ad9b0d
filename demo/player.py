"""Publishes a recording on its topics, as `ros2 bag play` does where ROS is installed in full.

It publishes /clock too, so that nodes with use_sim_time live in the recording's time.
"""

import importlib
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.validate_full_topic_name import validate_full_topic_name
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.interfaces import Connection
from rosgraph_msgs.msg import Clock as ClockMessage

from profiler_node.core.decode import STORE

NS_PER_S = 1_000_000_000
QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
SUBSCRIBED_WITHIN_S = 20.0
SETTLE_S = 0.5  # a subscriber may know its publisher later than that knows it


def playable(connections: Iterable[Connection]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the message class of each topic that can be played here, and the others by reason."""
    classes: dict[str, Any] = {}
    left_out = defaultdict(list)
    for connection in connections:
        package, _, name = connection.msgtype.partition('/msg/')
        try:
            validate_full_topic_name(connection.topic)
            classes[connection.topic] = getattr(importlib.import_module(f'{package}.msg'), name)
        except InvalidTopicNameException:
            left_out['ROS 2 does not allow such a name'].append(connection.topic)
        except (ImportError, AttributeError):
            left_out[f'{connection.msgtype} is not installed'].append(connection.topic)
    return classes, left_out


def make_publishers(node: Node, connections: Iterable[Connection]) -> dict[str, Publisher]:
    """Return a publisher for each topic that can be played, and say which cannot."""
    classes, left_out = playable(connections)
    for reason, topics in left_out.items():
        more = f' and {len(topics) - 1} more' if len(topics) > 1 else ''
        print(f'player: left out {topics[0]}{more}: {reason}')
    return {topic: node.create_publisher(each, topic, QOS) for topic, each in classes.items()}


def wait_for_subscribers(publishers: Sequence[Publisher]) -> None:
    """Return when each has a subscriber. Exits with a message where one gets none in time."""
    deadline_s = time.monotonic() + SUBSCRIBED_WITHIN_S
    for publisher in publishers:
        while not publisher.get_subscription_count():
            if time.monotonic() > deadline_s:
                raise SystemExit(f'player: nobody has subscribed {publisher.topic}')
            time.sleep(0.02)
    time.sleep(SETTLE_S if publishers else 0.0)


class Clock:
    """The recording's time, which begins at first_ns and stands still in a pause.

    rate: how fast it goes. publisher: of /clock. hertz: how often that is told; None: with each
    message.
    """

    def __init__(self, publisher: Publisher, first_ns: int, rate: float, hertz: float | None):
        self._publisher, self._first_ns, self._rate = publisher, first_ns, rate
        self._period_s = 1 / hertz if hertz else None
        self._start_s = time.monotonic()
        self._told_s = 0.0

    def sleep_until(self, log_ns: int) -> None:
        """Return at this time of the recording."""
        due_s = self._start_s + (log_ns - self._first_ns) / NS_PER_S / self._rate
        speed = self._rate * NS_PER_S  # [ns/s]
        self._wait(due_s, lambda: log_ns - round((due_s - time.monotonic()) * speed))
        if self._period_s is None or time.monotonic() >= self._told_s + self._period_s:
            self.tell(log_ns)

    def pause(self, log_ns: int, seconds: float) -> None:
        """Stand still, at this time of the recording."""
        self._start_s += seconds
        self._wait(time.monotonic() + seconds, lambda: log_ns)

    def _wait(self, due_s: float, now_ns: Callable[[], int]) -> None:
        while (left_s := due_s - time.monotonic()) > 0:
            if self._period_s is not None:
                self.tell(now_ns())
            time.sleep(min(left_s, self._period_s or left_s))

    def tell(self, log_ns: int) -> None:
        """Publish this time."""
        now = ClockMessage()
        seconds, now.clock.nanosec = divmod(log_ns, NS_PER_S)
        now.clock.sec = (seconds + 2**31) % 2**32 - 2**31  # as C++ does it
        self._publisher.publish(now)
        self._told_s = time.monotonic()


def play(
    reader: AnyReader, publishers: dict[str, Publisher], told: Publisher, arguments: Namespace
) -> int:
    """Publish the messages that arguments name, once; return how many."""
    chosen = [c for c in reader.connections if c.topic in publishers]
    first_ns = reader.start_time + round(arguments.start_offset * NS_PER_S)
    length_ns = min(arguments.seconds * NS_PER_S, reader.end_time - first_ns)
    pause_ns, pause_s = arguments.pause
    time.sleep(arguments.delay)
    clock = Clock(told, first_ns, arguments.rate, arguments.clock)
    count = 0
    messages = reader.messages(chosen, start=first_ns, stop=first_ns + round(length_ns) + 1)
    for connection, log_ns, data in messages:
        if pause_s and log_ns - first_ns >= pause_ns:
            clock.sleep_until(first_ns + pause_ns)
            clock.pause(first_ns + pause_ns, pause_s)
            pause_s = 0.0
        clock.sleep_until(log_ns)
        publishers[connection.topic].publish(bytes(data))
        count += 1
    return count


def pause(text: str) -> tuple[int, float]:
    """Return when [ns] and for how long [s] to pause, of AT:SECONDS."""
    at_s, _, seconds = text.partition(':')
    return round(float(at_s) * NS_PER_S), float(seconds)


def parser() -> ArgumentParser:
    """Return what reads the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path)
    parser.add_argument('--rate', type=float, default=1.0, help='this many times as fast')
    parser.add_argument('--loop', type=int, default=1, metavar='N', help='play it so many times')
    parser.add_argument(
        '--delay', type=float, default=0.0, metavar='S', help='wait so long, each time [s]'
    )
    parser.add_argument(
        '--start-offset', type=float, default=0.0, metavar='S', help='begin so far into it [s]'
    )
    parser.add_argument(
        '--seconds', type=float, default=float('inf'), metavar='S', help='play no more than this'
    )
    parser.add_argument(
        '--pause', type=pause, default=(0, 0.0), metavar='AT:SECONDS',
        help='stand still after AT seconds of the recording, for so long',
    )  # fmt: skip
    parser.add_argument(
        '--clock', type=float, metavar='HZ', help='tell /clock so often, not with each message'
    )
    parser.add_argument(
        '--expect', nargs='*', default=[], metavar='TOPIC', help='who must be subscribed first'
    )
    return parser


def main() -> None:
    """Play the recording that the command line names."""
    arguments = parser().parse_args()
    rclpy.init()
    node = rclpy.create_node('player')
    start_s = time.monotonic()
    try:
        with AnyReader([arguments.bag], default_typestore=STORE) as reader:
            publishers = make_publishers(node, reader.connections)
            told = node.create_publisher(ClockMessage, '/clock', QOS)
            wait_for_subscribers([publishers[topic] for topic in arguments.expect])
            start_s = time.monotonic()
            loops = range(arguments.loop)
            count = sum(play(reader, publishers, told, arguments) for _ in loops)
            for publisher in publishers.values():
                publisher.wait_for_all_acked(Duration(seconds=5))
    except AnyReaderError as error:
        raise SystemExit(f'player: {arguments.bag}: {error}') from error
    print(f'player: {count} messages in {time.monotonic() - start_s:.1f} s')
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
