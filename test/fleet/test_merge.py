"""Merging many profiles to few."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.core.accumulators import CategoryAccumulator, NumericAccumulator
from profiler_node.core.config import SketchConfig
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.core.sketches import rank_error
from profiler_node.fleet.merge import Grouping, Merger, grouping_of

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
START = 472_222 * HOUR  # in 2023
HOURLY = grouping_of('robot,stream,1h')
VALUES = 400  # in a window: more than a sketch holds exactly


def make(minute, robot_id='r1', stream='image', length_ns=MINUTE, epoch=0, segment='', **tags):
    """A window whose values are all its own."""
    start_ns = START + minute * MINUTE
    numbers = NumericAccumulator('scalar', SketchConfig())
    for index in range(VALUES):
        numbers.add(float((minute * VALUES + index) * 7919 % 100_003), start_ns + index)
    names = CategoryAccumulator(SketchConfig())
    names.add((robot_id, f'{minute}'), start_ns)
    source = Source(robot_id, stream, f'/{stream}', 'a/msg/B', tags, segment)
    counters = Counters(seen=VALUES, decoded=VALUES - 1, decode_errors={'bad': 1})
    features = {'field/x': numbers.finish(), 'field/name': names.finish()}
    return Profile(source, epoch, start_ns, start_ns + length_ns, counters, features)


WINDOWS = [make(minute, robot) for robot in ('r1', 'r2') for minute in range(57, 63)]


def merge(profiles, by, most_bytes=2**30):
    """What profiles are merged to, and what is said to be left out."""
    problems = []
    merger = Merger(by, io.BytesIO(), problems.append, most_bytes)
    for profile in profiles:
        merger.add(profile)
    return list(merger.finish()), [str(problem) for problem in problems]


def exact(profile):
    """All of a profile that must not depend on the order."""
    numbers, names = profile.features['field/x'], profile.features['field/name']
    moments = numbers.moments
    return (
        *(profile.identity, profile.window_end_ns, profile.source, profile.counters),
        profile.provenance,
        moments._replace(mean=pytest.approx(moments.mean), m2=pytest.approx(moments.m2)),
        (numbers.missing, names.count, names.distinct, names.top(99)),
    )


@pytest.mark.parametrize(
    ('text', 'grouping'),
    [
        ('robot,stream,1h', Grouping(robot=True, stream=True, length_ns=HOUR)),
        ('1day', Grouping(length_ns=24 * HOUR)),
        ('2d', Grouping(length_ns=48 * HOUR)),
        ('1week', Grouping(length_ns=7 * 24 * HOUR)),
        ('segment, epoch', Grouping(segment=True, epoch=True)),
        ('90s,tag:firmware,tag:a:b', Grouping(tags=('firmware', 'a:b'), length_ns=90 * 10**9)),
        ('5min', Grouping(length_ns=5 * MINUTE)),
    ],
)
def test_what_is_kept_apart_is_named(text, grouping):
    assert grouping_of(text) == grouping


@pytest.mark.parametrize('text', ['', 'robots', '1', '0h', '1h,5min', 'tag:', '1.5h', 'robot,'])
def test_what_cannot_be_meant_is_refused(text):
    with pytest.raises(ValueError, match=r'none of robot|more than one'):
        grouping_of(text)


def test_windows_are_merged_by_robot_and_hour():
    merged, problems = merge(WINDOWS, HOURLY)
    assert problems == []
    assert [
        (p.source.robot_id, p.window_start_ns - START, p.window_end_ns - START) for p in merged
    ] == [
        ('r1', 0, HOUR),
        ('r2', 0, HOUR),
        ('r1', HOUR, 2 * HOUR),
        ('r2', HOUR, 2 * HOUR),
    ]
    assert [p.provenance.profiles for p in merged] == [3] * 4
    first = merged[0].provenance
    assert (first.start_ns - START, first.end_ns - START) == (57 * MINUTE, HOUR)
    assert merged[0].features['field/x'].moments.count == 3 * VALUES


def test_what_differs_and_is_not_named_becomes_a_star():
    parts = [
        make(0, 'r1', firmware='1', site='a', epoch=2, segment='day'),
        make(0, 'r2', firmware='2', site='a', epoch=1, segment='night'),
    ]
    (merged,), _ = merge(parts, Grouping())
    source = merged.source
    assert (source.robot_id, source.stream, source.segment) == ('*', 'image', '*')
    assert (dict(source.tags), merged.epoch) == ({'site': 'a'}, 1)
    assert merged.provenance.distinct_robots == 2


@pytest.mark.parametrize(
    ('by', 'groups'),
    [
        ('robot', 2), ('stream', 2), ('segment', 2), ('epoch', 2), ('tag:site', 4), ('1min', 2),
        ('robot,stream', 3), ('tag:none', 1), ('robot,stream,segment,epoch,tag:site', 5),
    ],
)  # fmt: skip
def test_each_key_keeps_apart_what_differs_in_it(by, groups):
    parts = [
        make(0, 'r1', 'image', site='a'),
        make(0, 'r2', 'image', site='b'),
        make(0, 'r1', 'scan'),
        make(0, 'r1', 'image', epoch=1, site=''),
        make(1, 'r1', 'image', segment='night', site='a'),
    ]
    assert len(merge(parts, grouping_of(by))[0]) == groups


@given(st.permutations(WINDOWS), st.sampled_from(['1h', 'robot,5min', 'stream']), st.booleans())
def test_neither_order_nor_lack_of_memory_changes_the_result(windows, by, short):
    expected, _ = merge(WINDOWS, grouping_of(by))
    merged, problems = merge(windows, grouping_of(by), most_bytes=1 if short else 2**30)
    assert problems == []
    assert list(map(exact, merged)) == list(map(exact, expected))


@given(st.permutations(WINDOWS), st.integers(0, len(WINDOWS)))
def test_merging_what_was_merged_gives_the_same_as_merging_all_at_once(windows, cut):
    parts = [*merge(windows[:cut], grouping_of('robot,1h'))[0], *merge(windows[cut:], HOURLY)[0]]
    again, _ = merge(parts, grouping_of('1day'))
    whole, _ = merge(WINDOWS, grouping_of('1day'))
    assert list(map(exact, again)) == list(map(exact, whole))


def test_quantiles_are_within_the_error_of_the_sketch():
    windows = [make(minute) for minute in range(50)]
    (merged,), _ = merge(windows, Grouping(), most_bytes=1)
    values = sorted((n * 7919) % 100_003 for n in range(50 * VALUES))
    for rank in (0.01, 0.25, 0.5, 0.75, 0.99):
        (value,) = merged.features['field/x'].quantiles([rank])
        found = sum(each <= value for each in values) / len(values)
        assert abs(found - rank) <= rank_error(200)


def test_merging_again_is_the_same_profile_and_of_other_parts_another_one():
    (merged,), _ = merge(WINDOWS[:3], HOURLY)
    (again,), _ = merge([merged], HOURLY)
    (fewer,), _ = merge(WINDOWS[:2], HOURLY)
    (single,), _ = merge(WINDOWS[:1], HOURLY)
    assert again.identity == merged.identity
    assert len({p.identity for p in (merged, fewer, single, *WINDOWS)}) == 3 + len(WINDOWS)
    assert single.provenance.profiles == 1


def test_a_window_longer_than_the_slot_stays_whole():
    (merged,), _ = merge([make(3, length_ns=10 * MINUTE)], grouping_of('5min'))
    assert merged.window_start_ns == START
    assert merged.window_end_ns == START + 13 * MINUTE


def test_windows_before_1970_have_slots_too():
    early = replace(make(0), window_start_ns=-MINUTE, window_end_ns=0)
    (merged,), _ = merge([early], HOURLY)
    assert (merged.window_start_ns, merged.window_end_ns) == (-HOUR, 0)


@pytest.mark.parametrize(
    ('feature', 'message'),
    [
        (WINDOWS[0].features['field/x']._replace(kll=b'junk'), 'damaged sketch'),
        (WINDOWS[0].features['field/name'], 'field/x is '),  # of another kind
    ],
)
@pytest.mark.parametrize('robots', [1, 2])  # of two, one group at a time is in memory
def test_a_profile_that_does_not_fit_is_named_and_the_others_are_merged(feature, message, robots):
    windows = [make(minute, f'r{n}') for minute in range(4) for n in range(robots)]
    wrong = 2 * robots
    windows[wrong].features['field/x'] = feature
    merged, problems = merge(windows, HOURLY, most_bytes=1)
    assert [p.provenance.profiles for p in merged] == [3, 4][:robots]
    (problem,) = problems
    assert problem.startswith(f'r0 image, 1 window(s) at {START / 10**9 + 120:.3f} s: left out: ')
    assert message in problem


@pytest.mark.parametrize('count', [15, 16, 17, 40])
def test_a_group_of_which_no_profile_can_be_read_is_named_and_left_out(count):
    windows = [make(minute) for minute in range(count)]
    for window in windows:
        window.features['field/x'] = window.features['field/x']._replace(kll=b'junk')
    merged, problems = merge([*windows, make(70)], HOURLY)
    assert [p.provenance.profiles for p in merged] == [1]
    assert len(problems) == count


@pytest.mark.parametrize('most_bytes', [1, 2**30])  # of two groups, one at a time is in memory
def test_a_profile_that_brings_the_sums_out_of_range_is_left_out(most_bytes):
    huge = Counters(seen=2**63)
    windows = [make(minute, robot_id) for minute in range(20) for robot_id in ('r1', 'r2')]
    windows[4], windows[8] = (replace(windows[n], counters=huge) for n in (4, 8))
    merged, problems = merge(windows, HOURLY, most_bytes)
    assert sorted(p.provenance.profiles for p in merged) == [19, 20]
    assert len(problems) == 1
    assert 'r1 image, 1 window(s) at ' in problems[0]
    assert 'no edge_profiler.v1.Profile holds this' in problems[0]


def test_nothing_merged_is_nothing():
    assert merge([], HOURLY) == ([], [])


def test_a_profile_is_written_to_the_file_once_if_its_group_is_over():
    file = io.BytesIO()
    merger = Merger(HOURLY, file, pytest.fail, most_bytes=1)
    for minute in range(180):
        merger.add(make(minute))
    size = len(file.getvalue())
    merged = list(merger.finish())
    assert [p.provenance.profiles for p in merged] == [60] * 3
    assert 0 < size < 3 * 8_000


def test_memory_is_counted_as_it_is_used():
    file = io.BytesIO()
    merger = Merger(HOURLY, file, pytest.fail, most_bytes=50 * 5_000)  # of some 5 kB each
    for minute in range(60):
        for robot_id in ('r1', 'r2'):
            merger.add(make(minute, robot_id))
    assert file.getvalue() == b''
    assert len(list(merger.finish())) == 2


def test_the_group_that_is_in_use_stays_in_memory():
    file = io.BytesIO()
    merger = Merger(HOURLY, file, pytest.fail, most_bytes=100_000)
    for minute in range(60):
        merger.add(make(minute, 'in use'))
        merger.add(make(minute, f'other {minute}'))
    assert b'other 9' in file.getvalue()
    assert b'in use' not in file.getvalue()
