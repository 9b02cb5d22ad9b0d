"""Paths into messages, as `ros2 topic echo --field` takes them: `bbox.center.position.x`, `k[4]`.

A path goes through every element of an array without an index: `poses.position.x` is many values.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import FieldDesc
from rosbags.typesys.base import normalize_fieldname
from rosbags.typesys.store import Typestore

from profiler_node.core.decode import type_of

Kind = Literal['number', 'string', 'time', 'message']
Read = Callable[[Any], Any]
ReadAll = Callable[[Any], Sequence[Any]]
Hop = tuple[str, int | None]
"""An array on the way: its attribute, dotted, and which element of it, None for all."""

_SEGMENT = re.compile(r'(\w+?)(?:\[([0-9]+)\])?')
_TIMES = {'builtin_interfaces/msg/Time', 'builtin_interfaces/msg/Duration'}
_HEADER = ('header', 'std_msgs/msg/Header')


class PathError(ValueError):
    """A path that a message type does not have, or that leads to something else than needed."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a path ends.

    kind: what is there; message_type: of a message or a time, else ''. hops: the arrays on the way;
    attribute: the rest of the way, dotted.
    """

    path: str
    kind: Kind
    message_type: str = ''
    hops: tuple[Hop, ...] = ()
    attribute: str = ''

    @property
    def many(self) -> bool:
        """Whether it is all elements of one or several arrays."""
        return any(index is None for _, index in self.hops)

    @property
    def is_array(self) -> bool:
        """Whether it is all elements of one array, which is the value itself."""
        return self.many and len(self.hops) == 1 and not self.attribute

    def reader(self) -> Read:
        """Return what reads the value of a message.

        That is a list or an array where there are many, and None where an index is beyond the end.
        Times are in seconds.
        """
        take: Read = attrgetter(self.attribute) if self.attribute else _itself
        if self.kind == 'time':
            take = _seconds_of(take)
        if not self.hops:
            return take
        items = _items_reader(self.hops)
        if not self.many:
            return lambda message: next(map(take, items(message)), None)
        return items if take is _itself else lambda message: list(map(take, items(message)))


def leaf_at(path: str, message_type: str, store: Typestore) -> Leaf:
    """Return where path ends in messages of message_type, '' in the message. Raises PathError."""
    leaf = Leaf('', 'message', message_type)
    for segment in path.split('.') if path else ():
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
        leaf = _step(leaf, name, fields[name], int(index) if index else None)
    return leaf


def leaves_of(message_type: str, store: Typestore) -> Iterator[Leaf]:
    """Yield the numbers, booleans, strings and times in messages of message_type, as defined.

    The header at the top is left out: its stamp and frame are features of every message.
    """
    root = Leaf('', 'message', message_type)
    for name, description in _fields(root, store):
        if (name, description[1]) != _HEADER:
            yield from _leaves(_step(root, name, description, None), store)


def _leaves(leaf: Leaf, store: Typestore) -> Iterator[Leaf]:
    if leaf.kind != 'message':
        yield leaf
        return
    for name, description in _fields(leaf, store):
        yield from _leaves(_step(leaf, name, description, None), store)


def _fields(leaf: Leaf, store: Typestore) -> list[tuple[str, FieldDesc]]:
    """Return the fields of a message or a time, none of anything else."""
    if leaf.message_type not in store.fielddefs:
        return []
    fields = store.fielddefs[leaf.message_type][1]
    return [(name, what) for name, what in fields if not name.startswith('structure_needs_')]


def _step(leaf: Leaf, name: str, description: FieldDesc, index: int | None) -> Leaf:
    """Return where a field of leaf is, or one element of it."""
    is_array, base, is_message = type_of(description)
    kind: Kind = 'message' if is_message else 'string' if base == 'string' else 'number'
    below = replace(
        leaf,
        path=f'{leaf.path}.{name}'.lstrip('.'),
        kind='time' if base in _TIMES else kind,
        message_type=base if is_message else '',
        attribute=f'{leaf.attribute}.{normalize_fieldname(name)}'.lstrip('.'),
    )
    if index is not None:
        below = replace(below, path=f'{below.path}[{index}]')
        _check_index(below.path, description, index)
    if not is_array:
        return below
    return replace(below, hops=(*leaf.hops, (below.attribute, index)), attribute='')


def _check_index(path: str, description: FieldDesc, index: int) -> None:
    if description[0] not in {Nodetype.ARRAY, Nodetype.SEQUENCE}:
        raise PathError(f'{path!r} is no array')
    _, most = description[1]
    if (most or description[0] == Nodetype.ARRAY) and index >= int(most):  # 0: no bound
        raise PathError(f'{path!r}: there are at most {most} elements')


def reader_of(leaves: Sequence[Leaf]) -> ReadAll:
    """Return what reads the values of all leaves of a message, as Leaf.reader does of one."""
    readers = [leaf.reader() for leaf in leaves]
    return lambda message: [read(message) for read in readers]


def _items_reader(hops: Sequence[Hop]) -> Read:
    """Return what reads the elements at the end of hops, a list or an array."""
    (attribute, index), *rest = hops
    read = _part_reader(attribute, index)
    for hop in rest:
        read = _through_each(read, _part_reader(*hop))
    return read


def _part_reader(attribute: str, index: int | None) -> Read:
    get = attrgetter(attribute)
    return get if index is None else lambda message: get(message)[index : index + 1]


def _through_each(before: Read, take: Read) -> Read:
    def read(message: Any) -> Any:
        arrays = list(map(take, before(message)))
        if arrays and isinstance(arrays[0], np.ndarray):
            return np.concatenate(arrays)
        return list(chain.from_iterable(arrays))

    return read


def _seconds_of(take: Read) -> Read:
    return lambda message: _seconds(take(message))


def _seconds(time: Any) -> float:
    return float(time.sec + time.nanosec * 1e-9)


def _itself(value: Any) -> Any:
    return value
