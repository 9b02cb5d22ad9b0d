"""Merging profiles."""

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.core.accumulators import CategoryAccumulator, NumericAccumulator
from profiler_node.core.config import SketchConfig
from profiler_node.core.profile import Counters, Profile, ProfileError, Source, unit_of

SOURCE = Source('r1', 'image', '/image', 'sensor_msgs/msg/Image', {'firmware': '1', 'site': 'a'})


def scalar(*values):
    accumulator = NumericAccumulator('scalar', SketchConfig())
    for index, value in enumerate(values):
        accumulator.add(value, index)
    return accumulator.finish()


def category(*values):
    accumulator = CategoryAccumulator(SketchConfig())
    for value in values:
        accumulator.add(value, 0)
    return accumulator.finish()


def make(start, features, source=SOURCE, **counters):
    return Profile(source, 0, start, start + 60, Counters(**counters), features)


def test_merged_has_the_data_of_all_and_leaves_them_alone():
    first = make(0, {'a/x': scalar(1.0, 2.0)}, seen=2, decode_errors={'bad': 1}, peak_rss_bytes=9)
    second = make(60, {'a/x': scalar(6.0), 'a/y': category('k')}, seen=5, peak_rss_bytes=7)
    before = [dict(profile.features) for profile in (first, second)]
    merged = first.merged(second)
    assert [dict(profile.features) for profile in (first, second)] == before
    assert (merged.window_start_ns, merged.window_end_ns) == (0, 120)
    assert (merged.counters.seen, merged.counters.peak_rss_bytes) == (7, 9)
    assert merged.counters.decode_errors == {'bad': 1}
    assert merged.features['a/x'].moments.mean == 3.0
    assert merged.features['a/x'].quantiles([0.5]) == [2.0]
    assert merged.features['a/y'].top(1) == [('k', 1)]
    again = second.merged(first)
    assert again.counters == merged.counters
    assert again.features['a/x'].moments == merged.features['a/x'].moments
    assert again.features['a/x'].quantiles([0.1, 0.5, 0.9]) == [1.0, 2.0, 6.0]


def test_merging_many_at_once_is_merging_one_by_one():
    sources = [
        Source(f'r{n}', 'image', '/image', 'sensor_msgs/msg/Image', {'site': 'a', 'rack': str(n)})
        for n in range(3)
    ]
    first, *others = (
        make(
            60 * n,
            {'a/x': scalar(float(n), 5.0), 'a/y': category('k'), f'a/{n}': scalar(1.0)},
            source,
            seen=n + 1,
            decode_errors={'bad': n, f'bad_{n}': 1},
            peak_rss_bytes=9 - n,
        )
        for n, source in enumerate(sources)
    )
    at_once, one_by_one = first.merged(*others), reduce(Profile.merged, others, first)
    assert at_once == one_by_one
    assert dict(at_once.source.tags) == {'site': 'a'}
    assert at_once.counters.decode_errors == {'bad': 3, 'bad_0': 1, 'bad_1': 1, 'bad_2': 1}


def test_a_label_that_a_window_does_not_mention_was_in_none_of_its_messages():
    first = make(0, {'detections/count': scalar(3.0, 5.0)})
    second = make(60, {'detections/count': scalar(1.0), 'detections/count/cat': scalar(1.0)})
    for merged in (first.merged(second), second.merged(first)):
        cats = merged.features['detections/count/cat']
        assert (cats.moments.count, cats.moments.mean, cats.moments.max) == (3, 1 / 3, 1.0)
        assert cats.quantiles([0.5, 1.0]) == [0.0, 1.0]
        assert cats.moments.m2 == pytest.approx(2 / 3)


def test_of_a_label_that_may_be_among_the_others_nothing_is_made_up():
    full = {'detections/count': scalar(3.0), 'detections/count/other': scalar(3.0)}
    second = make(60, {'detections/count': scalar(1.0), 'detections/count/cat': scalar(1.0)})
    merged = make(0, full).merged(second)
    assert merged.features['detections/count/cat'].moments.count == 1
    assert merged.features['detections/count/other'].moments.count == 2


def test_what_differs_between_robots_becomes_a_star():
    other = Source('r2', 'image', '/image', 'sensor_msgs/msg/Image', {'firmware': '2', 'site': 'a'})
    merged = make(0, {}).merged(make(0, {}, other))
    assert (merged.source.robot_id, merged.source.topic) == ('*', '/image')
    assert dict(merged.source.tags) == {'site': 'a'}


def test_features_of_different_kinds_do_not_merge():
    with pytest.raises(ProfileError, match='a/x is categorical and scalar'):
        make(0, {'a/x': scalar(1.0)}).merged(make(0, {'a/x': category('k')}))


def test_missing_and_infinite_values_stay_out_of_the_moments():
    inf = float('inf')
    feature = scalar(1.0, float('nan'), inf, inf, -inf, 3.0)
    assert (feature.missing, feature.pos_inf, feature.neg_inf) == (1, 2, 1)
    assert (feature.moments.count, feature.moments.mean, feature.moments.max) == (2, 2.0, 3.0)
    assert feature.quantiles([0.0, 1.0]) == [1.0, 3.0]


def test_a_feature_without_values_merges():
    empty = scalar(float('nan'))
    assert empty.quantiles([0.5]) == []
    merged = make(0, {'a/x': empty}).merged(make(0, {'a/x': scalar(4.0)}))
    assert merged.features['a/x'].moments.min == 4.0


def test_blocks_of_values_add_up():
    values = [float(n % 97) for n in range(1000)]
    feature = scalar(*values)
    assert feature.moments.count == 1000
    assert feature.moments.mean == pytest.approx(sum(values) / 1000, rel=1e-12)
    assert feature.moments.max_stamp_ns == 96


def test_strange_categories_are_kept_within_bounds():
    feature = category('\ud800', 'x' * 10_000, 'x' * 10_000, 'a\0b')
    assert feature.count == 4
    assert [(name[:119], count) for name, count in feature.top(1)] == [('x' * 119, 2)]
    assert {value[:119] for value, _ in feature.top(9)} == {'x' * 119, '?', 'a\0b'}


def test_very_many_labels_take_bounded_space():
    accumulator = CategoryAccumulator(SketchConfig())
    for number in range(100_000):
        accumulator.add(f'label-{number}', 0)
    feature = accumulator.finish()
    assert len(feature.hll) + len(feature.frequent) < 10_000
    assert feature.distinct == pytest.approx(100_000, rel=0.05)


@pytest.mark.parametrize(
    ('name', 'unit'),
    [
        ('message/size_bytes', 'byte'),
        ('image/hue_deg', 'deg'),
        ('depth/range_m', 'm'),
        ('image/red', ''),
        ('image/red_mean', ''),
        ('message/latency_s', 's'),
        ('detections/count/lane_m', ''),
    ],
)
def test_the_unit_is_in_the_name(name, unit):
    assert unit_of(name) == unit


def parts():
    """Windows of three robots, of which two share a minute; one robot's windows differ in kind."""
    return [
        make(60 * n, {'a/x': scalar(float(n), -1.0), 'a/y': category(f'k{n % 2}')}, source, seen=n)
        for n, source in enumerate([SOURCE, SOURCE, replace(SOURCE, robot_id='r2')] * 2)
    ]


def test_a_merged_profile_says_what_it_was_merged_from():
    single = make(60, {})
    assert single.provenance is None
    assert (single.origin.profiles, single.origin.distinct_robots) == (1, 1)
    first, *others = parts()
    provenance = first.merged(*others).provenance
    assert (provenance.profiles, provenance.distinct_robots) == (6, 2)
    assert (provenance.start_ns, provenance.end_ns) == (0, 360)


@given(st.permutations(range(6)), st.integers(1, 5), st.integers(1, 5))
def test_merging_in_any_order_and_grouping_gives_the_same(order, cut, size):
    every = parts()
    whole = every[0].merged(*every[1:])
    shuffled = [every[index] for index in order]
    groups = [shuffled[:cut], *(shuffled[i : i + size] for i in range(cut, 6, size))]
    merged = [group[0].merged(*group[1:]) for group in groups]
    again = merged[0].merged(*merged[1:])
    assert again.provenance == whole.provenance
    assert (again.identity, again.counters) == (whole.identity, whole.counters)
    ours, theirs = (profile.features['a/x'].moments for profile in (again, whole))
    assert ours == theirs._replace(mean=pytest.approx(theirs.mean), m2=pytest.approx(theirs.m2))
    assert again.features['a/y'].top(9) == whole.features['a/y'].top(9)


def test_a_merged_profile_is_neither_its_parts_nor_another_merge_of_them():
    first, second, third, *_ = parts()
    merged = [first.merged(second), first.merged(second, third), second.merged(third)]
    assert len({p.identity for p in (first, second, third, *merged)}) == 6
    assert len({p.identity.digest for p in (first, second, third, *merged)}) == 6
    assert second.merged(first).identity == first.merged(second).identity


def test_the_parts_of_one_window_are_that_window():
    first, second = (make(0, {'a/x': scalar(float(n))}, seen=1) for n in range(2))
    assert first.merged(second).provenance is None
    assert first.merged(second).identity == first.identity


def test_the_stamps_of_a_label_that_is_not_mentioned_do_not_depend_on_the_order():
    first, second, third = (
        make(60 * n, {'detections/count': scalar(float(count), 9.0 - count)})
        for n, count in enumerate((3, 1, 2))
    )
    third.features['detections/count/cat'] = scalar(1.0, 1.0)
    merges = [
        first.merged(second, third),
        first.merged(second).merged(third),
        third.merged(second).merged(first),
        second.merged(first.merged(third)),
    ]
    (moments,) = {merged.features['detections/count/cat'].moments for merged in merges}
    assert (moments.count, moments.min, moments.min_stamp_ns) == (6, 0.0, 0)
