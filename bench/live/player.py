"""Publishes the mix on its schedule.

player.py --seconds S --watch PID --report FILE [--best-effort]

It says what it sent, how late, and what CPU time it and the process PID took meanwhile.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import rclpy
from messages import put_stamp
from mix import MIX, Sensor
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy

NS_PER_S = 1_000_000_000
FRAMES = 4  # different messages of each sensor
SUBSCRIBED_WITHIN_S = 20.0
SETTLE_S = 1.0  # a subscriber may know its publisher later than that knows it
_TICKS_PER_S = os.sysconf('SC_CLK_TCK')


class Source:
    """One sensor's publisher, and what it has published."""

    def __init__(self, node: Node, sensor: Sensor, qos: QoSProfile, first_ns: int) -> None:
        self.publisher: Publisher = node.create_publisher(sensor.message_class, sensor.topic, qos)
        self.sensor = sensor
        self.period_ns = round(NS_PER_S / sensor.rate_hz)
        self.due_ns = first_ns
        self.sent = self.sent_bytes = self.latest_ns = 0
        self._frames = cycle(sensor.make(FRAMES))

    def publish(self) -> None:
        """Publish the next message, with the time as its stamp."""
        frame = next(self._frames)
        self.latest_ns = max(self.latest_ns, time.monotonic_ns() - self.due_ns)
        put_stamp(frame, time.time_ns())
        self.publisher.publish(bytes(frame))
        self.due_ns += self.period_ns
        self.sent += 1
        self.sent_bytes += len(frame)


def cpu_s(pid: int) -> float:
    """Return the CPU time [s] that a process has taken."""
    fields = Path(f'/proc/{pid}/stat').read_text(encoding='ascii').rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def wait_for_subscribers(sources: Sequence[Source]) -> None:
    """Return when each has a subscriber. Exits with a message where one gets none in time."""
    deadline_s = time.monotonic() + SUBSCRIBED_WITHIN_S
    for source in sources:
        while not source.publisher.get_subscription_count():
            if time.monotonic() > deadline_s:
                raise SystemExit(f'player: nobody has subscribed {source.sensor.topic}')
            time.sleep(0.02)
    time.sleep(SETTLE_S)


def play(sources: Sequence[Source], seconds: float) -> float:
    """Publish for so long; return how long it took [s]."""
    start_ns = time.monotonic_ns()
    for number, source in enumerate(sources):
        # Sensors do not wait for each other, nor do they all begin at once.
        source.due_ns = start_ns + number * source.period_ns // len(sources)
    end_ns = start_ns + round(seconds * NS_PER_S)
    while (source := min(sources, key=lambda each: each.due_ns)).due_ns < end_ns:
        time.sleep(max(source.due_ns - time.monotonic_ns(), 0) / NS_PER_S)
        source.publish()
    return (time.monotonic_ns() - start_ns) / NS_PER_S


def report(sources: Sequence[Source], seconds: float, watch: int) -> dict[str, Any]:
    """Play, and return what was sent and what that cost."""
    before_s = cpu_s(os.getpid()), cpu_s(watch)
    took_s = play(sources, seconds)
    for source in sources:
        source.publisher.wait_for_all_acked(Duration(seconds=5))
    after_s = cpu_s(os.getpid()), cpu_s(watch)
    return {
        'seconds': took_s,
        'sent': {source.sensor.name: source.sent for source in sources},
        'sent_bytes': sum(source.sent_bytes for source in sources),
        'latest_ms': max(source.latest_ns for source in sources) / 1e6,
        'player_cpu_s': after_s[0] - before_s[0],
        'watched_cpu_s': after_s[1] - before_s[1],
    }


def main() -> None:
    """Play as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, required=True)
    parser.add_argument('--watch', type=int, required=True)
    parser.add_argument('--report', type=Path, required=True)
    parser.add_argument('--best-effort', action='store_true')
    arguments = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node('player')
    best_effort, reliable = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
    qos = QoSProfile(depth=10, reliability=best_effort if arguments.best_effort else reliable)
    sources = [Source(node, sensor, qos, 0) for sensor in MIX]
    wait_for_subscribers(sources)
    result = report(sources, arguments.seconds, arguments.watch)
    arguments.report.write_text(json.dumps(result), encoding='utf-8')
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
