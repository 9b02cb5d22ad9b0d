"""Features of sensor_msgs/Image.

Red, green and blue mean the colours that the encoding claims, from 0 to 255; 8UC3 claims none and
is read in OpenCV's order, blue first. Luma is 8-bit BT.601 as OpenCV computes it. Alpha is ignored.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.errors import DecodeError
from profiler_node.core.moments import level_moments
from profiler_node.core.observation import Levels, Observation

Plane = NDArray[Any]
"""One channel, (H, W) uint8."""

_DARK_LEVEL, _BRIGHT_LEVEL = 5, 250
_SHARPNESS_COLUMNS = 640
_WIDEST = 2**24  # OpenCV counts a row's levels in float32, which is exact up to here


@dataclass(frozen=True)
class _Encoding:
    """How the bytes of a pixel are to be read. bgr: the channels that hold blue, green and red."""

    channels: int
    bgr: tuple[int, int, int] | None = None


ENCODINGS = {
    'mono8': _Encoding(1),
    '8UC1': _Encoding(1),
    'bgr8': _Encoding(3, (0, 1, 2)),
    '8UC3': _Encoding(3, (0, 1, 2)),
    'rgb8': _Encoding(3, (2, 1, 0)),
    'bgra8': _Encoding(4, (0, 1, 2)),
    'rgba8': _Encoding(4, (2, 1, 0)),
}


def pixels_of(message: Any) -> Plane:
    """Return the pixels of an Image as a view of its data, (height, width, channels) uint8.

    Raises DecodeError where encoding, size, step and data do not fit together.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise DecodeError(
            'unsupported_encoding',
            f'encoding {message.encoding!r} is not supported; supported: {", ".join(ENCODINGS)}',
        )
    height, width, step, size = message.height, message.width, message.step, message.data.size
    if not height or not width:
        raise DecodeError('empty_image', f'image of {width}x{height} pixels')
    if width > _WIDEST:
        raise DecodeError('bad_size', f'{width} columns are more than {_WIDEST}')
    if step < width * encoding.channels:
        raise DecodeError(
            'bad_step', f'step {step} is too small for {width} {message.encoding} pixels'
        )
    # The last row may come without its padding.
    if size < step * (height - 1) + width * encoding.channels:
        raise DecodeError('short_data', f'{size} bytes of data for {height} rows of {step} bytes')
    pixels: Plane = np.ndarray(
        (height, width, encoding.channels),
        np.uint8,
        buffer=message.data.data,
        strides=(step, encoding.channels, 1),
    )
    return pixels


class ImageExtractor:
    """The `image/` features of each message of one stream."""

    def __init__(self) -> None:
        self._previous: tuple[tuple[object, ...], NDArray[np.uint8]] | None = None

    def __call__(self, message: Any) -> Observation:
        """Return the features of message. Raises DecodeError."""
        pixels = pixels_of(message)
        observation: Observation = {
            'image/encoding': message.encoding,
            'image/size': f'{message.width}x{message.height}',
            'image/repeated': float(self._is_repeated(message)),
        }
        bgr = ENCODINGS[message.encoding].bgr
        if bgr is None:
            luma = pixels[:, :, 0]
            luma_levels = histogram(luma)
            _add_channel(observation, 'gray', luma_levels)
        else:
            planes = [cv2.extractChannel(pixels, channel) for channel in bgr]
            means = [
                _add_channel(observation, name, histogram(plane))
                for name, plane in zip(('blue', 'green', 'red'), planes, strict=True)
            ]
            observation['image/hue_deg'] = hue_deg(*means)
            observation['image/saturation'] = mean_saturation(planes)
            luma = luma_of(pixels, bgr)
            luma_levels = histogram(luma)
        _add_luma(observation, luma_levels)
        observation['image/sharpness'] = sharpness(luma)
        return observation

    def _is_repeated(self, message: Any) -> bool:
        """Whether the data equals that of the message before, which is kept, not copied."""
        form = (message.encoding, message.height, message.width, message.step)
        previous, self._previous = self._previous, (form, message.data)
        if previous is None or previous[0] != form:
            return False
        before, now = previous[1], message.data
        # Frames of a live camera differ near the start: look there before reading all of it.
        return np.array_equal(before[:4096], now[:4096]) and np.array_equal(before, now)


def histogram(plane: Plane) -> Levels:
    """Return how often each of the 256 levels occurs in plane, (H, W) uint8."""
    rows = max(1, _WIDEST // plane.shape[1])  # larger images are counted in bands
    levels = np.zeros(256, dtype=np.int64)
    for top in range(0, plane.shape[0], rows):
        band = plane[top : top + rows]
        levels += cv2.calcHist([band], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return levels


def _add_channel(observation: Observation, name: str, levels: Levels) -> float:
    """Add the features of one channel, and return its mean."""
    count, mean, m2 = level_moments(levels)
    observation[f'image/{name}'] = levels
    observation[f'image/{name}_mean'] = mean
    observation[f'image/{name}_stddev'] = math.sqrt(m2 / count)
    return mean


def _add_luma(observation: Observation, levels: Levels) -> None:
    count, mean, m2 = level_moments(levels)
    observation['image/brightness'] = mean
    observation['image/contrast'] = math.sqrt(m2 / count)
    observation['image/entropy_bits'] = entropy_bits(levels)
    observation['image/dark_fraction'] = int(levels[: _DARK_LEVEL + 1].sum()) / count
    observation['image/bright_fraction'] = int(levels[_BRIGHT_LEVEL:].sum()) / count


def entropy_bits(levels: Levels) -> float:
    """Return the Shannon entropy [bit] of a histogram."""
    shares = levels[levels > 0] / levels.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # never -0.0


def hue_deg(blue: float, green: float, red: float) -> float:
    """Return the circular mean of the hue [deg], 0 to 360, of pixels with these channel means.

    It wraps at red: over several frames look at the distribution, their plain mean says nothing.
    Each pixel counts by its chroma, so that grey ones, whose hue is noise, do not. The sum of the
    pixels' chroma vectors is linear in the channels, hence the means suffice. NaN where it is 0.
    """
    alpha, beta = red - (green + blue) / 2, math.sqrt(3) / 2 * (green - blue)
    return math.degrees(math.atan2(beta, alpha)) % 360 if alpha or beta else math.nan


def mean_saturation(planes: Sequence[Plane]) -> float:
    """Return the mean HSV saturation, 0 to 1; planes: three of (H, W) uint8."""
    first, second, third = planes
    high = cv2.max(cv2.max(first, second), third)
    low = cv2.min(cv2.min(first, second), third)
    chroma = cv2.subtract(high, low)
    # Black has no chroma: any divisor but 0 will do.
    return float(cv2.mean(cv2.divide(chroma, np.maximum(high, 1), dtype=cv2.CV_32F))[0])


def luma_of(pixels: NDArray[np.uint8], bgr: tuple[int, int, int]) -> Plane:
    """Return the luma, (H, W) uint8, of pixels, (H, W, 3 or 4) uint8."""
    codes = {
        (3, 0): cv2.COLOR_BGR2GRAY,
        (3, 2): cv2.COLOR_RGB2GRAY,
        (4, 0): cv2.COLOR_BGRA2GRAY,
        (4, 2): cv2.COLOR_RGBA2GRAY,
    }
    return cv2.cvtColor(pixels, codes[pixels.shape[2], bgr[0]])


def sharpness(luma: Plane) -> float:
    """Return the variance of the Laplacian of luma, (H, W), reduced to at most 640 columns."""
    height, width = luma.shape
    if width > _SHARPNESS_COLUMNS:
        size = (_SHARPNESS_COLUMNS, max(1, round(height * _SHARPNESS_COLUMNS / width)))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    deviation = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1]
    return float(deviation[0, 0]) ** 2
