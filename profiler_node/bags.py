"""A recording in, profiles out: the same streams as on the robot."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys.store import Typestore

from profiler_node.core.config import SegmentConfig, SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.decode import NO_TYPES, UnknownTypeError, store_of
from profiler_node.core.profile import Profile, Source
from profiler_node.core.segments import Segments
from profiler_node.core.stream import Sensing, Stream, type_to_profile
from profiler_node.definitions import installed_store
from profiler_node.feed import change_segment, feed
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
    sensing = Sensing(mappings=all_mappings(detections_file))
    with Reader(path) as reader:
        connections = _by_topic(reader)
        wanted = {*topics, *configs, segment.topic} - {''}
        if missing := wanted - connections.keys():
            raise ValueError(f'{path} has no topic {", ".join(sorted(missing))}')
        made = {}
        for topic in sorted(set(topics) or connections):
            topic_sensing = replace(sensing, config=configs.get(topic, StreamConfig()))
            connection = _chosen(connections[topic], topic_sensing)
            made[topic] = Stream(
                Source('', topic.lstrip('/'), topic, connection.msgtype),
                window or WindowConfig(),
                sketch or SketchConfig(),
                replace(topic_sensing, store=_store_of(connection)),
            )
            if made[topic].problem:
                _log.warning('%s: %s', topic, made[topic].problem)
        segments, splitting = None, ('', '')
        if segment.topic:
            splitting = segment.topic, min(connections[segment.topic])
            store = _store_of(connections[segment.topic][splitting[1]])
            segments = Segments(splitting[1], store, segment)
        read = [c for c in reader.connections if c.topic in {*made, segment.topic}]
        # The reader would take no connections for all of them.
        for connection, log_ns, data in reader.messages(read) if read else ():
            if segments and (connection.topic, connection.msgtype) == splitting:
                change_segment(segments, memoryview(data))
            stream = made.get(connection.topic)
            if stream and connection.msgtype == stream.source.message_type:
                current = segments.current if segments else ''
                profiles, _ = feed(stream, memoryview(data), log_ns, current)
                yield from profiles
        for stream in made.values():
            yield from stream.windows.close()


def _by_topic(reader: Reader) -> dict[str, dict[str, Connection]]:
    """Return a connection for each topic and message type."""
    connections: dict[str, dict[str, Connection]] = {}
    for connection in reader.connections:
        connections.setdefault(connection.topic, {})[connection.msgtype] = connection
    return connections


def _chosen(connections: Mapping[str, Connection], sensing: Sensing) -> Connection:
    """Return the connection of a topic that is to be profiled; connections: by message type."""
    chosen = connections[type_to_profile(connections, sensing)]
    if others := connections.keys() - {chosen.msgtype}:
        text = '%s: profiling %s, not %s'
        _log.warning(text, chosen.topic, chosen.msgtype, ', '.join(sorted(others)))
    return chosen


def _store_of(connection: Connection) -> Typestore:
    """Return the definitions that came with the messages, or else those that are installed."""
    try:
        return _recorded_store(connection)
    except UnknownTypeError as error:
        problem = error
    try:
        return installed_store(connection.msgtype)
    except UnknownTypeError:
        _log.warning('%s: %s', connection.topic, problem)
        return NO_TYPES


def _recorded_store(connection: Connection) -> Typestore:
    """Return the definitions that came with the messages. Raises UnknownTypeError."""
    definition = connection.msgdef
    if definition.format == MessageDefinitionFormat.MSG:
        return store_of({connection.msgtype: definition.data})
    if definition.format == MessageDefinitionFormat.IDL:
        first, *files = definition.data.split(_IDL_FILE)
        texts = [file.partition('\n')[2] for file in files]  # after the line that names the type
        return store_of({}, [first, *texts] if first else texts)
    raise UnknownTypeError(f'the recording has no definition of {connection.msgtype}')
