"""The wire format: round trips, versions, and a payload that must be readable forever."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.core.accumulators import CategoryAccumulator, NumericAccumulator
from profiler_node.core.config import SketchConfig
from profiler_node.core.observation import Levels
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.wire.codec import WireError, _Message, decode, encode

GOLDEN = Path(__file__).with_name('golden_v1.pb')
START = 1_700_000_000 * 10**9


def example(tags=(('firmware', '1.4.2'),), robot_id='robot-7', value=2.5):
    scalar = NumericAccumulator('scalar', SketchConfig())
    for index, number in enumerate((value, 1.0, float('nan'), float('inf'))):
        scalar.add(number, START + index)
    empty = NumericAccumulator('scalar', SketchConfig())
    empty.add(float('nan'), START)
    category = CategoryAccumulator(SketchConfig())
    for text in ('bgr8', 'bgr8', 'Grün'):
        category.add(text, START)
    levels = NumericAccumulator('elements', SketchConfig())
    levels.add(Levels(np.array([0, 3, 0, 5])), START + 9)
    return Profile(
        source=Source(robot_id, 'front', '/image', 'sensor_msgs/msg/Image', dict(tags), 'night'),
        epoch=3,
        window_start_ns=START,
        window_end_ns=START + 60 * 10**9,
        counters=Counters(
            seen=9, decoded=4, decode_errors={'bad_step': 2, 'malformed': 1}, shed=1, late=1,
            lost=5, duplicate_stamps=6, stamp_regressions=7, cpu_ns=8, peak_rss_bytes=2**33,
        ),
        features={
            'image/brightness': scalar.finish(),
            'image/encoding': category.finish(),
            'image/hue_deg': empty.finish(),
            'image/red': levels.finish(),
        },
    )  # fmt: skip


@given(
    st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=4),
    st.text(max_size=20),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)
def test_a_profile_survives_the_round_trip(tags, robot_id, value):
    profile = example(tags.items(), robot_id, value)
    assert decode(encode(profile)) == profile


def test_equal_profiles_have_equal_bytes():
    tags = {'a': '1', 'b': '2'}
    profile = example(tags.items())
    shuffled = replace(profile, features=dict(reversed(profile.features.items())))
    shuffled = replace(shuffled, source=replace(profile.source, tags={'b': '2', 'a': '1'}))
    assert encode(shuffled) == encode(profile)
    assert encode(decode(encode(profile))) == encode(profile)


def test_the_golden_payload_of_version_1_is_read_as_it_was_written():
    profile = decode(GOLDEN.read_bytes())
    expected = example()
    assert profile.identity == expected.identity
    assert (profile.source, profile.counters) == (expected.source, expected.counters)
    brightness = profile.features['image/brightness']
    assert brightness.moments == expected.features['image/brightness'].moments
    assert (brightness.missing, brightness.pos_inf, brightness.neg_inf) == (1, 1, 0)
    assert brightness.quantiles([0.0, 1.0]) == [1.0, 2.5]
    assert profile.features['image/hue_deg'].missing == 1
    assert profile.features['image/red'].kind == 'elements'
    assert profile.features['image/red'].moments.max_stamp_ns == START + 9
    assert profile.features['image/red'].quantiles([0.3, 0.9]) == [1.0, 3.0]
    assert profile.features['image/encoding'].top(3) == [('bgr8', 2), ('Grün', 1)]
    assert profile.features['image/encoding'].distinct == 2


def test_an_unknown_wire_version_is_refused_by_name():
    message = _Message.FromString(encode(example()))
    message.wire_version = 2
    with pytest.raises(WireError, match=r'wire version 2 is not supported.* version 1'):
        decode(message.SerializeToString())


def test_an_unknown_kind_of_feature_is_refused_by_name():
    message = _Message.FromString(encode(example()))
    message.features[0].kind = 9
    with pytest.raises(WireError, match='image/brightness: feature kind 9'):
        decode(message.SerializeToString())


@pytest.mark.parametrize('size', [0, 1, 10, 100, -1])
def test_bytes_that_are_no_profile_are_refused(size):
    with pytest.raises(WireError):
        decode(encode(example())[:size])


@pytest.mark.parametrize(
    'changes',
    [
        {'counters': Counters(seen=2**64)},
        {'counters': Counters(lost=-1)},
        {'window_start_ns': -(2**63) - 1},
        {'source': Source('\ud800', '', '', '')},
        {'epoch': 2**80},
    ],
)
def test_a_profile_that_the_format_does_not_hold_is_refused(changes):
    with pytest.raises(WireError, match='Profile holds this profile'):
        encode(replace(example(), **changes))


def test_what_a_profile_was_merged_from_survives_the_round_trip():
    parts = [replace(example(robot_id=f'r{n}'), window_start_ns=START - n) for n in range(3)]
    merged = parts[0].merged(*parts[1:])
    assert merged.provenance.profiles == merged.provenance.distinct_robots == 3
    assert decode(encode(merged)) == merged
    assert decode(GOLDEN.read_bytes()).provenance is None
