"""One window beside its reference: how far each number is off, and how far it may be."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from profiler_node.detect.reference import Reference
from profiler_node.detect.scales import GAPS
from profiler_node.detect.statistics import (
    GAP_KEY,
    LABEL,
    LABELS,
    MIX_KEY,
    Window,
    family_of_key,
    feature_of,
    natural,
)

_FEWEST_LABELS = 20  # detections that tell a mix of labels
_GAP_MARGIN, _GAP_MESSAGES = 0.03, 2.5


@dataclass(frozen=True, slots=True)
class Score:
    """How far a number is off. score > threshold is an alarm.

    shift: on the family's scale, signed; score: its size, less the sketch's own error. reference,
    current: in the feature's unit. step: compared with the window before.
    """

    key: str
    score: float
    threshold: float
    reference: float
    current: float
    shift: float
    step: bool = False

    @property
    def name(self) -> str:
        """The feature."""
        return feature_of(self.key)

    @property
    def is_alarm(self) -> bool:
        """Whether it is off by more than it may be."""
        return self.score > self.threshold

    @property
    def ratio(self) -> float:
        """Score in thresholds."""
        return self.score / self.threshold if self.threshold > 0 else math.inf


@dataclass(frozen=True)
class Comparison:
    """A window, its reference, and the score of each key; steps: from the window before."""

    window: Window
    reference: Reference
    alpha: float
    scores: Mapping[str, Score]
    steps: Mapping[str, Score] = field(default_factory=dict)

    def shift(self, key: str) -> float | None:
        """Return how far a key is off on its scale, signed; None where it is not known."""
        score = self.scores.get(key)
        return score.shift if score else None

    def alarms(self, keys: Iterable[str]) -> list[Score]:
        """Return the scores of keys that are alarms, by level or by step."""
        names = list(keys)
        found = [self.scores[key] for key in names if key in self.scores]
        found += [self.steps[key] for key in names if key in self.steps]
        return [score for score in found if score.is_alarm]

    def keys(self, *features: str) -> list[str]:
        """Return the keys of features that both have."""
        return [key for key in self.scores if feature_of(key) in features]

    def now(self, name: str) -> float | None:
        """Return a plain number of the window."""
        return self.window.plain.get(name)

    def usual(self, name: str) -> tuple[float, float, float] | None:
        """Return min, median and max of a plain number in the reference; None: it has none."""

        def build() -> tuple[float, float, float] | None:
            values = self.reference.known(f'={name}')
            if not values.size:
                return None
            return float(values.min()), float(np.median(values)), float(values.max())

        return self.reference.cached(('usual', name), build)

    @property
    def margin(self) -> float:
        """By how much more than all that the reference has seen is to be expected."""
        return 1.0 + 3.0 / math.sqrt(max(len(self.reference), 1))


def compare(
    window: Window, reference: Reference, alpha: float, before: Window | None = None
) -> Comparison:
    """Return window beside reference, at a false-alarm rate of alpha for each feature.

    before: the window before it, where that was good; steps from it are compared too.
    """
    scores = {}
    for key, value in window.values.items():
        score = _level(key, value, window, reference, alpha)
        if score:
            scores[key] = score
    if (score := _mix(window, reference, alpha)) is not None:
        scores[MIX_KEY] = score
    steps = {}
    if before is not None and before.end_ns == window.start_ns:
        for key, score in scores.items():
            if (step := _step(score, before, window, reference, alpha)) is not None:
                steps[key] = step
    return Comparison(window, reference, alpha, scores, steps)


def _level(
    key: str, value: float, window: Window, reference: Reference, alpha: float
) -> Score | None:
    normal = reference.normal(key)
    if normal is None:
        return None
    family = family_of_key(key)
    if key == GAP_KEY:
        margin = 1.0 + 3.0 / math.sqrt(normal.n)
        most = max(
            GAPS.least, margin * normal.high + _GAP_MARGIN, _GAP_MESSAGES / max(window.messages, 1)
        )
        return Score(key, value, most, normal.centre, value, value - normal.centre)
    shift = value - normal.centre
    score = max(0.0, abs(shift) - window.errors.get(key, 0.0))
    usual, current = natural(key, normal.centre), natural(key, value)
    if abs(current - usual) < family.least_natural:
        score = 0.0
    return Score(key, score, reference.threshold(key, normal, alpha), usual, current, shift)


def _mix(window: Window, reference: Reference, alpha: float) -> Score | None:
    distance = reference.mix_of(window)
    normal = reference.normal(MIX_KEY)
    family = family_of_key(MIX_KEY)
    if distance is None or normal is None:
        return None
    total = sum(window.counts[LABEL].values())
    usual = reference.cached(LABELS, lambda: float(np.median(reference.known(f'={LABELS}'))))
    if total < _FEWEST_LABELS or not usual > 0:
        return None
    # Shares of fewer labels are off by more, by the square root.
    noise = math.sqrt(max(1.0, usual / total))
    expected = noise * normal.centre
    shift = distance - expected
    threshold = noise * normal.threshold(alpha, family)
    return Score(MIX_KEY, max(0.0, shift), threshold, expected, distance, shift)


def _step(
    score: Score, before: Window, window: Window, reference: Reference, alpha: float
) -> Score | None:
    key = score.key
    family = family_of_key(key)
    if not family.jumps or key not in before.values:
        return None
    normal = reference.normal(key, of_steps=True)
    if normal is None:
        return None
    shift = window.values[key] - before.values[key]
    size = max(0.0, abs(shift) - window.errors.get(key, 0.0))
    earlier = natural(key, before.values[key])
    if abs(score.current - earlier) < family.least_natural:
        size = 0.0
    threshold = max(
        normal.threshold(alpha, family),
        # A step of independent windows is larger than their own deviation, and so is the prior's.
        math.sqrt(2.0) * family.least,
    )
    return Score(key, size, threshold, earlier, score.current, shift, step=True)
