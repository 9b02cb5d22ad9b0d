"""Payloads to one object, and its name."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timezone

import zstandard

from profiler_node.framing import delimited

_UNSAFE = re.compile(r'[^A-Za-z0-9_-]')
_LONGEST_NAME = 48


def compress(payload: bytes) -> bytes:
    """Return payload as a zstd frame, with checksum."""
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(payload)


def decompress(frame: bytes) -> bytes:
    """Return the payload that compress has made frame of."""
    return zstandard.ZstdDecompressor().decompress(frame)


def pack(payloads: Sequence[bytes]) -> bytes:
    """Return a zstd frame, with checksum, of payloads, each after its length as a varint."""
    return compress(delimited(payloads))


def identity_digest(*identity: object) -> bytes:
    """Return 16 bytes that no two identities share."""
    digest = hashlib.blake2b(digest_size=16)
    for part in identity:
        data = str(part).encode('utf-8', 'surrogatepass')
        digest.update(b'%d:%b' % (len(data), data))
    return digest.digest()


def object_key(robot_id: str, created_ns: int) -> str:
    """Return a name that no other object has: date/robot/time-random.pb.zst.

    created_ns: wall-clock time [ns], so that the names of one robot sort by time.
    """
    created = datetime.fromtimestamp(created_ns / 1e9, tz=timezone.utc)
    time = f'{created:%Y%m%dT%H%M%S.%fZ}'
    return f'{created:%Y-%m-%d}/{safe_name(robot_id)}/{time}-{secrets.token_hex(4)}.pb.zst'


def safe_name(robot_id: str) -> str:
    """Return robot_id as part of an object's name, whatever characters it has.

    Where characters had to go, a hash keeps different ids apart.
    """
    name = _UNSAFE.sub('_', robot_id)[:_LONGEST_NAME]
    if name and name == robot_id:
        return name
    digest = hashlib.sha256(robot_id.encode('utf-8', 'surrogatepass')).hexdigest()
    return f'{name}-{digest[:8]}'
