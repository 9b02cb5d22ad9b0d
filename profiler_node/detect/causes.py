"""All causes of a window, in order of precedence, and drift where none fits."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from profiler_node.detect import causes_image, causes_message, causes_model, causes_range
from profiler_node.detect.cause import Cause, cause, number
from profiler_node.detect.comparison import Comparison, Score
from profiler_node.detect.statistics import GAP_KEY

_Find = Callable[[Comparison], Cause | None]

# Of each group the first that fits is the cause, those first that one window tells; the others are
# seen because of it.
_CONTENT: tuple[_Find, ...] = (
    causes_image.black,
    causes_image.saturated,
    causes_message.frozen,
    causes_image.channels_swapped,
    causes_image.exposure_changed,
    causes_image.blurred,
    causes_range.beyond_reach,
    causes_range.blocked_sector,
    causes_range.scale_changed,
    causes_range.missing_data,
    causes_model.label_mix_changed,
    causes_model.objects_changed,
    causes_model.box_size_changed,
    causes_model.score_shifted,
)
_TIMING: tuple[_Find, ...] = (causes_message.rate_changed, causes_message.latency_changed)
_TIMING_KEYS = ('message/interval_s:q50', 'message/latency_s:q50', GAP_KEY)
_NAMED = 3  # features of a drift


def causes_of(comparison: Comparison) -> list[Cause]:
    """Return what changed in a window, the first one the main cause; [] for nothing."""
    found = []
    if (format_ := causes_message.format_changed(comparison)) is not None:
        found.append(format_)
    found += _first(_CONTENT, comparison)
    found += _first(_TIMING, comparison)
    if not found and (moved := drift(comparison)) is not None:
        found.append(moved)
    return found


def _first(finders: Iterable[_Find], comparison: Comparison) -> list[Cause]:
    unsure = []
    for find in finders:
        if (each := find(comparison)) is not None:
            if not each.confirm:
                return [each]
            unsure.append(each)
    return unsure[:1]


def drift(comparison: Comparison) -> Cause | None:
    """Features that moved without a cause that fits; a second window has to agree."""
    alarms = [
        score
        for key, score in comparison.scores.items()
        if score.is_alarm and key not in _TIMING_KEYS
    ]
    if not alarms:
        return None
    best: dict[str, Score] = {}
    for score in sorted(alarms, key=lambda score: -score.ratio):
        best.setdefault(score.name, score)
    text = ', '.join(
        f'{name} {score.key.rpartition(":")[2]} is {number(score.current)}, '
        f'{number(score.reference)} in the reference'
        for name, score in list(best.items())[:_NAMED]
    )
    more = len(best) - _NAMED
    text += f' and {more} more feature(s)' if more > 0 else ''
    found = cause('drift', text, alarms, confirm=True, severity='warn')
    return replace(found, layer='model' if comparison.window.is_model else 'sensor')
