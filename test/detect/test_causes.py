"""Each fault in generated messages is named, in the first window; good windows are not."""

import numpy as np
import pytest

from profiler_node.detect.judge import Judge, JudgeConfig
from profiler_node.detect.reference import references_of

CONFIG = JudgeConfig(features=200)


def scaled(factor):
    def fault(image, _):
        return np.clip(image * factor, 0, 65535).astype(image.dtype)

    return fault


def blurred(image, _):
    for axis in (0, 1):
        for _ in range(6):
            image = (image.astype(float) + np.roll(image, 1, axis)) / 2
    return image.astype(np.uint8)


def without(low, high):
    def fault(xyz, _):
        azimuth = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))
        return xyz[(azimuth < low) | (azimuth >= high)]

    return fault


def nearby(xyz, _):
    azimuth = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))
    inside = (azimuth > 20) & (azimuth < 70)
    return np.where(inside[:, None], xyz / 20, xyz).astype('<f4')


def with_nan(xyz, random):
    return np.where(random.random((len(xyz), 1)) < 0.6, np.nan, xyz).astype('<f4')


def lost(image, random):
    return np.where(random.random(image.shape) < 0.6, 0, image).astype(image.dtype)


FAULTS = [
    ('camera', 'channels_swapped', lambda image, _: image[..., ::-1]),
    ('camera', 'channels_swapped', lambda image, _: image[..., [1, 0, 2]]),
    ('camera', 'channels_swapped', lambda image, _: image[..., [0, 2, 1]]),
    ('camera', 'channels_swapped', lambda image, _: image[..., [1, 2, 0]]),
    ('camera', 'channels_swapped', lambda image, _: image[..., [2, 0, 1]]),
    ('camera', 'exposure_changed', scaled(0.6)),
    ('camera', 'exposure_changed', lambda image, _: np.minimum(image * 1.5, 255).astype('u1')),
    ('camera', 'black', lambda image, _: image // 100),
    ('camera', 'saturated', lambda image, _: np.full_like(image, 255)),
    ('camera', 'blurred', blurred),
    ('camera', 'format_changed', lambda image, _: image[::2, ::2]),
    ('depth', 'scale_changed', scaled(10)),
    ('depth', 'scale_changed', scaled(0.1)),
    ('depth', 'missing_data', lost),
    ('lidar', 'scale_changed', lambda xyz, _: xyz * np.float32(1000)),
    ('lidar', 'missing_data', with_nan),
    ('lidar', 'missing_data', lambda xyz, random: xyz[random.random(len(xyz)) < 0.4]),
    ('lidar', 'blocked_sector', without(30, 80)),
    ('lidar', 'blocked_sector', lambda xyz, _: xyz[np.abs(np.arctan2(xyz[:, 1], xyz[:, 0])) < 2.9]),
    ('lidar', 'blocked_sector', nearby),
    ('boxes', 'fewer_objects', lambda found, _: found[:1] if found[0][1] > 0.8 else []),
    ('boxes', 'fewer_objects', lambda _found, _: []),
    ('boxes', 'label_mix_changed', lambda found, _: [('other', *box[1:]) for box in found]),
    ('boxes', 'score_shifted', lambda found, _: [(b[0], b[1] - 0.3, *b[2:]) for b in found]),
    ('boxes', 'box_size_changed', lambda found, _: [(*b[:2], b[2] * 3, b[3] * 3) for b in found]),
]


def judged(normal_windows, stream, *windows):
    judge = Judge(references_of(normal_windows[stream][:30]), CONFIG)
    return [judge.judge(window) for window in windows]


@pytest.mark.parametrize(
    ('stream', 'expected', 'fault'), FAULTS, ids=[f'{s}-{c}' for s, c, _ in FAULTS]
)
def test_a_fault_is_named_in_its_first_window(normal_windows, window_at, stream, expected, fault):
    (verdict,) = judged(normal_windows, stream, window_at(stream, 50, fault))
    assert verdict.status == 'alert'
    assert [cause.id for cause in verdict.causes] == [expected], verdict.causes


@pytest.mark.parametrize('stream', ['camera', 'depth', 'lidar', 'boxes'])
def test_messages_that_repeat_late_or_are_less_often(normal_windows, window_at, stream):
    same = window_at(stream, 50)
    kept: list[object] = []

    def first(content, _):
        kept.append(content)
        return kept[0]

    windows = {
        'frozen': window_at(stream, 50, first),
        'rate_changed': window_at(stream, 50, keep=lambda index: index % 2 == 0),
        'latency_changed': window_at(stream, 50, late_ns=4 * 10**8),
        'format_changed': window_at(stream, 50, frame_id='other'),
    }
    assert judged(normal_windows, stream, same)[0].status == 'ok'
    for expected, window in windows.items():
        (verdict,) = judged(normal_windows, stream, window)
        assert [cause.id for cause in verdict.causes] == [expected]


@pytest.mark.parametrize('stream', ['camera', 'depth', 'lidar', 'boxes'])
def test_the_other_half_of_the_windows_is_good(normal_windows, stream):
    every = normal_windows[stream]
    judge = Judge(references_of(every[:20]), CONFIG)
    assert {judge.judge(window).status for window in every[20:]} == {'ok'}


def test_a_sentinel_pixel_in_the_reference_hides_no_scale(window_at):
    def hot(image, _):
        image = image.copy()
        image[0, 0] = 65535
        return image

    reference = [window_at('depth', minute, hot) for minute in range(30)]
    verdict = Judge(references_of(reference), CONFIG).judge(
        window_at('depth', 50, lambda image, _: np.minimum(image * 10.0, 65535).astype('<u2'))
    )
    assert verdict.causes[0].id == 'scale_changed'
    assert 'times the reference' in verdict.causes[0].evidence


def test_the_evidence_says_what_is_seen(normal_windows, window_at):
    swapped = window_at('camera', 50, lambda image, _: image[..., ::-1])
    (verdict,) = judged(normal_windows, 'camera', swapped)
    text = verdict.causes[0].evidence
    assert 'red is blue and blue is red of the reference' in text
    tenfold = window_at('depth', 50, scaled(10))
    (verdict,) = judged(normal_windows, 'depth', tenfold)
    assert 'a change of unit or encoding' in verdict.causes[0].evidence
    (score, *_) = verdict.causes[0].scores
    assert score.name == 'depth/range_m'
    assert score.score > score.threshold
    assert score.current / score.reference == pytest.approx(10, rel=0.2)
