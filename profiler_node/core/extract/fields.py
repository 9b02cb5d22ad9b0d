"""The `field/` features: the leaves of any message type."""

import hashlib
from collections.abc import Sequence
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
    says whether there were more. Raises PathError for a path that the type does not have.
    """

    def __init__(self, message_type: str, store: Typestore, paths: Sequence[str] = ()) -> None:
        if paths:
            leaves = {name: leaf_at(path, message_type, store) for name, path in map(_named, paths)}
            if len(leaves) < len(paths) or len(leaves) > MOST_LEAVES:
                raise PathError(f'fields are {list(paths)}: at most {MOST_LEAVES}, each name once')
            for leaf in leaves.values():
                if leaf.kind == 'message':
                    raise PathError(f'{leaf.path!r} is a {leaf.message_type}, not a value')
        else:
            found = list(islice(leaves_of(message_type, store), MOST_LEAVES + 1))
            leaves = {leaf.path: leaf for leaf in found[:MOST_LEAVES]}
        self.left_out = not paths and len(found) > MOST_LEAVES
        self._leaves = [(f'field/{name}', leaf) for name, leaf in leaves.items()]
        self._is_calibration = message_type == _CAMERA_INFO and not paths

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message."""
        found = {}
        for name, leaf in self._leaves:
            if (value := leaf.read(message)) is not None:
                observation[name] = _value(leaf, value)
                found[name] = value
        if self._is_calibration:
            observation['field/calibration'] = _fingerprint(found)


def _named(path: str) -> tuple[str, str]:
    name, equals, rest = path.partition('=')
    return (name.strip(), rest.strip()) if equals else (path.strip(), path.strip())


def _value(leaf: Leaf, value: Any) -> Value:
    if leaf.kind == 'string':
        return tuple(value) if leaf.many else str(value)
    return elements(np.asarray(value)) if leaf.many else float(value)


def _fingerprint(values: dict[str, Any]) -> str:
    """Return a hash of all values, equal for equal calibrations whatever their stamps."""
    digest = hashlib.sha256()
    for name, value in values.items():
        digest.update(f'{name}={np.asarray(value).tolist()};'.encode('utf-8', 'replace'))
    return digest.hexdigest()[:16]
