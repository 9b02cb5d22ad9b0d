"""The `detections/` features, of any message type, by a mapping of field paths."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rosbags.typesys.store import Typestore

from profiler_node.core.elements import elements
from profiler_node.core.extract.boxes import (
    IN_IMAGE,
    POSITION,
    QUATERNION,
    SIZES,
    Columns,
    boxes,
    boxes_3d,
    extents,
)
from profiler_node.core.extract.mapped_fields import MessageFields, Paths
from profiler_node.core.names import LABEL_COUNT, OTHER, name_of, text_of
from profiler_node.core.observation import Observation, Tally
from profiler_node.core.paths import Leaf, Read, reader_of

MOST_LABELS = 32
NO_LABEL = 'none'


@dataclass(frozen=True)
class DetectionMapping:
    """Where a message type keeps its detections. All paths but the first are inside an item.

    A box is its centre and size, its edges, its upper left corner and size, or the extent of a
    polygon. Sizes and positions are taken in the unit of the message.
    """

    items: Paths = ''  # the list of detections; '': the message is one
    where: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # items with such values alone
    label: Paths = ''
    labels: Mapping[Any, str] = field(default_factory=dict)  # names of labels
    score: Paths = ''
    hypotheses: Paths = ''  # a list of which the one with the highest score counts
    hypothesis_label: Paths = ''  # inside a hypothesis
    hypothesis_score: Paths = ''
    track_id: Paths = ''  # a string, a number, or an array of numbers
    center_x: Paths = ''
    center_y: Paths = ''
    left: Paths = ''
    top: Paths = ''
    right: Paths = ''
    bottom: Paths = ''
    width: Paths = ''
    height: Paths = ''
    polygon: Paths = ''  # a list of points with x and y
    position: Paths = ''  # x, y, z [m], or an array of the three
    orientation: Paths = ''  # x, y, z, w of a quaternion, or an array of the four
    dimensions: Paths = ''  # x, y, z: length, width, height [m], or an array of the three
    length_m: Paths = ''  # in place of dimensions
    width_m: Paths = ''
    height_m: Paths = ''


_VECTORS = {'position': POSITION, 'dimensions': SIZES, 'orientation': QUATERNION}


class DetectionsExtractor:
    """The `detections/` features of each message of one stream.

    A detection without a label has the label `none`. Raises PathError for a path that the message
    type does not have, or that leads to something else than is needed.
    """

    def __init__(self, message_type: str, store: Typestore, mapping: DetectionMapping) -> None:
        self._one = not mapping.items
        top = MessageFields(message_type, store)
        items = top.message('items', mapping.items, many=not self._one)
        item = MessageFields(items.message_type, store)
        self._read_items = items.reader()
        self._where = [_condition(item, *condition) for condition in mapping.where.items()]
        numbers = _numbers(item, mapping)
        self._numbers = list(numbers)
        self._read_numbers = reader_of(list(numbers.values()))
        self._read_best: Read | None = None
        self._read_label: Read | None = None
        self._read_id: Read | None = None
        self._read_polygon: Read | None = None
        self._labels: dict[Any, str] = {}
        if mapping.hypotheses:
            self._read_best, self._labels = _best_reader(item, mapping)
        if mapping.label:
            self._read_label, self._labels = _label_reader(item, mapping)
        if mapping.track_id:
            self._read_id = item.identity('track_id', mapping.track_id).reader()
        if mapping.polygon:
            self._read_polygon = item.polygon('polygon', mapping.polygon).reader()
        self._known: dict[str, None] = {}

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message. No detections are a count of 0."""
        items = self._items_of(message)
        observation[LABEL_COUNT] = float(len(items))
        best = None if self._read_best is None else list(map(self._read_best, items))
        if self._read_label is not None:
            self._add_labels(observation, list(map(self._read_label, items)))
        elif best is not None:
            self._add_labels(observation, [label for label, _ in best])
        if self._read_id is not None:
            ids = map(text_of, map(self._read_id, items))
            observation['detections/track_id'] = tuple(filter(None, ids))
        with np.errstate(all='ignore'):
            columns = self._columns_of(items)
            found = boxes(columns) | boxes_3d(columns)
        if 'score' in columns:
            found['score'] = columns['score']
        elif best is not None:
            found['score'] = np.array([score for _, score in best], dtype=np.float64)
        for name, values in found.items():
            observation[f'detections/{name}'] = elements(values)

    def _items_of(self, message: Any) -> Sequence[Any]:
        """Return the detections in message."""
        items: Sequence[Any] = [message] if self._one else self._read_items(message)
        for read, wanted in self._where:
            items = [item for item in items if read(item) in wanted]
        if self._one and self._read_polygon is not None:  # one without points is none
            items = [item for item in items if self._read_polygon(item)]
        return items

    def _columns_of(self, items: Sequence[Any]) -> Columns:
        """Return the numbers of all items."""
        rows = np.array(list(map(self._read_numbers, items)), dtype=np.float64)
        columns = rows.reshape(len(items), len(self._numbers)).T
        given = dict(zip(self._numbers, columns, strict=True))
        if self._read_polygon is not None:
            given |= extents(map(self._read_polygon, items))
        return given

    def _add_labels(self, observation: Observation, values: Sequence[Any]) -> None:
        """Add labels, and how many of each there are; those that were seen before count 0."""
        texts = {v: text_of(self._labels.get(v, v)) or NO_LABEL for v in set(values)}
        labels = tuple(texts[value] for value in values)
        observation['detections/label'] = labels
        counts: Counter[str] = Counter()
        for label, count in Counter(labels).items():
            name = name_of(label)
            if name not in self._known and len(self._known) >= MOST_LABELS:
                name = OTHER
            self._known.setdefault(name)
            counts[name] += count
        for name in self._known:
            observation[f'{LABEL_COUNT}/{name}'] = Tally(counts[name])


def _condition(item: MessageFields, path: str, values: Sequence[Any]) -> tuple[Read, Set[Any]]:
    """Return what reads the value at path, and which ones are wanted."""
    leaf = item.category('where', path)
    return leaf.reader(), frozenset(item.values('where', leaf, values))


def _numbers(item: MessageFields, mapping: DetectionMapping) -> dict[str, Leaf]:
    """Return where all numbers of a detection are."""
    leaves = {}
    for key in (*IN_IMAGE, *SIZES, 'score'):
        if paths := getattr(mapping, key):
            leaves[key] = item.number(key, paths)
    for key, names in _VECTORS.items():
        if paths := getattr(mapping, key):
            leaves |= zip(names, item.vector(key, paths, len(names)), strict=True)
    return leaves


def _label_reader(item: MessageFields, mapping: DetectionMapping) -> tuple[Read, dict[Any, str]]:
    """Return what reads the label of a detection, and the names of labels."""
    leaf = item.category('label', mapping.label)
    return leaf.reader(), _names(item, leaf, mapping)


def _best_reader(item: MessageFields, mapping: DetectionMapping) -> tuple[Read, dict[Any, str]]:
    """Return what reads label and score of the best hypothesis, and the names of labels."""
    hypotheses = item.message('hypotheses', mapping.hypotheses, many=True)
    inside = MessageFields(hypotheses.message_type, item.store)
    label = inside.category('hypothesis_label', mapping.hypothesis_label)
    score = inside.number('hypothesis_score', mapping.hypothesis_score)
    read_all, read = hypotheses.reader(), reader_of([label, score])

    def read_best(item: Any) -> Sequence[Any]:
        found = read_all(item)
        if len(found) == 1:  # as it nearly always is
            return read(found[0])
        return max(map(read, found), key=_order, default=(None, None))

    return read_best, {} if mapping.label else _names(inside, label, mapping)


def _names(fields: MessageFields, label: Leaf, mapping: DetectionMapping) -> dict[Any, str]:
    labels = mapping.labels
    return dict(zip(fields.values('labels', label, labels), labels.values(), strict=True))


def _order(hypothesis: Sequence[Any]) -> float:
    """Return the place of a hypothesis among others: NaN is below all."""
    score = hypothesis[1]
    return -math.inf if score is None or math.isnan(score) else float(score)
