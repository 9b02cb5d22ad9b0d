"""Limits of features."""

import pytest

from profiler_node.detect.limits import (
    LimitsError,
    incidents_of_limits,
    limits_of,
    violations_of,
)


def test_what_is_beyond_a_limit_is_told(profile_at):
    profile = profile_at('camera', 3)
    moments = profile.features['image/brightness'].moments
    limits = limits_of(
        {
            'image/brightness': {'mean': [moments.mean + 1, None], 'max': [None, 255]},
            'image/red': {'q95': [0, 10], 'median': [0, 255]},
            'image/nothing': {'mean': [0, 1]},
            'image/encoding': {'count': [100, None]},
        }
    )
    found = violations_of(profile, limits)
    assert [(v.limit.feature, v.limit.statistic) for v in found] == [
        ('image/brightness', 'mean'),
        ('image/red', 'q95'),
    ]
    first, second = incidents_of_limits(found)
    assert (first.cause, first.severity) == ('drift', 'alert')
    assert first.scores[0].score == pytest.approx(1)
    assert first.stamps_ns == (moments.min_stamp_ns,)
    assert second.stamps_ns == (profile.features['image/red'].moments.max_stamp_ns,)


def test_missing_is_a_share(profile_at):
    profile = profile_at('depth', 3)
    assert violations_of(profile, limits_of({'depth/range_m': {'missing': [0, 0.1]}})) == []
    assert violations_of(profile, limits_of({'depth/range_m': {'missing': [0.1, 1]}}))


@pytest.mark.parametrize(
    ('document', 'text'),
    [
        (None, 'are a mapping'),
        ({'a': 3}, 'is not as'),
        ({'a': {}}, 'is not as'),
        ({'a': {'average': [0, 1]}}, 'a: average is none of mean'),
        ({'a': {'mean': [0]}}, 'is not'),
        ({'a': {'mean': [0, 'x']}}, 'is not'),
        ({'a': {'mean': [True, 2]}}, 'is not'),
        ({'a': {'mean': [2, 1]}}, 'must be <='),
        ({'a': {'mean': [None, None]}}, 'both ends are open'),
        ({'a': {'mean': [float('nan'), 1]}}, 'is not'),
    ],
)
def test_what_is_no_limit_is_refused(document, text):
    with pytest.raises(LimitsError, match=text):
        limits_of(document)
