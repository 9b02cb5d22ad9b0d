"""Publishes a recording on its topics: player.py BAG [--rate R] [--seconds S] [--expect TOPIC ...].

It publishes /clock too, so that nodes with use_sim_time live in the recording's time.
"""

import argparse
import importlib
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
from rosgraph_msgs.msg import Clock

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


def play(
    reader: AnyReader, publishers: dict[str, Publisher], clock: Publisher, end_ns: int, rate: float
) -> int:
    """Publish the messages up to log time end_ns at rate times their speed; return how many."""
    chosen = [c for c in reader.connections if c.topic in publishers]
    start_s = time.monotonic()
    first_ns = None
    count = 0
    for connection, log_ns, data in reader.messages(chosen, stop=end_ns):
        first_ns = log_ns if first_ns is None else first_ns
        wait_s = start_s + (log_ns - first_ns) / NS_PER_S / rate - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        seconds, nanoseconds = divmod(log_ns, NS_PER_S)
        now = Clock()
        now.clock.sec, now.clock.nanosec = seconds, nanoseconds
        clock.publish(now)
        publishers[connection.topic].publish(bytes(data))
        count += 1
    return count


def main() -> None:
    """Play the recording that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bag', type=Path)
    parser.add_argument('--rate', type=float, default=1.0, help='this many times as fast')
    parser.add_argument(
        '--seconds', type=float, default=float('inf'), help='play no more than this'
    )
    parser.add_argument(
        '--expect', nargs='*', default=[], help='topics that must be subscribed first'
    )
    arguments = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node('player')
    try:
        with AnyReader([arguments.bag], default_typestore=STORE) as reader:
            publishers = make_publishers(node, reader.connections)
            clock = node.create_publisher(Clock, '/clock', QOS)
            wait_for_subscribers([publishers[topic] for topic in arguments.expect])
            length_ns = min(arguments.seconds * NS_PER_S, reader.end_time - reader.start_time)
            end_ns = reader.start_time + round(length_ns) + 1
            count = play(reader, publishers, clock, end_ns, arguments.rate)
            for publisher in publishers.values():
                publisher.wait_for_all_acked(Duration(seconds=5))
    except AnyReaderError as error:
        raise SystemExit(f'player: {arguments.bag}: {error}') from error
    print(f'player: {count} messages in {length_ns / NS_PER_S:.1f} s')
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
