"""Windows one after the other: confirmation, evidence, steps, growth, few messages, downstream."""

from dataclasses import replace

import numpy as np
import pytest

from profiler_node.detect.judge import Judge, JudgeConfig
from profiler_node.detect.reference import MOST_WINDOWS, Reference, references_of

CONFIG = JudgeConfig(features=200)
MINUTE = 60 * 10**9


def shifted(window, minute, keys, size):
    start_ns = minute * MINUTE
    values = {k: v + (size if k.startswith(keys) else 0.0) for k, v in window.values.items()}
    return replace(window, start_ns=start_ns, end_ns=start_ns + MINUTE, values=values)


@pytest.fixture
def camera(normal_windows):
    return normal_windows['camera']


@pytest.fixture
def boxes(normal_windows):
    return normal_windows['boxes']


def test_drift_needs_a_second_window_that_agrees(camera):
    judge = Judge(references_of(camera[:30]), CONFIG)
    entropy = 'image/entropy_bits'
    good = [shifted(camera[30], minute, entropy, 0.0) for minute in (1, 2)]
    assert [judge.judge(window).status for window in good] == ['ok', 'ok']
    first = judge.judge(shifted(camera[31], 3, entropy, 4.0))
    other = judge.judge(shifted(camera[32], 4, entropy, -4.0))
    again = judge.judge(shifted(camera[33], 5, entropy, -4.0))
    assert (first.status, other.status, again.status) == ('ok', 'ok', 'warn')
    assert [cause.id for cause in again.causes] == ['drift']
    assert [score.name for score in again.causes[0].scores] == [entropy]


def test_a_weak_shift_is_told_by_several_windows_and_says_how_many(boxes):
    judge = Judge(references_of(boxes[:30]), CONFIG)
    verdicts = []
    for minute in range(60):
        window = shifted(boxes[30 + minute % 10], minute, 'detections/count:', np.log(0.72))
        verdicts.append(judge.judge(window))
    first = next(n for n, verdict in enumerate(verdicts) if verdict.causes)
    cause = verdicts[first].causes[0]
    assert (cause.id, cause.severity) == ('fewer_objects', 'warn')
    assert 1 < first < 40
    assert 1 < cause.delay <= first + 1
    assert f'over {cause.delay} windows' in cause.evidence
    assert verdicts[-1].status == 'warn'  # still is, and is over once it is well again
    after = [judge.judge(shifted(boxes[30 + n % 10], 60 + n, 'x', 0.0)) for n in range(60)]
    assert after[-1].status == 'ok'


def test_without_a_shift_no_evidence_accumulates(boxes):
    judge = Judge(references_of(boxes[:30]), CONFIG)
    windows = [shifted(boxes[30 + n % 10], n, 'x', 0.0) for n in range(200)]
    assert {judge.judge(window).status for window in windows} == {'ok'}


def test_boxes_are_judged_closely_while_a_sensor_of_their_robot_is_bad(
    normal_windows, window_at, boxes
):
    """A shift that is nothing by itself is a consequence of the tenfold depth, as a warning."""

    def tenfold(image, _):
        return np.minimum(image * 10.0, 65535).astype('<u2')

    windows = normal_windows['depth'][:30] + boxes[:30]
    fewer = shifted(boxes[31], 50, 'detections/count:', np.log(0.45))
    fewer = replace(fewer, start_ns=boxes[0].start_ns + 50 * MINUTE)
    fewer = replace(fewer, end_ns=fewer.start_ns + MINUTE)
    alone = Judge(references_of(windows), CONFIG)
    assert alone.judge(window_at('depth', 50)).status == 'ok'
    assert alone.judge(fewer).status == 'ok'
    judge = Judge(references_of(windows), CONFIG)
    assert judge.judge(window_at('depth', 50, tenfold)).causes[0].id == 'scale_changed'
    verdict = judge.judge(fewer)
    assert [(cause.id, cause.severity) for cause in verdict.causes] == [('fewer_objects', 'warn')]
    other = Judge(references_of(windows), CONFIG)
    other.judge(replace(window_at('depth', 50, tenfold), robot_id='r2'))
    assert other.judge(fewer).status == 'ok'


def test_too_few_windows_or_messages_say_so(camera, window_at):
    judge = Judge(references_of(camera[:3]), CONFIG)
    verdict = judge.judge(camera[10])
    assert verdict.status == 'too_few'
    assert verdict.reason == '3 window(s) in the reference, 4 are needed'
    assert Judge({}, CONFIG).judge(camera[10]).status == 'too_few'
    few = window_at('camera', 50, count=2)
    many = [replace(window, messages=5) for window in camera[:30]]
    verdict = Judge(references_of(many), CONFIG).judge(few)
    assert (verdict.status, verdict.reason) == ('too_few', '2 message(s)')


def test_a_stream_that_nearly_stops_is_a_rate_after_two_windows(camera, window_at):
    judge = Judge(references_of(camera[:30]), CONFIG)
    few = [window_at('camera', minute, keep=lambda index: index == 0) for minute in (50, 51)]
    verdicts = [judge.judge(window) for window in few]
    assert [verdict.status for verdict in verdicts] == ['too_few', 'alert']
    assert verdicts[1].causes[0].id == 'rate_changed'


def test_only_good_windows_grow_a_reference_and_only_where_asked_to(camera, window_at):
    black = window_at('camera', 30, lambda image, _: image // 100)
    for grow, expected in ((False, 20), (True, 35)):
        references = references_of(camera[:20])
        judge = Judge(references, JudgeConfig(features=200, grow=grow))
        windows = [*camera[20:30], black, *camera[31:36]]
        statuses = [judge.judge(window).status for window in windows]
        assert statuses == ['ok'] * 10 + ['alert'] + ['ok'] * 5
        assert len(references[camera[0].kind]) == expected


def test_what_no_second_window_confirms_is_learnt(camera):
    references = references_of(camera[:20])
    judge = Judge(references, JudgeConfig(features=200, grow=True))
    odd = shifted(camera[30], 1, 'image/entropy_bits', 4.0)
    judge.judge(odd)
    assert len(references[camera[0].kind]) == 20
    judge.judge(shifted(camera[31], 2, 'x', 0.0))
    assert len(references[camera[0].kind]) == 22


def test_a_reference_forgets_the_oldest_window(boxes):
    reference = Reference.of([shifted(boxes[0], n, 'x', 0.0) for n in range(MOST_WINDOWS)])
    assert len(reference) == MOST_WINDOWS
    reference.add(shifted(boxes[0], MOST_WINDOWS, 'detections/count:mean', 1.0))
    assert len(reference) == MOST_WINDOWS
    column = reference.column('detections/count:mean')
    assert column[-1] == pytest.approx(column[0] + 1.0)


def test_a_reference_of_too_many_windows_is_spread_over_all(boxes):
    many = [shifted(boxes[0], n, 'detections/count:mean', n / 1e4) for n in range(8000)]
    reference = Reference.of(many)
    column = reference.column('detections/count:mean') - boxes[0].values['detections/count:mean']
    assert len(reference) <= MOST_WINDOWS
    assert column.min() < 0.01
    assert column.max() > 0.79


def test_the_time_of_day_chooses_the_windows(boxes):
    """Bright by day and dark by night: at night, a window as by day is an alarm."""
    windows = []
    for minute in range(2 * 24 * 60):
        if minute % 5 == 0:
            is_day = 8 <= minute // 60 % 24 < 20
            windows.append(
                shifted(boxes[minute % 40], minute, 'detections/score', 0.0 if is_day else -0.4)
            )
    night = 3 * 24 * 60 + 60
    window = shifted(boxes[7], night, 'x', 0.0)
    everything = Judge(references_of(windows), CONFIG).judge(window)
    assert everything.status == 'ok'
    near = Judge(references_of(windows), replace(CONFIG, near_hours=2.0)).judge(window)
    assert [cause.id for cause in near.causes] == ['score_shifted']


def test_a_counter_is_not_a_drift(boxes):
    def counting(n):
        values = {f'field/seq:{q}': float(60 * n + k) for k, q in enumerate(('q10', 'q50', 'q90'))}
        return replace(shifted(boxes[n % 40], n, 'x', 0.0), values=values)

    judge = Judge(references_of([counting(n) for n in range(30)]), CONFIG)
    assert [judge.judge(counting(n)).status for n in (30, 31, 5000, 5001)] == ['ok'] * 4


def test_the_false_alarm_rate_must_be_positive():
    with pytest.raises(ValueError, match='must be > 0'):
        JudgeConfig(false_alarms_per_week=0)
