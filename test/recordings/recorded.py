"""Recordings in every format, of the same generated messages, and what damages them."""

import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import lz4.frame
import numpy as np
import zstandard
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
STORE1 = get_typestore(Stores.ROS1_NOETIC)
START_NS = 1_700_000_040 * 10**9
IMAGE, IMU = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/Imu'
TOPICS = {'/camera': IMAGE, '/imu': IMU}

MAGIC = b'\x89MCAP0\r\n'
HEADER, SCHEMA, CHANNEL, CHUNK, DATA_END = 1, 3, 4, 6, 15
MCAP_CHUNK = re.compile(rb'\x06.{5}\0{3}.{28}(?:(\x04\0{3}zstd)|\x03\0{3}lz4|\0{4}).{8}', re.DOTALL)

Item = tuple[str, int, bytes]
"""Topic, receive time [ns] and serialized message, as CDR."""

FORMATS = {
    'mcap': (StoragePlugin.MCAP, None),
    'mcap_lz4': (StoragePlugin.MCAP, None),
    'mcap_zstd': (StoragePlugin.MCAP, CompressionMode.STORAGE),
    'mcap_messages': (StoragePlugin.MCAP, CompressionMode.MESSAGE),
    'mcap_file': (StoragePlugin.MCAP, CompressionMode.FILE),
    'sqlite': (StoragePlugin.SQLITE3, None),
    'sqlite_messages': (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    'sqlite_file': (StoragePlugin.SQLITE3, CompressionMode.FILE),
}
FORMATS1 = {
    'ros1': None,
    'ros1_lz4': Writer1.CompressionFormat.LZ4,
    'ros1_bz2': Writer1.CompressionFormat.BZ2,
}


def header(stamp_ns: int, store=STORE, **more):
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    time = store.types['builtin_interfaces/msg/Time'](seconds, nanoseconds)
    return store.types['std_msgs/msg/Header'](stamp=time, frame_id='base', **more)


def messages(seconds: float = 4.0, offset_ns: int = 0, pixels: int = 50_000) -> list[Item]:
    """Ten images and fifty measurements a second."""
    random = np.random.default_rng(7)
    types = STORE.types
    items = []
    for index in range(round(seconds * 50)):
        stamp_ns = START_NS + offset_ns + index * 20_000_000
        if index % 5 == 0:
            data = random.integers(0, 256, pixels, dtype=np.uint8)
            data[: pixels // 2] = index  # so that it can be compressed
            image = types[IMAGE](header(stamp_ns), pixels // 100, 100, 'mono8', 0, 100, data)
            items.append(('/camera', stamp_ns, bytes(STORE.serialize_cdr(image, IMAGE))))
        vector = types['geometry_msgs/msg/Vector3'](index * 0.1, 1.0, 9.8)
        turn = types['geometry_msgs/msg/Quaternion'](0.0, 0.0, 0.0, 1.0)
        nine = np.zeros(9)
        imu = types[IMU](header(stamp_ns), turn, nine, vector, nine, vector, nine)
        items.append(('/imu', stamp_ns + 1, bytes(STORE.serialize_cdr(imu, IMU))))
    return items


def write(folder: Path, items: Iterable[Item], kind: str = 'mcap') -> Path:
    """Write a ROS 2 bag and return its folder."""
    plugin, compression = FORMATS[kind]
    writer = Writer(folder, version=9, storage_plugin=plugin)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {
            name: writer.add_connection(name, kind, typestore=STORE)
            for name, kind in TOPICS.items()
        }
        for topic, log_ns, data in items:
            writer.write(connections[topic], log_ns, data)
    if kind == 'mcap_lz4':
        pack_lz4(only_file(folder))
    return folder


def write1(path: Path, items: Iterable[Item], kind: str = 'ros1') -> Path:
    """Write a ROS 1 bag and return it."""
    writer = Writer1(path)
    if FORMATS1[kind]:
        writer.set_compression(FORMATS1[kind])
    with writer:
        connections = {
            name: writer.add_connection(name, kind, typestore=STORE1)
            for name, kind in TOPICS.items()
        }
        for topic, log_ns, data in items:
            raw = STORE.cdr_to_ros1(data, TOPICS[topic])
            writer.write(connections[topic], log_ns, raw)
    return path


def any_bag(folder: Path, items: Iterable[Item], kind: str) -> Path:
    if kind in FORMATS1:
        return write1(folder.with_name(f'{folder.name}.bag'), items, kind)
    return write(folder, items, kind)


def only_file(bag: Path) -> Path:
    """The one file of messages of a bag."""
    (path,) = (p for p in bag.iterdir() if p.name != 'metadata.yaml')
    return path


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def overwrite(path: Path, start: int, data: bytes) -> None:
    with path.open('r+b') as file:
        file.seek(start)
        file.write(data)


def flip(path: Path, start: int) -> None:
    """Change one byte."""
    overwrite(path, start, bytes([path.read_bytes()[start] ^ 0xFF]))


def add_checksums(path: Path) -> None:
    """Have an MCAP file with the checksums that rosbag2 writes and rosbags does not."""
    data = bytearray(path.read_bytes())
    for found in MCAP_CHUNK.finditer(data):
        start = found.start() + 9
        length, size = struct.unpack('<Q', data[start - 8 : start])[0], found.end()
        content = bytes(data[size : start + length])
        if found.group(1):
            content = zstandard.ZstdDecompressor().decompress(content)
        struct.pack_into('<I', data, start + 24, zlib.crc32(content))
    (index,) = struct.unpack_from('<Q', data, len(data) - 28)
    struct.pack_into('<I', data, len(data) - 12, zlib.crc32(data[index:-12]))
    path.write_bytes(data)


def pack_lz4(path: Path) -> None:
    """Have the chunks of an MCAP file compressed by lz4, which rosbags does not write."""
    data = path.read_bytes()
    parts, end, index = [MAGIC], len(MAGIC), 0
    while end < len(data) - len(MAGIC) - 29:
        start = end
        opcode, length = struct.unpack_from('<BQ', data, start)
        end = start + 9 + length
        if opcode == CHUNK:
            content = lz4.frame.compress(data[start + 9 + 40 : end])
            head = data[start + 9 : start + 37] + struct.pack('<I3sQ', 3, b'lz4', len(content))
            parts += [struct.pack('<BQ', CHUNK, len(head) + len(content)), head, content]
        elif opcode in {HEADER, SCHEMA, CHANNEL, DATA_END}:
            parts.append(data[start:end])
        if opcode == DATA_END:
            index = sum(map(len, parts))
    path.write_bytes(b''.join([*parts, struct.pack('<BQQQI', 2, 20, index, 0, 0), MAGIC]))


def is_part(part: Sequence[Item], whole: Sequence[Item]) -> bool:
    """Whether part is some of whole, in the same order."""
    rest = iter(whole)
    return all(item in rest for item in part)
