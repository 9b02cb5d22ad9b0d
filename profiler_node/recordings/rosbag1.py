"""ROS 1 bags, format 2.0, read record by record; the index serves to know the topics at once.

See https://wiki.ros.org/Bags/Format/2.0. A recorder that was killed leaves no index, and a last
chunk that says to be empty.
"""

import re
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from profiler_node.recordings.compression import beginning, decompressed
from profiler_node.recordings.message import (
    Filter,
    Message,
    Messages,
    Note,
    RecordingError,
    Span,
    Topic,
    full_type,
)
from profiler_node.recordings.records import DAMAGE, DamageError, RecordFile

MAGIC = b'#ROSBAG V2.0\n'
_MESSAGE, _CHUNK, _CONNECTION = 2, 5, 7
_OPCODES = range(2, 8)

_LENGTH, _TIME, _PLACE = struct.Struct('<I'), struct.Struct('<II'), struct.Struct('<Q')
_LONGEST_HEAD = 2**20
_CHUNK_START = re.compile(  # its fields are in any order
    rb'[\x28\x29]\0{3}(?:\x04\0{3}op=\x05|[\x0f\x10]\0{3}compression=(?:none|bz2|lz4)|'
    rb'\x09\0{3}size=.{4}){3}',
    re.DOTALL,
)
_SEARCH_BYTES, _OVERLAP_BYTES = 2**20, 128
_NS_PER_S = 1_000_000_000

Head = dict[bytes, bytes]


_DAMAGE = (*DAMAGE, LookupError)


class Rosbag1File(RecordFile):
    """One ROS 1 bag. note: is told what is damaged. Raises RecordingError and OSError."""

    magic = MAGIC
    kind = 'ROS 1 bag of format 2.0'
    damage = _DAMAGE

    def __init__(self, path: Path, note: Note) -> None:
        super().__init__(path, note)
        self._index = 0  # where it begins
        with suppress(*_DAMAGE):
            self._index = self._read_index()
        self._indexed = self._index > 0

    def _read_index(self) -> int:
        """Read the connections that are repeated at the end; return where that is."""
        head, _, _ = self._head_at(len(MAGIC))
        if head.get(b'encryptor'):
            raise RecordingError('the bag is encrypted')
        (start,) = _PLACE.unpack(head[b'index_pos'])
        if not len(MAGIC) < start < self._size:
            raise DamageError('there is no index')
        self._file.seek(start)
        for _ in self._messages_in(memoryview(self._file.read())):
            pass
        return int(start)

    def _read_sized(self) -> bytes:
        (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
        return self._file.read(length) if length <= _LONGEST_HEAD else b''

    def messages(self, wanted: Collection[str] | None, span: Span) -> Messages:
        """Yield the messages on the wanted topics, None for all, as they are in the file."""
        self._filter = Filter(wanted, span)
        for place, start, head, length in self._heads():
            if head[b'op'][0] == _CHUNK:
                self._file.seek(start)
                yield from self._chunk(place, head, length)
            elif head[b'op'][0] in {_MESSAGE, _CONNECTION}:
                self._file.seek(place)
                end = min(start + length, self._size)
                record = memoryview(self._file.read(end - place))
                whole = start + length <= self._size
                what = f'the record at byte {place} is damaged' if whole else ''
                yield from self._noting(what, record)
        if unknown := self._filter.unknown:
            self._note(f'{unknown} messages are of topics whose description is lost')

    def _heads(self) -> Iterator[tuple[int, int, Head, int]]:
        """Yield of each record: place, where its data begins, its head, and the length of data."""
        place = len(MAGIC)
        while place < self._size:
            try:
                head, start, length = self._head_at(place)
            except _DAMAGE:
                after = self._next_chunk(place + 1)
                if not after:
                    break
                self._note(f'damaged at byte {place}, goes on at byte {after}')
                place = after
                continue
            is_chunk = head[b'op'][0] == _CHUNK
            if is_chunk and not length:  # it is told when a chunk is complete
                length = self._size - start
                if self._next_chunk(start) or not length:
                    length = 0
            yield place, start, head, length
            place = start + length
            if place > self._size:
                break
        else:
            place = 0
        if place or not self._index:
            self._note(f'it ends at byte {min(place or self._size, self._size)}, not closed')

    def _head_at(self, place: int) -> tuple[Head, int, int]:
        self._file.seek(place)
        head = _fields(self._read_sized())
        (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
        if len(head[b'op']) != 1 or head[b'op'][0] not in _OPCODES:
            raise DamageError('no record')
        start = self._file.tell()
        if start + length > self._size and self._next_chunk(place + 1):
            raise DamageError('a length is wrong')
        return head, start, length

    def _next_chunk(self, position: int) -> int:
        """Return where the next chunk from position on begins, 0 if there is none."""
        while position < self._size:
            self._file.seek(position)
            block = self._file.read(_SEARCH_BYTES + _OVERLAP_BYTES)
            for found in _CHUNK_START.finditer(block):
                if _is_chunk(block[found.start() : found.start() + _OVERLAP_BYTES]):
                    return position + found.start()
            position += _SEARCH_BYTES
        return 0

    def _chunk(self, place: int, head: Head, length: int) -> Messages:
        left = self._size - self._file.tell()
        body = memoryview(self._file.read(max(0, min(length, left))))
        what = f'the chunk at byte {place} is damaged'
        try:
            compression = head[b'compression'].decode()
            (size,) = _LENGTH.unpack(head[b'size'])
            whole = len(body) == length and size > 0
            data = decompressed(body, compression, size) if whole else beginning(body, compression)
        except _DAMAGE as error:
            self._note(f'{what}: {error}')
            return
        yield from self._noting(what if whole else '', data)

    def _messages_in(self, data: memoryview) -> Messages:
        """Yield the messages of the records in data, and learn what connections there are."""
        wanted, known = self._filter, self._known
        start_ns, end_ns = wanted.span
        end, size = 0, len(data)
        while end < size:
            (length,) = _LENGTH.unpack_from(data, end)
            begin = end + _LENGTH.size + length
            head = _fields(data[end + _LENGTH.size : begin])
            (length,) = _LENGTH.unpack_from(data, begin)
            begin += _LENGTH.size
            end = begin + length
            if end > size:
                raise DamageError(f'a record ends {end - size} bytes behind it')
            opcode = head[b'op'][0]
            if opcode == _MESSAGE:
                seconds, nanoseconds = _TIME.unpack(head[b'time'])
                log_ns = seconds * _NS_PER_S + nanoseconds
                topic = known.get(head[b'conn'])
                if topic is None:
                    wanted.unknown += 1
                elif start_ns <= log_ns < end_ns and wanted.takes(topic):
                    yield Message(topic, log_ns, data[begin:end])
            elif opcode == _CONNECTION:
                about = _fields(data[begin:end])
                known[head[b'conn']] = _topic(head[b'topic'], about)


def _topic(name: bytes, about: Head) -> Topic:
    text = about[b'message_definition'].decode(errors='replace')
    parts = [part for part in name.decode().split('/') if part]
    message_type = full_type(about[b'type'].decode())
    return Topic('/' + '/'.join(parts), message_type, 'ros1', 'msg', text)


def _is_chunk(data: bytes) -> bool:
    """Whether data begins with the head of a chunk."""
    (length,) = _LENGTH.unpack_from(data)
    if length > _OVERLAP_BYTES:
        return False
    try:
        head = _fields(data[_LENGTH.size : _LENGTH.size + length])
    except _DAMAGE:
        return False
    return head.keys() == {b'op', b'compression', b'size'} and len(head[b'size']) == 4


def _fields(data: bytes | memoryview) -> Head:
    """Return the fields in the head of a record."""
    head = {}
    data = bytes(data)
    end = 0
    while end < len(data):
        (length,) = _LENGTH.unpack_from(data, end)
        begin = end + _LENGTH.size
        end = begin + length
        name, equals, value = data[begin:end].partition(b'=')
        if not equals or end > len(data):
            raise DamageError('the head of a record is damaged')
        head[name] = value
    return head
