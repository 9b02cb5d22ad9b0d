"""A checkpoint to bytes and back: what a profiler needs to go on after it was killed.

    magic, version, SHA-256 of what follows, zstd frame of length-delimited parts

The first part is a JSON list of the streams, with how many of the next parts are each one's; the
parts after it are serialized profiles, those of the open windows first. It never leaves the robot,
and a version reads its own alone: another one's is as good as none.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import zstandard

from profiler_node.core.profile import Profile
from profiler_node.core.snapshot import Snapshot
from profiler_node.framing import delimited
from profiler_node.wire.codec import WireError, decode, encode
from profiler_node.wire.objects import unpack

# To be raised, too, when an extractor gives a feature another kind or meaning under its old name.
CHECKPOINT_VERSION = 1

_MAGIC = b'edge_profiler checkpoint '
_PREAMBLE = len(_MAGIC) + 1 + hashlib.sha256().digest_size
_LEVEL = 1  # of zstd: sketches hold random digits, of which a higher one makes no less
_TIMES = ('epoch', 'newest_ns', 'last_stamp_ns', 'closed_until_ns')


@dataclass(frozen=True)
class StreamState:
    """Where a stream was. digest: of Stream; heard_ns: wall time of its last message."""

    name: str
    digest: str
    heard_ns: int
    snapshot: Snapshot


@dataclass(frozen=True)
class Checkpoint:
    """All streams, and the payloads that were published last."""

    streams: tuple[StreamState, ...] = ()
    recent: tuple[bytes, ...] = ()


def pack_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the file of a checkpoint."""
    payloads = [encode(profile) for state in checkpoint.streams for profile in state.snapshot.open]
    header = json.dumps([_header(state) for state in checkpoint.streams]).encode('ascii')
    body = delimited([header, *payloads, *checkpoint.recent])
    frame = zstandard.ZstdCompressor(level=_LEVEL).compress(body)
    return _preamble(frame) + frame


def unpack_checkpoint(data: bytes) -> Checkpoint:
    """Return the checkpoint in data; WireError where it is damaged or of another version."""
    if not data.startswith(_MAGIC):
        raise WireError(f'{len(data)} bytes that are no checkpoint')
    if data[len(_MAGIC) : len(_MAGIC) + 1] != bytes([CHECKPOINT_VERSION]):
        raise WireError(f'not of version {CHECKPOINT_VERSION}, which this release reads')
    frame = data[_PREAMBLE:]
    if data[:_PREAMBLE] != _preamble(frame):
        raise WireError('the checksum does not fit')
    header, *payloads = unpack(frame)
    rest = iter(payloads)
    streams = tuple(_state(fields, rest) for fields in json.loads(header))
    return Checkpoint(streams, tuple(rest))


def _preamble(frame: bytes) -> bytes:
    return _MAGIC + bytes([CHECKPOINT_VERSION]) + hashlib.sha256(frame).digest()


def _header(state: StreamState) -> dict[str, Any]:
    snapshot = state.snapshot
    return {
        'name': state.name,
        'digest': state.digest,
        'heard_ns': state.heard_ns,
        'open': len(snapshot.open),
        **{name: getattr(snapshot, name) for name in _TIMES},
    }


def _state(fields: dict[str, Any], payloads: Iterator[bytes]) -> StreamState:
    """Return the state of a stream, taking the profiles of its windows from payloads."""
    profiles: tuple[Profile, ...] = tuple(decode(next(payloads)) for _ in range(fields['open']))
    times = {name: fields[name] for name in _TIMES}
    snapshot = Snapshot(**times, open=profiles)
    return StreamState(fields['name'], fields['digest'], fields['heard_ns'], snapshot)
