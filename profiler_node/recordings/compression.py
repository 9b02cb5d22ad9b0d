"""Compressed parts of recordings."""

import bz2
import shutil
from pathlib import Path
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
import zstandard

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_BLOCK_BYTES, _STEP_BYTES = 2**20, 2**16
_MOST_BYTES, _MOST_MESSAGE_BYTES = 2**32, 2**30  # few bytes may claim to be any number of them
_STREAMS: dict[str, Any] = {'lz4': lz4.frame.LZ4FrameDecompressor, 'bz2': bz2.BZ2Decompressor}


class CompressionError(Exception):
    """Compressed bytes that are damaged, or of an unknown format."""


def decompressed(data: memoryview, name: str, size: int) -> memoryview:
    """Return all of data decompressed. Raises CompressionError, also where it is not size bytes."""
    try:
        whole = memoryview(_whole(data, name, size))
    except (zstandard.ZstdError, RuntimeError, OSError, ValueError, EOFError, MemoryError) as error:
        raise CompressionError(f'{name} cannot be decompressed: {error}') from error
    if len(whole) != size:
        raise CompressionError(f'{name} of {len(whole)} bytes, not {size}')
    return whole


def _whole(data: memoryview, name: str, size: int) -> bytes | memoryview:
    if name in {'', 'none'}:
        return data
    if size > _MOST_BYTES:
        raise CompressionError(f'{name} of {size} bytes is too large')
    if name == 'zstd':
        said = zstandard.get_frame_parameters(data).content_size
        if said not in {size, zstandard.CONTENTSIZE_UNKNOWN}:
            raise CompressionError(f'{name} of {said} bytes, not {size}')
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    if name not in _STREAMS:
        raise CompressionError(f'compression {name!r} is not supported')
    stream = _STREAMS[name]()
    whole: bytes = stream.decompress(data, max_length=size + 1)
    if not stream.eof:
        raise CompressionError(f'{name} is cut off, or of more than {size} bytes')
    return whole


def beginning(data: memoryview, name: str) -> memoryview:
    """Return what can be decompressed of data that is cut off."""
    if name in {'', 'none'}:
        return data
    if name == 'zstd':
        return memoryview(_stepwise(zstandard.ZstdDecompressor().decompressobj(), data))
    return memoryview(_stepwise(_STREAMS[name](), data) if name in _STREAMS else b'')


def _stepwise(stream: Any, data: memoryview) -> bytes:
    """Return what stream makes of data, up to where that is damaged."""
    parts: list[bytes] = []
    size = 0
    for start in range(0, len(data), _STEP_BYTES):
        try:
            parts.append(stream.decompress(bytes(data[start : start + _STEP_BYTES])))
        except (zstandard.ZstdError, RuntimeError, OSError, EOFError):
            break
        size += len(parts[-1])
        if size > _MOST_MESSAGE_BYTES:
            break
    return b''.join(parts)


def decompress_message(data: memoryview) -> memoryview:
    """Return a message that rosbag2 has compressed by itself. Raises CompressionError."""
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            return memoryview(_stepwise(zstandard.ZstdDecompressor().decompressobj(), data))
        if size > _MOST_MESSAGE_BYTES:
            raise CompressionError(f'zstd: {size} bytes are too many for a message')
        return memoryview(zstandard.ZstdDecompressor().decompress(data))
    except (zstandard.ZstdError, MemoryError) as error:
        raise CompressionError(f'zstd: {error}') from error


def decompress_file(source: Path, target: Path) -> str:
    """Write what can be decompressed of source into target; return what was wrong, '' for nothing.

    Raises OSError.
    """
    with source.open('rb') as packed, target.open('wb') as file:
        reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
        try:
            shutil.copyfileobj(reader, file, _BLOCK_BYTES)
        except zstandard.ZstdError as error:
            return f'damaged where it is compressed: {error}'
    return ''
