"""On which scale a feature's shifts add, and how much of them is normal before anything is known.

The constants are those of `docs/detection.md`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

_SMALLEST = 1e-6
_LEVEL_OFFSET, _COUNT_OFFSET, _LOGIT_OFFSET = 4.0, 0.05, 0.02


class Scale(NamedTuple):
    """To a scale on which shifts add, and back to the feature's own unit."""

    to: Callable[[float], float]
    back: Callable[[float], float]


def _plus(offset: float) -> Scale:
    return Scale(
        lambda value: math.log(max(value + offset, _SMALLEST)),
        lambda scaled: math.exp(scaled) - offset,
    )


def _logit(value: float) -> float:
    return math.log((max(value, 0.0) + _LOGIT_OFFSET) / (max(1.0 - value, 0.0) + _LOGIT_OFFSET))


def _unlogit(scaled: float) -> float:
    ratio = math.exp(scaled)
    return (ratio * (1.0 + _LOGIT_OFFSET) - _LOGIT_OFFSET) / (1.0 + ratio)


LINEAR = Scale(lambda value: value, lambda scaled: scaled)
LOG, LEVEL, COUNT = _plus(0.0), _plus(_LEVEL_OFFSET), _plus(_COUNT_OFFSET)
LOGIT = Scale(_logit, _unlogit)
SIGNED = Scale(math.asinh, math.sinh)


@dataclass(frozen=True)
class Family:
    """Features of a kind.

    prior: standard deviation between windows that is assumed at first. least: no smaller shift is
    an alarm. cap: a larger one always is, unless the reference has had such. least_natural: nor is
    one smaller than this in the feature's own unit. jumps: whether adjacent windows are compared
    too. statistics: what is taken of a window: q and a rank in percent, mean, or stddev. relative:
    prior and least are in units of the spread within a window, for features that say nothing of
    their scale.
    """

    name: str
    scale: Scale
    prior: float
    least: float
    cap: float = math.inf
    least_natural: float = 0.0
    jumps: bool = False
    statistics: tuple[str, ...] = ('q10', 'q50', 'q90')
    relative: bool = False


ELEMENTS = ('q05', 'q25', 'q50', 'q75', 'q95')

_PIXELS = Family('level', LEVEL, 0.07, 0.2, 0.9, jumps=True, statistics=(*ELEMENTS, 'mean'))
_PIXEL_MEAN = Family('level', LEVEL, 0.07, 0.2, 0.9, jumps=True)
_SPREAD = Family('level', LEVEL, 0.07, 0.2, 0.9, statistics=('q50',))
_SHARPNESS = Family('sharpness', LOG, 0.3, 0.6, 2.2, jumps=True, statistics=('q50',))
_RANGE = Family('range', LOG, 0.25, math.log(1.15), 1.8, jumps=True, statistics=(*ELEMENTS, 'mean'))
_RANGE_EACH = Family('range', LOG, 0.25, math.log(1.15), 1.8, statistics=('q50',))
_FRACTION = Family('fraction', LOGIT, 0.35, 0.6, 1.4, 0.05, statistics=('mean', 'q50'))
_VALID = Family('fraction', LOGIT, 0.35, 0.6, 1.4, 0.05, jumps=True, statistics=('mean', 'q50'))
_POINTS = Family('cloud', LOG, 0.03, 0.1, 0.35, statistics=('q50',))
_COUNT = Family('count', COUNT, 0.25, math.log(1.2), jumps=True, statistics=('mean', 'q90'))
_BOX = Family('box', LOG, 0.15, math.log(1.15), jumps=True, statistics=('q25', 'q50', 'q75'))
_SCORE = Family('score', LINEAR, 0.01, 0.05, jumps=True, statistics=('q25', 'q50', 'q75'))
_INTERVAL = Family('interval', LOG, 0.01, math.log(1.1), 0.3, statistics=('q50',))
_LATENCY = Family('latency', LINEAR, 0.005, 0.02, 0.2, statistics=('q50',))
_POSITION = Family('position', SIGNED, 0.25, 0.4, statistics=('q25', 'q50', 'q75'))
_INTENSITY = Family('intensity', LEVEL, 0.15, 0.3, jumps=True, statistics=('q25', 'q50', 'q75'))
_BITS = Family('entropy', LINEAR, 0.3, 0.8, statistics=('q50',))
_OTHER = Family('other', LINEAR, 0.25, 0.75, relative=True)
MIX = Family('mix', LINEAR, 0.05, 0.1)
GAPS = Family('gaps', LINEAR, 0.0, 0.05)

_EXACT = {
    'message/interval_s': _INTERVAL,
    'message/latency_s': _LATENCY,
    'image/brightness': _PIXEL_MEAN,
    'image/contrast': _SPREAD,
    'image/sharpness': _SHARPNESS,
    'image/entropy_bits': _BITS,
    'image/saturation': _FRACTION,
    'points/count': _POINTS,
    'points/valid_fraction': _VALID,
    'points/azimuth_coverage': _FRACTION,
    'points/range_m': _RANGE,
    'points/intensity': _INTENSITY,
    'scan/intensity': _INTENSITY,
    'scan/range_m': _RANGE,
    'scan/mean_m': _RANGE_EACH,
    'scan/beams': _POINTS,
    'scan/valid_fraction': _VALID,
    'depth/range_m': _RANGE,
    'depth/mean_m': _RANGE_EACH,
    'depth/median_m': _RANGE_EACH,
    'depth/valid_fraction': _VALID,
    'detections/count': _COUNT,
    'detections/score': _SCORE,
    'detections/width': _BOX,
    'detections/height': _BOX,
    'detections/area': _BOX,
    'detections/aspect_ratio': _BOX,
    'detections/distance_m': _RANGE_EACH,
    'detections/length_m': _BOX,
    'detections/width_m': _BOX,
    'detections/height_m': _BOX,
    'detections/volume_m3': _BOX,
    **{f'points/{axis}_m': _POSITION for axis in 'xyz'},
    **{f'image/{colour}': _PIXELS for colour in ('red', 'green', 'blue', 'gray')},
    **{f'image/{colour}_mean': _PIXEL_MEAN for colour in ('red', 'green', 'blue', 'gray')},
    **{f'image/{colour}_stddev': _SPREAD for colour in ('red', 'green', 'blue', 'gray')},
}


def family_of(feature: str) -> Family | None:
    """Return the family of a feature; None for one that is not compared by numbers.

    Those are the ones that others explain, as the size of a message, and the extremes, of which a
    window has one each.
    """
    if feature in _EXACT:
        return _EXACT[feature]
    if feature.startswith('field/'):
        return _OTHER
    return _FRACTION if feature.endswith('_fraction') else None
