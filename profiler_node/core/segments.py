"""Which part of the streams a message belongs to: the latest value of another topic's field."""

from typing import Any

from rosbags.typesys.store import Typestore

from profiler_node.core.config import SegmentConfig
from profiler_node.core.decode import decoder_for
from profiler_node.core.paths import PathError, leaf_at

MOST_SEGMENTS = 16
OTHER = 'other'
_LONGEST = 64  # characters


class Segments:
    """Follows the topic that names the segments, whose messages are of message_type.

    current: the segment of what comes now, '' before the first value. After 16 different ones all
    new ones are `other`. Raises PathError for a field that is not there or is no single value, and
    UnknownTypeError.
    """

    def __init__(self, message_type: str, store: Typestore, config: SegmentConfig) -> None:
        self._decode = decoder_for(message_type, store)
        leaf = leaf_at(config.field, message_type, store)
        if leaf.many or leaf.kind == 'message':
            raise PathError(f'segment.field is {config.field!r}, which is no single value')
        self._read = leaf.read
        self._known: set[str] = set()
        self.current = ''

    def update(self, data: memoryview) -> None:
        """Take the value of one serialized message. DecodeError: it cannot be read."""
        segment = _text(self._read(self._decode(data)))
        if segment in self._known or len(self._known) < MOST_SEGMENTS:
            self._known.add(segment)
            self.current = segment
        else:
            self.current = OTHER


def _text(value: Any) -> str:
    if value is None:
        return ''
    if isinstance(value, str):
        return value[:_LONGEST].encode('utf-8', 'replace').decode()
    return str(value).lower()  # true and false, as parameters and YAML write them
