"""Recordings put together byte by byte, so that anything may be wrong in them."""

import os
import signal
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from profiler_node import offline

PROFILE_HERE = offline._profile_here
BOOL = b'\0\1\0\0\1'  # a std_msgs/msg/Bool
SECOND = 10**9
MAGIC = b'\x89MCAP0\r\n'
END = struct.pack('<BQI', 15, 4, 0) + struct.pack('<BQQQI', 2, 20, 0, 0, 0) + MAGIC


def record(opcode: int, body: bytes) -> bytes:
    return struct.pack('<BQ', opcode, len(body)) + body


def text(value: str) -> bytes:
    return struct.pack('<I', len(value)) + value.encode()


HEAD = MAGIC + record(1, text('') + text(''))


def schema(number: int, name: str = 'std_msgs/msg/Bool', definition: str = 'bool data\n') -> bytes:
    body = struct.pack('<H', number) + text(name) + text('ros2msg') + text(definition)
    return record(3, body)


def channel(number: int, topic: str, of: int = 1) -> bytes:
    body = struct.pack('<HH', number, of) + text(topic) + text('cdr') + bytes(4)
    return record(4, body)


def message(number: int, log_ns: int, data: bytes = BOOL) -> bytes:
    return record(5, struct.pack('<HIQQ', number, 0, log_ns, log_ns) + data)


def chunk(body: bytes, packed: bytes | None = None, name: str = '', size: int = -1) -> bytes:
    packed = body if packed is None else packed
    size = len(body) if size < 0 else size
    head = struct.pack('<QQQI', 0, 2**63, size, 0) + text(name) + struct.pack('<Q', len(packed))
    return record(6, head + packed)


def bools(topic: str = '/b', count: int = 10, start_ns: int = 10**18) -> bytes:
    """The content of a chunk: a topic and its messages, a second apart."""
    body = schema(1) + channel(1, topic)
    return body + b''.join(message(1, start_ns + n * SECOND) for n in range(count))


ROS1_MAGIC = b'#ROSBAG V2.0\n'


def fields(**given: bytes) -> bytes:
    """The fields of a ROS 1 record's head."""
    return b''.join(
        struct.pack('<I', len(name) + 1 + len(value)) + name.encode() + b'=' + value
        for name, value in given.items()
    )


def record1(data: bytes, **given: bytes) -> bytes:
    head = fields(**given)
    return struct.pack('<I', len(head)) + head + struct.pack('<I', len(data)) + data


def connection1(number: int, topic: bytes, kind: bytes, definition: bytes) -> bytes:
    about = fields(topic=topic, type=kind, md5sum=b'*', message_definition=definition)
    return record1(about, op=b'\7', conn=struct.pack('<I', number), topic=topic)


def message1(number: int, seconds: int, data: bytes = b'\1') -> bytes:
    time = struct.pack('<II', seconds, 0)
    return record1(data, op=b'\2', conn=struct.pack('<I', number), time=time)


def chunk1(body: bytes, packed: bytes | None = None, name: bytes = b'none') -> bytes:
    size = struct.pack('<I', len(body))
    return record1(body if packed is None else packed, op=b'\5', compression=name, size=size)


HEAD1 = ROS1_MAGIC + record1(
    b' ' * 100, op=b'\3', index_pos=bytes(8), conn_count=bytes(4), chunk_count=bytes(4)
)
BOOLS1 = connection1(0, b'/b', b'std_msgs/Bool', b'bool data\n') + message1(0, 1000)


def database(
    path: Path,
    rows: Iterable[Sequence[object]],
    topics: Sequence[Sequence[object]] = ((1, '/b', 'std_msgs/msg/Bool', 'cdr'),),
) -> Path:
    """Write a database of topics and (topic, time, data)."""
    with closing(sqlite3.connect(path)) as made, made:
        made.execute(
            'CREATE TABLE topics(id INTEGER PRIMARY KEY, name, type, serialization_format)'
        )
        columns = 'id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB'
        made.execute(f'CREATE TABLE messages({columns})')
        made.executemany('INSERT INTO topics VALUES(?, ?, ?, ?)', topics)
        made.executemany('INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)', rows)
    return path


def ends_or_profiles(number: int, path: Path, *rest: object) -> offline.Outcome:
    """Profile a recording as a process for it does, or end the process as if by the system."""
    if path.name == 'deadly':
        os.kill(os.getpid(), signal.SIGKILL)
    return PROFILE_HERE(number, path, *rest)
