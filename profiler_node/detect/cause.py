"""A named cause: what changed in one stream, and how that is seen."""

from dataclasses import dataclass
from typing import Literal

from profiler_node.detect.comparison import Score

Layer = Literal['sensor', 'model', 'system']
Severity = Literal['warn', 'alert']

LAYERS: dict[str, Layer] = {
    'channels_swapped': 'sensor',
    'scale_changed': 'sensor',
    'exposure_changed': 'sensor',
    'black': 'sensor',
    'saturated': 'sensor',
    'frozen': 'sensor',
    'blurred': 'sensor',
    'missing_data': 'sensor',
    'blocked_sector': 'sensor',
    'rate_changed': 'system',
    'latency_changed': 'system',
    'format_changed': 'system',
    'fewer_objects': 'model',
    'more_objects': 'model',
    'label_mix_changed': 'model',
    'score_shifted': 'model',
    'box_size_changed': 'model',
    'drift': 'sensor',
}
"""The causes, by what they point to. Drift points to the layer of its stream."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What changed, in one window of one stream.

    id: one of LAYERS. evidence: one sentence. confirm: whether a second window has to agree first.
    delay: windows that it took to be seen.
    """

    id: str
    evidence: str
    scores: tuple[Score, ...] = ()
    severity: Severity = 'alert'
    confirm: bool = False
    layer: Layer = 'sensor'
    delay: int = 1


def cause(
    name: str,
    evidence: str,
    scores: list[Score] | None = None,
    *,
    confirm: bool = False,
    severity: Severity = 'alert',
) -> Cause:
    """Return a cause with the largest score of each of its features."""
    best: dict[str, Score] = {}
    for score in scores or ():
        if score.name not in best or score.ratio > best[score.name].ratio:
            best[score.name] = score
    ranked = sorted(best.values(), key=lambda score: -score.ratio)
    return Cause(name, evidence, tuple(ranked), severity, confirm, LAYERS[name])


def number(value: float) -> str:
    """Return a number as people read it, with three digits."""
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'


def percent(share: float) -> str:
    """Return a share as people read it."""
    return f'{100 * share:.1f} %' if abs(share) < 0.1 else f'{100 * share:.0f} %'
