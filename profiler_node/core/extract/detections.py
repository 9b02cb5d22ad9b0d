"""The `detections/` features, of any message type, by a mapping of field paths."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from profiler_node.core.elements import elements
from profiler_node.core.observation import Observation, Tally
from profiler_node.core.paths import Leaf, PathError, leaf_at

MOST_LABELS = 32
OTHER = 'other'
_LONGEST_LABEL = 64  # characters of a label in a feature's name

Paths = str | tuple[str, ...]
"""A field path, or several: the first that the message type has."""


@dataclass(frozen=True)
class DetectionMapping:
    """Where a message type keeps its detections. All paths but the first are inside an item.

    A box is its centre and size, its edges, its upper left corner and size, or the extent of a
    polygon. Sizes and positions are taken in the unit of the message.
    """

    items: Paths = ''  # the list of detections; '': the message is one
    where: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # items with such values alone
    label: Paths = ''
    labels: Mapping[Any, str] = field(default_factory=dict)  # names of numeric labels
    score: Paths = ''
    hypotheses: Paths = ''  # a list of which the one with the highest score counts
    hypothesis_label: Paths = ''  # inside a hypothesis
    hypothesis_score: Paths = ''
    track_id: Paths = ''
    center_x: Paths = ''
    center_y: Paths = ''
    left: Paths = ''
    top: Paths = ''
    right: Paths = ''
    bottom: Paths = ''
    width: Paths = ''
    height: Paths = ''
    polygon: Paths = ''  # a list of points with x and y
    position: Paths = ''  # x, y, z [m]
    orientation: Paths = ''  # a quaternion
    dimensions: Paths = ''  # x, y, z: length, width, height [m]


_EDGES = ('center_x', 'center_y', 'left', 'top', 'right', 'bottom', 'width', 'height')


class DetectionsExtractor:
    """The `detections/` features of each message of one stream.

    Raises PathError for a path that the message type does not have.
    """

    def __init__(self, message_type: str, store: Typestore, mapping: DetectionMapping) -> None:
        self._mapping = mapping
        self._items = _first(mapping.items, message_type, store)
        self._one = not self._items.path
        if self._items.kind != 'message' or self._items.many == self._one:
            raise PathError(f'{mapping.items!r} of {message_type} is no list of messages')
        item_type = self._items.message_type
        inside = {
            entry.name: _first(paths, item_type, store)
            for entry in fields(mapping)
            if entry.name not in {'items', 'where', 'labels'}
            and not entry.name.startswith('hypothesis_')
            and (paths := getattr(mapping, entry.name))
        }
        if mapping.hypotheses:
            kind = inside['hypotheses'].message_type
            for name in ('hypothesis_label', 'hypothesis_score'):
                inside[name] = _first(getattr(mapping, name), kind, store)
        self._read = {name: leaf.read for name, leaf in inside.items()}
        self._where = [
            (leaf_at(path, item_type, store).read, frozenset(values))
            for path, values in mapping.where.items()
        ]
        self._known: dict[str, None] = {}

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message. No detections are a count of 0."""
        items = self._items.read(message)
        items = [items] if self._one else items
        items = [item for item in items if all(read(item) in ok for read, ok in self._where)]
        if self._one and 'polygon' in self._read:  # one without points is none
            items = [item for item in items if self._read['polygon'](item)]
        observation['detections/count'] = float(len(items))
        best = [self._best(item) for item in items]
        if 'label' in self._read or 'hypotheses' in self._read:
            labels = [self._label(item, mine) for item, mine in zip(items, best, strict=True)]
            observation['detections/label'] = tuple(labels)
            self._count_labels(observation, labels)
        if 'score' in self._read or 'hypotheses' in self._read:
            scores = [self._score(item, mine) for item, mine in zip(items, best, strict=True)]
            observation['detections/score'] = elements(np.array(scores, dtype=np.float64))
        if read_id := self._read.get('track_id'):
            ids = (_text(read_id(item)) for item in items)
            observation['detections/track_id'] = tuple(filter(None, ids))
        self._add_boxes(observation, items)
        self._add_boxes_3d(observation, items)

    def _best(self, item: Any) -> Any:
        """Return the hypothesis with the highest score, None where there is none."""
        if 'hypotheses' not in self._read:
            return None
        score = self._read['hypothesis_score']
        hypotheses = self._read['hypotheses'](item)
        return max(hypotheses, key=lambda mine: _order(score(mine)), default=None)

    def _label(self, item: Any, best: Any) -> str:
        if 'label' in self._read:
            value = self._read['label'](item)
        else:
            value = '' if best is None else self._read['hypothesis_label'](best)
        return self._mapping.labels.get(value, _text(value))

    def _score(self, item: Any, best: Any) -> float:
        if 'score' in self._read:
            return _number(self._read['score'](item))
        return math.nan if best is None else _number(self._read['hypothesis_score'](best))

    def _count_labels(self, observation: Observation, labels: Iterable[str]) -> None:
        """Add how many of each label there are; labels that were seen before count 0."""
        names = (label[:_LONGEST_LABEL].encode('utf-8', 'replace').decode() for label in labels)
        counts = Counter(names)
        for label in counts:
            named = label in self._known or len(self._known) < MOST_LABELS
            self._known.setdefault(label if named else OTHER)
        known = {label: counts.pop(label, 0) for label in self._known}
        if others := counts.total():
            known[OTHER] += others
        for label, count in known.items():
            observation[f'detections/count/{label}'] = Tally(count)

    def _add_boxes(self, observation: Observation, items: Sequence[Any]) -> None:
        """Add sizes and positions in the image."""
        read = self._read
        given = {
            name: np.array([_number(read[name](item)) for item in items], dtype=np.float64)
            for name in _EDGES
            if name in read
        }
        if 'polygon' in read:
            extents = [_extent(read['polygon'](item)) for item in items]
            columns = np.array(extents, dtype=np.float64).reshape(-1, 5).T
            given |= dict(zip(('left', 'top', 'right', 'bottom', 'area'), columns, strict=True))
        with np.errstate(all='ignore'):
            boxes = _boxes(given)
        for name, values in boxes.items():
            observation[f'detections/{name}'] = elements(values)

    def _add_boxes_3d(self, observation: Observation, items: Sequence[Any]) -> None:
        """Add sizes [m] and places in space."""
        read = self._read
        if 'dimensions' in read:
            if {'width', 'right', 'polygon'} & read.keys():
                # Where there are boxes in the image too, the others need not be filled in.
                items = [item for item in items if any(_xyz(read['dimensions'](item)))]
            sizes = np.array([_xyz(read['dimensions'](item)) for item in items]).reshape(-1, 3)
            for name, values in zip(('length_m', 'width_m', 'height_m'), sizes.T, strict=True):
                observation[f'detections/{name}'] = elements(values)
            with np.errstate(all='ignore'):
                observation['detections/volume_m3'] = elements(sizes.prod(axis=1))
        if 'position' in read:
            places = np.array([_xyz(read['position'](item)) for item in items]).reshape(-1, 3)
            with np.errstate(all='ignore'):
                observation['detections/distance_m'] = elements(np.linalg.norm(places, axis=1))
        if 'orientation' in read:
            yaws = [_yaw_rad(read['orientation'](item)) for item in items]
            observation['detections/yaw_rad'] = elements(np.array(yaws, dtype=np.float64))


def _boxes(given: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return what can be said of boxes in the image from what is given of them."""
    boxes = {}
    for size, centre, low, high in (
        ('width', 'center_x', 'left', 'right'),
        ('height', 'center_y', 'top', 'bottom'),
    ):
        if size in given:
            boxes[size] = given[size]
        elif low in given and high in given:
            boxes[size] = given[high] - given[low]
        if centre in given:
            boxes[centre] = given[centre]
        elif low in given and size in boxes:
            boxes[centre] = given[low] + boxes[size] / 2
    if 'width' in boxes and 'height' in boxes:
        boxes['area'] = given.get('area', boxes['width'] * boxes['height'])
        flat = np.where(boxes['height'] == 0, np.nan, boxes['height'])
        boxes['aspect_ratio'] = boxes['width'] / flat
    return boxes


def _extent(points: Sequence[Any]) -> tuple[float, float, float, float, float]:
    """Return left, top, right, bottom and area of the polygon through points; NaN for none."""
    if not len(points):
        return (math.nan,) * 5
    x, y = np.array([(point.x, point.y) for point in points], dtype=np.float64).T
    with np.errstate(all='ignore'):
        # About the first corner, so that little is lost far from the origin.
        across, down = x - x[0], y - y[0]
        area = abs(float(np.dot(across, np.roll(down, -1)) - np.dot(down, np.roll(across, -1)))) / 2
    return float(x.min()), float(y.min()), float(x.max()), float(y.max()), area


def _xyz(vector: Any) -> tuple[float, float, float]:
    return float(vector.x), float(vector.y), float(vector.z)


def _yaw_rad(orientation: Any) -> float:
    """Return the rotation about z of a quaternion [rad], NaN for one of length 0."""
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    across, along = 2 * (w * z + x * y), w * w + x * x - y * y - z * z
    return math.atan2(across, along) if x or y or z or w else math.nan


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _order(value: Any) -> float:
    """Return the place of a score among others: NaN is below all."""
    return -math.inf if value is None or math.isnan(value) else float(value)


def _text(value: Any) -> str:
    """Return a label or an id as text, '' for none; bytes, as of a UUID, in hexadecimal."""
    if value is None:
        return ''
    return bytes(value).hex() if isinstance(value, np.ndarray) else str(value)


def _first(paths: Paths, message_type: str, store: Typestore) -> Leaf:
    """Return where the first of paths leads that message_type has. Raises PathError."""
    given = (paths,) if isinstance(paths, str) else paths
    for path in given[:-1]:
        try:
            return leaf_at(path, message_type, store)
        except PathError:
            continue
    return leaf_at(given[-1], message_type, store)
