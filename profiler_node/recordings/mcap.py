"""MCAP files, read record by record; their index serves to know the topics at once.

See https://mcap.dev/spec. A chunk that is damaged is left out, and the next one is found by itself.
"""

import re
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from profiler_node.recordings.compression import beginning, decompressed
from profiler_node.recordings.message import (
    Filter,
    Language,
    Message,
    Messages,
    Note,
    Span,
    Topic,
    full_type,
)
from profiler_node.recordings.records import DAMAGE, DamageError, RecordFile

MAGIC = b'\x89MCAP0\r\n'
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 2, 3, 4, 5, 6, 15
_LAST_OPCODE, _FIRST_PRIVATE = 15, 128

_RECORD = struct.Struct('<BQ')  # opcode, length
_NUMBER, _LENGTH = struct.Struct('<H'), struct.Struct('<I')
_MESSAGE_HEAD = struct.Struct('<HIQQ')  # channel, sequence, log time, publish time
_CHUNK_HEAD = struct.Struct('<QQQI')  # first and last log time, size, checksum
_TIMES = struct.Struct('<QQ')
_FOOTER_BODY = struct.Struct('<QQI')  # where the index begins, and its parts; checksum
_FOOTER_BYTES = _RECORD.size + _FOOTER_BODY.size + len(MAGIC)

_CHUNK_START = re.compile(rb'\x06.{5}\0{3}.{28}(?:\x04\0{3}zstd|\x03\0{3}lz4|\0{4}).{8}', re.DOTALL)
_SEARCH_BYTES, _OVERLAP_BYTES = 2**20, 64

_LANGUAGES: dict[str, Language] = {
    'ros1msg': 'msg',
    'ros2msg': 'msg',
    'ros2idl': 'idl',
    'omgidl': 'idl',
}


class McapFile(RecordFile):
    """One MCAP file. note: is told what is damaged. Raises RecordingError and OSError."""

    magic = MAGIC
    kind = 'MCAP file'

    def __init__(self, path: Path, note: Note) -> None:
        super().__init__(path, note)
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._complete = False
        with suppress(*DAMAGE):
            self._indexed = self._read_index()
            self._complete = True

    def _read_index(self) -> bool:
        """Read the schemas and channels that are repeated at the end; whether there are any."""
        self._file.seek(max(0, self._size - _FOOTER_BYTES))
        footer = self._file.read()
        if len(footer) < _FOOTER_BYTES or not footer.endswith(MAGIC):
            raise DamageError('the end is missing')
        start, _, checksum = _FOOTER_BODY.unpack_from(footer, _RECORD.size)
        if not start:
            return False  # it was written without one
        if start >= self._size:
            raise DamageError('the index is elsewhere')
        self._file.seek(start)
        index = self._file.read()[: -len(MAGIC) - 4]  # all that the checksum is of
        if checksum and zlib.crc32(index) != checksum:
            raise DamageError('the index is damaged')
        for _ in self._messages_in(memoryview(index)[: -_FOOTER_BYTES + len(MAGIC) + 4]):
            pass
        return bool(self._known)

    def messages(self, wanted: Collection[str] | None, span: Span) -> Messages:
        """Yield the messages on the wanted topics, None for all, as they are in the file."""
        self._filter = Filter(wanted, span)
        self._file.seek(len(MAGIC))
        for place, opcode, length in self._heads():
            if opcode == _CHUNK:
                if not (self._indexed and self._is_outside(span)):
                    yield from self._chunk(place, length)
            elif opcode in {_MESSAGE, _SCHEMA, _CHANNEL}:
                self._file.seek(place)
                record = memoryview(self._file.read(_RECORD.size + length))
                yield from self._noting(f'a record at byte {place} is damaged', record)
        if unknown := self._filter.unknown:
            self._note(f'{unknown} messages are of topics whose description is lost')

    def _heads(self) -> Iterator[tuple[int, int, int]]:
        """Yield place, opcode and length of the records; the file is where the content begins."""
        place = len(MAGIC)
        opcode = 0
        while opcode != _FOOTER:
            self._file.seek(place)
            head = self._file.read(_RECORD.size)
            opcode, length = _RECORD.unpack(head) if len(head) == _RECORD.size else (0, 0)
            end = place + _RECORD.size + length
            invalid = not 0 < opcode <= _LAST_OPCODE and opcode < _FIRST_PRIVATE
            if invalid or end > self._size:
                after = self._next_chunk(place + 1)
                if after:
                    self._note(f'damaged at byte {place}, goes on at byte {after}')
                    place = after
                    continue
                if opcode == _CHUNK:
                    self._file.seek(place + _RECORD.size)
                    yield place, opcode, length
                self._note(f'it ends at byte {place if invalid else self._size}, not closed')
                return
            if opcode == _DATA_END:
                break
            yield place, opcode, length
            place = end
        if not self._complete:
            self._note('its index is damaged, all messages before it are read')

    def _next_chunk(self, position: int) -> int:
        """Return where the next whole chunk from position on begins, 0 if there is none."""
        while position < self._size:
            self._file.seek(position)
            block = self._file.read(_SEARCH_BYTES + _OVERLAP_BYTES)
            for found in _CHUNK_START.finditer(block):
                at, head = position + found.start(), found.group()
                _, length = _RECORD.unpack_from(head)
                (content,) = struct.unpack_from('<Q', head, len(head) - 8)
                whole = at + _RECORD.size + length <= self._size
                if whole and length == len(head) - _RECORD.size + content:
                    return at
            position += _SEARCH_BYTES
        return 0

    def _is_outside(self, span: Span) -> bool:
        """Whether the chunk that begins here has nothing in span."""
        place = self._file.tell()
        first_ns, last_ns = _TIMES.unpack(self._file.read(_TIMES.size))
        self._file.seek(place)
        return bool(last_ns < span.start_ns or first_ns >= span.end_ns)

    def _chunk(self, place: int, length: int) -> Messages:
        left = self._size - self._file.tell()
        body = memoryview(self._file.read(min(length, left)))
        whole = len(body) == length
        what = f'the chunk at byte {place} is damaged'
        try:
            data = _content(body, whole=whole)
        except DAMAGE as error:
            self._note(f'{what}: {error}')
            return
        yield from self._noting(what if whole else '', data)

    def _messages_in(self, data: memoryview) -> Messages:
        """Yield the messages of the records in data, and learn what channels there are."""
        wanted, known = self._filter, self._known
        start_ns, end_ns = wanted.span
        end, size = 0, len(data)
        while end < size:
            opcode, length = _RECORD.unpack_from(data, end)
            begin = end + _RECORD.size
            end = begin + length
            if end > size:
                raise DamageError(f'a record ends {end - size} bytes behind it')
            if opcode == _MESSAGE:
                channel, _, log_ns, _ = _MESSAGE_HEAD.unpack_from(data, begin)
                topic = known.get(channel)
                if topic is None:
                    wanted.unknown += 1
                elif start_ns <= log_ns < end_ns and wanted.takes(topic):
                    yield Message(topic, log_ns, data[begin + _MESSAGE_HEAD.size : end])
            elif opcode == _SCHEMA:
                self._add_schema(data[begin:end])
            elif opcode == _CHANNEL:
                self._add_channel(data[begin:end])

    def _add_schema(self, body: memoryview) -> None:
        (number,) = _NUMBER.unpack_from(body)
        name, place = _text(body, _NUMBER.size)
        encoding, place = _text(body, place)
        self._schemas[number] = name, encoding, _text(body, place)[0]

    def _add_channel(self, body: memoryview) -> None:
        (number,) = _NUMBER.unpack_from(body)
        (schema,) = _NUMBER.unpack_from(body, _NUMBER.size)
        name, place = _text(body, 2 * _NUMBER.size)
        message_type, encoding, text = self._schemas.get(schema, ('', '', ''))
        language = _LANGUAGES.get(encoding, '')
        self._known[number] = Topic(
            name=name,
            message_type=full_type(message_type),
            encoding=_text(body, place)[0],
            language=language,
            definition=text if language else '',
        )


def _text(body: memoryview, place: int) -> tuple[str, int]:
    """Return the string at place, and where it ends."""
    (length,) = _LENGTH.unpack_from(body, place)
    end = place + _LENGTH.size + length
    if end > len(body):
        raise DamageError('a text is longer than its record')
    return bytes(body[place + _LENGTH.size : end]).decode(), end


def _content(body: memoryview, *, whole: bool) -> memoryview:
    """Return the records in the chunk body, or those in its beginning."""
    _, _, size, checksum = _CHUNK_HEAD.unpack_from(body)
    compression, place = _text(body, _CHUNK_HEAD.size)
    packed = body[place + 8 :]
    if not whole:
        return beginning(packed, compression)
    data = decompressed(packed, compression, size)
    if checksum and zlib.crc32(data) != checksum:
        raise DamageError('its checksum is wrong')
    return data
