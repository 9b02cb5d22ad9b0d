"""Shifts too weak for one window, from what several windows say together (CUSUM).

Each window adds its deviation in standard deviations, less a slack that covers what the reference's
centre may be off; the sum is never negative. It alarms where a sum of as correlated windows would
by chance no more often than the false-alarm rate: for a Brownian motion of variance V a window and
a drift of -k, h is passed at a rate of 2 k^2 / V * exp(-2 k h / V).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from profiler_node.detect.cause import Cause, cause, number
from profiler_node.detect.comparison import Comparison, Score
from profiler_node.detect.statistics import MIX_KEY
from profiler_node.detect.thresholds import Normal

_SLACK, _SLACK_OF_CENTRE = 0.5, 2.0
_MOST = 4.0  # standard deviations that one window adds: more is for one window to tell
_UNSURE = 2.0  # over sqrt(n): what an estimated correlation may be too low
_MOST_CORRELATION = 0.98
_KEPT = 1.5  # of the threshold: the sum goes no higher, so that it comes down in time
_CLOSED = 0.5  # of the threshold: an alarm ends there
_RANGES = ('depth/range_m', 'points/range_m', 'scan/range_m')
_CAUSES = {
    'detections/count:mean': ('fewer_objects', 'more_objects'),
    'detections/area:q50': ('box_size_changed',) * 2,
    'detections/volume_m3:q50': ('box_size_changed',) * 2,
    'detections/score:q50': ('score_shifted',) * 2,
    MIX_KEY: ('label_mix_changed',) * 2,
    **{f'{name}:q50': ('scale_changed',) * 2 for name in _RANGES},
}
"""Keys that are watched, with the cause where they fall, and where they rise."""


@dataclass
class _Sum:
    value: float = 0.0
    windows: int = 0  # since it was 0
    is_open: bool = False


class Evidence:
    """The sums of one stream."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], _Sum] = {}
        self.is_quiet = True  # nothing is on its way to an alarm

    def update(self, comparison: Comparison) -> list[Cause]:
        """Take one more window; return the causes whose evidence is enough now, or still is."""
        self.is_quiet = True
        return list(self._found(comparison))

    def _found(self, comparison: Comparison) -> Iterator[Cause]:
        watched = [key for key in _CAUSES if key in comparison.scores]
        alpha = comparison.alpha * max(comparison.reference.features, 1) / max(len(watched), 1) / 8
        for key in watched:
            normal = comparison.reference.normal(key)
            score = comparison.scores[key]
            if normal is None or normal.spread <= 0:
                continue
            size = score.score / normal.spread  # less the error of the sketch
            for sign in (-1, 1):
                each = self._sums.setdefault((key, sign), _Sum())
                if _add(each, math.copysign(size, score.shift) * sign, normal, min(alpha, 0.01)):
                    yield _cause(score, sign, each.windows)
                self.is_quiet &= each.value <= 0.5 * _limits(normal, min(alpha, 0.01))[1]


def _limits(normal: Normal, alpha: float) -> tuple[float, float]:
    """Return slack and threshold, in standard deviations."""
    slack = _SLACK + _SLACK_OF_CENTRE / math.sqrt(normal.effective)
    correlation = min(normal.correlation + _UNSURE / math.sqrt(normal.n), _MOST_CORRELATION)
    variance = (1.0 + correlation) / (1.0 - correlation)
    rate = 2.0 * slack**2 / (variance * alpha)
    return slack, max(variance / (2.0 * slack) * math.log(max(rate, math.e)), _MOST)


def _add(each: _Sum, size: float, normal: Normal, alpha: float) -> bool:
    """Add a deviation; return whether the evidence is enough."""
    slack, enough = _limits(normal, alpha)
    each.value = min(max(0.0, each.value + min(size, _MOST) - slack), _KEPT * enough)
    each.windows = each.windows + 1 if each.value > 0 else 0
    each.is_open = each.value > (_CLOSED * enough if each.is_open else enough)
    return each.is_open


def _cause(score: Score, sign: int, windows: int) -> Cause:
    name = _CAUSES[score.key][sign > 0]
    text = (
        f'{score.key.replace(":", " ")} has been {"above" if sign > 0 else "below"} the reference '
        f'over {windows} windows: {number(score.current)} now, {number(score.reference)} in it'
    )
    found = cause(name, text, [score], severity='warn')
    return Cause(found.id, text, found.scores, 'warn', False, found.layer, windows)
