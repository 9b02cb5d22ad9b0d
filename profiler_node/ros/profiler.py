"""The node `profiler`: topics in, profiles out."""

import importlib
import socket
import sys
import time
from copy import copy
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from edge_profiler.msg import Profile as ProfileMessage
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.profile import Profile, Source
from profiler_node.core.stream import EXTRACTORS, Stream
from profiler_node.feed import feed
from profiler_node.ros.convert import profile_message
from profiler_node.ros.parameters import read_config, reject_unknown
from profiler_node.ros.process import ProcessNode, run
from profiler_node.ros.qos import PROFILES_QOS, given_overrides, matching_qos
from profiler_node.ros.state import first_epoch, state_path
from profiler_node.settings import check_ranges, setting

_LOOK_PERIOD_S = 1.0  # between two looks for publishers and for silent streams
# How long the last profiles may take to be acknowledged: Fast DDS asks for that every 3 s.
_ACKNOWLEDGE_S = 3.5


@dataclass(frozen=True)
class ProfilerConfig:
    """What the node itself can be told."""

    robot_id: str = setting('', 'Name of this robot in the fleet. Empty: the host name.')
    tags: tuple[str, ...] = setting(
        ('',), 'Where the data comes from, as key=value: firmware=1.4.2, model=yolo-7.'
    )
    streams: tuple[str, ...] = setting(
        ('image',), 'Names of the streams to profile; stream.<name>.* configures each.'
    )
    queue_depth: int = setting(
        10, 'Messages of a topic that may wait to be profiled.', minimum=1, maximum=10_000
    )
    state_dir: str = setting(
        '', 'Folder for what outlives a restart. Empty: edge_profiler in ROS_HOME or ~/.ros.'
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        for tag in filter(None, self.tags):
            if not tag.partition('=')[0] or '=' not in tag:
                raise ValueError(f'tags has {tag!r}, it must be key=value')
        if not all(self.streams) or len(set(self.streams)) < len(self.streams):
            raise ValueError(f'streams is {list(self.streams)}, its names must be given once each')

    @property
    def tag_map(self) -> dict[str, str]:
        """The tags by key."""
        return dict(tag.split('=', 1) for tag in self.tags if tag)


@dataclass
class _Input:
    """A topic, its subscription while there is one, and the stream it feeds."""

    name: str
    topic: str
    stream: Stream | None = None
    subscription: Subscription | None = None
    qos: QoSProfile | None = None
    last_steady_ns: int = 0
    complaint: str = ''


class Profiler(ProcessNode):
    """Subscribes what is published, and publishes a profile of each stream and window."""

    def __init__(self) -> None:
        super().__init__('profiler', automatically_declare_parameters_from_overrides=True)
        self._config = read_config(self, ProfilerConfig, '')
        self._window = read_config(self, WindowConfig, 'window')
        self._sketch = read_config(self, SketchConfig, 'sketch')
        self._robot_id = self._config.robot_id or socket.gethostname()
        self._inputs = [self._make_input(name) for name in self._config.streams]
        reject_unknown(self)
        self._epoch = first_epoch(state_path(self._config.state_dir))
        self._publisher = self.create_publisher(ProfileMessage, 'profiles', PROFILES_QOS)
        # Steady time, so that neither a clock that is set nor a paused simulation stops it.
        self.create_timer(_LOOK_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._look()

    def _make_input(self, name: str) -> _Input:
        topic = read_config(self, StreamConfig, f'stream.{name}').topic or name
        try:
            return _Input(name, self.resolve_topic_name(topic))
        except RuntimeError as error:
            raise ValueError(f'topic {topic!r} of stream {name!r}: {error}') from error

    def _look(self) -> None:
        for item in self._inputs:
            self._match(item)
            self._close_silent(item)

    def _match(self, item: _Input) -> None:
        """Subscribe as the publishers offer; again when they have changed."""
        publishers = self.get_publishers_info_by_topic(item.topic)
        if not publishers:
            return
        types = sorted({publisher.topic_type for publisher in publishers})
        if item.stream is None:
            if not (supported := [name for name in types if name in EXTRACTORS]):
                self._complain(item, f'messages of type {", ".join(types)} cannot be profiled')
                return
            item.stream = self._make_stream(item, supported[0])
        message_type = item.stream.source.message_type
        if types != [message_type]:
            others = ', '.join(name for name in types if name != message_type)
            self._complain(item, f'profiling {message_type}, not {others}')
        offered = [p.qos_profile for p in publishers if p.topic_type == message_type]
        if offered:
            qos = matching_qos(offered, self._config.queue_depth, item.qos)
            if qos != item.qos:
                self._subscribe(item, item.stream, qos)

    def _complain(self, item: _Input, text: str) -> None:
        if text != item.complaint:
            item.complaint = text
            self.get_logger().warning(f'{item.topic}: {text}')

    def _make_stream(self, item: _Input, message_type: str) -> Stream:
        namespace = self.get_namespace().strip('/')
        source = Source(
            robot_id=self._robot_id,
            # Two profilers of one robot, in namespaces of their own, have streams of the same name.
            stream=f'{namespace}/{item.name}' if namespace else item.name,
            topic=item.topic,
            message_type=message_type,
            tags=MappingProxyType(self._config.tag_map),
        )
        return Stream(source, self._window, self._sketch, self._epoch)

    def _subscribe(self, item: _Input, stream: Stream, qos: QoSProfile) -> None:
        if item.subscription is not None:
            self.destroy_subscription(item.subscription)
        item.subscription, item.qos = None, qos
        asked = copy(qos)  # rclpy writes the overrides into it
        callback = partial(self._on_message, item, stream)
        if not hasattr(Subscription, 'CallbackType'):  # Humble's callbacks get no message info
            callback = partial(callback, info={'received_timestamp': 0})
        try:
            item.subscription = self.create_subscription(
                _message_class(stream.source.message_type),
                item.topic,
                callback,
                asked,
                raw=True,
                qos_overriding_options=given_overrides(self, item.topic),
            )
        except (RuntimeError, AssertionError, AttributeError, TypeError) as error:
            # What rclpy raises for a bad QoS override depends on the policy.
            self._complain(item, f'cannot be subscribed: {error}')
            return
        self.get_logger().info(
            f'{item.topic}: subscribed ({asked.reliability.name.lower()}, '
            f'{asked.durability.name.lower()})'
        )

    def _on_message(self, item: _Input, stream: Stream, data: bytes, info: dict[str, int]) -> None:
        self.handled += 1
        item.last_steady_ns = time.monotonic_ns()
        self._publish(feed(stream, memoryview(data), self._receive_ns(info)))

    def _receive_ns(self, info: dict[str, int]) -> int:
        """Return when a message came in, in the clock that the stamps are to be compared with."""
        clock = self.get_clock()
        if clock.ros_time_is_active:
            return clock.now().nanoseconds
        return info['received_timestamp'] or clock.now().nanoseconds

    def _close_silent(self, item: _Input) -> None:
        """Close windows by the time that has gone by since the last message, as its clock would."""
        if item.stream is None or (newest_ns := item.stream.windows.newest_ns) is None:
            return
        silent_ns = time.monotonic_ns() - item.last_steady_ns
        self._publish(item.stream.windows.close_due(newest_ns + silent_ns))

    def _publish(self, profiles: list[Profile]) -> None:
        for profile in profiles:
            self._publisher.publish(profile_message(profile))

    def finish(self) -> None:
        """Publish the open windows, and wait until the bridge has them."""
        for item in self._inputs:
            if item.stream is not None:
                self._publish(item.stream.windows.close())
        if not self._publisher.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGE_S)):
            self.get_logger().error('the last profiles were not acknowledged by all subscribers')


def _message_class(message_type: str) -> Any:
    package, _, name = message_type.partition('/msg/')
    return getattr(importlib.import_module(f'{package}.msg'), name)


def main() -> int:
    """Run the node as a process."""
    return run('profiler', Profiler)


if __name__ == '__main__':
    sys.exit(main())
