"""Objects of a store to payloads: zstd frames of profiles, each after its length as a varint.

This is protobuf's delimited format, so the tools that read that read a decompressed object. What
the bridge writes is one frame. A file may have many, so that it is written and read a part at a
time; no payload goes over the end of a frame.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

import zstandard

from profiler_node.wire.codec import WireError

_LARGEST_OBJECT_BYTES = 256 * 2**20  # decompressed; a batch holds a few MB
_HEADER_BYTES = 18  # of a frame, at most
_STEP_BYTES = 4096  # what so few unfold to fits into memory, whatever they claim


def unpack(data: bytes) -> Iterator[bytes]:
    """Yield the payloads in the object data. Raises WireError where it is damaged."""
    return unpack_file(BytesIO(data))


def unpack_file(file: BinaryIO) -> Iterator[bytes]:
    """Yield the payloads in an object file, holding a frame of it at a time.

    Raises WireError before the first payload of a frame that is damaged.
    """
    for body in _bodies(file):
        position = 0
        while position < len(body):
            size, position = _read_varint(body, position)
            if position + size > len(body):
                raise WireError(
                    f'cut off: {len(body) - position} bytes left of a profile of {size}'
                )
            yield body[position : position + size]
            position += size


def _bodies(file: BinaryIO) -> Iterator[bytes]:
    """Yield what is in each frame, of which there is one at least."""
    try:
        rest = file.read(_STEP_BYTES)
        while True:
            body, rest = _body(file, rest)
            yield body
            rest = rest or file.read(_STEP_BYTES)
            if not rest:
                return
    except zstandard.ZstdError as error:
        raise WireError(f'no zstd frame: {error}') from error


def _body(file: BinaryIO, data: bytes) -> tuple[bytes, bytes]:
    """Return what is in the frame that data begins, and what has been read behind it."""
    if len(data) < _HEADER_BYTES:
        data += file.read(_STEP_BYTES)
    claimed = zstandard.get_frame_parameters(data).content_size
    if claimed > _LARGEST_OBJECT_BYTES:
        raise WireError(f'the zstd frame claims {claimed} bytes')
    frame = zstandard.ZstdDecompressor().decompressobj()
    body = bytearray()
    while True:
        body += frame.decompress(data)
        if len(body) > claimed:
            raise WireError(f'the zstd frame holds more than the {claimed} bytes that it claims')
        if frame.eof:
            return bytes(body), frame.unused_data
        data = file.read(_STEP_BYTES)
        if not data:
            raise WireError('cut off: the last zstd frame has no end')


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    """Return the varint at position and the position after it."""
    value = 0
    for index, byte in enumerate(body[position : position + 5]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise WireError(f'no length at byte {position}')
