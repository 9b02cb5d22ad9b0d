"""What is compared of a window: few numbers, on scales where shifts add.

A *key* is a feature, a colon and a statistic, as `depth/range_m:q50`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from profiler_node.core.config import NS_PER_S
from profiler_node.core.profile import CategoricalFeature, NumericFeature, Profile
from profiler_node.core.sketches import SketchError, rank_error
from profiler_node.detect.scales import GAPS, MIX, Family, family_of

GAP_KEY, RATE_KEY, MIX_KEY = 'message/gaps:fraction', 'message/rate_hz:mean', 'detections/label:mix'
FORMATS = (
    *('image/encoding', 'image/size', 'depth/encoding', 'depth/size', 'points/fields'),
    *('message/frame_id', 'field/calibration'),
)
LABEL = 'detections/label'
LABELS = 'detections/label:count'
SECTOR_GROUPS = ('points', 'scan')
SECTORS = 36  # of 10 degrees, from -180
UNREADABLE = 'message/unreadable'
FEWEST_MESSAGES = 4  # that can say something of a window

_KLL_K = 200
_MOST_CATEGORIES = 64
_KEPT = {*FORMATS, LABEL}
_REPEATED = ('message/repeated', 'image/repeated', 'depth/repeated')
_RANK_ERROR = rank_error(_KLL_K)


@dataclass(frozen=True, slots=True)
class Window:
    """What is compared of one stream in one window.

    values: of each key, on its family's scale. errors: of a key, how far the sketch alone may be
    off, on that scale. counts: of categories. plain: numbers that causes are told by, in their own
    unit. stamps_ns: of a feature, of the messages with its min and its max.
    """

    robot_id: str
    stream: str
    segment: str
    tags: Mapping[str, str]
    message_type: str
    epoch: int
    start_ns: int
    end_ns: int
    messages: int
    values: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    plain: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    stamps_ns: Mapping[str, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def kind(self) -> tuple[str, str]:
        """Stream and segment: what is compared with each other, over robots."""
        return self.stream, self.segment

    @property
    def is_model(self) -> bool:
        """Whether it is what a model made of what sensors saw."""
        return any(name.startswith('detections/') for name in self.plain)

    @property
    def is_enough(self) -> bool:
        """Whether there are enough messages to say something."""
        return self.messages >= FEWEST_MESSAGES


def feature_of(key: str) -> str:
    """Return the feature that a key is of."""
    return key.rpartition(':')[0]


@lru_cache(4096)
def family_of_key(key: str) -> Family:
    """Return the family of a key. Raises KeyError for what is none."""
    if key == MIX_KEY:
        return MIX
    if key == GAP_KEY:
        return GAPS
    family = family_of(feature_of(key))
    if family is None:
        raise KeyError(key)
    return family


def natural(key: str, value: float) -> float:
    """Return the value of a key in the feature's own unit."""
    return family_of_key(key).scale.back(value)


def window_of(profile: Profile) -> Window:
    """Return what is compared of profile. Raises SketchError where a sketch is damaged."""
    values: dict[str, float] = {}
    errors: dict[str, float] = {}
    plain: dict[str, float] = {}
    counts: dict[str, dict[str, int]] = {}
    stamps: dict[str, tuple[int, int]] = {}
    for name, feature in profile.features.items():
        if isinstance(feature, CategoricalFeature):
            if name in _KEPT:
                counts[name] = dict(feature.top(_MOST_CATEGORIES))
            if name == LABEL:
                plain[LABELS] = feature.count
            continue
        if total := feature.moments.count + feature.missing:
            plain[f'{name}:missing'] = feature.missing / total
        if not feature.moments.count:
            continue
        stamps[name] = feature.moments.min_stamp_ns, feature.moments.max_stamp_ns
        _add_plain(name, feature, plain)
        family = family_of(name)
        if family is not None:
            _add_numbers(name, feature, family, values, errors)
    _add_rate(profile, values, plain)
    for group in SECTOR_GROUPS:
        _add_sectors(profile, group, plain)
    source = profile.source
    return Window(
        robot_id=source.robot_id,
        stream=source.stream,
        segment=source.segment,
        tags=source.tags,
        message_type=source.message_type,
        epoch=profile.epoch,
        start_ns=profile.window_start_ns,
        end_ns=profile.window_end_ns,
        messages=profile.counters.seen - profile.counters.shed,
        values=values,
        errors=errors,
        counts=counts,
        plain=plain,
        stamps_ns=stamps,
    )


def _add_numbers(
    name: str,
    feature: NumericFeature,
    family: Family,
    values: dict[str, float],
    errors: dict[str, float],
) -> None:
    ranks = [int(text[1:]) / 100 for text in family.statistics if text[0] == 'q']
    exact = feature.moments.count <= _KLL_K
    around = [
        min(max(rank + sign * _RANK_ERROR, 0.0), 1.0)
        for rank in ([] if exact else ranks)
        for sign in (-1, 1)
    ]
    found = feature.quantiles([*ranks, *around])
    if not all(map(math.isfinite, found)):
        raise SketchError(f'{name}: a quantile that is not finite')
    scaled = [family.scale.to(value) for value in found]
    names = [text for text in family.statistics if text[0] == 'q']
    for index, text in enumerate(names):
        values[f'{name}:{text}'] = scaled[index]
        if not exact:
            low, high = scaled[len(names) + 2 * index : len(names) + 2 * index + 2]
            errors[f'{name}:{text}'] = (high - low) / 2
    if 'mean' in family.statistics:
        values[f'{name}:mean'] = family.scale.to(feature.moments.mean)


def _add_plain(name: str, feature: NumericFeature, plain: dict[str, float]) -> None:
    """Add what causes are told by: moments, and how often messages repeat the one before."""
    plain[f'{name}:mean'] = feature.moments.mean
    plain[f'{name}:stddev'] = feature.moments.stddev
    if name in _REPEATED:
        plain['repeated'] = max(feature.moments.mean, plain.get('repeated', 0.0))
        plain['repeated:count'] = feature.moments.count


def _add_rate(profile: Profile, values: dict[str, float], plain: dict[str, float]) -> None:
    """Add the share of messages that are missing, and messages a second."""
    counters = profile.counters
    published = counters.seen + counters.stamp_gaps
    if published and 'message/interval_s' in profile.features:
        values[GAP_KEY] = counters.stamp_gaps / published
    length_s = (profile.window_end_ns - profile.window_start_ns) / NS_PER_S
    plain[RATE_KEY] = counters.seen / length_s if length_s > 0 else 0.0
    if counters.seen:
        plain[UNREADABLE] = sum(counters.decode_errors.values()) / counters.seen


def _add_sectors(profile: Profile, group: str, plain: dict[str, float]) -> None:
    """Add the returns a message and their mean range [m] of each sector, where they are known."""
    returns = profile.features.get(f'{group}/sector')
    ranges = profile.features.get(f'{group}/sector_range_cm')
    if not isinstance(returns, CategoricalFeature) or not profile.counters.decoded:
        return
    found = dict(returns.top(SECTORS))
    sums = dict(ranges.top(SECTORS)) if isinstance(ranges, CategoricalFeature) else {}
    for number in range(SECTORS):
        name = f'{number:02}'
        count = found.get(name, 0)
        plain[f'{group}/sector:{name}'] = count / profile.counters.decoded
        if count and name in sums:
            plain[f'{group}/sector_range_m:{name}'] = sums[name] / count / 100
