"""Profiles as JSON and as tables."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from profiler_node.core.profile import Counters, Feature, NumericFeature, Profile, unit_of

RANKS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_TOP = 10


def profile_json(profile: Profile) -> dict[str, Any]:
    """Return a profile as JSON values. Numbers of a feature without values are null."""
    source = profile.source
    return {
        'robot_id': source.robot_id,
        'stream': source.stream,
        'segment': source.segment,
        'topic': source.topic,
        'message_type': source.message_type,
        'tags': dict(source.tags),
        'epoch': profile.epoch,
        'window_start_ns': profile.window_start_ns,
        'window_end_ns': profile.window_end_ns,
        'counters': _counters_json(profile.counters),
        'features': {
            name: _feature_json(name, feature) for name, feature in profile.features.items()
        },
    }


def _counters_json(counters: Counters) -> dict[str, Any]:
    return {
        name: dict(value) if name == 'decode_errors' else value
        for name in Counters.__slots__
        for value in [getattr(counters, name)]
    }


def _feature_json(name: str, feature: Feature) -> dict[str, Any]:
    head = {'kind': feature.kind, 'unit': unit_of(name)}
    if not isinstance(feature, NumericFeature):
        return {
            **head,
            'count': feature.count,
            'missing': feature.missing,
            'distinct': feature.distinct,
            'top': [[value, count] for value, count in feature.top(_TOP)],
        }
    moments = feature.moments
    statistics = ('min', 'max', 'mean', 'stddev', 'min_stamp_ns', 'max_stamp_ns')
    return {
        **head,
        'count': moments.count,
        'missing': feature.missing,
        'pos_inf': feature.pos_inf,
        'neg_inf': feature.neg_inf,
        **{key: getattr(moments, key) if moments.count else None for key in statistics},
        'quantiles': dict(zip(map(str, RANKS), feature.quantiles(RANKS), strict=False)),
    }


def selected(profiles: Iterable[Profile], stream: str, feature: str) -> Iterable[Profile]:
    """Yield the profiles of stream, each with feature alone; '' selects all."""
    for profile in profiles:
        if stream and profile.source.stream != stream:
            continue
        if feature and feature not in profile.features:
            continue
        yield profile.with_features([feature]) if feature else profile


def show_tables(profiles: Sequence[Profile], feature: str, console: Console) -> None:
    """Print a table for each stream of each robot.

    Its features over all windows, or one feature window by window.
    """
    streams = defaultdict(list)
    for profile in profiles:
        streams[profile.identity[:3]].append(profile)
    for _, unsorted in sorted(streams.items()):
        windows = sorted(unsorted, key=lambda p: (p.epoch, p.window_start_ns))
        whole = windows[0].merged(*windows[1:])
        console.print(_title(whole, len(windows)))
        if feature:
            rows = [(_clock(window), window.features[feature]) for window in windows]
            console.print(_table('window (UTC)', rows))
        else:
            console.print(_table('feature', list(whole.features.items())))
        console.print()


def _title(profile: Profile, windows: int) -> Text:
    source, counters = profile.source, profile.counters
    tags = ''.join(f'  {key}={value}' for key, value in source.tags.items())
    start, end = _utc(profile.window_start_ns), _utc(profile.window_end_ns)
    lost = {
        name: getattr(counters, name)
        for name in ('late', 'lost', 'shed', 'duplicate_stamps', 'stamp_regressions')
    } | dict(counters.decode_errors)
    trouble = ''.join(f', {count} {name}' for name, count in lost.items() if count)
    return Text.assemble(
        (source.stream, 'bold'),
        f'  {source.message_type} on {source.topic}  robot {source.robot_id}{tags}\n',
        f'{windows} window{"s" if windows > 1 else ""}, ',
        f'{start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC; ',
        f'{counters.decoded} of {counters.seen} messages decoded{trouble}; ',
        f'profiling took {counters.cpu_ns / 1e6 / max(counters.seen, 1):.2f} ms a message',
    )


def _utc(stamp_ns: int) -> datetime:
    return datetime.fromtimestamp(stamp_ns / 1e9, tz=timezone.utc)


def _clock(profile: Profile) -> str:
    epoch = f' (epoch {profile.epoch})' if profile.epoch else ''
    return f'{_utc(profile.window_start_ns):%H:%M:%S}{epoch}'


def _table(first: str, rows: Sequence[tuple[str, Feature]]) -> Table:
    table = Table(first, box=None, pad_edge=False, header_style='dim')
    for name in ('count', 'missing', 'mean', 'stddev', 'min', '5 %', 'median', '95 %', 'max'):
        table.add_column(name, justify='right', no_wrap=True)
    table.add_column('most frequent', overflow='ellipsis', no_wrap=True)
    for name, feature in rows:
        table.add_row(name, *_cells(feature))
    return table


def _cells(feature: Feature) -> list[str]:
    if not isinstance(feature, NumericFeature):
        top = ', '.join(f'{value} ({count})' for value, count in feature.top(3))
        more = f' … {feature.distinct} distinct' if feature.distinct > 3 else ''
        return [str(feature.count), str(feature.missing or ''), *[''] * 7, top + more]
    moments = feature.moments
    missing = feature.missing + feature.pos_inf + feature.neg_inf
    head = [str(moments.count), str(missing or '')]
    if not moments.count:
        return head
    low, median, high = feature.quantiles((0.05, 0.5, 0.95))
    numbers = (moments.mean, moments.stddev, moments.min, low, median, high, moments.max)
    return head + [_digits(number) for number in numbers]


def _digits(number: float) -> str:
    """Return number with five digits, or all of them before the point."""
    return f'{number:.0f}' if 1e5 <= abs(number) < 1e12 else f'{number:.5g}'
