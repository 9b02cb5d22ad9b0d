"""CDR bytes to messages, without copying arrays; the only place that knows rosbags' type system."""

from collections.abc import Callable
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from profiler_node.core.errors import DecodeError

Decode = Callable[[memoryview], Any]

STORE = get_typestore(Stores.ROS2_JAZZY)
"""The message types of ROS itself, for recordings that do not carry their own."""


def decoder_for(message_type: str) -> Decode:
    """Return the decoder of a type such as `sensor_msgs/msg/Image`.

    It takes one serialized message with its encapsulation header. Its arrays are views of that
    memory. It raises DecodeError for bytes that are not such a message. ValueError: the type is
    unknown.
    """
    if message_type not in STORE.fielddefs:
        raise ValueError(f'{message_type}: there is no definition of this message type')

    def decode(data: memoryview) -> Any:
        try:
            return STORE.deserialize_cdr(data, message_type)
        except SerdeError as error:
            raise DecodeError('malformed', f'{message_type}: {error}') from error

    return decode
