"""The `field/` features: the leaves of any message type."""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from rosbags.typesys.store import Typestore

from profiler_node.core.elements import elements
from profiler_node.core.observation import Observation, Value
from profiler_node.core.paths import Leaf, PathError, leaf_at, leaves_of

MOST_LEAVES = 256
_CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'


class FieldsExtractor:
    """The `field/` features of each message of one stream.

    paths: which fields, each as `path` or `name=path`; none: all, at most 256 of them. left_out
    says whether there were more. leaves: where they are, by the feature's name. Raises PathError
    for a path that the type does not have.
    """

    def __init__(self, message_type: str, store: Typestore, paths: Sequence[str] = ()) -> None:
        self.left_out = False
        if paths:
            leaves = _given(paths, message_type, store)
        else:
            found = list(islice(leaves_of(message_type, store), MOST_LEAVES + 1))
            self.left_out = len(found) > MOST_LEAVES
            leaves = {leaf.path: leaf for leaf in found[:MOST_LEAVES]}
        self.leaves = {f'field/{name}': leaf for name, leaf in leaves.items()}
        self._readers = [
            (name, leaf.reader(), _converter(leaf)) for name, leaf in self.leaves.items()
        ]
        self._is_calibration = message_type == _CAMERA_INFO and not paths

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message."""
        values = [read(message) for _, read, _ in self._readers]
        for (name, _, convert), value in zip(self._readers, values, strict=True):
            if (converted := convert(value)) is not None:
                observation[name] = converted
        if self._is_calibration:
            observation['field/calibration'] = _fingerprint(values)


def _given(paths: Sequence[str], message_type: str, store: Typestore) -> dict[str, Leaf]:
    """Return the leaves that are asked for by name. Raises PathError."""
    named = [_named(path) for path in paths]
    if len(dict(named)) < len(named) or len(named) > MOST_LEAVES:
        raise PathError(f'fields are {list(paths)}: at most {MOST_LEAVES}, each name once')
    leaves = {name: leaf_at(path, message_type, store) for name, path in named}
    for name, leaf in leaves.items():
        if leaf.kind == 'message' or not name:
            raise PathError(f'fields: {name}={leaf.path} of {message_type} is no value with a name')
    return leaves


def _named(path: str) -> tuple[str, str]:
    name, equals, rest = path.partition('=')
    return (name.strip(), rest.strip()) if equals else (path.strip(), path.strip())


def _converter(leaf: Leaf) -> Callable[[Any], Value | None]:
    if leaf.kind == 'string':
        return tuple if leaf.many else _text
    return _elements if leaf.many else _number


def _text(value: str | None) -> str | None:
    return value


def _number(value: float | None) -> float:
    """Return value, NaN where an array is too short to have it."""
    return math.nan if value is None else float(value)


def _elements(values: Any) -> Value:
    return elements(values if isinstance(values, np.ndarray) else np.array(values, np.float64))


def _fingerprint(values: Iterable[Any]) -> str:
    """Return a hash of numbers, arrays and strings, equal for equal ones."""
    with np.errstate(invalid='ignore'):  # signaling NaN
        # -0.0 becomes 0.0.
        parts = [(v + 0.0).tobytes() if isinstance(v, np.ndarray) else v for v in values]
    return hashlib.sha256(repr(parts).encode('utf-8', 'replace')).hexdigest()[:16]
