"""Objects of a store to payloads: a zstd frame of profiles, each after its length as a varint.

This is protobuf's delimited format, so the tools that read that read a decompressed object.
"""

from collections.abc import Iterator

import zstandard

from profiler_node.wire.codec import WireError

_LARGEST_OBJECT_BYTES = 256 * 2**20  # decompressed; a batch holds a few MB


def unpack(data: bytes) -> Iterator[bytes]:
    """Yield the payloads in the object data. Raises WireError where it is damaged."""
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size > _LARGEST_OBJECT_BYTES:
            raise WireError(f'the zstd frame claims {size} bytes')
        body = zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise WireError(f'no zstd frame: {error}') from error
    position = 0
    while position < len(body):
        size, position = _read_varint(body, position)
        if position + size > len(body):
            raise WireError(f'cut off: {len(body) - position} bytes left of a profile of {size}')
        yield body[position : position + size]
        position += size


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    """Return the varint at position and the position after it."""
    value = 0
    for index, byte in enumerate(body[position : position + 5]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise WireError(f'no length at byte {position}')
