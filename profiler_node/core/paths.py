"""Paths into messages, as `ros2 topic echo --field` takes them: `bbox.center.position.x`, `k[4]`.

A path goes through every element of an array without an index: `poses.position.x` is many values.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import FieldDesc
from rosbags.typesys.base import normalize_fieldname
from rosbags.typesys.store import Typestore

Kind = Literal['number', 'string', 'time', 'message']

_SEGMENT = re.compile(r'(\w+?)((?:\[\d+\])?)')
_TIMES = {'builtin_interfaces/msg/Time', 'builtin_interfaces/msg/Duration'}
_STRINGS = {'string'}
_UNREADABLE = {'wstring', 'wchar', 'float128', 'fixed'}
_NS = 1e-9


class PathError(ValueError):
    """A path that a message type does not have."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a path ends.

    kind: what is there; message_type: of a message, else ''. many: it is all elements of one or
    several arrays. read: returns the value of a message, a list or an array where there are many,
    None where an index is beyond the end; times are in seconds.
    """

    path: str
    kind: Kind
    message_type: str
    many: bool
    read: Callable[[Any], Any]


def leaf_at(path: str, message_type: str, store: Typestore) -> Leaf:
    """Return where path ends in messages of message_type. Raises PathError."""
    leaf = Leaf('', 'message', message_type, many=False, read=lambda message: message)
    for segment in filter(None, path.split('.')):
        match = _SEGMENT.fullmatch(segment)
        if not match:
            raise PathError(f'{path!r} is no path: {segment!r}')
        name, index = match.groups()
        fields = dict(_fields(leaf, store))
        if name not in fields:
            raise PathError(
                f'{path!r}: {leaf.message_type or leaf.kind} has no field {name!r}; '
                f'it has {", ".join(fields) or "none"}'
            )
        leaf = _step(leaf, name, fields[name], int(index[1:-1]) if index else None)
    return leaf


def leaves_of(message_type: str, store: Typestore) -> Iterator[Leaf]:
    """Yield the numbers, booleans, strings and times in messages of message_type, as defined.

    The header at the top is left out: its stamp and frame are features of every message.
    """
    root = Leaf('', 'message', message_type, many=False, read=lambda message: message)
    for name, description in _fields(root, store):
        if (name, description[1]) != ('header', 'std_msgs/msg/Header'):
            yield from _leaves(_step(root, name, description, None), store)


def _leaves(leaf: Leaf, store: Typestore) -> Iterator[Leaf]:
    if leaf.kind != 'message':
        yield leaf
        return
    for name, description in _fields(leaf, store):
        yield from _leaves(_step(leaf, name, description, None), store)


def _fields(leaf: Leaf, store: Typestore) -> list[tuple[str, FieldDesc]]:
    """Return the fields of a message that can be read; none of anything else."""
    if leaf.kind != 'message' or leaf.message_type not in store.fielddefs:
        return []
    fields = store.fielddefs[leaf.message_type][1]
    return [
        (name, description)
        for name, description in fields
        if not name.startswith('structure_needs_') and _base_of(description)[1] not in _UNREADABLE
    ]


def _base_of(description: FieldDesc) -> tuple[bool, str, bool]:
    """Return whether description is of an array, the name of its type, and whether of a message."""
    is_array = description[0] in {Nodetype.ARRAY, Nodetype.SEQUENCE}
    inner: Any = description[1][0] if is_array else description
    is_message = inner[0] == Nodetype.NAME
    return is_array, str(inner[1] if is_message else inner[1][0]), is_message


def _step(leaf: Leaf, name: str, description: FieldDesc, index: int | None) -> Leaf:
    """Return where a field of leaf is, or one element of it."""
    is_array, base, is_message = _base_of(description)
    path = f'{leaf.path}.{name}'.lstrip('.')
    if index is not None:
        if not is_array:
            raise PathError(f'{path}[{index}]: {path} is no array')
        path = f'{path}[{index}]'
    kind: Kind = 'message' if is_message else 'string' if base in _STRINGS else 'number'
    if base in _TIMES:
        kind = 'time'
    all_of_it = is_array and index is None
    take = _taker(name, index)
    if kind == 'time':
        take = _seconds_taker(take, many=all_of_it)
    read = _through_each(leaf.read, take, flatten=all_of_it) if leaf.many else _then(leaf, take)
    message_type = base if kind == 'message' else ''
    return Leaf(path, kind, message_type, leaf.many or all_of_it, read)


def _then(leaf: Leaf, take: Callable[[Any], Any]) -> Callable[[Any], Any]:
    if not leaf.path:
        return take
    before = leaf.read

    def read(message: Any) -> Any:
        value = before(message)
        return None if value is None else take(value)

    return read


def _taker(name: str, index: int | None) -> Callable[[Any], Any]:
    field: Callable[[Any], Any] = attrgetter(normalize_fieldname(name))
    if index is None:
        return field

    def element(message: Any) -> Any:
        values = field(message)
        return values[index] if index < len(values) else None

    return element


def _seconds_taker(take: Callable[[Any], Any], *, many: bool) -> Callable[[Any], Any]:
    def seconds(message: Any) -> Any:
        value = take(message)
        if value is None:
            return None
        return [t.sec + t.nanosec * _NS for t in value] if many else value.sec + value.nanosec * _NS

    return seconds


def _through_each(
    before: Callable[[Any], Any], take: Callable[[Any], Any], *, flatten: bool
) -> Callable[[Any], Any]:
    def read(message: Any) -> Any:
        taken = [value for item in before(message) if (value := take(item)) is not None]
        if not flatten:
            return taken
        if taken and isinstance(taken[0], np.ndarray):
            return np.concatenate(taken)
        return list(chain.from_iterable(taken))

    return read
