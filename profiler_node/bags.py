"""A recording in, profiles out: the same streams as on the robot."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys.store import Typestore

from profiler_node.core.config import SegmentConfig, SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.decode import NO_TYPES, UnknownTypeError, store_of
from profiler_node.core.errors import DecodeError
from profiler_node.core.profile import Profile, Source
from profiler_node.core.segments import Segments
from profiler_node.core.stream import Sensing, Stream
from profiler_node.definitions import installed_store
from profiler_node.feed import feed
from profiler_node.mappings import all_mappings

_IDL_FILE = '=' * 80 + '\nIDL: '

_log = logging.getLogger(__name__)


def profile_bag(  # noqa: PLR0913 (what the parameters of the node say)
    path: Path,
    topics: Sequence[str] = (),
    *,
    window: WindowConfig | None = None,
    sketch: SketchConfig | None = None,
    segment: SegmentConfig | None = None,
    streams: Mapping[str, StreamConfig] | None = None,
    detections_file: str = '',
) -> Iterator[Profile]:
    """Yield the profiles of a ROS 2 recording as their windows close.

    path: an MCAP or sqlite3 file, or the folder of a bag. topics: which ones, default all. streams:
    how to read a topic, by its name; the other arguments are as the node's parameters. A stream is
    named after its topic, without the first slash. Messages of a type without a definition, here or
    in the recording, are counted in profiles without features. Raises ValueError for a topic that
    is not there, or has no such field, and ReaderError or FileNotFoundError where path is no ROS 2
    recording.
    """
    configs, segment = streams or {}, segment or SegmentConfig()
    mappings = all_mappings(detections_file)
    with Reader(path) as reader:
        _check_topics(reader, {*topics, *configs, segment.topic} - {''})
        made = {}
        for connection in reader.connections:
            if not topics or connection.topic in topics:
                config = configs.get(connection.topic, StreamConfig())
                stream = Stream(
                    Source('', connection.topic.lstrip('/'), connection.topic, connection.msgtype),
                    window or WindowConfig(),
                    sketch or SketchConfig(),
                    Sensing(config, _store_of(connection), mappings),
                )
                if stream.problem:
                    _log.warning('%s: %s', connection.topic, stream.problem)
                made[connection.topic, connection.msgtype] = stream
        segments = _segments_of(reader, segment)
        read = [c for c in reader.connections if c.topic in {*topics, segment.topic} or not topics]
        # The reader would take no connections for all of them.
        for connection, log_ns, data in reader.messages(read) if read else ():
            if segments and connection.topic == segment.topic:
                _change_segment(segments, memoryview(data))
            if fed := made.get((connection.topic, connection.msgtype)):
                current = segments.current if segments else ''
                yield from feed(fed, memoryview(data), log_ns, current)
        for key in sorted(made):
            yield from made[key].windows.close()


def _check_topics(reader: Reader, wanted: set[str]) -> None:
    if missing := wanted - {connection.topic for connection in reader.connections}:
        raise ValueError(f'{reader.path} has no topic {", ".join(sorted(missing))}')


def _segments_of(reader: Reader, config: SegmentConfig) -> Segments | None:
    for connection in reader.connections:
        if connection.topic == config.topic:
            return Segments(connection.msgtype, _store_of(connection), config)
    return None


def _change_segment(segments: Segments, data: memoryview) -> None:
    try:
        segments.update(data)
    except DecodeError as error:
        _log.warning('the segment stays %r: %s', segments.current, error)


def _store_of(connection: Connection) -> Typestore:
    """Return the definitions that came with the messages, or else those that are installed."""
    for read in (_recorded_store, lambda connection: installed_store(connection.msgtype)):
        with suppress(UnknownTypeError):
            return read(connection)
    return NO_TYPES


def _recorded_store(connection: Connection) -> Typestore:
    definition = connection.msgdef
    if definition.format == MessageDefinitionFormat.MSG:
        return store_of({connection.msgtype: definition.data})
    if definition.format == MessageDefinitionFormat.IDL:
        first, *files = definition.data.split(_IDL_FILE)
        texts = [file.partition('\n')[2] for file in files]  # after the line that names the type
        return store_of({}, [first, *texts] if first else texts)
    raise UnknownTypeError(f'{connection.msgtype}: the recording has no definition of it')
