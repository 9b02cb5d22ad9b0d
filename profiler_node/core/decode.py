"""CDR bytes to messages, without copying arrays; the only place that knows rosbags' type system."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import (
    Stores,
    TypesysError,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)
from rosbags.typesys.store import Typestore

from profiler_node.core.errors import DecodeError

Decode = Callable[[memoryview], Any]

STORE = get_typestore(Stores.ROS2_JAZZY)
"""The message types of ROS itself, for messages that come without their definition."""


class UnknownTypeError(ValueError):
    """A message type whose definition is missing, or cannot be read."""


def store_of(definitions: Mapping[str, str], idl: Sequence[str] = ()) -> Typestore:
    """Return a store of message types.

    definitions: the text of a .msg by type, with or without those that it uses. idl: texts of IDL
    files. Raises UnknownTypeError where they cannot be read.
    """
    store = get_typestore(Stores.EMPTY)
    try:
        types: dict[str, Any] = {}
        for text in idl:
            types |= get_types_from_idl(text)
        for name, text in definitions.items():
            types |= get_types_from_msg(text, name)
        store.register(types)
    except (TypesysError, SyntaxError, ValueError, AssertionError) as error:
        names = ', '.join(definitions)
        raise UnknownTypeError(f'{names}: the definition cannot be read: {error}') from error
    return store


def decoder_for(message_type: str, store: Typestore = STORE) -> Decode:
    """Return the decoder of a type such as `sensor_msgs/msg/Image`.

    It takes one serialized message with its encapsulation header. Its arrays are views of that
    memory. It raises DecodeError for bytes that are not such a message. UnknownTypeError: the type,
    or one that it uses, is not in store.
    """
    try:
        store.get_msgdef(message_type)
    except (KeyError, AssertionError, IndexError) as error:
        raise UnknownTypeError(
            f'{message_type}: there is no definition of this message type, or none that can be read'
        ) from error

    def decode(data: memoryview) -> Any:
        try:
            return store.deserialize_cdr(data, message_type)
        except SerdeError as error:
            raise DecodeError('malformed', f'{message_type}: {error}') from error

    return decode
