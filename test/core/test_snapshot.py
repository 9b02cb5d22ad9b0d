"""A stream that goes on in another process: as if it had been one, but for what is marked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.core.accumulators import NumericAccumulator, RowsAccumulator
from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.decode import STORE, store_of
from profiler_node.core.extract.fields import FieldsExtractor
from profiler_node.core.observation import Tally
from profiler_node.core.profile import Source
from profiler_node.core.rows import row_layout
from profiler_node.core.snapshot import Snapshot
from profiler_node.core.stream import Sensing, Stream
from profiler_node.core.timeline import Message
from profiler_node.core.windows import Windows

SECOND = 10**9
SOURCE = Source('robot', 'boxes', '/boxes', 'vision_msgs/msg/Detection2DArray')
CONFIG = WindowConfig(10.0, 2.0), SketchConfig()
EPOCHS_PER_RUN = 65_536


def make(run=0):
    return Windows(SOURCE, *CONFIG, EPOCHS_PER_RUN * run)


def resumed(windows, run=1):
    """Another process, that has the snapshot of the first."""
    other = make(run)
    other.resume(windows.snapshot())
    return other


def add(windows, *times_s, labels='', known=()):
    """Add messages with as many detections of each label, and none of those known besides."""
    closed = []
    for time_s in times_s:
        observation = {'test/value': float(time_s), 'detections/count': float(len(labels))}
        for label in {*labels, *known}:
            observation[f'detections/count/{label}'] = Tally(labels.count(label))
        closed += windows.add(Message(round(time_s * SECOND), observation, lost=0))
    return closed


def spans(profiles):
    return [(p.epoch, p.window_start_ns / SECOND, p.counters.seen) for p in profiles]


def interruptions(profiles):
    return [p.counters.interruptions for p in profiles]


# What follows the last message: by how much, and whether a straggler comes after it.
steps = st.tuples(
    st.floats(0.0, 6.0), st.sampled_from([0.0, 0.0, 1.5, 7.0]), st.text('ab', max_size=3)
)


def times_of(steps):
    time_s = 100.0
    for step_s, behind_s, labels in steps:
        time_s += step_s
        yield time_s, labels
        if behind_s:
            yield time_s - behind_s, labels
            time_s += 0.1
            yield time_s, labels


@given(st.lists(steps, min_size=1, max_size=40), st.sets(st.integers(0, 120), max_size=4))
def test_a_stream_that_was_killed_is_as_one_that_was_not(steps, kills):
    whole, parts = make(), make()
    expected, closed = [], []
    known, known_since = set(), set()
    for index, (time_s, labels) in enumerate(times_of(steps)):
        if index in kills:
            parts, known_since = resumed(parts, run=1 + index), set()
        expected += add(whole, time_s, labels=labels, known=known)
        closed += add(parts, time_s, labels=labels, known=known_since)
        known |= set(labels)
        known_since |= set(labels)
    expected += whole.close()
    closed += parts.close()
    assert [p.identity for p in closed] == [p.identity for p in expected]
    for ours, theirs in zip(closed, expected, strict=True):
        assert uninterrupted(ours.counters) == uninterrupted(theirs.counters)
        # Label counts are 0 in all messages of a part without that label.
        names = {*ours.features, *theirs.features} - {'message/interval_s'}
        for name in names:
            ours_moments, moments = ours.feature(name).moments, theirs.feature(name).moments
            assert ours_moments.count == moments.count
            # Of the messages without a label, one that is known for it gives the stamp.
            compared = slice(5 if name.startswith('detections/count/') else None)
            expected_moments = pytest.approx(moments[compared], rel=1e-9, abs=1e-9)
            assert ours_moments[compared] == expected_moments
            ends = [0.0, 1.0]
            assert ours.feature(name).quantiles(ends) == theirs.feature(name).quantiles(ends)


def uninterrupted(counters):
    """Without what says that there was an interruption, or is not measured across it."""
    return replace(counters, interruptions=0, stamp_gaps=0)


events = st.tuples(
    st.sampled_from(['add', 'add', 'unreadable', 'shed', 'silence', 'kill']), st.floats(0.0, 200.0)
)


@given(st.lists(events, max_size=80))
def test_no_message_is_lost_or_counted_twice_and_no_identity_comes_twice(events):
    windows, runs, closed = make(), 0, []
    for kind, time_s in events:
        time_ns = round(time_s * SECOND)
        if kind == 'add':
            closed += add(windows, time_s)
        elif kind == 'unreadable':
            closed += windows.add_unreadable('malformed', time_ns)
        elif kind == 'shed':
            closed += windows.add_shed(time_ns)
        elif kind == 'silence':
            closed += windows.close_silent(time_ns)
        else:
            runs += 1
            windows = resumed(windows, runs)
    closed += windows.close()
    kinds = [kind for kind, _ in events]
    counters = [p.counters for p in closed]
    assert sum(c.decoded + c.late for c in counters) == kinds.count('add')
    assert sum(c.decode_errors.get('malformed', 0) for c in counters) == kinds.count('unreadable')
    assert sum(c.shed for c in counters) == kinds.count('shed')
    assert all(
        c.seen == c.decoded + c.late + c.shed + sum(c.decode_errors.values()) for c in counters
    )
    assert len({p.identity for p in closed}) == len(closed)


@given(st.lists(events, max_size=60))
def test_a_snapshot_changes_nothing(events):
    """Down to the last digit: live and from a recording are to be the same."""
    watched, left_alone = make(), make()
    closed, expected = [], []
    for _, time_s in events:
        closed += add(watched, time_s)
        expected += add(left_alone, time_s)
        watched.snapshot()
    assert exact(closed + watched.close()) == exact(expected + left_alone.close())


def exact(profiles):
    return [
        (p.identity, p.counters, {name: f.moments for name, f in p.features.items()})
        for p in profiles
    ]


def test_a_window_says_how_often_it_was_interrupted():
    windows = make()
    add(windows, 11.0)
    for run in (1, 2):
        windows = resumed(windows, run)
    closed = add(windows, 12.0, 23.0) + windows.close()
    assert (spans(closed), interruptions(closed)) == ([(0, 10.0, 2), (0, 20.0, 1)], [2, 0])


def test_the_window_in_which_it_goes_on_is_interrupted_too():
    windows = make()
    add(windows, 15.0)
    windows = resumed(windows)
    closed = add(windows, 45.0, 55.0) + windows.close()
    assert [p.window_start_ns // SECOND for p in closed] == [10, 40, 50]
    assert interruptions(closed) == [1, 1, 0]


def test_no_interval_and_no_loss_is_measured_across_an_interruption():
    windows = make()
    regular = [10.0 + 0.1 * index for index in range(30)]
    add(windows, *regular)
    windows = resumed(windows)
    add(windows, 16.0, 16.1)
    (profile,) = windows.close()
    intervals = profile.features['message/interval_s'].moments
    assert (intervals.count, intervals.max) == (30, pytest.approx(0.1))
    assert (profile.counters.lost, profile.counters.stamp_gaps) == (0, 0)


def test_time_that_runs_back_across_an_interruption_begins_an_epoch_of_the_new_process():
    """Those of the killed one may have been used since its checkpoint."""
    windows = make()
    add(windows, 1000.0)
    windows = resumed(windows, run=3)
    closed = add(windows, 10.0, 10.5, 11.0) + windows.close()
    assert spans(closed) == [(0, 1000.0, 1), (3 * EPOCHS_PER_RUN, 10.0, 3)]


def test_a_closed_window_is_not_opened_again():
    windows = make()
    add(windows, 15.0)
    assert len(windows.close_silent(20 * SECOND)) == 1
    windows = resumed(windows)
    assert spans(add(windows, 16.0, 16.5, 17.0) + windows.close()) == [(EPOCHS_PER_RUN, 10.0, 3)]


def test_a_resumed_stream_that_stays_silent_is_closed():
    windows = make()
    add(windows, 15.0)
    windows = resumed(windows)
    assert windows.close_silent(6 * SECOND) == []
    closed = windows.close_silent(7 * SECOND)
    assert (spans(closed), interruptions(closed)) == ([(0, 10.0, 1)], [1])


def test_segments_stay_apart():
    windows = make()
    for segment in 'ab':
        windows.add(Message(15 * SECOND, {}, segment=segment))
    windows = resumed(windows)
    windows.add(Message(16 * SECOND, {}, segment='b'))
    closed = windows.close()
    assert [(p.source.segment, p.counters.seen) for p in closed] == [('a', 1), ('b', 2)]


def test_what_nobody_goes_on_with_is_told_as_it_is():
    windows = make()
    add(windows, 15.0, 21.0)
    snapshot = windows.snapshot()
    assert not snapshot.is_over(10 * SECOND, 2 * SECOND)
    assert snapshot.is_over(11 * SECOND, 2 * SECOND)
    left = snapshot.interrupted()
    assert (spans(left), interruptions(left)) == ([(0, 10.0, 1), (0, 20.0, 1)], [1, 1])
    assert Snapshot(epoch=0).is_over(0, 0)


def test_a_stream_that_comes_back_after_its_windows_were_closed_goes_on_behind_them():
    windows = make()
    add(windows, 15.0, 21.0)
    closed, successor = windows.snapshot().closed(), make(run=1)
    assert (closed.open, closed.closed_until_ns) == ((), 30 * SECOND)
    assert closed.closed() == closed
    successor.resume(closed)
    profiles = add(successor, 35.0, 22.0, 23.0, 24.0) + successor.close()
    assert spans(profiles) == [(0, 30.0, 1), (EPOCHS_PER_RUN, 20.0, 3)]
    assert interruptions(profiles) == [1, 0]


def test_rows_that_are_kept_back_stay_so(serialized):
    message_type = 'geometry_msgs/msg/TwistStamped'
    leaves = FieldsExtractor(message_type, STORE).leaves
    layout = row_layout(message_type, STORE, leaves, has_header=True)
    watched, left_alone = RowsAccumulator(SketchConfig()), RowsAccumulator(SketchConfig())
    for index in range(300):
        header = {'stamp': {'sec': 0, 'nanosec': index}, 'frame_id': 'base'}
        twist = {'linear': {'x': 0.1 * index, 'y': 1e9 / (index + 1), 'z': 3.7}}
        stamp_ns, _, row = layout.read(serialized(message_type, header=header, twist=twist))
        watched.add(row, stamp_ns)
        left_alone.add(row, stamp_ns)
        assert watched.finish()['field/twist.linear.x'].moments.count == index + 1
    ours, theirs = watched.finish(), left_alone.finish()
    assert {n: f.moments for n, f in ours.items()} == {n: f.moments for n, f in theirs.items()}


def test_numbers_that_are_kept_back_stay_so():
    watched, left_alone = (NumericAccumulator('scalar', SketchConfig()) for _ in range(2))
    for index in range(300):
        watched.add(0.1 * index, index)
        left_alone.add(0.1 * index, index)
        assert watched.finish().moments.count == index + 1
    assert watched.finish().moments == left_alone.finish().moments


def digest(source=SOURCE, window=CONFIG[0], **sensing):
    return Stream(source, window, CONFIG[1], Sensing(**sensing)).digest


def test_a_feature_of_another_kind_in_a_later_release_takes_the_place_of_the_former():
    former = make()
    add(former, 1.0)
    former.add(Message(2 * SECOND, {'test/other': 'text'}))
    later = resumed(former)
    later.add(Message(3 * SECOND, {'test/other': 5.0}))
    (profile,) = later.close()
    assert profile.features['test/other'].moments.count == 1
    assert profile.features['test/value'].moments.count == 1
    assert profile.counters.seen == 3


def test_the_digest_tells_streams_apart_whose_numbers_must_not_be_merged():
    twist = replace(SOURCE, message_type='geometry_msgs/msg/Twist')
    theirs = store_of({'geometry_msgs/msg/Twist': 'float64 linear\nfloat64 angular'})
    digests = {
        digest(twist),
        digest(replace(twist, message_type='geometry_msgs/msg/Pose')),
        digest(replace(twist, tags={'firmware': '2'})),
        digest(replace(twist, topic='/other')),
        digest(twist, window=WindowConfig(20.0, 2.0)),
        digest(twist, config=StreamConfig(fields=('linear.x',))),
        digest(twist, store=theirs),
    }
    assert len(digests) == 7
    assert digest(replace(twist, tags={'a': '1', 'b': '2'})) == digest(
        replace(twist, tags={'b': '2', 'a': '1'})
    )
