"""A recording in, profiles out: the same streams as on the robot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rosbags.highlevel import AnyReader

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.decode import STORE
from profiler_node.core.profile import Profile, Source
from profiler_node.core.stream import EXTRACTORS, Stream
from profiler_node.feed import feed


def profile_bag(
    path: Path,
    topics: Sequence[str] = (),
    *,
    window: WindowConfig | None = None,
    sketch: SketchConfig | None = None,
) -> Iterator[Profile]:
    """Yield the profiles of a ROS 2 recording as their windows close.

    path: an MCAP or sqlite3 file, or the folder of a bag. topics: which ones, default all whose
    type can be profiled. A stream is named after its topic, without the first slash. Raises
    ValueError for a topic that is not there or cannot be profiled, and AnyReaderError or
    FileNotFoundError where path is no recording.
    """
    with AnyReader([path], default_typestore=STORE) as reader:
        if missing := set(topics) - reader.topics.keys():
            raise ValueError(f'{path} has no topic {", ".join(sorted(missing))}')
        chosen = [
            connection
            for connection in reader.connections
            if (connection.topic in topics if topics else connection.msgtype in EXTRACTORS)
        ]
        if not chosen:  # which the reader would take for all
            return
        streams = {
            topic: Stream(
                Source('', topic.lstrip('/'), topic, message_type),
                window or WindowConfig(),
                sketch or SketchConfig(),
            )
            for topic, message_type in {(c.topic, c.msgtype) for c in chosen}
        }
        for connection, log_ns, data in reader.messages(chosen):
            yield from feed(streams[connection.topic], memoryview(data), log_ns)
        for topic in sorted(streams):
            yield from streams[topic].windows.close()
