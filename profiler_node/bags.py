"""A recording in, profiles out: the same streams as on the robot."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys.store import Typestore

from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.decode import NO_TYPES, UnknownTypeError, store_of
from profiler_node.core.profile import Profile, Source
from profiler_node.core.stream import Sensing, Stream
from profiler_node.definitions import installed_store
from profiler_node.feed import feed
from profiler_node.mappings import all_mappings

_IDL_FILE = '=' * 80 + '\nIDL: '


def profile_bag(
    path: Path,
    topics: Sequence[str] = (),
    *,
    window: WindowConfig | None = None,
    sketch: SketchConfig | None = None,
    streams: Mapping[str, StreamConfig] | None = None,
) -> Iterator[Profile]:
    """Yield the profiles of a ROS 2 recording as their windows close.

    path: an MCAP or sqlite3 file, or the folder of a bag. topics: which ones, default all. streams:
    how to read a topic, by its name. A stream is named after its topic, without the first slash.
    Messages of a type without a definition, here or in the recording, are counted in profiles
    without features. Raises ValueError for a topic that is not there, or has no such field, and
    ReaderError or FileNotFoundError where path is no ROS 2 recording.
    """
    with Reader(path) as reader:
        known = {connection.topic for connection in reader.connections}
        if missing := (set(topics) | (streams or {}).keys()) - known:
            raise ValueError(f'{path} has no topic {", ".join(sorted(missing))}')
        chosen = [c for c in reader.connections if not topics or c.topic in topics]
        if not chosen:  # which the reader would take for all
            return
        sensing = Sensing(mappings=all_mappings())
        configs = streams or {}
        made = {
            (connection.topic, connection.msgtype): Stream(
                Source('', connection.topic.lstrip('/'), connection.topic, connection.msgtype),
                window or WindowConfig(),
                sketch or SketchConfig(),
                replace(
                    sensing,
                    config=configs.get(connection.topic, StreamConfig()),
                    store=_store_of(connection),
                ),
            )
            for connection in chosen
        }
        for connection, log_ns, data in reader.messages(chosen):
            stream = made[connection.topic, connection.msgtype]
            yield from feed(stream, memoryview(data), log_ns)
        for key in sorted(made):
            yield from made[key].windows.close()


def _store_of(connection: Connection) -> Typestore:
    """Return the definitions that came with the messages, or else those that are installed."""
    definition = connection.msgdef
    try:
        if definition.format == MessageDefinitionFormat.MSG:
            return store_of({connection.msgtype: definition.data})
        if definition.format == MessageDefinitionFormat.IDL:
            files = definition.data.split(_IDL_FILE)
            return store_of(
                {}, [file.partition('\n')[2] if i else file for i, file in enumerate(files)]
            )
        return installed_store(connection.msgtype)
    except UnknownTypeError:
        return NO_TYPES
