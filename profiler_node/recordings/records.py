"""What files of records have in common: MCAP and ROS 1 bags."""

import struct
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any

from profiler_node.recordings.compression import CompressionError
from profiler_node.recordings.message import (
    Filter,
    Messages,
    Note,
    RecordingError,
    Span,
    Topic,
)

_BUFFER_BYTES = 2**16


class DamageError(Exception):
    """Bytes that are not what they should be."""


DAMAGE = (DamageError, CompressionError, struct.error, UnicodeDecodeError)


class RecordFile(ABC):
    """One file. note: is told what is damaged. Raises RecordingError and OSError."""

    magic: bytes
    kind: str  # as it is told where a file is none
    damage: tuple[type[Exception], ...] = DAMAGE  # what damaged bytes raise

    def __init__(self, path: Path, note: Note) -> None:
        self._file = path.open('rb', buffering=_BUFFER_BYTES)
        self._size = path.stat().st_size
        self._note = note
        self._known: dict[Any, Topic] = {}  # by what messages name them
        self._indexed = False
        self._filter = Filter(None, Span())
        if self._file.read(len(self.magic)) != self.magic:
            self._file.close()
            raise RecordingError(f'{path} is no {self.kind}')

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def progress(self) -> float:
        """The share of the file that has been read."""
        return self._file.tell() / self._size

    def topics(self) -> list[Topic]:
        """Return the topics: by the index or, without one, by reading all of the file."""
        if not self._indexed:
            note, self._note = self._note, lambda _: None  # it is said with the messages
            for _ in self.messages(set(), Span()):
                pass
            self._note = note
        return list(dict.fromkeys(self._known.values()))

    @abstractmethod
    def messages(self, wanted: Collection[str] | None, span: Span) -> Messages:
        """Yield the messages on the wanted topics, None for all, as they are in the file."""

    @abstractmethod
    def _messages_in(self, data: memoryview) -> Messages:
        """Yield the messages of the records in data, and learn what topics there are."""

    def _noting(self, what: str, data: memoryview) -> Messages:
        """Yield the messages in data up to where it is damaged; what: to be said then."""
        try:
            yield from self._messages_in(data)
        except self.damage as error:
            if what:
                self._note(f'{what}: {error}')
