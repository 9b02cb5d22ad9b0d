"""Profiles as JSON and as tables."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from profiler_node.core.config import NS_PER_S
from profiler_node.core.profile import (
    CategoricalFeature,
    Counters,
    Feature,
    NumericFeature,
    Profile,
    Provenance,
    unit_of,
)

RANKS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_TOP = 10
_STATISTICS = ('mean', 'stddev', 'min', '5 %', 'median', '95 %', 'max')
_FEW_STATISTICS = ('mean', 'min', 'median', 'max')
_WIDE_COLUMNS = 110  # of a terminal that all statistics fit in


def profile_json(profile: Profile) -> dict[str, Any]:
    """Return a profile as JSON values. Statistics of a feature without values are null."""
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
        'merged_from': _provenance_json(profile.provenance),
        'counters': _counters_json(profile.counters),
        'features': {
            name: _feature_json(name, feature) for name, feature in profile.features.items()
        },
    }


def _provenance_json(provenance: Provenance | None) -> dict[str, int] | None:
    """Return what a profile was merged from, null for a single window."""
    if provenance is None:
        return None
    return {
        'profiles': provenance.profiles,
        'robots': provenance.distinct_robots,
        'start_ns': provenance.start_ns,
        'end_ns': provenance.end_ns,
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
        **{key: _json(getattr(moments, key)) if moments.count else None for key in statistics},
        'quantiles': dict(zip_longest(map(str, RANKS), feature.quantiles(RANKS))),
    }


def _json(number: float) -> float | None:
    """Return number, null for what JSON has no number for."""
    return number if math.isfinite(number) else None


def with_feature(profiles: Iterable[Profile], feature: str) -> Iterator[Profile]:
    """Yield the profiles that have feature, each with it alone; '' selects all."""
    for profile in profiles:
        if not feature:
            yield profile
        elif feature in profile.features:
            yield profile.with_features([feature])


def show_tables(profiles: Sequence[Profile], feature: str, console: Console) -> None:
    """Print a table for each stream of each robot.

    Its features over all windows, or one feature window by window.
    """
    streams = defaultdict(list)
    for profile in profiles:
        streams[profile.identity[:3]].append(profile)
    for _, unsorted in sorted(streams.items()):
        windows = sorted(unsorted, key=lambda p: (p.window_start_ns, p.epoch))
        whole = windows[0].merged(*windows[1:])
        console.print(_title(whole))
        rows: list[tuple[str, Feature]]
        if feature:
            rows = [(_window(window), window.features[feature]) for window in windows]
        else:
            rows = list(whole.features.items())
        for table in _tables('window (UTC)' if feature else 'feature', rows, console.width):
            console.print(table)
        console.print()


def _title(profile: Profile) -> Text:
    source, counters, origin = profile.source, profile.counters, profile.origin
    robots = origin.distinct_robots
    segment = f'  {source.segment}' if source.segment else ''
    tags = ''.join(f'  {key}={value}' for key, value in source.tags.items())
    lost = {
        name: getattr(counters, name)
        for name in (
            *('late', 'lost', 'shed', 'duplicate_stamps', 'stamp_regressions', 'zero_stamps'),
            *('foreign_stamps', 'interruptions'),
        )
    } | dict(counters.decode_errors)
    trouble = ''.join(f', {count} {name}' for name, count in lost.items() if count)
    kind = ' on '.join(filter(None, (source.message_type, source.topic)))
    whence = '  '.join(filter(None, (kind, f'robot {source.robot_id}{tags}')))
    cost = f'; profiling took {counters.cpu_ns / 1e6 / max(counters.seen, 1):.2f} ms a message'
    return Text.assemble(
        (printable(source.stream + segment), 'bold'),
        printable(f'  {whence}'),
        f'\n{origin.profiles} window{"s" if origin.profiles > 1 else ""}',
        f' of {robots} robots, ' if robots > 1 else ', ',
        f'{utc(profile.window_start_ns)} to {utc(profile.window_end_ns)} UTC; ',
        f'{counters.decoded} of {counters.seen} messages decoded{trouble}',
        cost if counters.cpu_ns else '',
    )


def utc(stamp_ns: int) -> str:
    """Return date and time, with a fraction only where there is one."""
    seconds, fraction_ns = divmod(stamp_ns, NS_PER_S)
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    fraction = f'.{fraction_ns:09d}'.rstrip('0') if fraction_ns else ''
    return f'{moment:%Y-%m-%d %H:%M:%S}{fraction}'


def _window(profile: Profile) -> str:
    epoch = f' (epoch {profile.epoch})' if profile.epoch else ''
    return f'{utc(profile.window_start_ns)}{epoch}'


def printable(text: str) -> str:
    """Return text from a robot without what would steer a terminal."""
    return ''.join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _tables(first: str, rows: Sequence[tuple[str, Feature]], width: int) -> Iterator[Table]:
    """Yield a table of the numbers and one of the categories, where there are any."""
    numeric = [(name, feature) for name, feature in rows if isinstance(feature, NumericFeature)]
    if numeric:
        yield _numeric_table(first, numeric, width)
    categorical = [
        (name, feature) for name, feature in rows if isinstance(feature, CategoricalFeature)
    ]
    if categorical:
        yield _categorical_table(first, categorical)


def _empty_table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style='dim')
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify='right', no_wrap=True)
    return table


def _numeric_table(first: str, rows: Sequence[tuple[str, NumericFeature]], width: int) -> Table:
    statistics = _STATISTICS if width >= _WIDE_COLUMNS else _FEW_STATISTICS
    any_missing = any(map(_missing, (feature for _, feature in rows)))
    table = _empty_table(first, 'count', *['missing'] * any_missing, *statistics)
    for name, feature in rows:
        moments = feature.moments
        cells = [printable(name), str(moments.count)]
        cells += [str(_missing(feature) or '')] * any_missing
        if moments.count:
            quantiles = feature.quantiles((0.05, 0.5, 0.95))
            values = dict(zip(('5 %', 'median', '95 %'), quantiles, strict=True))
            values |= {key: getattr(moments, key) for key in ('mean', 'stddev', 'min', 'max')}
            cells += [_digits(values[key]) for key in statistics]
        table.add_row(*cells)
    return table


def _missing(feature: NumericFeature) -> int:
    return feature.missing + feature.pos_inf + feature.neg_inf


def _categorical_table(first: str, rows: Sequence[tuple[str, CategoricalFeature]]) -> Table:
    table = _empty_table(first, 'count', 'distinct')
    table.add_column('most frequent', overflow='ellipsis', no_wrap=True)
    for name, feature in rows:
        top = ', '.join(f'{value} ({count})' for value, count in feature.top(3))
        table.add_row(printable(name), str(feature.count), str(feature.distinct), printable(top))
    return table


def _digits(number: float) -> str:
    """Return number with five digits, or all of them before the point."""
    text = f'{number:.0f}' if 99_999 <= abs(number) < 1e12 else f'{number:.5g}'
    return '0' if text == '-0' else text
