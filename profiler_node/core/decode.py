"""CDR bytes to messages, without copying arrays; the only place that knows rosbags' type system."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import FieldDesc
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
Types = dict[str, Any]
"""Parsed definitions: constants and fields by message type."""

_READABLE = {
    *('bool', 'byte', 'char', 'int8', 'int16', 'int32', 'int64', 'string'),
    *('uint8', 'uint16', 'uint32', 'uint64', 'float32', 'float64'),
}
_LONGEST_REASON = 200  # characters
_MOST_UNROLLED = 4096  # messages or strings in an array of fixed length, each of which is code
_DIRECTIVE = re.compile(r'^[ \t]*#.*$', re.MULTILINE)  # such as #include, which rosbags cannot read
_ENCAPSULATIONS = (b'\x00\x00', b'\x00\x01')  # plain CDR, big and little endian


class UnknownTypeError(ValueError):
    """A message type whose definition is missing, or cannot be read."""


def types_in(name: str, text: str) -> Types:
    """Return the types in text, the .msg of the type name, with or without those that it uses.

    Raises UnknownTypeError where it cannot be read.
    """
    return _parsed(name, text, lambda text: get_types_from_msg(text, name))


def types_in_idl(name: str, text: str) -> Types:
    """Return the types in text, an IDL file; name is for UnknownTypeError, as for types_in."""
    return _parsed(name, _DIRECTIVE.sub('', text), get_types_from_idl)


def _parsed(name: str, text: str, parse: Callable[[str], Types]) -> Types:
    try:
        types = parse(text.replace('\r\n', '\n').removeprefix('\ufeff'))
    except (TypesysError, ValueError, KeyError, AssertionError, RecursionError) as error:
        reason = str(error)[:_LONGEST_REASON]  # rosbags puts the whole text into it
        raise UnknownTypeError(f'{name}: the definition cannot be read: {reason}') from error
    return _with_unsigned_bytes(types)


def _with_unsigned_bytes(types: Mapping[str, Any]) -> Types:
    """Return types with each `byte` as the octet it is in ROS 2; rosbags takes it as signed."""
    return {
        name: (constants, [(field, _unsigned(description)) for field, description in fields])
        for name, (constants, fields) in types.items()
    }


def _unsigned(description: FieldDesc) -> FieldDesc:
    if description[0] in {Nodetype.ARRAY, Nodetype.SEQUENCE}:
        item, length = description[1]
        return (description[0], (_unsigned(item), length))  # type: ignore[return-value]
    return (Nodetype.BASE, ('uint8', 0)) if description[1] == ('byte', 0) else description


def used_by(types: Types) -> set[str]:
    """Return the types of all fields that are messages."""
    descriptions = [description for _, fields in types.values() for _, description in fields]
    return {name for _, name, is_message in map(type_of, descriptions) if is_message}


def type_of(description: FieldDesc) -> tuple[bool, str, bool]:
    """Return whether a field is an array, the name of its type, and whether of a message."""
    is_array = description[0] in {Nodetype.ARRAY, Nodetype.SEQUENCE}
    inner: Any = description[1][0] if is_array else description
    is_message = inner[0] == Nodetype.NAME
    return is_array, str(inner[1] if is_message else inner[1][0]), is_message


def store_with(types: Types) -> Typestore:
    """Return a store of types. Raises UnknownTypeError where there can be no such message."""
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(types)
    except (TypesysError, SyntaxError, ValueError, AssertionError) as error:
        raise UnknownTypeError(f'{", ".join(types)}: {error}') from error
    return store


def store_of(definitions: Mapping[str, str], idl: Sequence[str] = ()) -> Typestore:
    """Return a store of message types.

    definitions: the text of a .msg by type, with or without those that it uses. idl: texts of IDL
    files. Raises UnknownTypeError where they cannot be read.
    """
    types: Types = {}
    for text in idl:
        types |= types_in_idl('IDL', text)
    for name, text in definitions.items():
        types |= types_in(name, text)
    return store_with(types)


STORE = get_typestore(Stores.ROS2_JAZZY)
"""The message types of ROS itself, for messages that come without their definition."""
STORE.fielddefs.update(_with_unsigned_bytes(STORE.fielddefs))

NO_TYPES = get_typestore(Stores.EMPTY)
"""For messages whose definition is missing or cannot be read: they are counted."""


def decoder_for(message_type: str, store: Typestore = STORE) -> Decode:
    """Return the decoder of a type such as `sensor_msgs/msg/Image`.

    It takes one serialized message with its encapsulation header. Its arrays are views of that
    memory. It raises DecodeError for bytes that are not such a message. UnknownTypeError: the type,
    or one that it uses, is not in store or cannot be decoded.
    """
    try:
        _check(message_type, store, set())
        store.get_msgdef(message_type)
    except RecursionError as error:
        raise UnknownTypeError(f'{message_type} contains itself, or is nested too deep') from error

    def decode(data: memoryview) -> Any:
        try:
            return store.deserialize_cdr(data, message_type)
        except SerdeError as error:
            raise DecodeError(_reason(data, error), f'{message_type}: {error}') from error

    return decode


def _check(message_type: str, store: Typestore, checked: set[str]) -> None:
    """Raise UnknownTypeError where messages of this type cannot be decoded."""
    if message_type in checked:
        return
    if message_type not in store.fielddefs:
        raise UnknownTypeError(f'{message_type}: there is no definition of this message type')
    for name, description in store.fielddefs[message_type][1]:
        _, base, is_message = type_of(description)
        if not is_message and base not in _READABLE:
            raise UnknownTypeError(f'{message_type}: {name} is a {base}, which cannot be decoded')
        unrolled = is_message or base == 'string'
        if unrolled and description[0] == Nodetype.ARRAY and description[1][1] > _MOST_UNROLLED:
            raise UnknownTypeError(
                f'{message_type}: {name} has more than {_MOST_UNROLLED} elements'
            )
        if is_message:
            _check(base, store, checked)
    checked.add(message_type)


def _reason(data: memoryview, error: SerdeError) -> str:
    if bytes(data[:2]) not in _ENCAPSULATIONS:
        return 'unsupported_encapsulation' if len(data) >= 4 else 'malformed'
    return 'not_utf8' if isinstance(error.__cause__, UnicodeDecodeError) else 'malformed'
