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

# What a message may unfold to. JPEG spends a bit on each block of 64 pixels at the least, deflate
# makes 1,032 bytes out of one at the most. Lossless WebP and RVL have no such limit, an image of
# one value is a few bytes whatever its size: they are read up to some megapixels, and beyond that
# at lossy WebP's ratio.
_JPEG_PIXELS_PER_BYTE = 512
_DEFLATE_RATIO = 1032
_FLAT_PIXELS, _PIXELS_PER_BYTE = 2**23, 600
_MOST_PIXELS = 2**26  # more than cameras have

_JPEG, _PNG, _RIFF = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'RIFF'
# Start-of-frame markers of JPEG: C0 to CF but for DHT, JPG and DAC.
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END_OF_IMAGE = b'\xff\xd9'
_MOST_SEGMENTS = 1000
_PNG_CHANNELS = {2: 3, 4: 2, 6: 4}  # by colour type
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

    Raises DecodeError for other formats, for data that is damaged or cut, and where the image would
    be larger than so many bytes can warrant.
    """
    whole = data.tobytes()
    for signature, read in ((_JPEG, _jpeg_head), (_PNG, _png_head), (_RIFF, _webp_head)):
        if whole.startswith(signature):
            try:
                return read(whole)
            except (struct.error, IndexError) as error:
                raise DecodeError('short_data', f'{len(whole)} bytes of an image') from error
    if not whole:
        raise DecodeError('short_data', 'compressed image without data')
    raise DecodeError('unsupported_format', f'neither JPEG, PNG nor WebP: {whole[:12]!r}')


def _check_size(width: int, height: int, most: int) -> None:
    if not width or not height:
        raise DecodeError('empty_image', f'image of {width}x{height} pixels')
    most = min(most, _MOST_PIXELS)
    if width * height > most:
        raise DecodeError('bad_size', f'{width}x{height} pixels, from so few bytes {most} at most')


def _jpeg_head(data: bytes) -> Head:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker in _START_OF_FRAME:
            height, width, channels = struct.unpack_from('>HHB', data, at + 5)
            _check_size(width, height, _JPEG_PIXELS_PER_BYTE * len(data))
            # Older OpenCV fills what is missing at the end with grey.
            if data.rfind(_END_OF_IMAGE, at) < 0:
                raise DecodeError('short_data', 'JPEG without its end')
            return Head('jpeg', width, height, channels)
        filler = marker == 0xFF
        at += 1 if filler else 2 + struct.unpack_from('>H', data, at + 2)[0]
    raise DecodeError('bad_data', 'JPEG without a frame')


def _png_head(data: bytes) -> Head:
    width, height, bits, colour_type = struct.unpack_from('>IIBB', data, 16)
    pixel_bits = max(1, bits * _PNG_CHANNELS.get(colour_type, 1))
    _check_size(width, height, 8 * _DEFLATE_RATIO * len(data) // pixel_bits)
    at, kind = len(_PNG), b''
    while kind != b'IEND':
        # OpenCV allocates what a chunk claims to hold: all of it must be there.
        length, kind = struct.unpack_from('>I4s', data, at)
        at += 12 + length
    if at > len(data):
        raise DecodeError('short_data', 'PNG without its end')
    return Head('png', width, height)


def _webp_head(data: bytes) -> Head:
    if data[8:12] != b'WEBP':
        raise DecodeError('unsupported_format', f'RIFF of {data[8:12]!r}')
    size, kind = struct.unpack_from('<I4x4s', data, 4)
    if len(data) < 8 + size:
        raise DecodeError('short_data', f'{len(data)} bytes of a WebP of {8 + size}')
    if kind == b'VP8 ':
        width, height = (number & 0x3FFF for number in struct.unpack_from('<HH', data, 26))
    elif kind == b'VP8L':
        (bits,) = struct.unpack_from('<I', data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b'VP8X':
        width = int.from_bytes(data[24:27], 'little') + 1
        height = int.from_bytes(data[27:30], 'little') + 1
    else:
        raise DecodeError('bad_data', f'WebP chunk {kind!r}')
    _check_size(width, height, max(_FLAT_PIXELS, _PIXELS_PER_BYTE * len(data)))
    return Head('webp', width, height)


def decode_image(data: NDArray[np.uint8], head: Head, reduction: int = 1) -> NDArray[Any]:
    """Return the pixels, (H, W) or (H, W, 3 or 4) uint8 or uint16 in the order b, g, r, a.

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


def decode_lossless(data: NDArray[np.uint8], head: Head) -> NDArray[Any]:
    """Return the pixels as decode_image does. Raises DecodeError, also for all but PNG."""
    if head.kind != 'png':
        raise DecodeError('lossy_depth', f'depth as {head.kind}, which changes its values')
    return decode_image(data, head)


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
    # Publishers up to ROS 2 Iron name no codec: it is PNG.
    pixels = _decode_rvl_image(body) if 'rvl' in codec else decode_lossless(body, head_of(body))
    if pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise DecodeError('bad_data', f'depth as {pixels.shape} {pixels.dtype}')
    if not encoding.strip().startswith('32FC'):
        return pixels
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        depth_m = np.float32(quantum) / (pixels.astype(np.float32) - np.float32(offset))
    return np.asarray(np.where(pixels == 0, np.float32(math.nan), depth_m))


def _decode_rvl_image(body: NDArray[np.uint8]) -> NDArray[np.uint16]:
    if body.size < _RVL_SIZE.size:
        raise DecodeError('short_data', f'{body.size} bytes of RVL')
    width, height = _RVL_SIZE.unpack_from(body.data)
    _check_size(width, height, max(_FLAT_PIXELS, _PIXELS_PER_BYTE * body.size))
    return decode_rvl(body[_RVL_SIZE.size :], width * height).reshape(height, width)
