"""Incidents: what is upstream, which robots, which tag, since when, and where to look."""

from dataclasses import replace

import pytest

from profiler_node.detect.cause import cause
from profiler_node.detect.comparison import Score
from profiler_node.detect.incidents import incidents_of, silent_streams
from profiler_node.detect.judge import Verdict

MINUTE = 60 * 10**9


@pytest.fixture
def verdict(normal_windows):
    """A verdict on a window of a stream, with causes of which each has one score."""

    def make(stream, minute, *names, robot_id='r1', tags=None, feature='depth/range_m'):
        window = replace(
            normal_windows[stream][0],
            robot_id=robot_id,
            tags=tags or {},
            start_ns=minute * MINUTE,
            end_ns=(minute + 1) * MINUTE,
            stamps_ns={feature: (1000 + minute, 2000 + minute)},
        )
        score = Score(f'{feature}:q50', 2.3, 0.5, 2.0, 20.0, 2.3)
        causes = tuple(cause(name, f'evidence of {name}', [score]) for name in names)
        status = 'alert' if causes else 'ok'
        return Verdict(window, status, causes)

    return make


def test_depth_comes_before_the_boxes_that_are_missing_for_it(verdict):
    verdicts = [
        verdict('boxes', 5, 'fewer_objects'),
        verdict('depth', 5, 'scale_changed'),
        verdict('depth', 6, 'scale_changed'),
        verdict('boxes', 6, 'fewer_objects'),
    ]
    (incident,) = incidents_of(verdicts)
    assert incident.cause == 'scale_changed'
    assert incident.streams == ('depth', 'boxes')
    assert incident.evidence.startswith('depth: evidence of scale_changed; with it fewer_objects')
    assert incident.first_window_start_ns == 5 * MINUTE
    assert incident.last_window_start_ns == 6 * MINUTE
    assert incident.stamps_ns == (2005, 2006)


def test_boxes_of_another_robot_are_no_consequence(verdict):
    verdicts = [
        verdict('depth', 5, 'scale_changed'),
        verdict('boxes', 5, 'fewer_objects', robot_id='r2'),
    ]
    assert {(each.cause, each.robots) for each in incidents_of(verdicts)} == {
        ('scale_changed', ('r1',)),
        ('fewer_objects', ('r2',)),
    }


def test_what_ended_is_another_incident(verdict):
    minutes = [5, 6, 8, 20]
    found = incidents_of([verdict('depth', minute, 'scale_changed') for minute in minutes])
    spans = [(i.first_window_start_ns // MINUTE, i.last_window_start_ns // MINUTE) for i in found]
    assert spans == [(5, 8), (20, 20)]


def test_the_same_on_many_robots_is_one_incident_with_the_tag_that_tells_them(verdict):
    verdicts = []
    for number in range(10):
        is_new = number < 4
        tags = {'firmware': '2' if is_new else '1', 'site': 'oslo' if number % 2 else 'bergen'}
        names = ('channels_swapped',) if is_new else ()
        robot_id = f'r{number}'
        verdicts.append(verdict('camera', 5, *names, robot_id=robot_id, tags=tags))
    (incident,) = incidents_of(verdicts)
    assert incident.robots == ('r0', 'r1', 'r2', 'r3')
    assert incident.tags == {'firmware': '2'}
    assert 'firmware=2 has 4 of 4 affected robot(s) and 0 of 6 other(s)' in incident.evidence


def test_a_tag_that_does_not_tell_them_is_not_named(verdict):
    verdicts = [
        verdict(
            'camera', 5, *(['black'] if n < 3 else []), robot_id=f'r{n}', tags={'a': str(n % 2)}
        )
        for n in range(8)
    ]
    (incident,) = incidents_of(verdicts)
    assert incident.tags == {}


def test_a_stream_that_is_gone_is_told(normal_windows):
    every = [*normal_windows['camera'], *normal_windows['depth']]
    (incident,) = silent_streams(every, normal_windows['camera'][:3])
    assert (incident.cause, incident.streams) == ('rate_changed', ('depth',))
    assert silent_streams(every, every) == []
