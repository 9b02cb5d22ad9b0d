"""The encodings of sensor_msgs/Image, from bytes to arrays.

8UC3 and the like claim no colours and are read in OpenCV's order, blue first; of two channels
nothing is known but their number. Alpha is ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.errors import DecodeError

Pixels = NDArray[Any]
"""(H, W, C) of a type in ENCODINGS."""

ToBgr = Callable[[Any], NDArray[np.uint8]]
"""Returns the pixels of an Image whose encoding is no channel view, (H, W, 3) uint8 as b, g, r."""

_LARGEST = 2**31 - 1  # rows or columns of an OpenCV image


@dataclass(frozen=True)
class Encoding:
    """How the bytes of a pixel are to be read.

    bgr: the channels that hold blue, green and red. mosaic: the colours of the first two pixels of
    the first two rows, for Bayer images. to_bgr: OpenCV's conversion, for those that are no view of
    channels. rows: how many rows of bytes there are for two rows of pixels.
    """

    dtype: str
    channels: int
    bgr: tuple[int, int, int] | None = None
    mosaic: str = ''
    to_bgr: int | None = None
    rows: int = 2

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel."""
        return int(np.dtype(self.dtype).itemsize) * self.channels


_BGR, _RGB = (0, 1, 2), (2, 1, 0)
_DEPTHS = {
    **{'8U': 'u1', '8S': 'i1', '16U': 'u2', '16S': 'i2', '32S': 'i4'},
    **{'32F': 'f4', '64F': 'f8'},
}

ENCODINGS = {
    'mono8': Encoding('u1', 1),
    'mono16': Encoding('u2', 1),
    **{
        f'{order}{"a" * alpha}{bits}': Encoding(f'u{bits // 8}', 3 + alpha, channels)
        for order, channels in (('bgr', _BGR), ('rgb', _RGB))
        for alpha in (0, 1)
        for bits in (8, 16)
    },
    **{
        f'{depth}C{channels}': Encoding(dtype, channels, _BGR if channels > 2 else None)
        for depth, dtype in _DEPTHS.items()
        for channels in (1, 2, 3, 4)
    },
    **{
        f'bayer_{mosaic}{bits}': Encoding(f'u{bits // 8}', 1, mosaic=mosaic)
        for mosaic in ('rggb', 'bggr', 'gbrg', 'grbg')
        for bits in (8, 16)
    },
    **dict.fromkeys(('uyvy', 'yuv422'), Encoding('u1', 2, to_bgr=cv2.COLOR_YUV2BGR_UYVY)),
    **dict.fromkeys(('yuyv', 'yuv422_yuy2'), Encoding('u1', 2, to_bgr=cv2.COLOR_YUV2BGR_YUY2)),
    'nv12': Encoding('u1', 1, to_bgr=cv2.COLOR_YUV2BGR_NV12, rows=3),
    'nv21': Encoding('u1', 1, to_bgr=cv2.COLOR_YUV2BGR_NV21, rows=3),
    'nv24': Encoding('u1', 1, to_bgr=cv2.COLOR_YUV2BGR_UYVY, rows=6),  # see _nv24_to_bgr
}
"""What sensor_msgs/image_encodings.hpp lists and drivers publish."""


def encoding_of(message: Any) -> Encoding:
    """Return the encoding of an Image. Raises DecodeError for one that is not supported."""
    if encoding := ENCODINGS.get(message.encoding):
        return encoding
    raise DecodeError(
        'unsupported_encoding',
        f'encoding {message.encoding[:40]!r} is not supported; supported: {", ".join(ENCODINGS)}',
    )


def pixels_of(message: Any) -> Pixels:
    """Return the pixels of an Image in this machine's byte order, (H, W, C).

    They are a view of its data where that is possible. Raises DecodeError where encoding, size,
    step and data do not fit together, and for encodings that are no view of channels.
    """
    encoding = encoding_of(message)
    _check(message, encoding, message.height)
    dtype = np.dtype(encoding.dtype).newbyteorder('>' if message.is_bigendian else '<')
    pixels: Pixels = np.ndarray(
        (message.height, message.width, encoding.channels),
        dtype,
        buffer=message.data.data,
        strides=(message.step, encoding.pixel_bytes, dtype.itemsize),
    )
    # OpenCV wants whole pixels in a row's step, and aligned ones.
    if message.step % dtype.itemsize or not pixels.flags.aligned:
        pixels = np.ascontiguousarray(pixels)
    native = dtype.newbyteorder('=')
    return pixels if dtype == native else pixels.astype(native)


def _check(message: Any, encoding: Encoding, rows: int) -> None:
    """Raise DecodeError unless the data holds rows of step bytes with width pixels each."""
    height, width, step, size = message.height, message.width, message.step, message.data.size
    if not height or not width:
        raise DecodeError('empty_image', f'image of {width}x{height} pixels')
    if width > _LARGEST or rows > _LARGEST:
        raise DecodeError('bad_size', f'{width}x{height} pixels are more than OpenCV can hold')
    row_bytes = width * encoding.pixel_bytes
    if step < row_bytes:
        raise DecodeError(
            'bad_step', f'step {step} is too small for {width} {message.encoding} pixels'
        )
    # The last row may come without its padding.
    if size < step * (rows - 1) + row_bytes:
        raise DecodeError('short_data', f'{size} bytes of data for {rows} rows of {step} bytes')
    # A planar image in a larger buffer has its chroma elsewhere; cv_bridge takes no such message.
    if size > step * rows:
        raise DecodeError('long_data', f'{size} bytes of data for {rows} rows of {step} bytes')


def bgr_of(message: Any) -> NDArray[np.uint8]:
    """Return the pixels of a YUV Image, (H, W, 3) uint8 as b, g, r, as OpenCV converts them.

    Raises DecodeError where encoding, size, step and data do not fit together.
    """
    encoding = _yuv_encoding_of(message)
    if message.encoding == 'nv24':
        return _nv24_to_bgr(message)
    return np.asarray(cv2.cvtColor(yuv_of(message), encoding.to_bgr), np.uint8)  # type: ignore[arg-type]


def yuv_of(message: Any) -> NDArray[np.uint8]:
    """Return the bytes of a YUV Image other than nv24, without padding.

    (H, W, 2) for 4:2:2; (3 H / 2, W, 1) for 4:2:0, whose last third is chroma. Raises DecodeError
    where encoding, size, step and data do not fit together.
    """
    encoding = _yuv_encoding_of(message)
    view: NDArray[np.uint8] = np.ndarray(
        (message.height * encoding.rows // 2, message.width, encoding.channels),
        np.uint8,
        buffer=message.data.data,
        strides=(message.step, encoding.pixel_bytes, 1),
    )
    return np.ascontiguousarray(view)


def _yuv_encoding_of(message: Any) -> Encoding:
    """Return the encoding of a YUV Image. Raises DecodeError, as bgr_of does."""
    encoding = encoding_of(message)
    if encoding.to_bgr is None:
        raise DecodeError('unsupported_encoding', f'{message.encoding} is a view of channels')
    height, width = message.height, message.width
    if message.encoding != 'nv24' and (width % 2 or (encoding.rows > 2 and height % 2)):
        raise DecodeError('bad_size', f'{message.encoding} image of {width}x{height} pixels')
    _check(message, encoding, height * encoding.rows // 2)
    return encoding


def _nv24_to_bgr(message: Any) -> NDArray[np.uint8]:
    """Return the pixels of an NV24 image: rows of Y, then rows of U and V, twice as long.

    OpenCV does not know it. As UYVY with each pixel twice it is the same picture.
    """
    height, width, step = message.height, message.width, message.step
    luma = np.ndarray((height, width), np.uint8, message.data.data, strides=(step, 1))
    chroma = np.ndarray(
        (height, width, 2), np.uint8, message.data.data, height * step, (2 * step, 2, 1)
    )
    doubled = np.empty((height, width, 2, 2), np.uint8)
    doubled[..., 0] = chroma
    doubled[..., 1] = luma[..., None]
    bgr = cv2.cvtColor(doubled.reshape(height, 2 * width, 2), cv2.COLOR_YUV2BGR_UYVY)
    return np.ascontiguousarray(bgr[:, ::2])
