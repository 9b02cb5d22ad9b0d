"""One stream: serialized messages in, closed profiles out."""

from collections.abc import Callable
from typing import Any

from profiler_node.core.config import NS_PER_S, SketchConfig, WindowConfig
from profiler_node.core.decode import decoder_for
from profiler_node.core.errors import DecodeError
from profiler_node.core.image import ImageExtractor
from profiler_node.core.observation import Observation
from profiler_node.core.profile import Profile, Source
from profiler_node.core.windows import Message, Windows

EXTRACTORS: dict[str, Callable[[], Callable[[Any], Observation]]] = {
    'sensor_msgs/msg/Image': ImageExtractor,
}
"""What makes a new extractor for a stream, by message type."""


class Stream:
    """Profiles the messages of one topic.

    source: what the profiles are labelled with; its message_type must be one of EXTRACTORS, else
    ValueError. epoch: the first epoch.
    """

    def __init__(
        self, source: Source, window: WindowConfig, sketch: SketchConfig, epoch: int = 0
    ) -> None:
        if source.message_type not in EXTRACTORS:
            raise ValueError(
                f'{source.topic}: messages of type {source.message_type} cannot be profiled; '
                f'supported: {", ".join(EXTRACTORS)}'
            )
        self.source = source
        self.windows = Windows(source, window, sketch, epoch)
        self._decode = decoder_for(source.message_type)
        self._extract = EXTRACTORS[source.message_type]()

    def update(self, data: memoryview, receive_ns: int) -> list[Profile]:
        """Add one serialized message, received at receive_ns, and return the profiles it closed.

        A bad message is counted and never raises. The data must not change afterwards: the
        extractor may keep a view of it until the next message.
        """
        try:
            message = self._decode(data)
        except DecodeError as error:
            return self.windows.add_unreadable(error.reason, receive_ns)
        header = message.header
        stamp_ns = header.stamp.sec * NS_PER_S + header.stamp.nanosec
        observation: Observation = {
            'message/size_bytes': float(len(data)),
            'message/frame_id': header.frame_id,
        }
        if stamp_ns:
            observation['message/latency_s'] = (receive_ns - stamp_ns) / NS_PER_S
        reason = ''
        try:
            observation |= self._extract(message)
        except DecodeError as error:
            reason = error.reason
        return self.windows.add(Message(stamp_ns or receive_ns, observation, reason))
