"""Causes that are seen in messages of any type: format, repetition, rate and latency."""

from profiler_node.detect.cause import Cause, cause, number, percent
from profiler_node.detect.comparison import Comparison
from profiler_node.detect.statistics import FORMATS, GAP_KEY, RATE_KEY

_REPEATED, _MORE_REPEATED, _FEWEST = 0.9, 0.3, 4
_SILENT = 0.2  # of the usual messages a second


def format_changed(comparison: Comparison) -> Cause | None:
    """A resolution, encoding, frame or calibration that the reference never had."""
    texts = []
    for name in FORMATS:
        usual = comparison.reference.formats(name)
        new = [value for value in comparison.window.counts.get(name, {}) if value not in usual]
        if usual and new:
            most = max(usual, key=lambda value: usual[value])
            texts.append(f'{name} is {new[0]!r}, {most!r} in the reference')
    return cause('format_changed', ' and '.join(texts)) if texts else None


def frozen(comparison: Comparison) -> Cause | None:
    """Messages that repeat the one before."""
    share, usual = comparison.now('repeated'), comparison.usual('repeated')
    if share is None or usual is None or comparison.window.messages < _FEWEST:
        return None
    empty = any(
        comparison.now(f'{name}:mean') == 0 for name in ('points/count', 'detections/count')
    )
    if empty or share < max(_REPEATED, usual[2] + _MORE_REPEATED):
        return None
    text = (
        f'{percent(share)} of the messages repeat the one before, '
        f'at most {percent(usual[2])} in the reference'
    )
    return cause('frozen', text)


def rate_changed(comparison: Comparison) -> Cause | None:
    """Messages more or less often, or missing."""
    alarms = comparison.alarms(['message/interval_s:q50'])
    if alarms:
        score = alarms[0]
        text = (
            f'a message every {number(1000 * score.current)} ms, '
            f'every {number(1000 * score.reference)} ms in the reference'
        )
        return cause('rate_changed', text, alarms)
    gaps = comparison.alarms([GAP_KEY])
    if gaps:
        text = (
            f'{percent(gaps[0].current)} of the messages are missing, '
            f'{percent(gaps[0].reference)} in the reference'
        )
        return cause('rate_changed', text, gaps)
    rate, usual = comparison.now(RATE_KEY), comparison.usual(RATE_KEY)
    if rate is not None and usual and usual[0] > 0 and rate < _SILENT * usual[0]:
        text = f'{number(rate)} messages a second, {number(usual[1])} in the reference'
        return cause('rate_changed', text, confirm=True)
    return None


def latency_changed(comparison: Comparison) -> Cause | None:
    """Messages that come later, or earlier, after their stamp."""
    alarms = comparison.alarms(['message/latency_s:q50'])
    if not alarms:
        return None
    score = alarms[0]
    text = (
        f'messages come {number(1000 * score.current)} ms after their stamp, '
        f'{number(1000 * score.reference)} ms in the reference'
    )
    return cause('latency_changed', text, alarms)
