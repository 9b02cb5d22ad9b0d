"""Depth features against plain numpy, on recordings and on what goes wrong in depth images."""

from itertools import pairwise

import numpy as np
import pytest

from profiler_node.core.config import StreamConfig

RANDOM = np.random.default_rng(11)
IMAGE = 'sensor_msgs/msg/Image'
DEPTH = StreamConfig(kind='depth')
NAN, INF = np.nan, np.inf
FLOAT32_MAX = np.finfo(np.float32).max
TYPES = {'16UC1': '<u2', 'mono16': '<u2', '8UC1': 'u1', '32FC1': '<f4', '64FC1': '<f8'}


def expected_features(frames):
    """The features of frames by name; frames: metres of each pixel, float64, as 16UC1 or 32FC1."""
    valid = [frame[np.isfinite(frame) & (frame > 0)] for frame in frames]
    return {
        'range_m': np.concatenate(valid),
        'valid_fraction': [v.size / frame.size for v, frame in zip(valid, frames, strict=True)],
        'zero_fraction': [np.mean(frame == 0) for frame in frames],
        'nan_fraction': [np.mean(np.isnan(frame)) for frame in frames],
        'inf_fraction': [np.mean(np.isinf(frame)) for frame in frames],
        'out_of_range_fraction': [np.mean(np.isfinite(frame) & (frame < 0)) for frame in frames],
        'min_m': [v.min() for v in valid],
        'max_m': [v.max() for v in valid],
        'mean_m': [v.mean() for v in valid],
        'median_m': [np.median(v) for v in valid],
    }


@pytest.mark.parametrize(
    ('name', 'topic', 'encoding', 'unit'),
    [
        ('kinect_rgbd', '/camera/depth/image_rect', '32FC1', 1.0),
        ('kinect_rgbd', '/camera/depth/image_rect_raw', '16UC1', 0.001),
        ('realsense_d435', '/device_0/sensor_0/Depth_0/image/data', 'mono16', 0.001),
    ],
)
def test_every_feature_of_a_recording(
    replay, same_features, same_numbers, name, topic, encoding, unit
):
    messages, profile = replay(name, topic, DEPTH)
    frames = [m.data.view(TYPES[encoding]).astype(np.float64) * unit for m in messages]
    same_features(profile, 'depth', expected_features(frames))
    repeated = [np.array_equal(a.data, b.data) for a, b in pairwise(messages)]
    same_numbers(profile.features['message/repeated'], repeated)
    assert profile.features['depth/encoding'].top(2) == [(encoding, len(messages))]
    assert profile.features['depth/size'].top(2) == [('640x480', len(messages))]


def means(profile):
    return {
        name.removeprefix('depth/'): feature.moments.mean
        for name, feature in profile.features.items()
        if name.startswith('depth/') and feature.kind == 'scalar' and feature.moments.count
    }


# Out of range are 65535 and the largest float32, which stand for no return, and what is below 0.
KINDS = {
    '16UC1': [1000, 0, 2000, 65535, 0, 3000, 65534, 0],
    '32FC1': [1.0, 0, -0.0, NAN, INF, -INF, -2.0, FLOAT32_MAX, NAN, 1e-45],
    '64FC1': [1.0, 0, -0.0, NAN, INF, -INF, 1e200, -1e200, 1.7e308, 1e-310, 5.0],
}


@pytest.mark.parametrize('encoding', KINDS)
def test_pixels_that_are_no_distance_are_told_apart(image, profiled, same_numbers, encoding):
    pixels = np.array([KINDS[encoding]], dtype=TYPES[encoding])
    profile = profiled(IMAGE, image(pixels, encoding), config=DEPTH)
    found = means(profile)
    counts = {
        kind: found[f'{kind}_fraction'] * pixels.size
        for kind in ('valid', 'zero', 'nan', 'inf', 'out_of_range')
    }
    expected = {
        '16UC1': {'valid': 4, 'zero': 3, 'nan': 0, 'inf': 0, 'out_of_range': 1},
        '32FC1': {'valid': 2, 'zero': 2, 'nan': 2, 'inf': 2, 'out_of_range': 2},
        '64FC1': {'valid': 3, 'zero': 2, 'nan': 1, 'inf': 2, 'out_of_range': 3},
    }[encoding]
    assert counts == pytest.approx(expected, abs=1e-12)
    valid = {
        '16UC1': np.array([1000, 2000, 3000, 65534]) * 0.001,
        '32FC1': np.array([1.0, 1e-45], np.float32),
        '64FC1': [1.0, 1e-310, 5.0],
    }[encoding]
    same_numbers(profile.features['depth/range_m'], valid)


@pytest.mark.parametrize(
    ('encoding', 'pixels', 'limits', 'valid'),
    [
        # 9 * 0.001 is more than 0.009.
        ('16UC1', [8, 9, 10, 11], {'depth_min_m': 0.009, 'depth_max_m': 0.01}, [0.009, 0.010]),
        ('16UC1', [0, 7, 9, 65535], {'depth_max_m': 0.009}, [0.007, 0.009]),
        ('16UC1', [2000, 5000], {'depth_scale_m': 0.0001, 'depth_max_m': 0.2}, [0.2]),
        ('8UC1', [0, 50, 255], {'depth_scale_m': 0.01}, [0.5, 2.55]),
        ('32FC1', [0.2, 0.3, 0.7, 0.8], {'depth_min_m': 0.3, 'depth_max_m': 0.7}, [0.3, 0.7]),
        ('32FC1', [9.0, 300.0, 700.0], {'depth_scale_m': 0.001, 'depth_max_m': 0.3}, [0.009, 0.3]),
        ('64FC1', [0.1, 0.3], {'depth_min_m': 0.3}, [0.3]),
    ],
)
def test_limits_belong_to_the_range(image, profiled, encoding, pixels, limits, valid):
    pixels = np.array([pixels], dtype=TYPES[encoding])
    config = StreamConfig(kind='depth', **limits)
    profile = profiled(IMAGE, image(pixels, encoding), config=config)
    found = means(profile)
    assert found['valid_fraction'] == len(valid) / pixels.size
    zeros = np.mean(pixels == 0)
    rest = 1 - found['valid_fraction'] - zeros
    assert found['zero_fraction'] == zeros
    assert found['out_of_range_fraction'] == pytest.approx(rest, abs=1e-15)
    rounded = 1e-7 if encoding == '32FC1' else 1e-15
    assert found['min_m'] == pytest.approx(min(valid), rel=rounded)
    assert found['max_m'] == pytest.approx(max(valid), rel=rounded)
    assert found['mean_m'] == pytest.approx(np.mean(valid), rel=rounded)


def test_a_scale_is_applied_without_rounding_to_float32(image, profiled, same_numbers):
    pixels = RANDOM.uniform(300, 9000, (30, 40)).astype(np.float32)
    config = StreamConfig(depth_scale_m=0.001)
    profile = profiled(IMAGE, image(pixels, '32FC1'), config=config)
    same_numbers(profile.features['depth/range_m'], pixels.astype(np.float64) * 0.001)


# What the 65,536 bins make of them differs: many bins, one bin, two bins, few values, and 0.
DISTANCES = {
    'scene': lambda n: RANDOM.gamma(2.0, 1.5, n) + 0.2,
    'wall': lambda n: 2.005 + RANDOM.normal(0, 1e-4, n),
    'edge_of_a_bin': lambda n: 2.0 + RANDOM.normal(0, 1e-6, n),
    'two_walls': lambda n: np.where(np.arange(n) % 2, 1.0, 5.0),
    'quantized': lambda n: RANDOM.integers(1, 9, n) / 4,
    'tiny': lambda n: RANDOM.uniform(1e-44, 1e-39, n),
}


@pytest.mark.parametrize('count', [1, 2, 999, 1000, 5000])
@pytest.mark.parametrize('name', DISTANCES)
@pytest.mark.parametrize('encoding', ['16UC1', '32FC1', '64FC1'])
def test_the_median_is_exact(image, profiled, encoding, name, count):
    unit = 0.001 if encoding == '16UC1' else 1.0
    distances = np.maximum(DISTANCES[name](count) / unit, 1 if unit < 1 else 0)
    pixels = distances.astype(TYPES[encoding])[None]
    profile = profiled(IMAGE, image(pixels, encoding))
    assert means(profile)['median_m'] == np.median(pixels.astype(np.float64) * unit)


@pytest.mark.parametrize(
    ('encoding', 'pixel'), [('16UC1', 0), ('16UC1', 65535), ('32FC1', NAN), ('64FC1', INF)]
)
def test_a_frame_without_a_distance_has_fractions_alone(image, profiled, encoding, pixel):
    pixels = np.full((3, 4), pixel, dtype=TYPES[encoding])
    features = profiled(IMAGE, image(pixels, encoding)).features
    assert features['depth/range_m'].moments.count == 0
    assert features['depth/range_m'].missing == 0
    for name in ('min_m', 'max_m', 'mean_m', 'median_m'):
        feature = features[f'depth/{name}']
        assert (feature.moments.count, feature.missing) == (0, 1)
    fractions = [f.moments.mean for name, f in features.items() if name.endswith('_fraction')]
    assert sorted(fractions) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1', '64FC1'])
def test_byte_order_and_padding_change_nothing(image, profiled, encoding):
    pixels = RANDOM.integers(0, 5000, (7, 9)).astype(TYPES[encoding])
    swapped = image(pixels.byteswap(), encoding, padding=5, is_bigendian=1)
    found = means(profiled(IMAGE, swapped))
    assert found == means(profiled(IMAGE, image(pixels, encoding)))
    assert found['max_m'] == pixels.max() * (0.001 if encoding == '16UC1' else 1.0)


@pytest.mark.parametrize('scale_m', [0.0, 1e6])
def test_any_bits_are_counted_without_a_warning(image, profiled, scale_m):
    bits = RANDOM.integers(0, 2**32, (50, 60), dtype=np.uint32)
    bits[0, :3] = 0x7FA00000, 0xFFA00000, 0x7F7FFFFF  # signaling NaN, and the largest number
    config = StreamConfig(kind='depth', depth_scale_m=scale_m)
    found = means(profiled(IMAGE, image(bits.view(np.float32), '32FC1'), config=config))
    shares = [share for name, share in found.items() if name.endswith('_fraction')]
    assert sum(shares) == pytest.approx(1.0, abs=1e-12)
    assert found['nan_fraction'] == np.isnan(bits.view(np.float32)).mean()


@pytest.mark.parametrize('encoding', ['32FC2', 'bgr8', 'bayer_rggb16', 'yuyv'])
def test_an_encoding_of_no_depth_is_counted(image, profiled, encoding):
    pixels = np.ones((4, 4, 2), np.float32)
    profile = profiled(IMAGE, image(pixels, encoding), config=DEPTH)
    assert dict(profile.counters.decode_errors) == {'unsupported_encoding': 1}
