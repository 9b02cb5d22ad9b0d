"""One stream: serialized messages in, closed profiles out."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from rosbags.typesys.base import TypesysError
from rosbags.typesys.store import Typestore

from profiler_node.core.config import NS_PER_S, SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.decode import STORE, Decode, UnknownTypeError, decoder_for, used_by
from profiler_node.core.errors import DecodeError
from profiler_node.core.extract.camera import CompressedImageExtractor, ImageExtractor
from profiler_node.core.extract.detections import DetectionMapping, DetectionsExtractor
from profiler_node.core.extract.fields import MOST_LEAVES, FieldsExtractor
from profiler_node.core.extract.points import PointsExtractor
from profiler_node.core.extract.scan import ScanExtractor
from profiler_node.core.observation import Observation
from profiler_node.core.paths import PathError, Read
from profiler_node.core.pixels.encodings import ToBgr, bgr_of
from profiler_node.core.profile import Profile, Source
from profiler_node.core.repeats import HEADER, TIME, Payload, Repeats, payload_of
from profiler_node.core.rows import RowLayout, row_layout
from profiler_node.core.timeline import Message
from profiler_node.core.windows import Windows

Extract = Callable[[Any, Observation], None]
"""Adds the features of a message. What it added before a DecodeError stays."""

# DDS fills messages up to whole words, recordings may be without: they are to have the same size.
_ALIGNMENT = 4

# A stamp this far before or after the receive time is of another clock.
_EARLIEST_LATENCY_NS, _LATEST_LATENCY_NS = -1 * NS_PER_S, 3600 * NS_PER_S


@dataclass(frozen=True)
class Sensing:
    """How messages are to be read: config of the stream, and what all streams share.

    store: definitions of the message types. mappings: where types keep their detections. to_bgr:
    converts YUV images.
    """

    config: StreamConfig = field(default_factory=StreamConfig)
    store: Typestore = STORE
    mappings: Mapping[str, DetectionMapping] = field(default_factory=lambda: MappingProxyType({}))
    to_bgr: ToBgr = bgr_of


SENSORS: dict[str, Callable[[Sensing], Extract]] = {
    'sensor_msgs/msg/Image': lambda sensing: ImageExtractor(sensing.config, sensing.to_bgr),
    'sensor_msgs/msg/CompressedImage': lambda sensing: CompressedImageExtractor(sensing.config),
    'sensor_msgs/msg/PointCloud2': lambda _: PointsExtractor(),
    'sensor_msgs/msg/LaserScan': lambda _: ScanExtractor(),
}
"""What makes an extractor for a stream, by message type; other types are taken by their fields."""


def type_to_profile(types: Collection[str], sensing: Sensing) -> str:
    """Return which of the message types on a topic to profile: one that has features of its own.

    Raises ValueError where another is configured.
    """
    wanted = sensing.config.type
    if wanted and wanted not in types:
        raise ValueError(f'{", ".join(sorted(types))} is published, not {wanted}')
    known = SENSORS.keys() | sensing.mappings.keys()
    return wanted or min(types, key=lambda name: (name not in known, name))


def extractor_for(message_type: str, sensing: Sensing) -> tuple[Extract, str]:
    """Return what extracts the features of messages of this type, and what there is to say of it.

    Raises PathError for a configured field that the type does not have, and UnknownTypeError.
    """
    config, store = sensing.config, sensing.store
    problems = []
    if not config.field_paths and config.kind != 'fields':
        if mapping := sensing.mappings.get(message_type):
            try:
                return DetectionsExtractor(message_type, store, mapping), ''
            except PathError as error:
                problems.append(f'its detections are elsewhere, all its fields are taken: {error}')
        elif message_type in SENSORS:
            if _is_standard(message_type, store):
                return SENSORS[message_type](sensing), ''
            problems.append(f'this is not the {message_type} of ROS, all its fields are taken')
    fields = FieldsExtractor(message_type, store, config.field_paths)
    if fields.left_out:
        problems.append(f'only the first {MOST_LEAVES} fields are profiled; name those you want')
    return fields, '; '.join(problems)


def _is_standard(message_type: str, store: Typestore) -> bool:
    """Whether store defines message_type with all the fields that ROS gives it."""
    if message_type not in store.fielddefs:
        return False
    definition = STORE.fielddefs[message_type]
    theirs = store.fielddefs[message_type][1]
    used = used_by({message_type: definition})
    return set(definition[1]) <= set(theirs) and all(_is_standard(name, store) for name in used)


def _field_reader(message_type: str, store: Typestore, field_type: str, *names: str) -> Read | None:
    """Return what reads the first of the fields of these names and this type of ROS."""
    fields = {name: description[1] for name, description in store.fielddefs[message_type][1]}
    for name in names:
        if fields.get(name) == field_type and _is_standard(field_type, store):
            return attrgetter(name)
    return None


def _digest(source: Source, sensing: Sensing, *configs: WindowConfig | SketchConfig) -> str:
    """Return a digest of all that decides whether two streams' numbers are the same quantities."""
    message_type = source.message_type
    try:
        definition = sensing.store.generate_msgdef(message_type)[0]
    except TypesysError:  # a part of it is missing: its messages cannot be decoded
        definition = ''
    mapping = sensing.mappings.get(message_type)
    tags = sorted(source.tags.items())
    parts = (replace(source, tags={}), tags, sensing.config, mapping, *configs, definition)
    return hashlib.sha256(repr(parts).encode('utf-8', 'backslashreplace')).hexdigest()


def _unknown(error: UnknownTypeError) -> Decode:
    """Return a decoder for messages that cannot be decoded."""

    def decode(_: memoryview) -> Any:
        raise DecodeError('unknown_type', str(error))

    return decode


class Stream:
    """Profiles the messages of one topic.

    source: what the profiles are labelled with. epoch: the first epoch. digest: of all that decides
    what its profiles hold, so that those of two processes may be one if it is the same. problem:
    why messages cannot be decoded or are not taken for what their type says; '' if all is well.
    Raises PathError for a configured field that the message type does not have.
    """

    def __init__(
        self,
        source: Source,
        window: WindowConfig,
        sketch: SketchConfig,
        sensing: Sensing | None = None,
        epoch: int = 0,
    ) -> None:
        sensing = sensing or Sensing()
        self.source = source
        self.digest = _digest(source, sensing, window, sketch)
        self.problem = ''
        self.windows = Windows(source, window, sketch, epoch)
        self._layout: RowLayout | None = None
        self._read_header: Read | None = None
        self._read_stamp: Read | None = None
        self._payload_of: Payload | None = None
        self._is_repeated = Repeats()
        try:
            self._decode = decoder_for(source.message_type, sensing.store)
        except UnknownTypeError as error:
            self.problem = str(error)
            self._decode = _unknown(error)
            return
        self._extract, self.problem = extractor_for(source.message_type, sensing)
        fields = source.message_type, sensing.store
        self._read_header = _field_reader(*fields, HEADER, 'header')
        self._read_stamp = _field_reader(*fields, TIME, 'stamp', 'timestamp')
        has_stamp = (self._read_header or self._read_stamp) is not None
        self._payload_of = payload_of(*fields, has_stamp=has_stamp)
        if isinstance(self._extract, FieldsExtractor) and self._read_stamp is None:
            has_header = self._read_header is not None
            self._layout = row_layout(*fields, self._extract.leaves, has_header=has_header)

    def update(
        self, data: memoryview, receive_ns: int, segment: str = '', lost: int | None = None
    ) -> list[Profile]:
        """Add one serialized message, received at receive_ns, and return the profiles it closed.

        receive_ns: 0 where it is not known, as before simulated time begins. segment: the part of
        the stream that it belongs to. lost: how many before it were published and not received;
        None: not known, to be told from the stamps. A bad message is counted and never raises. The
        data must not change afterwards: a view of it is kept until the next message.
        """
        size_bytes = -(-len(data) // _ALIGNMENT) * _ALIGNMENT
        observation: Observation = {'message/size_bytes': float(size_bytes)}
        row = repeated = None
        reason = ''
        try:
            if self._layout is not None:
                stamp_ns, frame_id, row = self._layout.read(data)
                repeated = self._is_repeated.of_bytes(row.data)
            else:
                message = self._decode(data)
                stamp_ns, frame_id = self._stamp_and_frame(message)
                if self._payload_of is not None:
                    repeated = self._is_repeated(self._payload_of(data))
        except DecodeError as error:
            return self.windows.add_unreadable(error.reason, receive_ns, lost)
        if frame_id is not None:
            observation['message/frame_id'] = frame_id
        if repeated is not None:
            observation['message/repeated'] = repeated
        latency_ns = 0
        if stamp_ns and receive_ns:
            latency_ns = receive_ns - stamp_ns
            observation['message/latency_s'] = latency_ns / NS_PER_S
        if row is None:
            try:
                self._extract(message, observation)
            except DecodeError as error:
                reason = error.reason
        return self.windows.add(
            Message(
                stamp_ns or receive_ns,
                observation,
                reason,
                segment=segment,
                lost=lost,
                zero_stamp=stamp_ns == 0,
                foreign_stamp=not _EARLIEST_LATENCY_NS <= latency_ns <= _LATEST_LATENCY_NS,
                row=row,
            )
        )

    def _stamp_and_frame(self, message: Any) -> tuple[int | None, str | None]:
        """Return stamp [ns] and frame of message, None where its type has none."""
        frame_id = None
        if self._read_header is not None:
            header = self._read_header(message)
            frame_id, stamp = header.frame_id, header.stamp
        elif self._read_stamp is not None:
            stamp = self._read_stamp(message)
        else:
            return None, None
        return int(stamp.sec * NS_PER_S + stamp.nanosec), frame_id
