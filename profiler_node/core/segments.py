"""Which part of the streams a message belongs to: the latest value of another topic's field."""

from rosbags.typesys.store import Typestore

from profiler_node.core.config import SegmentConfig
from profiler_node.core.decode import decoder_for
from profiler_node.core.errors import DecodeError
from profiler_node.core.names import OTHER, name_of, text_of
from profiler_node.core.paths import PathError, leaf_at

MOST_SEGMENTS = 16


class Segments:
    """Follows the topic that names the segments, whose messages are of message_type.

    current: the segment of what comes now, '' before the first value. problem: why the last value
    could not be read, and the segment stays as it is; '' if it could. After 16 different ones all
    new ones are `other`. Raises PathError for a field that is not there or is no single value, and
    UnknownTypeError.
    """

    def __init__(self, message_type: str, store: Typestore, config: SegmentConfig) -> None:
        self._decode = decoder_for(message_type, store)
        leaf = leaf_at(config.field, message_type, store)
        if leaf.many or leaf.kind == 'message':
            raise PathError(
                f'segment.field is {config.field!r}, which is no single value of {message_type}'
            )
        self._read = leaf.reader()
        self._known: set[str] = set()
        self.current = self.problem = ''

    def update(self, data: memoryview) -> None:
        """Take the value of one serialized message."""
        try:
            message = self._decode(data)
        except DecodeError as error:
            self.problem = str(error)
            return
        self.problem = ''
        segment = name_of(text_of(self._read(message)))
        if segment in self._known or len(self._known) < MOST_SEGMENTS:
            self._known.add(segment)
            self.current = segment
        else:
            self.current = OTHER
