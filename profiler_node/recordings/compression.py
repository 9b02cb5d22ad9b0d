"""Compressed parts of recordings."""

import bz2
import shutil
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import zstandard

ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
_BLOCK_BYTES = 2**20


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
    if name == 'zstd':
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    if name == 'lz4':
        return memoryview(lz4.frame.decompress(data))
    if name == 'bz2':
        return bz2.decompress(data)
    if name in {'', 'none'}:
        return data
    raise CompressionError(f'compression {name!r} is not supported')


def beginning(data: memoryview, name: str) -> memoryview:
    """Return what can be decompressed of data that is cut off."""
    if name in {'', 'none'}:
        return data
    stream = {
        'zstd': lambda: zstandard.ZstdDecompressor().decompressobj(),
        'lz4': lz4.frame.LZ4FrameDecompressor,
        'bz2': bz2.BZ2Decompressor,
    }
    if name not in stream:
        return memoryview(b'')
    return memoryview(_stepwise(stream[name](), data))


def _stepwise(stream: object, data: memoryview) -> bytes:
    """Return what stream makes of data, up to where that is damaged."""
    parts = []
    for start in range(0, len(data), _STEP_BYTES):
        try:
            parts.append(stream.decompress(bytes(data[start : start + _STEP_BYTES])))  # type: ignore[attr-defined]
        except (zstandard.ZstdError, RuntimeError, OSError, EOFError):
            break
    return b''.join(parts)


_STEP_BYTES = 2**16


def decompress_message(data: memoryview) -> memoryview:
    """Return a message that rosbag2 has compressed by itself. Raises CompressionError."""
    try:
        return memoryview(zstandard.ZstdDecompressor().decompressobj().decompress(data))
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
