"""A recording in, profiles out: the same streams as on the robot."""

import hashlib
import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from rosbags.serde import SerdeError
from rosbags.typesys.store import Typestore

from profiler_node.core.config import (
    NS_PER_S,
    SegmentConfig,
    SketchConfig,
    StreamConfig,
    WindowConfig,
)
from profiler_node.core.decode import (
    NO_TYPES,
    STORE,
    UnknownTypeError,
    store_of,
    store_with,
    types_in,
    used_by,
)
from profiler_node.core.profile import Profile, Source
from profiler_node.core.segments import Segments
from profiler_node.core.stream import Sensing, Stream, type_to_profile
from profiler_node.definitions import installed_store
from profiler_node.feed import change_segment, feed
from profiler_node.mappings import all_mappings
from profiler_node.profiler_config import STREAM_DEFAULTS
from profiler_node.recordings.message import Message, Span, Topic
from profiler_node.recordings.recording import Recording

_IDL_FILE = '=' * 80 + '\nIDL: '
_HEADER = 'std_msgs/msg/Header'
_TIMES = ('builtin_interfaces/msg/Time', 'builtin_interfaces/msg/Duration')
_READABLE = {'cdr', 'ros1'}
_EPOCHS = 2**32 - 2**16  # a recording may go on to later ones
# So that the longest of windows ends at a time that a profile can have.
_LAST_NS = 2**63 - 2 * 86_400 * NS_PER_S
_NO_TIME = 'time_out_of_range'
_MALFORMED = memoryview(b'')
_TOLD_EVERY = 16  # messages
_STORES = 64  # that are kept, for topics of the same type

_log = logging.getLogger(__name__)


class Moment(NamedTuple):
    """A receive time [ns]: since 1970, or since the first message of the recording."""

    ns: int
    relative: bool = False

    def after(self, first_ns: int) -> int:
        """Return the time since 1970; first_ns: the time of the first message."""
        return self.ns + first_ns if self.relative else self.ns


class Channel(NamedTuple):
    """A stream by its name, its topic, and how that is to be read.

    literal: the topic as it was written, which comes first where a recording has it; '' for none.
    """

    name: str
    topic: str
    config: StreamConfig = StreamConfig()
    literal: str = ''


@dataclass(frozen=True)
class Plan:
    """How recordings are to be profiled; the fields are as the node's parameters.

    channels: the streams; None: each topic, named after it without the first slash. optional:
    whether topics that are not in the recording are left out, else that is an error. start, end:
    which messages, by receive time, without end itself. epoch: the first one; None: a digest of the
    files, of start and end and of what decides how a stream is profiled, so that of two that share
    a window both are kept, and a repeated run has it again. Raises ValueError where two streams
    have one name.
    """

    robot_id: str = ''
    tags: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[Channel, ...] | None = None
    optional: bool = False
    window: WindowConfig = field(default_factory=WindowConfig)
    sketch: SketchConfig = field(default_factory=SketchConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    detections_file: str = ''
    start: Moment | None = None
    end: Moment | None = None
    epoch: int | None = 0

    def __post_init__(self) -> None:
        _check_names(self.channels or ())


@dataclass
class StreamCount:
    """What became of one stream; times and sizes in ns and bytes."""

    name: str
    topic: str
    message_type: str
    messages: int = 0
    size_bytes: int = 0
    cpu_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    decoded: int = 0
    windows: int = 0
    errors: Counter[str] = field(default_factory=Counter)


class _Feed:
    """Takes the messages of one topic and type into their stream."""

    def __init__(self, channel: Channel, topic: Topic, plan: Plan, sensing: Sensing, epoch: int):
        store = _store_of(topic)
        source = Source(
            *(plan.robot_id, channel.name, topic.name, topic.message_type),
            tags=MappingProxyType(dict(plan.tags)),
        )
        self.stream = Stream(source, plan.window, plan.sketch, replace(sensing, store=store), epoch)
        self.count = StreamCount(channel.name, topic.name, topic.message_type)
        self._convert = _conversion(topic, store)
        if self.stream.problem:
            _log.warning('%s: %s', topic.name, self.stream.problem)

    def add(self, message: Message, segment: str) -> list[Profile]:
        """Add a message, and return the profiles that it closed."""
        count = self.count
        _, log_ns, data = message
        count.messages += 1
        count.size_bytes += len(data)
        if not -_LAST_NS <= log_ns <= _LAST_NS:
            return self.counted(self.stream.windows.add_unreadable(_NO_TIME, count.last_ns))
        count.first_ns = count.first_ns or log_ns
        count.last_ns = log_ns
        if self._convert is not None:
            data = self._convert(data)
        profiles, cpu_ns = feed(self.stream, data, log_ns, segment)
        count.cpu_ns += cpu_ns
        return self.counted(profiles) if profiles else profiles

    def counted(self, profiles: list[Profile]) -> list[Profile]:
        """Return profiles, after taking into account what they say."""
        for profile in profiles:
            self.count.windows += 1
            self.count.decoded += profile.counters.decoded
            self.count.errors.update(profile.counters.decode_errors)
            self.count.errors.update({'late': profile.counters.late})
        return profiles


class Pass:
    """One pass over a recording, as plan says. counts: of each stream, by name.

    Raises RecordingError, and ValueError for a topic that is not there, or has no such field.
    """

    def __init__(self, recording: Recording, plan: Plan) -> None:
        self._recording = recording
        by_name = _by_name(recording.topics())
        first_ns = next((message.log_ns for message in recording.messages()), 0)
        self._span = Span(
            plan.start.after(first_ns) if plan.start else Span().start_ns,
            plan.end.after(first_ns) if plan.end else Span().end_ns,
        )
        digest = recording.digest() if plan.epoch is None else ''
        sensing = Sensing(mappings=all_mappings(plan.detections_file))
        self._feeds: dict[tuple[str, str], list[_Feed]] = {}
        for channel in _channels(plan, by_name):
            own = replace(sensing, config=channel.config)
            topic = _chosen(by_name[channel.topic], own)
            epoch = plan.epoch
            if epoch is None:
                mapping = own.mappings.get(topic.message_type)
                settings = plan.window, plan.sketch, plan.segment, channel.config, mapping
                epoch = _epoch_of(digest, *self._span, *settings)
            made = _Feed(channel, topic, plan, own, epoch)
            self._feeds.setdefault((topic.name, topic.message_type), []).append(made)
        self._segment_at = self._segments(plan.segment, by_name)

    @property
    def counts(self) -> list[StreamCount]:
        """What became of each stream so far."""
        return [feed.count for feeds in self._feeds.values() for feed in feeds]

    def profiles(self, tell: Callable[[], object] | None = None) -> Iterator[Profile]:
        """Yield the profiles as their windows close; tell: is called every now and then."""
        segment_at, feeds = self._segment_at, self._feeds
        wanted = {name for name, _ in feeds}
        messages = self._recording.messages(wanted, self._span)
        others: Counter[tuple[str, str]] = Counter()
        for index, message in enumerate(messages):
            if tell and index % _TOLD_EVERY == 0:
                tell()
            topic = message.topic
            key = topic.name, topic.message_type
            if key not in feeds:
                others[key] += 1
                continue
            for each in feeds[key]:
                segment = segment_at(message.log_ns) if segment_at else ''
                yield from each.add(message, segment)
        for same in feeds.values():
            for each in same:
                yield from each.counted(each.stream.windows.close())
        for (name, kind), count in others.items():
            text = f'{name}: {count} messages of {kind}, another type than is profiled'
            self._recording.problems.append(text)

    def _segments(
        self, config: SegmentConfig, by_name: Mapping[str, Mapping[str, Topic]]
    ) -> Callable[[int], str] | None:
        """Return what tells the segment at a receive time: its topic is read before all others."""
        if not config.topic:
            return None
        topic = by_name[config.topic][min(by_name[config.topic])]
        store = _store_of(topic)
        segments = Segments(topic.message_type, store, config)
        convert = _conversion(topic, store)
        changes = [(0, '')]
        for message in self._recording.messages({topic.name}):
            if message.topic.message_type == topic.message_type:
                change_segment(segments, convert(message.data) if convert else message.data)
                if segments.current != changes[-1][1]:
                    changes.append((message.log_ns, segments.current))
        changes.sort(key=lambda change: change[0])
        times = [log_ns for log_ns, _ in changes]
        return lambda log_ns: changes[bisect_right(times, log_ns) - 1][1]


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
    """Yield the profiles of a recording of ROS 1 or 2 as their windows close.

    path: an MCAP, sqlite3 or ROS 1 file, or the folder of a bag. topics: which ones, default all.
    streams: how to read a topic, by its name; the other arguments are as the node's parameters. A
    stream is named after its topic, without the first slash. Messages of a type without a
    definition, here or in the recording, are counted in profiles without features. Raises
    ValueError for a topic that is not there, or has no such field, and RecordingError where nothing
    can be read. What is damaged is logged.
    """
    configs = streams or {}
    with Recording(path) as recording:
        known = _by_name(recording.topics())
        if missing := configs.keys() - known.keys():
            raise ValueError(f'{path} has no topic {", ".join(sorted(missing))}')
        plan = Plan(
            channels=tuple(
                _automatic(topic, configs.get(topic)) for topic in sorted(set(topics) or known)
            ),
            window=window or WindowConfig(),
            sketch=sketch or SketchConfig(),
            segment=segment or SegmentConfig(),
            detections_file=detections_file,
        )
        yield from Pass(recording, plan).profiles()
        for problem in recording.problems:
            _log.warning('%s: %s', path, problem)


def _by_name(topics: Collection[Topic]) -> dict[str, dict[str, Topic]]:
    """Return topics by name and message type."""
    by_name: dict[str, dict[str, Topic]] = {}
    for topic in topics:
        by_name.setdefault(topic.name, {}).setdefault(topic.message_type, topic)
    return by_name


def _automatic(topic: str, config: StreamConfig | None = None) -> Channel:
    """Return the stream that is named after topic, with the node's defaults for such a name."""
    name = topic.lstrip('/')
    return Channel(name, topic, config or STREAM_DEFAULTS.get(name, StreamConfig()))


def _check_names(channels: Collection[Channel]) -> None:
    topics: dict[str, list[str]] = {}
    for channel in channels:
        topics.setdefault(channel.name, []).append(channel.topic)
    for name, same in topics.items():
        if len(same) > 1:
            raise ValueError(f'{" and ".join(same)} would both be the stream {name}: name them')


def _epoch_of(*what: object) -> int:
    """Return an epoch that is the same for the same only."""
    digest = hashlib.sha256(repr(what).encode('utf-8', 'backslashreplace')).digest()
    return int.from_bytes(digest[:8], 'big') % _EPOCHS


def _channels(plan: Plan, known: Collection[str]) -> Sequence[Channel]:
    """Return the streams whose topics are known. Raises ValueError where that is an error."""
    channels = plan.channels
    if channels is None:
        channels = tuple(_automatic(topic) for topic in sorted(known))
        _check_names(channels)
    channels = tuple(
        channel._replace(topic=channel.literal) if channel.literal in known else channel
        for channel in channels
    )
    missing = {channel.topic for channel in channels} - set(known)
    if plan.optional and len(missing) < len(channels):
        channels = tuple(channel for channel in channels if channel.topic not in missing)
        missing = set()
    if missing := missing | ({plan.segment.topic} - {''} - set(known)):
        raise ValueError(f'the recording has no topic {", ".join(sorted(missing))}')
    return channels


def _chosen(topics: Mapping[str, Topic], sensing: Sensing) -> Topic:
    """Return the one of the types of a topic that is to be profiled."""
    return topics[type_to_profile(topics, sensing)]


def _conversion(topic: Topic, store: Typestore) -> Callable[[memoryview], memoryview] | None:
    """Return what makes CDR of the messages, None where they are that, or cannot be read."""
    if topic.encoding != 'ros1' or store is NO_TYPES:
        return None

    def convert(data: memoryview) -> memoryview:
        try:
            return store.ros1_to_cdr(data, topic.message_type)
        except (SerdeError, AssertionError):
            return _MALFORMED

    return convert


def _store_of(topic: Topic) -> Typestore:
    """Return the definitions that came with the messages, or else those that are installed."""
    try:
        return _recorded_store(topic)
    except UnknownTypeError as error:
        problem = error
    try:
        if topic.encoding == 'cdr':
            return installed_store(topic.message_type)
    except UnknownTypeError:
        pass
    _log.warning('%s: %s', topic.name, problem)
    return NO_TYPES


def _recorded_store(topic: Topic) -> Typestore:
    """Return the definitions that came with the messages. Raises UnknownTypeError."""
    return _store_by_text(replace(topic, name=''))


@lru_cache(_STORES)
def _store_by_text(topic: Topic) -> Typestore:
    """Return the definitions that came with the messages of topics like this one."""
    if topic.encoding not in _READABLE or not topic.language:
        raise UnknownTypeError(f'the recording has no definition of {topic.message_type}')
    if topic.encoding == 'ros1':
        return _ros1_store(topic)
    if topic.language == 'msg':
        return store_of({topic.message_type: topic.definition})
    first, *files = topic.definition.split(_IDL_FILE)
    texts = [file.partition('\n')[2] for file in files]  # after the line that names the type
    return store_of({}, [first, *texts] if first else texts)


def _ros1_store(topic: Topic) -> Typestore:
    """Return the definitions of ROS 1 as they are once the messages are converted to CDR."""
    types = {name: STORE.fielddefs[name] for name in _TIMES}
    types |= types_in(topic.message_type, topic.definition)
    if missing := used_by(types) - types.keys():
        names = ', '.join(sorted(missing))
        raise UnknownTypeError(f'the definition of {topic.message_type} is without {names}')
    if _HEADER in types:
        constants, fields = types[_HEADER]
        types[_HEADER] = constants, [each for each in fields if each[0] != 'seq']
    return store_with(types)
