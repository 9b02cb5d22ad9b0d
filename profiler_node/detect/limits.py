"""Limits that a feature's statistics must keep, whatever the reference."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profiler_node.core.moments import Moments
from profiler_node.core.profile import NumericFeature, Profile
from profiler_node.detect.comparison import Score
from profiler_node.detect.incidents import Incident

_QUANTILE = re.compile(r'q(\d{1,2}(?:\.\d+)?)')
_PLAIN = ('mean', 'stddev', 'min', 'max', 'median', 'count', 'missing')


class LimitsError(ValueError):
    """Limits that are none."""


@dataclass(frozen=True)
class Limit:
    """The range of one statistic of a feature, None where it is open."""

    feature: str
    statistic: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Violation:
    """A window that is beyond a limit."""

    profile: Profile
    limit: Limit
    value: float

    @property
    def end(self) -> float:
        """The end that it is beyond."""
        low, high = self.limit.low, self.limit.high
        return low if low is not None and (high is None or self.value < low) else high or 0.0

    @property
    def text(self) -> str:
        """What is wrong, in a sentence."""
        limit = self.limit
        low = 'none' if limit.low is None else f'{limit.low:g}'
        high = 'none' if limit.high is None else f'{limit.high:g}'
        return (
            f'{limit.feature} {limit.statistic} is {self.value:.4g}, the limits are {low} to {high}'
        )


def limits_of(document: Any) -> list[Limit]:
    """Return the limits in a document: {feature: {statistic: [low, high]}}. Raises LimitsError."""
    if not isinstance(document, Mapping):
        raise LimitsError('limits are a mapping, as image/brightness: {mean: [20, 235]}')
    return [
        _limit(str(feature), str(statistic), ends)
        for feature, statistics in document.items()
        for statistic, ends in _items(feature, statistics)
    ]


def _items(feature: Any, statistics: Any) -> Iterable[tuple[Any, Any]]:
    if not isinstance(statistics, Mapping) or not statistics:
        raise LimitsError(f'{feature}: {statistics!r} is not as {{mean: [20, 235]}}')
    return statistics.items()


def _limit(feature: str, statistic: str, ends: Any) -> Limit:
    where = f'{feature}: {statistic}'
    if statistic not in _PLAIN and not _QUANTILE.fullmatch(statistic):
        raise LimitsError(f'{where} is none of {", ".join(_PLAIN)}, or a quantile as q95')
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(_is_end, ends)):
        raise LimitsError(f'{where}: {ends!r} is not [low, high], numbers or null')
    low, high = ends
    if low is None and high is None:
        raise LimitsError(f'{where}: both ends are open')
    if low is not None and high is not None and low > high:
        raise LimitsError(f'{where}: low ({low}) must be <= high ({high})')
    return Limit(feature, statistic, low, high)


def _is_end(end: Any) -> bool:
    is_number = isinstance(end, (int, float)) and not isinstance(end, bool)
    return end is None or (is_number and end == end)  # noqa: PLR0124 (NaN)


def incidents_of_limits(violations: Iterable[Violation]) -> list[Incident]:
    """Return an incident for each limit and stream that does not keep it."""
    groups: dict[tuple[str, Limit], list[Violation]] = defaultdict(list)
    for violation in violations:
        groups[violation.profile.source.stream, violation.limit].append(violation)
    return [_incident(stream, every) for (stream, _), every in groups.items()]


def _incident(stream: str, violations: Sequence[Violation]) -> Incident:
    worst = max(violations, key=lambda violation: abs(violation.value - violation.end))
    limit, end = worst.limit, worst.end
    starts = [violation.profile.window_start_ns for violation in violations]
    score = Score(
        f'{limit.feature}:{limit.statistic}',
        abs(worst.value - end),
        0.0,
        end,
        worst.value,
        worst.value - end,
    )
    feature = worst.profile.feature(limit.feature)
    moments = feature.moments if isinstance(feature, NumericFeature) else Moments()
    stamp_ns = moments.max_stamp_ns if worst.value > end else moments.min_stamp_ns
    return Incident(
        cause='drift',
        evidence=f'{stream}: {worst.text} ({len(violations)} window(s))',
        severity='alert',
        streams=(stream,),
        robots=tuple(sorted({violation.profile.source.robot_id for violation in violations})),
        tags={},
        scores=(score,),
        first_window_start_ns=min(starts),
        last_window_start_ns=max(starts),
        stamps_ns=(stamp_ns,) if stamp_ns else (),
    )


def violations_of(profile: Profile, limits: Iterable[Limit]) -> list[Violation]:
    """Return the limits that a profile does not keep; a feature that it does not have keeps all."""
    found = []
    for limit in limits:
        feature = profile.feature(limit.feature)
        if not isinstance(feature, NumericFeature):
            continue
        value = _value(feature, limit.statistic)
        if value is not None and not _keeps(value, limit):
            found.append(Violation(profile, limit, value))
    return found


def _keeps(value: float, limit: Limit) -> bool:
    return (limit.low is None or value >= limit.low) and (limit.high is None or value <= limit.high)


def _value(feature: NumericFeature, statistic: str) -> float | None:
    """Return a statistic; missing: the share of values that are NaN. None where it has no value."""
    moments = feature.moments
    if statistic == 'count':
        return float(moments.count)
    if statistic == 'missing':
        total = moments.count + feature.missing
        return feature.missing / total if total else None
    if not moments.count:
        return None
    if statistic in {'mean', 'stddev', 'min', 'max'}:
        return float(getattr(moments, statistic))
    rank = 0.5 if statistic == 'median' else float(statistic[1:]) / 100
    return feature.quantiles([rank])[0]
