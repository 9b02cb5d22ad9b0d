"""Causes that are seen in depth images, clouds and scans, and in missing data of any kind."""

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from profiler_node.detect.cause import Cause, cause, number, percent
from profiler_node.detect.comparison import Comparison, Score
from profiler_node.detect.reference import FEWEST_WINDOWS, Reference
from profiler_node.detect.scales import ELEMENTS
from profiler_node.detect.statistics import SECTOR_GROUPS, SECTORS, UNREADABLE
from profiler_node.detect.thresholds import Floats

RANGES = ('depth/range_m', 'points/range_m', 'scan/range_m')
VALID = ('depth/valid_fraction', 'points/valid_fraction', 'scan/valid_fraction')
INVALID = (
    *('depth/zero_fraction', 'depth/nan_fraction', 'depth/inf_fraction'),
    *('depth/out_of_range_fraction', 'scan/nan_fraction', 'scan/inf_fraction'),
    *('scan/below_min_fraction', 'scan/above_max_fraction'),
)
COUNTS = ('points/count', 'scan/beams')

_SCALE_AGREE, _SCALE_SPREAD = 4, 0.35
_UNITS = {1000.0: 'm read as mm', 0.001: 'mm read as m', 10.0: 'ten times', 0.1: 'a tenth'}
_UNIT_TOLERANCE = 0.1
_BEYOND = 0.3  # share of the beams
_MORE = 0.05  # share of a message
_FEWER_BEAMS = 0.8
_EMPTY, _REST, _RUN_SHARE = 0.1, 0.7, 0.7
_NEARLY_ALL = 0.9  # share of the windows
_LEAST = 0.01  # rank of the fewest returns that are usual
_NEAR_SPREAD, _NEAR = 0.5, 0.8


def scale_changed(comparison: Comparison) -> Cause | None:
    """All ranges longer, or all shorter, by about the same factor."""
    for feature in RANGES:
        keys = [
            f'{feature}:{text}' for text in ELEMENTS if f'{feature}:{text}' in _known(comparison)
        ]
        alarms = comparison.alarms(keys)
        if len(keys) < len(ELEMENTS) or not alarms:
            continue
        shifts = [comparison.scores[key].shift for key in keys]
        shift = float(np.median(shifts))
        least = float(np.median([comparison.scores[key].threshold for key in keys])) / 3
        near = max(_SCALE_SPREAD * abs(shift), least)
        agree = sum(abs(each - shift) <= near for each in shifts)
        if agree < _SCALE_AGREE or not any(score.shift * shift > 0 for score in alarms):
            continue
        return cause('scale_changed', _scale_text(comparison, feature, shift), alarms)
    return None


def beyond_reach(comparison: Comparison) -> Cause | None:
    """Ranges that are too long for the sensor: without a return, none would be there at all."""
    alarms = comparison.alarms(comparison.keys('scan/above_max_fraction'))
    most = max(alarms, key=lambda score: score.ratio, default=None)
    if most is None or most.current - most.reference < _BEYOND:
        return None
    text = (
        f'{percent(most.current)} of the beams are longer than the sensor can measure, '
        f'{percent(most.reference)} in the reference'
    )
    return cause('scale_changed', text, alarms)


def _known(comparison: Comparison) -> set[str]:
    return set(comparison.scores)


def _scale_text(comparison: Comparison, feature: str, shift: float) -> str:
    factor = math.exp(shift)
    middle = comparison.scores[f'{feature}:q50']
    text = (
        f'{feature} is {number(factor)} times the reference at all quantiles: '
        f'median {number(middle.current)} m, {number(middle.reference)} m in the reference'
    )
    for usual, name in _UNITS.items():
        if abs(factor / usual - 1) < _UNIT_TOLERANCE:
            return f'{text} (a change of unit or encoding: {name})'
    return text


def missing_data(comparison: Comparison) -> Cause | None:
    """Fewer valid values, points or beams, more NaN, zeros or sentinels, broken messages."""
    texts, scores = [], []
    valid = comparison.keys(*VALID)
    for score in comparison.alarms(valid):
        if score.shift < 0 and score.reference - score.current > _MORE:
            texts.append(
                f'{score.name} is {percent(score.current)}, not {percent(score.reference)}'
            )
            scores.append(score)
    for score in comparison.alarms(comparison.keys(*INVALID)):
        if score.shift > 0 and score.current - score.reference > _MORE:
            texts.append(
                f'{score.name} is {percent(score.current)}, not {percent(score.reference)}'
            )
            scores.append(score)
    for score in comparison.alarms(comparison.keys(*COUNTS)):
        if score.shift < 0 and _is_below_all(comparison, score):
            texts.append(f'{score.name} is {number(score.current)}, not {number(score.reference)}')
            scores.append(score)
    texts += _absent(comparison)
    if not texts:
        return None
    return cause('missing_data', ' and '.join(list(dict.fromkeys(texts))[:3]), scores)


def _is_below_all(comparison: Comparison, score: Score) -> bool:
    """Whether a cloud or a scan has fewer points than any in the reference; some vary by design."""
    usual = comparison.usual(f'{score.name}:mean')
    return usual is not None and score.current < _FEWER_BEAMS * usual[0]


def _absent(comparison: Comparison) -> list[str]:
    """Return what is told of values that are NaN or gone, and of messages that are unreadable."""
    texts = []
    margin = comparison.margin
    for name, share in comparison.window.plain.items():
        if name != UNREADABLE and not name.endswith(':missing'):
            continue
        usual = comparison.usual(name)
        most = usual[2] if usual else 0.0
        if share > max(margin * most, most + _MORE):
            what = 'messages that cannot be read' if name == UNREADABLE else f'NaN in {name[:-8]}'
            texts.append(f'{percent(share)} {what}, at most {percent(most)} in the reference')
    return texts


def blocked_sector(comparison: Comparison) -> Cause | None:
    """Directions without returns, or with near ones alone, and the others as ever."""
    for group in SECTOR_GROUPS:
        if f'{group}/sector:00' not in comparison.window.plain:
            continue
        now = np.array([comparison.now(f'{group}/sector:{n:02}') or 0.0 for n in range(SECTORS)])
        rows = comparison.reference.cached(group, partial(_sectors, comparison.reference, group))
        if len(rows) < FEWEST_WINDOWS:
            continue
        found = _empty(now, rows) or _near(comparison, group)
        if found:
            run, what = found
            return cause('blocked_sector', f'{_degrees(run)} {what}', _valid_scores(comparison))
    return None


def _sectors(reference: Reference, group: str) -> Floats:
    """Return the returns of each sector in each window that knows them, (N, SECTORS)."""
    names = [f'={group}/sector:{n:02}' for n in range(SECTORS)]
    rows = np.stack([reference.column(name) for name in names], axis=1)
    return np.asarray(rows[np.isfinite(rows).all(axis=1)])


def _empty(now: Floats, rows: Floats) -> tuple[list[int], str] | None:
    least, usual = np.quantile(rows, _LEAST, axis=0), np.median(rows, axis=0)
    reliable = (least > 0.3 * usual) & (
        usual > 0.2 * (np.median(usual[usual > 0]) if usual.any() else 0.0)
    )
    empty = reliable & (now < _EMPTY * least)
    run = _longest_run(empty)
    if len(run) < 2 or int(empty.sum()) > SECTORS // 2:
        return None
    rest = reliable & ~empty
    rest[[(run[0] - 1) % SECTORS, (run[-1] + 1) % SECTORS]] = False  # the edges of what blocks
    as_ever = rest.any() and float((now[rest] / usual[rest]).mean()) > _REST
    lost = np.maximum(usual - now, 0.0)
    together = float(lost[run].sum()) > _RUN_SHARE * float(lost.sum())
    if not as_ever and not together:
        return None
    before = float(usual[run].sum())
    text = (
        f'have {number(float(now[run].sum()))} returns a message, {number(before)} in the reference'
    )
    return run, text


def _near(comparison: Comparison, group: str) -> tuple[list[int], str] | None:
    """Return a run of sectors whose returns are nearer than ever, the others unmoved."""
    logs, seen, usual = comparison.reference.cached(
        f'{group} ranges', lambda: _ranges(comparison.reference, group)
    )
    names = [f'{group}/sector_range_m:{n:02}' for n in range(SECTORS)]
    now = np.array([math.log(comparison.now(name) or math.nan) for name in names])
    seen = seen & np.isfinite(now)
    if seen.sum() < SECTORS // 4:
        return None
    spread, least = logs.std(axis=0), logs.min(axis=0)
    nearest = min(float(usual[seen].min()), float(np.median(least[seen])))
    near = seen & (spread < _NEAR_SPREAD) & (now < least) & (now < nearest + math.log(_NEAR))
    run = _longest_run(near)
    rest = seen & ~near
    if len(run) < 2 or len(run) > SECTORS // 3 or not rest.any():
        return None
    moved = float(np.median(np.abs(now - usual)[rest]))
    fall = float(np.mean((usual - now)[run]))
    if moved > 0.15 or fall < 0.5 or fall < 4 * float(np.median(spread[run])):
        return None
    text = (
        f'have returns at {number(math.exp(float(now[run].mean())))} m, '
        f'{number(math.exp(float(usual[run].mean())))} m in the reference, and the rest is unmoved'
    )
    return run, text


def _ranges(reference: Reference, group: str) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Return log mean ranges, (N, SECTORS), which sectors nearly always have one, the medians."""
    names = [f'={group}/sector_range_m:{n:02}' for n in range(SECTORS)]
    table = np.stack([reference.column(name) for name in names], axis=1)
    with np.errstate(invalid='ignore', divide='ignore'):
        logs = np.log(table)
    seen = np.isfinite(logs).mean(axis=0) > _NEARLY_ALL
    kept = np.where(seen, logs, 0.0)
    middles = np.nanmedian(kept, axis=0)
    return np.where(np.isfinite(kept), kept, middles), seen, middles


def _longest_run(which: NDArray[np.bool_]) -> list[int]:
    """Return the longest run of sectors that are set, over the end too; [] for none."""
    best: list[int] = []
    for start in range(SECTORS):
        run = []
        for step in range(SECTORS):
            index = (start + step) % SECTORS
            if not which[index]:
                break
            run.append(index)
        best = max(best, run, key=len)
    return best


def _degrees(run: list[int]) -> str:
    start, end = -180 + 10 * run[0], -180 + 10 * (run[-1] + 1)
    return f'{start} to {end} degrees'


def _valid_scores(comparison: Comparison) -> list[Score]:
    keys = comparison.keys(*VALID, *COUNTS, *RANGES, 'points/azimuth_coverage')
    return comparison.alarms(keys)
