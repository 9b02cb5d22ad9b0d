"""Which profiles are meant."""

import argparse

import pytest

from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.fleet.select import ALL, Selection, add_arguments, selection_of, time_of

TAGS = {'firmware': '1.4.2', 'model': 'yolo[7]'}
PROFILE = Profile(
    Source('robot-7', 'front/image', '/front/image', 'sensor_msgs/msg/Image', TAGS),
    *(0, 120, 180, Counters(), {}),
)


def selection(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return selection_of(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ('arguments', 'taken'),
    [
        ([], True),
        (['--robot', 'robot-7'], True),
        (['--robot', 'robot'], False),
        (['--robot', 'robot-*'], True),
        (['--robot', 'ROBOT-*'], False),
        (['--robot', 'other', '--robot', 'robot-?'], True),
        (['--stream', 'front*', '--robot', 'robot-[89]'], False),
        (['--stream', '*/image'], True),
        (['--tag', 'firmware=1.4.*'], True),
        (['--tag', 'firmware=1.4'], False),
        (['--tag', 'model=yolo[7]'], True),  # literally, though it is no match
        (['--tag', 'firmware=*', '--tag', 'site=*'], False),
        (['--start', '1970-01-01T00:00:00'], True),
        (['--start', '1970-01-01T00:00:01Z'], False),
        (['--end', '1970-01-01T01:00+01:00'], False),
        (['--end', '1970-01-01T00:00:00.000001'], True),
    ],
)
def test_a_profile_is_taken_where_all_that_is_given_fits(arguments, taken):
    assert selection(*arguments).takes(PROFILE) is taken


def test_every_window_is_in_one_of_two_spans_that_follow_each_other():
    assert Selection(start_ns=120).takes(PROFILE)
    assert not Selection(end_ns=120).takes(PROFILE)
    assert ALL.takes(PROFILE)


@pytest.mark.parametrize(
    ('text', 'stamp_ns'),
    [
        ('2023-11-14T22:13:20', 1_700_000_000_000_000_000),
        ('2023-11-14T22:13:20.123456Z', 1_700_000_000_123_456_000),
        ('2023-11-15T00:13:20+02:00', 1_700_000_000_000_000_000),
        ('1969-12-31', -86_400_000_000_000),
        ('2100-01-01', 4_102_444_800_000_000_000),
    ],
)
def test_times_are_iso_and_utc(text, stamp_ns):
    assert time_of(text) == stamp_ns


@pytest.mark.parametrize(
    'arguments', [['--tag', 'firmware'], ['--tag', '=1'], ['--start', 'noon'], ['--end', '']]
)
def test_what_cannot_be_meant_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        selection(*arguments)
    assert caught.value.code == 2
    assert repr(arguments[1]) in capsys.readouterr().err
