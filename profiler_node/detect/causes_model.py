"""Causes that are seen in detections."""

import math

from profiler_node.detect.cause import Cause, cause, number, percent
from profiler_node.detect.comparison import Comparison, Score
from profiler_node.detect.statistics import LABEL, MIX_KEY

COUNT = 'detections/count'
_BOXES = ('detections/width', 'detections/height', 'detections/area', 'detections/volume_m3')
_CLEAR = 2.0  # thresholds, from which on one window is enough


def _is_clear(alarms: list[Score]) -> bool:
    """Whether one window is enough: far off, or off in a step; a step alone may be a burst."""
    levels = [score for score in alarms if not score.step]
    stepped = {score.key for score in alarms if score.step}
    return any(score.ratio > _CLEAR or score.key in stepped for score in levels)


def label_mix_changed(comparison: Comparison) -> Cause | None:
    """Other labels, or the same in other shares."""
    alarms = comparison.alarms([MIX_KEY])
    if not alarms:
        return None
    current = comparison.window.counts[LABEL]
    total = sum(current.values())
    usual = comparison.reference.usual_shares()
    every = usual.keys() | current.keys()
    moves = {k: current.get(k, 0) / total - usual.get(k, 0.0) for k in every}
    most = sorted(moves, key=lambda label: -abs(moves[label]))[:2]
    text = ', '.join(
        f'{label!r} is {percent(current.get(label, 0) / total)} of the objects, '
        f'{percent(usual.get(label, 0.0))} in the reference'
        for label in most
    )
    return cause('label_mix_changed', text, alarms, confirm=not _is_clear(alarms))


def objects_changed(comparison: Comparison) -> Cause | None:
    """Fewer or more objects in a message."""
    mean = comparison.scores.get(f'{COUNT}:mean')
    if mean is None:
        return None
    alarms = comparison.alarms([f'{COUNT}:mean', f'{COUNT}:q90'])
    usual = comparison.usual(f'{COUNT}:mean')
    none = mean.current == 0 and usual is not None and usual[0] > 0
    high = comparison.shift(f'{COUNT}:q90') or 0.0
    of_mean = [score for score in alarms if score.key == f'{COUNT}:mean']
    if not none and (not of_mean or high * mean.shift < 0):
        return None
    name = 'fewer_objects' if mean.shift < 0 else 'more_objects'
    change = mean.current / mean.reference - 1 if mean.reference else math.inf
    text = (
        f'{number(mean.current)} objects a message, {number(mean.reference)} in the reference '
        f'({100 * change:+.0f} %)'
    )
    return cause(name, text, of_mean or [mean], confirm=not none and not _is_clear(of_mean))


def score_shifted(comparison: Comparison) -> Cause | None:
    """Scores higher, or lower."""
    alarms = _agreeing(comparison, ('detections/score',))
    if not alarms:
        return None
    middle = comparison.scores.get('detections/score:q50', alarms[0])
    text = f'median score {number(middle.current)}, {number(middle.reference)} in the reference'
    return cause('score_shifted', text, alarms, confirm=not _is_clear(alarms))


def box_size_changed(comparison: Comparison) -> Cause | None:
    """Boxes larger, or smaller."""
    alarms = _agreeing(comparison, _BOXES)
    if not alarms:
        return None
    best = max(alarms, key=lambda score: score.ratio)
    text = (
        f'{best.name} is {math.exp(best.shift):.2f} times the reference: '
        f'{number(best.current)}, not {number(best.reference)}'
    )
    return cause('box_size_changed', text, alarms, confirm=not _is_clear(alarms))


def _agreeing(comparison: Comparison, features: tuple[str, ...]) -> list[Score]:
    """Return the alarms of features where nearly all that is known of them moves the same way."""
    keys = comparison.keys(*features)
    alarms = comparison.alarms(keys)
    if not alarms:
        return []
    sign = max(alarms, key=lambda score: score.ratio).shift
    moved = [comparison.scores[key].shift * sign > 0 for key in keys]
    return alarms if sum(moved) > 0.7 * len(moved) else []
