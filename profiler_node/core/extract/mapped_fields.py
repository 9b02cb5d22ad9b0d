"""Paths that a user gave, checked to lead to what is needed of them."""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

from rosbags.typesys.store import Typestore

from profiler_node.core.paths import Kind, Leaf, PathError, leaf_at

Paths = str | tuple[str, ...]
"""A field path, or several: the first that the message type has."""

_AXES = 'xyzw'


@dataclass(frozen=True, slots=True)
class MessageFields:
    """The fields of messages of a type.

    All methods take the key that the paths were given under, for PathError: there is no such field,
    or it is something else.
    """

    message_type: str
    store: Typestore

    def number(self, key: str, paths: Paths) -> Leaf:
        """Return where a number is."""
        return self._of(key, self._first(key, paths), {'number'})

    def category(self, key: str, paths: Paths) -> Leaf:
        """Return where a string or a number is."""
        return self._of(key, self._first(key, paths), {'string', 'number'})

    def identity(self, key: str, paths: Paths) -> Leaf:
        """Return where a string, a number or an array of numbers is, as of a UUID."""
        leaf = self._first(key, paths)
        array = leaf.kind == 'number' and leaf.is_array
        return leaf if array else self._of(key, leaf, {'string', 'number'})

    def message(self, key: str, paths: Paths, *, many: bool) -> Leaf:
        """Return where a message, or a list of them, is."""
        return self._of(key, self._first(key, paths), {'message'}, many=many)

    def polygon(self, key: str, paths: Paths) -> Leaf:
        """Return where a list of points with x and y is."""
        leaf = self.message(key, paths, many=True)
        for axis in 'xy':
            MessageFields(leaf.message_type, self.store).number(key, axis)
        return leaf

    def vector(self, key: str, paths: Paths, size: int) -> list[Leaf]:
        """Return where x, y, z and w are, or the first elements of an array: size of them."""
        leaf = self._first(key, paths)
        is_message = leaf.kind == 'message'
        parts = [f'.{_AXES[i]}' if is_message else f'[{i}]' for i in range(size)]
        return [self.number(key, f'{leaf.path}{part}'.lstrip('.')) for part in parts]

    def values(self, key: str, leaf: Leaf, values: Iterable[Any]) -> list[Any]:
        """Return values as they are in messages, to be compared with what is at leaf."""
        found = [str(v) if leaf.kind == 'string' and type(v) is int else v for v in values]
        for value in found:
            if isinstance(value, str) != (leaf.kind == 'string'):
                raise PathError(f'{key}: {leaf.path!r} of {self.message_type} is never {value!r}')
        return found

    def _of(self, key: str, leaf: Leaf, kinds: Set[Kind], *, many: bool = False) -> Leaf:
        if leaf.kind not in kinds or leaf.many != many:
            wanted = f'{"a list of" if many else "a single"} {" or ".join(sorted(kinds))}'
            raise PathError(f'{key}: {leaf.path!r} of {self.message_type} is not {wanted}')
        return leaf

    def _first(self, key: str, paths: Paths) -> Leaf:
        problems = []
        for path in (paths,) if isinstance(paths, str) else paths:
            try:
                return leaf_at(path, self.message_type, self.store)
            except PathError as error:
                problems.append(str(error))
        raise PathError(f'{key}: {"; ".join(problems)}')
