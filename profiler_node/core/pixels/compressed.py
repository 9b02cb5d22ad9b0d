"""sensor_msgs/CompressedImage: JPEG, PNG, WebP, and the compressedDepth transport."""

import math
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.errors import DecodeError
from profiler_node.core.pixels.rvl import decode_rvl

# Pixels that a message may unfold to: some megapixels, so that a black frame of a few hundred bytes
# is read, and beyond that what deflate can do at most, which is 1,032 bytes from one.
_ALWAYS_PIXELS = 2**23
_PIXELS_PER_BYTE = 1032

_JPEG, _PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'
# Start-of-frame markers of JPEG: C0 to CF but for DHT, JPG and DAC.
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_REDUCED = {
    2: (cv2.IMREAD_REDUCED_GRAYSCALE_2, cv2.IMREAD_REDUCED_COLOR_2),
    4: (cv2.IMREAD_REDUCED_GRAYSCALE_4, cv2.IMREAD_REDUCED_COLOR_4),
    8: (cv2.IMREAD_REDUCED_GRAYSCALE_8, cv2.IMREAD_REDUCED_COLOR_8),
}

_DEPTH_HEADER = struct.Struct('<iff')  # compressedDepth: format, and two quantization parameters
_RVL_SIZE = struct.Struct('<II')  # columns and rows


@dataclass(frozen=True, slots=True)
class Head:
    """What the first bytes of a compressed image say. kind: jpeg, png or webp."""

    kind: str
    width: int
    height: int
    channels: int = 0  # of a JPEG


def head_of(data: NDArray[np.uint8]) -> Head:
    """Return format and size of a compressed image, without decoding it.

    Raises DecodeError for other formats, for damaged heads, and where the image would be larger
    than such a message can warrant.
    """
    start = data[:32].tobytes()
    if start.startswith(_JPEG):
        head = _jpeg_head(data.tobytes())
    elif start.startswith(_PNG) and len(start) >= 24:
        head = Head('png', *struct.unpack_from('>II', start, 16))
    elif start[:4] == b'RIFF' and start[8:12] == b'WEBP' and len(start) >= 30:
        head = _webp_head(start)
    else:
        raise DecodeError('unsupported_format', f'neither JPEG, PNG nor WebP: {start[:12]!r}')
    _check_size(head.width, head.height, data.size)
    return head


def _check_size(width: int, height: int, size: int) -> None:
    if not width or not height:
        raise DecodeError('empty_image', f'image of {width}x{height} pixels')
    if width * height > max(_ALWAYS_PIXELS, _PIXELS_PER_BYTE * size):
        raise DecodeError('bad_size', f'{width}x{height} pixels from {size} bytes')


def _jpeg_head(data: bytes) -> Head:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            height, width, channels = struct.unpack_from('>HHB', data, at + 5)
            # OpenCV fills what is missing at the end with grey.
            if data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):
                raise DecodeError('short_data', 'JPEG without its end')
            return Head('jpeg', width, height, channels)
        filler = marker == 0xFF
        at += 1 if filler else 2 + struct.unpack_from('>H', data, at + 2)[0]
    raise DecodeError('bad_data', 'JPEG without a frame')


def _webp_head(start: bytes) -> Head:
    kind = start[12:16]
    if kind == b'VP8 ':
        width, height = struct.unpack_from('<HH', start, 26)
        return Head('webp', width & 0x3FFF, height & 0x3FFF)
    if kind == b'VP8L':
        bits = int.from_bytes(start[21:25], 'little')
        return Head('webp', (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b'VP8X':
        return Head(
            'webp',
            int.from_bytes(start[24:27], 'little') + 1,
            int.from_bytes(start[27:30], 'little') + 1,
        )
    raise DecodeError('bad_data', f'WebP chunk {kind!r}')


def decode_image(data: NDArray[np.uint8], head: Head, reduction: int = 1) -> NDArray[Any]:
    """Return the pixels, (H, W) or (H, W, 3 or 4) uint8 or uint16 as b, g, r, a.

    reduction: 2, 4 or 8 decodes a JPEG at that fraction of its size, which is faster. Raises
    DecodeError.
    """
    flags = cv2.IMREAD_UNCHANGED
    if head.kind == 'jpeg':
        gray, colour = _REDUCED.get(reduction, (cv2.IMREAD_GRAYSCALE, cv2.IMREAD_COLOR))
        flags = (gray if head.channels == 1 else colour) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise DecodeError('bad_data', f'{head.kind}: {error}') from error
    if pixels is None:
        raise DecodeError('bad_data', f'{head.kind} of {data.size} bytes cannot be decoded')
    return pixels


def decode_depth(message: Any) -> NDArray[Any]:
    """Return the pixels, (H, W) uint16 or float32 [m], of a compressedDepth message.

    32FC1 is sent as quantized inverse depth, whose 0 means NaN. Raises DecodeError.
    """
    encoding, _, codec = message.format.partition(';')
    data = message.data
    if data.size <= _DEPTH_HEADER.size:
        raise DecodeError('short_data', f'{data.size} bytes of compressedDepth')
    _, quantum, offset = _DEPTH_HEADER.unpack_from(data.data)
    body = data[_DEPTH_HEADER.size :]
    # Older publishers name no codec: it is PNG.
    pixels = _decode_rvl_image(body) if 'rvl' in codec else decode_image(body, head_of(body))
    if pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise DecodeError('bad_data', f'depth as {pixels.shape} {pixels.dtype}')
    if encoding.strip() != '32FC1':
        return pixels
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        depth_m = np.float32(quantum) / (pixels.astype(np.float32) - np.float32(offset))
    return np.asarray(np.where(pixels == 0, np.float32(math.nan), depth_m))


def _decode_rvl_image(body: NDArray[np.uint8]) -> NDArray[np.uint16]:
    if body.size < _RVL_SIZE.size:
        raise DecodeError('short_data', f'{body.size} bytes of RVL')
    width, height = _RVL_SIZE.unpack_from(body.data)
    _check_size(width, height, body.size)
    return decode_rvl(body[_RVL_SIZE.size :], width * height).reshape(height, width)
