"""What is in a recording, whatever its format."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Note = Callable[[str], None]
"""Takes, as one line, what is wrong with a recording of which more can be read."""


class RecordingError(Exception):
    """What is no recording, or one of which nothing can be read."""


Language = Literal['msg', 'idl', '']


@dataclass(frozen=True)
class Topic:
    """Messages of one type on a topic.

    message_type: as in ROS 2, sensor_msgs/msg/Image. encoding: of the messages, cdr or ros1; others
    cannot be decoded. language, definition: the text that came with the messages, '' for none.
    """

    name: str
    message_type: str
    encoding: str
    language: Language
    definition: str


class Message(NamedTuple):
    """One serialized message, and when it was received [ns since 1970]."""

    topic: Topic
    log_ns: int
    data: memoryview


Messages = Iterator[Message]


class Span(NamedTuple):
    """Receive times from start_ns on and before end_ns."""

    start_ns: int = -(2**63)
    end_ns: int = 2**64


class Filter:
    """Which messages are wanted: those on the topics of these names, None for all, within span."""

    def __init__(self, names: Collection[str] | None, span: Span) -> None:
        self._names = names
        self.span = span
        self.unknown = 0  # messages whose topic is not known

    def takes(self, topic: Topic) -> bool:
        """Whether messages on topic are wanted."""
        return self._names is None or topic.name in self._names


def full_type(name: str) -> str:
    """Return the type pkg/Type of ROS 1 as pkg/msg/Type, others as they are."""
    package, _, base = name.partition('/')
    return f'{package}/msg/{base}' if base and '/' not in base else name
