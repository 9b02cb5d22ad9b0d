"""Event time: windows, lateness and epochs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.profile import Source
from profiler_node.core.timeline import Message
from profiler_node.core.windows import Windows

SECOND = 10**9
SOURCE = Source('robot', 'image', '/image', 'sensor_msgs/msg/Image')


def make(length_s=10.0, lateness_s=2.0, epoch=0):
    return Windows(SOURCE, WindowConfig(length_s, lateness_s), SketchConfig(), epoch)


def add(windows, *times_s, error=''):
    closed = []
    for time_s in times_s:
        observation = {'test/value': float(time_s)}
        closed += windows.add(Message(round(time_s * SECOND), observation, error))
    return closed


def spans(profiles):
    return [(p.epoch, p.window_start_ns / SECOND, p.counters.seen) for p in profiles]


def test_windows_are_aligned_to_the_epoch_and_half_open():
    windows = make()
    closed = add(windows, 13.0, 19.999999999, 20.0) + windows.close()
    assert spans(closed) == [(0, 10.0, 2), (0, 20.0, 1)]
    assert closed[0].window_end_ns == 20 * SECOND


def test_a_window_closes_when_the_newest_stamp_is_past_it_by_the_lateness():
    windows = make()
    assert add(windows, 15.0, 21.9) == []
    assert spans(add(windows, 22.0)) == [(0, 10.0, 1)]


def test_a_message_within_the_lateness_joins_its_window():
    windows = make()
    add(windows, 15.0, 21.0, 19.5)
    (first, second) = windows.close()
    assert (first.counters.seen, second.counters.seen) == (2, 1)
    assert second.counters.late == 0
    assert first.counters.stamp_regressions == 1


def test_a_straggler_is_counted_as_late_and_splits_nothing():
    windows = make()
    closed = add(windows, 15.0, 25.0, 16.0, 26.0) + windows.close()
    assert spans(closed) == [(0, 10.0, 1), (0, 20.0, 3)]
    counters = closed[1].counters
    assert (counters.late, counters.decoded, counters.seen) == (1, 2, 3)
    assert closed[1].features['test/value'].moments.count == 2


def test_a_loop_starts_a_new_epoch_and_loses_nothing():
    windows = make()
    times = [10.0, 14.0, 18.0, 22.0, 26.0]
    closed = add(windows, *times, *times) + windows.close()
    assert spans(closed) == [(0, 10.0, 3), (0, 20.0, 2), (1, 10.0, 3), (1, 20.0, 2)]
    assert [p.counters.stamp_regressions for p in closed] == [0, 0, 1, 0]


@pytest.mark.parametrize('times', [(10.0, 14.0), (10.0, 15.0, 20.0), (10.0, 27.0)])
def test_loops_of_few_messages_are_epochs_too(times):
    """The last ones are within the lateness of the newest: they are a repetition all the same."""
    windows = make()
    closed = add(windows, *times * 4) + windows.close()
    first = add(windows := make(), *times) + windows.close()
    assert [p.epoch for p in closed] == [epoch for epoch in range(4) for _ in first]
    assert [p.counters.seen for p in closed] == [p.counters.seen for p in first] * 4
    assert [p.features['test/value'].moments for p in closed] == [
        p.features['test/value'].moments for p in first
    ] * 4


def test_loops_within_the_lateness_are_told_apart_without_it():
    """They look as messages that are out of order; nothing is lost."""
    times = [10.0, 11.0] * 3
    closed = add(windows := make(), *times) + windows.close()
    assert spans(closed) == [(0, 10.0, 6)]
    closed = add(windows := make(lateness_s=0.0), *times) + windows.close()
    assert spans(closed) == [(0, 10.0, 2), (1, 10.0, 2), (2, 10.0, 2)]


def test_what_is_out_of_order_beside_a_straggler_joins_its_window():
    windows = make()
    closed = add(windows, 15.0, 25.0, 16.0, 24.5, 24.6, 26.0) + windows.close()
    assert spans(closed) == [(0, 10.0, 1), (0, 20.0, 5)]
    counters = closed[1].counters
    assert (counters.late, counters.decoded, counters.stamp_regressions) == (1, 4, 1)
    closed = add(windows := make(), 15.0, 25.0, 16.0, 24.5, 26.0) + windows.close()
    assert [p.counters.late for p in closed] == [0, 1]
    assert closed[1].features['test/value'].moments.min == 24.5


def test_a_loop_keeps_the_segments_of_its_messages():
    windows = make()
    closed = []
    for _ in range(3):
        for time_s, segment in ((10.0, 'docked'), (13.0, 'docked'), (14.0, 'driving'), (16.0, '')):
            closed += windows.add(Message(round(time_s * SECOND), {}, segment=segment))
    closed += windows.close()
    found = [(p.epoch, p.source.segment, p.counters.seen) for p in closed]
    loop = [('', 1), ('docked', 2), ('driving', 1)]
    assert found == [(epoch, *each) for epoch in range(3) for each in loop]


def test_a_clock_that_is_set_forward_and_back_by_hours_loses_nothing():
    windows = make()
    times = [
        start_s + n / 2 for start_s in (10_000.0, 10_010.0 + 3600.0, 10_020.0) for n in range(20)
    ]
    closed = add(windows, *times) + windows.close()
    assert spans(closed) == [(0, 10_000.0, 20), (0, 13_610.0, 20), (1, 10_020.0, 20)]
    assert sum(p.counters.late for p in closed) == 0


@pytest.mark.parametrize('start_s', [-(2.0**31), -0.5, 1e-9, 4_102_444_800.0])
def test_windows_of_any_year_are_aligned(start_s):
    windows = make()
    (profile,) = add(windows, start_s) + windows.close()
    assert profile.window_start_ns <= round(start_s * SECOND) < profile.window_end_ns
    assert profile.window_start_ns % (10 * SECOND) == 0


def test_a_jump_back_at_the_very_end_is_not_lost():
    windows = make()
    assert spans(add(windows, 50.0, 10.0) + windows.close()) == [(0, 50.0, 1), (1, 10.0, 1)]


def test_one_stamp_far_in_the_future_does_not_stop_the_stream():
    windows = make()
    closed = add(windows, 10.0, 4_000_000_000.0, 11.0, 12.0, 13.0) + windows.close()
    assert spans(closed) == [(0, 10.0, 1), (0, 4_000_000_000.0, 1), (1, 10.0, 3)]


def test_two_clocks_on_one_topic_do_not_tear_windows_apart():
    windows = make()
    interleaved = [time for step in range(9) for time in (100.0 + step, 50.0 + step)]
    closed = add(windows, *interleaved) + windows.close()
    assert [p.epoch for p in closed] == [0, 1]
    assert closed[0].counters.late == 8


def test_a_silent_stream_is_closed_from_outside_and_goes_on():
    windows = make()
    add(windows, 15.0)
    assert windows.close_silent(6 * SECOND) == []
    assert spans(windows.close_silent(7 * SECOND)) == [(0, 10.0, 1)]
    # A window is never opened twice: what comes for it after all makes a new epoch.
    closed = add(windows, 16.0, 16.1, 16.2) + windows.close()
    assert spans(closed) == [(1, 10.0, 3)]


def test_intervals_count_between_messages_of_one_epoch_across_windows():
    windows = make()
    closed = add(windows, 10.0, 15.0, 20.0, 20.0, 5.0, 6.0, 7.0) + windows.close()
    intervals = [p.features['message/interval_s'].moments for p in closed]
    assert [(m.count, m.max) for m in intervals] == [(1, 5.0), (2, 5.0), (2, 1.0)]
    assert closed[1].counters.duplicate_stamps == 1


def test_errors_keep_the_stream_in_its_windows():
    windows = make()
    closed = add(windows, 15.0, 35.0, error='bad_step') + windows.close()
    assert [dict(p.counters.decode_errors) for p in closed] == [{'bad_step': 1}] * 2
    assert all(p.counters.decoded == 0 for p in closed)


def test_unreadable_messages_join_the_windows_of_the_others():
    windows = make()
    windows.add_unreadable('malformed', 999 * SECOND)
    add(windows, 36.0)
    windows.add_unreadable('malformed', 999 * SECOND)
    assert spans(windows.close()) == [(0, 30.0, 3)]


def test_unreadable_messages_alone_are_windowed_by_receive_time():
    windows = make()
    closed = []
    for receive_s in (15, 16, 24, 26, 40, 9):
        closed += windows.add_unreadable('malformed', receive_s * SECOND)
    assert spans(closed + windows.close()) == [(0, 10.0, 3), (0, 20.0, 1), (0, 40.0, 2)]
    assert dict(closed[0].counters.decode_errors) == {'malformed': 3}


def test_unreadable_messages_of_a_stream_that_fell_silent_are_told():
    windows = make()
    windows.add_unreadable('malformed', 15 * SECOND)
    assert windows.close_silent(9 * SECOND) == []
    assert spans(windows.close_silent(10 * SECOND)) == [(0, 10.0, 1)]
    assert windows.close_silent(60 * SECOND) == windows.close() == []


def test_unreadable_messages_do_not_reopen_a_window():
    windows = make()
    add(windows, 15.0)
    closed = windows.close_silent(15 * SECOND)
    windows.add_unreadable('malformed', 16 * SECOND)
    assert spans(closed + windows.close()) == [(0, 10.0, 1), (1, 10.0, 1)]


def test_a_pause_is_no_step_back_in_time():
    windows = make()
    add(windows, 14.0)
    closed = windows.close_silent(26 * SECOND)
    closed += add(windows, 15.0, 16.0, 17.0) + windows.close()
    assert spans(closed) == [(0, 10.0, 1), (1, 10.0, 3)]
    assert [p.counters.stamp_regressions for p in closed] == [0, 0]


def test_what_comes_late_after_a_silence_is_no_straggler():
    """A link that stalled, and a window closed meanwhile by the steady clock: time goes on."""
    windows = make(length_s=60.0)
    add(windows, 10.0, 25.0)
    closed = windows.close_silent(40 * SECOND)
    closed += add(windows, 40.0, 55.0, 70.0, 85.0) + windows.close()
    assert spans(closed) == [(0, 0.0, 2), (1, 0.0, 2), (1, 60.0, 2)]
    assert sum(p.counters.late for p in closed) == 0


def test_what_came_after_a_jump_back_is_not_held_for_ever():
    windows = make()
    add(windows, 500.0, 10.0, 11.0)
    assert spans(windows.close_silent(100 * SECOND)) == [(0, 500.0, 1)]
    assert spans(windows.close()) == [(1, 10.0, 2)]


def test_cost_goes_into_the_window_it_was_spent_on():
    windows = make()
    windows.count_cost(5, 0)
    add(windows, 15.0)
    windows.count_cost(7, 1000)
    add(windows, 35.0)
    windows.count_cost(1, 2000)
    (last,) = windows.close()
    assert (last.counters.cpu_ns, last.counters.peak_rss_bytes) == (1, 2000)


def test_the_first_epoch_can_be_given():
    windows = make(epoch=7)
    assert spans(add(windows, 10.0) + windows.close()) == [(7, 10.0, 1)]


steps = st.tuples(st.sampled_from(['add', 'unreadable', 'silence']), st.floats(0.0, 200.0))


@given(st.lists(steps, max_size=80), st.floats(0.0, 20.0))
def test_every_message_is_in_one_profile_and_no_identity_comes_twice(steps, lateness_s):
    windows = make(lateness_s=lateness_s)
    closed = []
    for kind, time_s in steps:
        if kind == 'add':
            closed += add(windows, time_s)
        elif kind == 'unreadable':
            closed += windows.add_unreadable('malformed', round(time_s * SECOND))
        else:
            closed += windows.close_silent(round(time_s * SECOND))
    closed += windows.close()
    kinds = [kind for kind, _ in steps]
    assert sum(p.counters.decoded + p.counters.late for p in closed) == kinds.count('add')
    errors = sum(p.counters.decode_errors.get('malformed', 0) for p in closed)
    assert errors == kinds.count('unreadable')
    assert sum(p.counters.seen for p in closed) == len(kinds) - kinds.count('silence')
    assert len({p.identity for p in closed}) == len(closed)
    assert windows.close() == []


@pytest.mark.parametrize(
    ('values', 'named'),
    [
        ({'length_s': 0.0}, 'length_s'),
        ({'length_s': float('nan')}, 'length_s'),
        ({'allowed_lateness_s': -1.0}, 'allowed_lateness_s'),
        ({'length_s': 0.1, 'allowed_lateness_s': 3600.0}, 'allowed_lateness_s'),
    ],
)
def test_a_bad_configuration_names_the_field(values, named):
    with pytest.raises(ValueError, match=named):
        WindowConfig(**values)


def test_a_message_left_out_is_counted_and_is_no_gap():
    """Every other one of a regular stream; the interval between the others says nothing."""
    windows = make(length_s=100.0)
    for tick in range(40):
        if tick % 2:
            windows.add_shed(receive_ns=tick * SECOND)
        else:
            add(windows, float(tick))
    (profile,) = windows.close()
    counters = profile.counters
    assert (counters.seen, counters.decoded, counters.shed) == (40, 20, 20)
    assert (counters.stamp_gaps, counters.lost) == (0, 0)
    assert 'message/interval_s' not in profile.features


def test_equal_stamps_are_counted_across_messages_left_out():
    windows = make()
    for _ in range(5):
        add(windows, 10.0)
        windows.add_shed(receive_ns=0)
    (profile,) = windows.close()
    assert (profile.counters.duplicate_stamps, profile.counters.shed) == (4, 5)


def test_what_was_lost_before_a_message_left_out_is_counted():
    windows = make()
    add(windows, 10.0)
    windows.add_shed(receive_ns=0, lost=3)
    (profile,) = windows.close()
    assert (profile.counters.lost, profile.counters.shed) == (3, 1)


def test_messages_left_out_before_any_other_wait_for_a_window():
    windows = make()
    assert windows.add_shed(receive_ns=9 * SECOND) == []
    add(windows, 10.0)
    assert [p.counters.shed for p in windows.close()] == [1]


def test_a_stream_of_which_all_is_left_out_has_profiles_by_receive_time():
    windows = make()
    closed = []
    for tick in range(25):
        closed += windows.add_shed(receive_ns=tick * SECOND)
    closed += windows.close()
    assert sum(p.counters.shed for p in closed) == sum(p.counters.seen for p in closed) == 25
    assert len(closed) == 3
