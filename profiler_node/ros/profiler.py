"""The node `profiler`: topics in, profiles out."""

import socket
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import cv2
from edge_profiler.msg import Profile as ProfileMessage
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration

from profiler_node.core.config import (
    SegmentConfig,
    SketchConfig,
    StreamConfig,
    WindowConfig,
)
from profiler_node.core.load import LoadShedding
from profiler_node.core.profile import Profile, Source
from profiler_node.core.segments import Segments
from profiler_node.core.stream import Sensing, Stream, type_to_profile
from profiler_node.definitions import installed_store
from profiler_node.feed import change_segment, feed
from profiler_node.health import Status
from profiler_node.mappings import all_mappings
from profiler_node.profiler_config import STREAM_DEFAULTS, ProfilerConfig
from profiler_node.ros.channel import Channel
from profiler_node.ros.checkpoint import LOOK_PERIOD_S, Checkpoints
from profiler_node.ros.convert import profile_message
from profiler_node.ros.diagnostics import Diagnostics
from profiler_node.ros.images import to_bgr
from profiler_node.ros.inputs import Arrival, Input, Taking
from profiler_node.ros.parameters import read_config, reject_unknown
from profiler_node.ros.process import ProcessNode, run
from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.ros.state import first_epoch, state_path
from profiler_node.ros.vitals import Vitals
from profiler_node.wire.checkpoint import StreamState

# How long the last profiles may take to be acknowledged: Fast DDS asks for that every 3 s.
_ACKNOWLEDGE_S = 3.5

_LARGE = {
    'sensor_msgs/msg/CompressedImage',
    'sensor_msgs/msg/Image',
    'sensor_msgs/msg/PointCloud2',
}
_SMALL = 50  # times as many messages of other types may wait


class Profiler(ProcessNode):
    """Subscribes what is published, and publishes a profile of each stream and window."""

    def __init__(self) -> None:
        super().__init__('profiler', automatically_declare_parameters_from_overrides=True)
        self._config = read_config(self, ProfilerConfig, '')
        self._window = read_config(self, WindowConfig, 'window')
        self._sketch = read_config(self, SketchConfig, 'sketch')
        self._segment = read_config(self, SegmentConfig, 'segment')
        self._channels = [self._channel(name) for name in self._config.streams]
        reject_unknown(self)
        self._robot_id = self._config.robot_id or socket.gethostname()
        self._mappings = all_mappings(self._config.detections_file)
        self._segments: Segments | None = None
        self._load = LoadShedding(self._config.cpu_budget)
        self._adapted_ns = time.monotonic_ns()
        self._shedding = False
        self._inputs = []
        if self._segment.topic:
            self._inputs.append(Input(self, self._segment.topic, self._begin_segments))
        for channel in self._channels:
            topic = channel.config.topic or channel.name
            channel.input = Input(self, topic, partial(self._begin_stream, channel))
            self._inputs.append(channel.input)
        folder = state_path(self._config.state_dir)
        self._epoch = first_epoch(folder)
        self._checkpoints = Checkpoints(
            folder / self.get_fully_qualified_name().strip('/') / 'checkpoint',
            self._config.checkpoint_interval_s,
            self.get_logger(),
        )
        self._publisher = self.create_publisher(ProfileMessage, 'profiles', PROFILES_QOS)
        # Steady time, so that neither a clock that is set nor a paused simulation stops it.
        self.create_timer(LOOK_PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._vitals = Vitals()
        self._diagnostics = Diagnostics(self, self._robot_id, self._statuses)
        self._look()
        self.get_logger().info(f'ready to profile {", ".join(self._config.streams)}')

    def _channel(self, name: str) -> Channel:
        defaults = STREAM_DEFAULTS.get(name)
        return Channel(name, read_config(self, StreamConfig, f'stream.{name}', defaults))

    def _begin_segments(self, _: str, types: Collection[str]) -> Taking:
        message_type = min(types)
        segments = Segments(message_type, installed_store(message_type), self._segment)
        self._segments = segments
        depth = self._config.queue_depth * _SMALL
        return Taking(message_type, depth, lambda arrival: change_segment(segments, arrival.data))

    def _begin_stream(self, channel: Channel, topic: str, types: Collection[str]) -> Taking:
        sensing = Sensing(channel.config, mappings=self._mappings, to_bgr=to_bgr)
        message_type = type_to_profile(types, sensing)
        sensing = replace(sensing, store=installed_store(message_type))
        namespace = self.get_namespace().strip('/')
        source = Source(
            robot_id=self._robot_id,
            # Two profilers of one robot, in namespaces of their own, have streams of the same name.
            stream=f'{namespace}/{channel.name}' if namespace else channel.name,
            topic=topic,
            message_type=message_type,
            tags=MappingProxyType(self._config.tag_map),
        )
        stream = Stream(source, self._window, self._sketch, sensing, self._epoch)
        if stream.problem:
            self.get_logger().warning(f'{topic}: {stream.problem}')
        channel.stream = stream
        depth = self._config.queue_depth * (1 if message_type in _LARGE else _SMALL)
        self._load.begin(channel.name, depth)
        receive = partial(self._receive, channel, stream)
        return Taking(message_type, depth, receive, resumed=self._resume(channel, stream))

    def _resume(self, channel: Channel, stream: Stream) -> bool:
        """Go on where a killed process was, if what it profiled is the same; else publish that."""
        pending = self._checkpoints.take(channel.name)
        if pending is None:
            return False
        if pending.state.digest != stream.digest:
            self._publish(pending.state.snapshot.interrupted())
            return False
        stream.windows.resume(pending.state.snapshot)
        channel.last_steady_ns = pending.heard_ns
        return True

    def _receive(self, channel: Channel, stream: Stream, arrival: Arrival) -> None:
        receive_ns, lost = arrival.receive_ns, arrival.lost
        now_ns = time.monotonic_ns()
        channel.arrived(now_ns)
        if not self._load.admits(channel.name, arrival.waited_ns, lost or 0):
            self._publish(stream.windows.add_shed(receive_ns, lost))
            return
        channel.heard(now_ns, receive_ns if self.get_clock().ros_time_is_active else 0)
        segment = self._segments.current if self._segments else ''
        profiles, cpu_ns = feed(stream, arrival.data, receive_ns, segment, lost)
        self._load.count_cost(channel.name, cpu_ns)
        self._publish(profiles)

    def _look(self) -> None:
        self._publish(self._checkpoints.take_over())
        self._shed()
        for item in self._inputs:
            item.match()
        for channel in self._channels:
            self._close_silent(channel)
        self._publish(self._checkpoints.left_over(self._window.allowed_lateness_ns))
        if self._checkpoints.is_due(self.handled):
            self._checkpoints.write(self._states(), self.handled)

    def _states(self) -> Iterator[StreamState]:
        """Yield where the streams are that have had a message."""
        for channel in self._channels:
            if channel.stream is not None and channel.last_steady_ns:
                before_ns = time.thread_time_ns()
                silent_ns = time.monotonic_ns() - channel.last_steady_ns
                heard_ns = time.time_ns() - silent_ns
                windows = channel.stream.windows
                snapshot = windows.snapshot()
                yield StreamState(channel.name, channel.stream.digest, heard_ns, snapshot)
                windows.count_cost(time.thread_time_ns() - before_ns)

    def _shed(self) -> None:
        """Choose how many messages of each stream there is time for, and say when that changes."""
        now_ns = time.monotonic_ns()
        if not self._load.adapt(now_ns - self._adapted_ns):
            return
        self._adapted_ns = now_ns
        shedding = self._load.kept()
        if bool(shedding) != self._shedding:
            self._shedding = bool(shedding)
            shares = ', '.join(f'{name} {share:.0%}' for name, share in shedding.items())
            why = 'cpu_budget' if self._config.cpu_budget else 'this machine does not keep up'
            text = f'leaving messages out, {why}: {shares} profiled' if shares else 'all profiled'
            self.get_logger().warning(text)

    def _close_silent(self, channel: Channel) -> None:
        """Close windows by the time that has gone by since the last message, as its clock would."""
        if channel.stream is not None and channel.last_steady_ns:
            silent_ns = channel.silent_ns(time.monotonic_ns(), self._simulated_ns())
            self._publish(channel.stream.windows.close_silent(silent_ns))

    def _simulated_ns(self) -> int:
        """Return the simulated time, 0 where there is none, or none yet."""
        clock = self.get_clock()
        return int(clock.now().nanoseconds) if clock.ros_time_is_active else 0

    def _statuses(self) -> Iterator[Status]:
        kept = self._load.kept()
        yield self._vitals.status(kept, self._checkpoints)
        for channel in self._channels:
            yield channel.status(kept.get(channel.name, 1.0), time.monotonic_ns())

    def _publish(self, profiles: list[Profile]) -> None:
        for profile in profiles:
            message = profile_message(profile)
            self._publisher.publish(message)
            self._checkpoints.published(bytes(message.payload))

    def finish(self) -> None:
        """Publish the open windows, and wait until the bridge has them."""
        for channel in self._channels:
            if channel.stream is not None:
                self._publish(channel.stream.windows.close())
        self._publish(self._checkpoints.left_over())
        self._checkpoints.finish()
        heard = self._publisher.get_subscription_count() > 0  # without any, all have acknowledged
        arrived = self._publisher.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGE_S))
        self._checkpoints.close(arrived=heard and arrived)
        if not arrived:
            self.get_logger().error('the last profiles were not acknowledged by all subscribers')


def main() -> int:
    """Run the node as a process."""
    cv2.setNumThreads(1)  # more take longer in all, and nobody would count their time
    return run('profiler', Profiler)


if __name__ == '__main__':
    sys.exit(main())
