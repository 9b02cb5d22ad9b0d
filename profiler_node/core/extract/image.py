"""The `image/` features.

Red, green and blue mean the colours that the encoding claims, from 0 to 255; 16-bit channels are
scaled to that, floats and signed integers are taken as they are. Luma is BT.601 as OpenCV computes
it. Bayer images are read per colour from the mosaic; what needs whole pixels takes a cell of 2x2 as
one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from profiler_node.core.elements import float_bins, histogram
from profiler_node.core.moments import level_moments
from profiler_node.core.observation import Counts, Levels, Observation
from profiler_node.core.pixels.encodings import Encoding, Pixels

Plane = NDArray[Any]
"""One channel, (H, W) uint8, uint16, float32 or float64."""

_DARK_LEVEL, _BRIGHT_LEVEL = 5, 250
_SHARPNESS_COLUMNS = 640


@dataclass(frozen=True, slots=True)
class Picture:
    """What an image shows.

    channels: the planes of each channel by name, all of one type; a Bayer image has two of green.
    colours: blue, green and red at the same places; luma: there too. Neither is float64. None where
    there are none.
    """

    channels: Mapping[str, Sequence[Plane]]
    luma: Plane | None
    colours: tuple[Plane, Plane, Plane] | None = None


def picture_of(pixels: Pixels, encoding: Encoding) -> Picture:
    """Return the picture in pixels, (H, W, C)."""
    if encoding.mosaic:
        return _bayer_picture(pixels[:, :, 0], encoding.mosaic)
    if pixels.dtype.kind == 'i':
        pixels = pixels.astype(np.float64 if pixels.dtype.itemsize > 2 else np.float32)
    if encoding.channels == 1:
        gray = pixels[:, :, 0]
        return Picture({'gray': [gray]}, _narrow(gray))
    if encoding.bgr is None:
        planes = enumerate(cv2.split(pixels))
        return Picture({f'channel_{index}': [plane] for index, plane in planes}, None)
    split = cv2.split(pixels)
    blue, green, red = (split[channel] for channel in encoding.bgr)
    return Picture(
        {'blue': [blue], 'green': [green], 'red': [red]},
        _luma_of(_narrow(pixels), encoding.bgr),
        (_narrow(blue), _narrow(green), _narrow(red)),
    )


def _narrow(pixels: Pixels) -> Pixels:
    """Return pixels, float64 as float32: OpenCV computes no luma of it."""
    if pixels.dtype != np.float64:
        return pixels
    with np.errstate(over='ignore', invalid='ignore'):
        return pixels.astype(np.float32)


def _bayer_picture(mosaic: Plane, order: str) -> Picture:
    names = {'r': 'red', 'g': 'green', 'b': 'blue'}
    channels: dict[str, list[Plane]] = {name: [] for name in names.values()}
    for index, letter in enumerate(order):
        plane = np.ascontiguousarray(mosaic[index // 2 :: 2, index % 2 :: 2])
        if plane.size:
            channels[names[letter]].append(plane)
    height, width = mosaic.shape[0] // 2, mosaic.shape[1] // 2
    if not height or not width:
        return Picture({name: planes for name, planes in channels.items() if planes}, None)
    cells = {
        name: [plane[:height, :width] for plane in planes] for name, planes in channels.items()
    }
    green = cv2.addWeighted(cells['green'][0], 0.5, cells['green'][1], 0.5, 0.0)
    colours = (cells['blue'][0], green, cells['red'][0])
    return Picture(channels, _luma_of(cv2.merge(colours), (0, 1, 2)), colours)


def add_picture(observation: Observation, picture: Picture) -> None:
    """Add all features of picture."""
    means = {
        name: _add_channel(observation, name, planes) for name, planes in picture.channels.items()
    }
    if picture.colours is not None:
        observation['image/hue_deg'] = _hue_deg(means['blue'], means['green'], means['red'])
        observation['image/saturation'] = _mean_saturation(picture.colours)
    if picture.luma is not None:
        if picture.luma.dtype == np.float32:
            _add_float_luma(observation, picture.luma)
        else:
            _add_luma(observation, picture.luma)


def _add_channel(observation: Observation, name: str, planes: Sequence[Plane]) -> float:
    """Add the features of one channel, and return its mean."""
    if planes[0].dtype.kind == 'f':
        bins = float_bins(np.ascontiguousarray(planes[0]))
        observation[f'image/{name}'] = bins
        count, mean, m2 = bins.count, bins.mean, bins.m2
    else:
        counts = sum((histogram(plane) for plane in planes[1:]), histogram(planes[0]))
        unit = _unit_of(planes[0])
        observation[f'image/{name}'] = Levels(counts, unit)
        count, mean, m2 = level_moments(counts)
        mean, m2 = mean * unit, m2 * unit**2
    observation[f'image/{name}_mean'] = mean = mean if count else math.nan
    observation[f'image/{name}_stddev'] = math.sqrt(m2 / count) if count else math.nan
    return mean


def _unit_of(plane: Plane) -> float:
    """Return what one level of an integer plane is on the scale from 0 to 255."""
    return 1.0 if plane.dtype == np.uint8 else 255 / 65_535


def _add_luma(observation: Observation, luma: Plane) -> None:
    counts, unit = histogram(luma), _unit_of(luma)
    count, mean, m2 = level_moments(counts)
    dark, bright = round(_DARK_LEVEL / unit), round(_BRIGHT_LEVEL / unit)
    observation['image/brightness'] = mean * unit
    observation['image/contrast'] = math.sqrt(m2 / count) * unit
    observation['image/dark_fraction'] = int(counts[: dark + 1].sum()) / count
    observation['image/bright_fraction'] = int(counts[bright:].sum()) / count
    if counts.size > 256:
        nearest = np.rint(np.arange(counts.size) * unit).astype(np.int64)
        counts = np.bincount(nearest, counts, 256).astype(np.int64)
    observation['image/entropy_bits'] = _entropy_bits(counts)
    observation['image/sharpness'] = _sharpness(luma) * unit**2


def _add_float_luma(observation: Observation, luma: Plane) -> None:
    """Add the features of luma that do not depend on what is black and white in it.

    They are of the finite values; where there are others, there is no sharpness.
    """
    finite = luma[np.isfinite(luma)].astype(np.float64)
    whole = finite.size == luma.size
    observation['image/brightness'] = float(finite.mean()) if finite.size else math.nan
    observation['image/contrast'] = float(finite.std()) if finite.size else math.nan
    observation['image/sharpness'] = _sharpness(luma) if whole else math.nan


def _entropy_bits(levels: Counts) -> float:
    """Return the Shannon entropy [bit] of a histogram."""
    shares = levels[levels > 0] / levels.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # never -0.0


def _hue_deg(blue: float, green: float, red: float) -> float:
    """Return the circular mean of the hue [deg], 0 to 360, of pixels with these channel means.

    It wraps at red: over several frames look at the distribution, their plain mean says nothing.
    Each pixel counts by its chroma, so that grey ones, whose hue is noise, do not. The sum of the
    pixels' chroma vectors is linear in the channels, hence the means suffice. NaN where it is 0.
    """
    alpha, beta = red - (green + blue) / 2, math.sqrt(3) / 2 * (green - blue)
    return math.degrees(math.atan2(beta, alpha)) % 360 if alpha or beta else math.nan


def _mean_saturation(planes: tuple[Plane, Plane, Plane]) -> float:
    """Return the mean HSV saturation, 0 to 1; planes: (H, W) each, of one type.

    Of integers, each pixel's is rounded to their type, as OpenCV's is. Of floats, without pixels
    that are not finite. NaN where some are negative, which is no colour.
    """
    if planes[0].dtype == np.float32:
        return _mean_float_saturation(planes)
    high, chroma = _high_and_chroma(*planes)
    levels = float(np.iinfo(high.dtype).max)
    # OpenCV divides integers by 0 to 0, so that black has none.
    return float(cv2.mean(cv2.divide(chroma, high, scale=levels))[0]) / levels


def _mean_float_saturation(planes: tuple[Plane, Plane, Plane]) -> float:
    pixels = np.stack([plane.ravel() for plane in planes])
    pixels = pixels[:, np.isfinite(pixels).all(axis=0)]
    if not pixels.size or pixels.min() < 0:
        return math.nan
    high, chroma = _high_and_chroma(*(plane.reshape(1, -1) for plane in pixels))
    # Black has no chroma: any divisor but 0 will do.
    return float(np.mean(chroma / np.maximum(high, np.finfo(np.float32).tiny), dtype=np.float64))


def _high_and_chroma(blue: Plane, green: Plane, red: Plane) -> tuple[Plane, Plane]:
    """Return the largest channel of each pixel, and what it is above the smallest."""
    high = cv2.max(cv2.max(blue, green), red)
    return high, cv2.subtract(high, cv2.min(cv2.min(blue, green), red))


def _luma_of(pixels: Pixels, bgr: tuple[int, int, int]) -> Plane:
    """Return the luma, (H, W), of pixels, (H, W, 3 or 4), in their type."""
    codes = {
        (3, 0): cv2.COLOR_BGR2GRAY,
        (3, 2): cv2.COLOR_RGB2GRAY,
        (4, 0): cv2.COLOR_BGRA2GRAY,
        (4, 2): cv2.COLOR_RGBA2GRAY,
    }
    return cv2.cvtColor(pixels, codes[pixels.shape[2], bgr[0]])


def _sharpness(luma: Plane) -> float:
    """Return the variance of the Laplacian of luma, (H, W), reduced to at most 640 columns.

    It is halved as long as it can be, which OpenCV does many times faster than other reductions
    that take all pixels, and then interpolated.
    """
    height, width = luma.shape
    while width >= 2 * _SHARPNESS_COLUMNS and height > 1:
        height, width = height // 2, width // 2
        luma = cv2.resize(
            luma[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA
        )
    if width > _SHARPNESS_COLUMNS:
        size = (_SHARPNESS_COLUMNS, max(1, round(height * _SHARPNESS_COLUMNS / width)))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_LINEAR)
    depth = cv2.CV_16S if luma.dtype == np.uint8 else cv2.CV_32F
    deviation = cv2.meanStdDev(cv2.Laplacian(luma, depth))[1]
    return float(deviation[0, 0]) ** 2
