"""Causes that are seen in camera images."""

import itertools
import math

import numpy as np

from profiler_node.detect.cause import Cause, cause, number, percent
from profiler_node.detect.comparison import Comparison, Score
from profiler_node.detect.reference import Reference
from profiler_node.detect.scales import ELEMENTS, LEVEL, Family
from profiler_node.detect.thresholds import Floats

COLOURS = ('red', 'green', 'blue')

_BLACK_SHARE, _BLACK_LUMA = 0.95, 8.0
_BRIGHT_SHARE, _BRIGHT_MORE = 0.85, 0.1
_SHRINK_WINDOWS, _SHRINK_MOST, _SHRINK_OFFSET = 10.0, 0.9, 5.0
_NOISE = 0.03  # of a statistic, on its scale
_SWAP_LEAST, _SWAP_UNSEEN = 0.5, 0.95
_CLOSER, _USUAL_DISTANCE = 0.6, 2.5
_GAIN_LEAST, _GAIN_SPREAD, _GAIN_SPREAD_LEAST = 0.15, 0.7, 0.15
_CONTRAST_DROP = 0.5
_SWAP = Family('swap', LEVEL, 0.05, _SWAP_LEAST)
_BLUR = Family('blur', LEVEL, 0.3, 0.6, 2.2)
_FEWEST_FOR_SWAP = 6


def black(comparison: Comparison) -> Cause | None:
    """Dark pixels alone."""
    dark, luma = (comparison.now(f'image/{name}:mean') for name in ('dark_fraction', 'brightness'))
    usual = comparison.usual('image/dark_fraction:mean')
    if dark is None or luma is None or usual is None:
        return None
    if dark < _BLACK_SHARE or luma >= _BLACK_LUMA or usual[2] >= _BLACK_SHARE:
        return None
    text = f'{percent(dark)} of the pixels are black, {percent(usual[1])} in the reference'
    keys = comparison.keys('image/dark_fraction', 'image/brightness')
    return cause('black', text, comparison.alarms(keys))


def saturated(comparison: Comparison) -> Cause | None:
    """White pixels nearly alone."""
    bright = comparison.now('image/bright_fraction:mean')
    usual = comparison.usual('image/bright_fraction:mean')
    if bright is None or usual is None:
        return None
    if bright < _BRIGHT_SHARE or bright < usual[2] + _BRIGHT_MORE:
        return None
    text = f'{percent(bright)} of the pixels are saturated, {percent(usual[1])} in the reference'
    keys = comparison.keys('image/bright_fraction', 'image/brightness')
    return cause('saturated', text, comparison.alarms(keys))


def _signature(columns: list[Floats]) -> Floats:
    """Return what tells colours from each other, (N, 7, 3), of statistics, (N,), by channel."""
    table = np.stack(columns, axis=-1).reshape(-1, 3, 7).transpose(0, 2, 1)
    return np.asarray(table - table.mean(axis=2, keepdims=True))


def _of_window(comparison: Comparison) -> Floats | None:
    values = []
    for colour in COLOURS:
        found = [comparison.window.values.get(f'image/{colour}:{text}') for text in ELEMENTS]
        moments = [comparison.now(f'image/{colour}:{name}') for name in ('mean', 'stddev')]
        if None in found or None in moments:
            return None
        values += [each for each in found if each is not None]
        values += [LEVEL.to(each) for each in moments if each is not None]
    return np.asarray(_signature([np.array([value]) for value in values])[0])


def _of_reference(reference: Reference) -> Floats:
    columns = []
    for colour in COLOURS:
        columns += [reference.column(f'image/{colour}:{text}') for text in ELEMENTS]
        for name in ('mean', 'stddev'):
            plain = reference.column(f'=image/{colour}:{name}')
            columns.append(np.array([LEVEL.to(value) for value in plain.tolist()]))
    return _signature(columns)


class _Swaps:
    """The permutations of the channels of a reference, and how far a window is from each."""

    def __init__(self, rows: Floats, whole: Floats) -> None:
        self.rows = rows
        n = len(whole)
        flat = whole.reshape(n, -1)
        self.mean = flat.mean(axis=0)
        covariance = np.cov(flat.T, bias=False)
        share = min(_SHRINK_MOST, _SHRINK_WINDOWS / (n + _SHRINK_OFFSET))
        sigma = (1 - share) * covariance + share * np.diag(np.diag(covariance))
        self._inverse = np.linalg.inv(sigma + _NOISE**2 * np.eye(len(sigma)))
        self._distances = np.sort(np.array([self.distance(row) for row in flat]))
        self.usual_distance = float(self._distances[n - 1 - int(0.01 * n)])

    def distance(self, row: Floats) -> float:
        """Return the Mahalanobis distance of a row from the reference."""
        apart = row.ravel() - self.mean
        return math.sqrt(max(float(apart @ self._inverse @ apart), 0.0))

    def towards(self, rows: Floats, order: tuple[int, ...]) -> Floats:
        """Return how far rows, (N, 7, 3), are on the way to the swapped reference: 0 to 1."""
        swapped = self.mean.reshape(7, 3)[:, order].ravel() - self.mean
        length = float(swapped @ self._inverse @ swapped)
        if length < 1e-12:
            return np.zeros(len(rows))
        apart = rows.reshape(len(rows), -1) - self.mean
        return np.asarray(apart @ self._inverse @ swapped / length)


def _swaps_of(reference: Reference) -> _Swaps | None:
    rows = _of_reference(reference)
    whole = rows[np.isfinite(rows).all(axis=(1, 2))]
    return _Swaps(rows, whole) if len(whole) >= _FEWEST_FOR_SWAP else None


def channels_swapped(comparison: Comparison) -> Cause | None:
    """Colours that look as others did: any permutation of the three."""
    current = _of_window(comparison)
    swaps = comparison.reference.cached('swaps', lambda: _swaps_of(comparison.reference))
    if current is None or swaps is None:
        return None
    orders = [order for order in itertools.permutations(range(3)) if order != (0, 1, 2)]
    # What was red is now at order.index(0): to undo it, channels are taken back by the inverse.
    undone = {order: current[:, [order.index(c) for c in range(3)]] for order in orders}
    best = min(orders, key=lambda order: swaps.distance(undone[order]))
    itself, after = swaps.distance(current), swaps.distance(undone[best])
    normal = comparison.reference.cached(
        ('swap', best),
        lambda: comparison.reference.normal_of(swaps.towards(swaps.rows, best), _SWAP),
    )
    if normal is None:
        return None
    limit = max(_SWAP_LEAST, normal.threshold(comparison.alpha, _SWAP))
    towards = float(swaps.towards(current[None], best)[0])
    if limit >= _SWAP_UNSEEN or towards - normal.centre <= limit:
        return None
    most = _USUAL_DISTANCE * comparison.margin * swaps.usual_distance
    if after >= _CLOSER * itself or after >= most:
        return None
    moved = [f'{COLOURS[now]} is {COLOURS[was]}' for now, was in enumerate(best) if now != was]
    means = {c: comparison.now(f'image/{c}:mean') or 0.0 for c in COLOURS}
    text = (
        f'{" and ".join(moved)} of the reference: '
        f'{towards:.0%} of the way to the swapped channels, whose statistics fit '
        f'{itself / max(after, 1e-9):.1f} times better; mean red, green, blue are now '
        f'{", ".join(number(value) for value in means.values())}'
    )
    keys = comparison.keys(*(f'image/{colour}' for colour in COLOURS))
    return cause('channels_swapped', text, comparison.alarms(keys) or _largest(comparison, keys))


def _largest(comparison: Comparison, keys: list[str]) -> list[Score]:
    return sorted((comparison.scores[key] for key in keys), key=lambda score: -score.ratio)[:3]


def exposure_changed(comparison: Comparison) -> Cause | None:
    """All channels brighter, or all darker, by about the same factor."""
    colours = [c for c in (*COLOURS, 'gray') if f'image/{c}:q50' in comparison.scores]
    if not colours:
        return None
    keys = comparison.keys(*(f'image/{c}' for c in colours), 'image/brightness')
    alarms = comparison.alarms(keys)
    gains = [
        float(np.median([comparison.scores[f'image/{c}:{text}'].shift for text in ELEMENTS]))
        for c in colours
    ]
    gain = float(np.mean(gains))
    spread = max(gains) - min(gains)
    alike = all(each * gain > 0 for each in gains)
    if not alarms or not alike or abs(gain) <= _GAIN_LEAST:
        return None
    if spread > max(_GAIN_SPREAD * abs(gain), _GAIN_SPREAD_LEAST):
        return None
    text = f'all channels are {math.exp(gain):.2f} times as bright as in the reference'
    return cause('exposure_changed', text, alarms)


def blurred(comparison: Comparison) -> Cause | None:
    """Less sharp than the contrast explains."""
    sharp, contrast = 'image/sharpness:q50', 'image/contrast:q50'
    if sharp not in comparison.scores or contrast not in comparison.scores:
        return None
    reference, window = comparison.reference, comparison.window
    normal = reference.cached(
        'edges',
        lambda: reference.normal_of(
            _edges(reference.column(sharp), reference.column(contrast)), _BLUR
        ),
    )
    if normal is None:
        return None
    now = _edges(np.array([window.values[sharp]]), np.array([window.values[contrast]]))[0]
    fall = normal.centre - float(now)
    drop = -(comparison.shift(contrast) or 0.0)
    if fall <= normal.threshold(comparison.alpha, _BLUR) or drop >= _CONTRAST_DROP:
        return None
    score = comparison.scores[sharp]
    text = (
        f'sharpness is {number(score.current)}, {number(score.reference)} in the reference, '
        f'and {math.exp(fall):.1f} times lower than the contrast explains'
    )
    return cause('blurred', text, [score])


def _edges(sharpness: Floats, contrast: Floats) -> Floats:
    """Return log sharpness - 2 log contrast, of keys on their scales."""
    return np.asarray(sharpness - 2 * np.log(np.maximum(np.exp(contrast) - 4.0, 0.5)))
