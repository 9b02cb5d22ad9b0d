"""Image features against plain numpy, and images that do not fit together."""

import colorsys
import math

import cv2
import numpy as np
import pytest

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.profile import Source
from profiler_node.core.stream import Stream

RANDOM = np.random.default_rng(4)
SECOND = 10**9


def profile_of(*messages):
    """The profile of serialized images in one window."""
    source = Source('robot', 'image', '/image', 'sensor_msgs/msg/Image')
    stream = Stream(source, WindowConfig(3600.0), SketchConfig())
    for message in messages:
        assert stream.update(message, receive_ns=10**18 + SECOND) == []
    (profile,) = stream.windows.close()
    return profile


def means(profile):
    return {
        name.removeprefix('image/'): feature.moments.mean
        for name, feature in profile.features.items()
        if name.startswith('image/') and feature.kind == 'scalar'
    }


def colour_image(height=40, width=60):
    """A smooth coloured image with some noise and black and white parts, (H, W, 3) as r, g, b."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([120 + 90 * np.sin(x / 9), 100 + 50 * np.cos(y / 7), 90 + x], axis=-1)
    pixels = np.clip(waves + RANDOM.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)
    pixels[:4, :8], pixels[-3:, -5:] = 0, 255
    return pixels


RGB = colour_image()
ALPHA = RANDOM.integers(0, 256, (*RGB.shape[:2], 1), dtype=np.uint8)
ENCODED = {
    'rgb8': RGB,
    'bgr8': RGB[:, :, ::-1],
    '8UC3': RGB[:, :, ::-1],
    'rgba8': np.concatenate([RGB, ALPHA], axis=2),
    'bgra8': np.concatenate([RGB[:, :, ::-1], ALPHA], axis=2),
}


@pytest.mark.parametrize('encoding', ENCODED)
def test_colour_features_mean_what_the_encoding_claims(image, encoding):
    profile = profile_of(image(np.ascontiguousarray(ENCODED[encoding]), encoding))
    found = means(profile)
    for index, name in enumerate(('red', 'green', 'blue')):
        channel = RGB[:, :, index].astype(float)
        assert found[f'{name}_mean'] == pytest.approx(channel.mean(), rel=1e-12)
        assert found[f'{name}_stddev'] == pytest.approx(channel.std(), rel=1e-12)
        every = profile.features[f'image/{name}'].moments
        assert every.count == channel.size
        assert (every.min, every.max) == (channel.min(), channel.max())
        assert every.mean == pytest.approx(channel.mean(), rel=1e-12)
    assert profile.features['image/encoding'].top(2) == [(encoding, 1)]
    assert profile.features['image/size'].top(2) == [('60x40', 1)]


def test_luma_features_against_numpy(image):
    found = means(profile_of(image(RGB, 'rgb8')))
    luma = np.round(RGB @ np.array([0.299, 0.587, 0.114]))
    # OpenCV rounds its weights to 14 bits, which moves a pixel by one level at most.
    assert found['brightness'] == pytest.approx(luma.mean(), abs=0.05)
    assert found['contrast'] == pytest.approx(luma.std(), abs=0.05)
    assert found['dark_fraction'] == pytest.approx((luma <= 5).mean(), abs=2e-3)
    assert found['bright_fraction'] == pytest.approx((luma >= 250).mean(), abs=2e-3)
    shares = np.unique(luma, return_counts=True)[1] / luma.size
    assert found['entropy_bits'] == pytest.approx(-(shares * np.log2(shares)).sum(), abs=0.05)


def test_saturation_and_hue_against_colorsys(image):
    found = means(profile_of(image(RGB, 'rgb8')))
    hsv = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in RGB.reshape(-1, 3) / 255.0])
    assert found['saturation'] == pytest.approx(hsv[:, 1].mean(), rel=1e-5)
    vectors = RGB.reshape(-1, 3) @ np.exp(2j * np.pi * np.arange(3) / 3)
    assert found['hue_deg'] == pytest.approx(math.degrees(np.angle(vectors.sum())) % 360)


@pytest.mark.parametrize(
    ('colour', 'hue_deg'), [((255, 0, 0), 0), ((0, 255, 0), 120), ((0, 0, 9), 240)]
)
def test_the_hue_of_plain_colours(image, colour, hue_deg):
    pixels = np.zeros((4, 5, 3), np.uint8) + np.array(colour, np.uint8)
    found = means(profile_of(image(pixels, 'rgb8')))
    assert found['hue_deg'] == pytest.approx(hue_deg, abs=1e-9)
    assert found['saturation'] == 1.0


def test_grey_has_no_hue_and_no_saturation(image):
    profile = profile_of(image(np.full((4, 5, 3), 77, np.uint8), 'bgr8'))
    assert profile.features['image/hue_deg'].moments.count == 0
    assert profile.features['image/hue_deg'].missing == 1
    assert means(profile)['saturation'] == 0.0
    assert means(profile)['entropy_bits'] == 0.0


@pytest.mark.parametrize('encoding', ['mono8', '8UC1'])
def test_gray_images_have_a_gray_channel_and_no_colours(image, encoding):
    gray = RGB[:, :, 0]
    profile = profile_of(image(gray, encoding))
    found = means(profile)
    assert found['gray_mean'] == found['brightness'] == pytest.approx(gray.mean(), rel=1e-12)
    assert found['gray_stddev'] == found['contrast'] == pytest.approx(gray.std(), rel=1e-12)
    assert not {'red_mean', 'hue_deg', 'saturation'} & set(found)


@pytest.mark.parametrize('width', [60, 640, 1000])
def test_sharpness_is_the_variance_of_the_laplacian_at_640_columns(image, width):
    pixels = cv2.resize(RGB[:, :, 1], (width, 48))
    small = pixels
    if width > 640:
        small = cv2.resize(pixels, (640, round(48 * 640 / width)), interpolation=cv2.INTER_AREA)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
    laplacian = cv2.filter2D(small.astype(float), -1, kernel, borderType=cv2.BORDER_DEFAULT)
    found = means(profile_of(image(pixels, 'mono8')))
    assert found['sharpness'] == pytest.approx(laplacian.var(), rel=1e-9)


def test_blur_lowers_sharpness(image):
    sharp = means(profile_of(image(RGB, 'rgb8')))['sharpness']
    blurred = means(profile_of(image(cv2.GaussianBlur(RGB, (9, 9), 0), 'rgb8')))['sharpness']
    assert blurred < 0.5 * sharp


@pytest.mark.parametrize('encoding', ['mono8', 'bgr8'])
def test_padding_is_not_part_of_the_image(image, encoding):
    pixels = RGB[:, :, 0] if encoding == 'mono8' else RGB
    plain = profile_of(image(pixels, encoding))
    padded = profile_of(image(pixels, encoding, padding=13))
    assert means(padded) == means(plain)


def test_the_last_row_may_come_without_its_padding(image):
    whole = image(RGB, 'rgb8', padding=13)
    rows = np.pad(RGB.reshape(40, -1), ((0, 0), (0, 13)))
    cut = image(RGB, 'rgb8', padding=13, step=193, data=rows.ravel()[:-13])
    assert means(profile_of(cut)) == means(profile_of(whole))


def test_a_repeated_frame_is_told_from_a_new_one(image):
    other = RGB.copy()
    other[-1, -1] ^= 1
    frames = [image(pixels, 'rgb8') for pixels in (RGB, RGB, other, other, RGB)]
    repeated = profile_of(*frames).features['image/repeated'].moments
    assert (repeated.count, repeated.mean) == (5, 2 / 5)


BAD = {
    'unsupported_encoding': {'encoding': 'bayer_what8'},
    'empty_image': {'height': 0},
    'bad_step': {'step': 179},
    'short_data': {'height': 41},
}


@pytest.mark.parametrize('reason', BAD)
def test_an_image_that_does_not_fit_together_is_counted_by_reason(image, reason):
    fields = {'encoding': 'rgb8'} | BAD[reason]
    bad = image(RGB, fields.pop('encoding'), stamp_ns=10**18 + SECOND, **fields)
    profile = profile_of(image(RGB, 'rgb8'), bad, image(RGB, 'rgb8'))
    assert dict(profile.counters.decode_errors) == {reason: 1}
    assert (profile.counters.seen, profile.counters.decoded) == (3, 2)
    assert profile.features['image/red_mean'].moments.count == 2
    assert profile.features['message/size_bytes'].moments.count == 3


@pytest.mark.parametrize(
    'fields', [{'width': 2**32 - 1}, {'height': 2**32 - 1}, {'step': 2**32 - 1}, {'width': 0}]
)
def test_absurd_sizes_are_errors_not_allocations(image, fields):
    profile = profile_of(image(RGB, 'rgb8', **fields))
    assert sum(profile.counters.decode_errors.values()) == 1


def test_every_cut_of_a_message_is_counted_and_never_raises(image):
    whole = bytes(image(RGB[:4, :4], 'rgb8'))
    cuts = [memoryview(whole[:size]) for size in range(len(whole))]
    profile = profile_of(*cuts)
    assert profile.counters.seen == len(cuts)
    assert profile.counters.decoded == 0
    assert set(profile.counters.decode_errors) <= {'malformed', 'short_data'}


def test_a_stamp_of_zero_is_replaced_by_the_receive_time(image):
    profile = profile_of(image(RGB, 'rgb8', stamp_ns=0))
    assert profile.window_start_ns <= 10**18 + SECOND < profile.window_end_ns
    assert 'message/latency_s' not in profile.features


def test_message_features(image):
    first, second = image(RGB, 'rgb8'), image(RGB, 'rgb8', stamp_ns=10**18 + SECOND // 4)
    features = profile_of(first, second).features
    assert features['message/size_bytes'].moments.max == len(first)
    assert features['message/interval_s'].moments.mean == 0.25
    latency = features['message/latency_s'].moments
    assert (latency.min, latency.max) == (0.75, 1.0)
    assert features['message/frame_id'].top(1) == [('camera', 2)]
