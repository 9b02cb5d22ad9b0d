"""Image features against plain numpy: on recordings, and for one picture in every encoding."""

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest

from profiler_node.core.config import StreamConfig
from profiler_node.core.pixels.encodings import ENCODINGS
from profiler_node.core.sketches import rank_error

RANDOM = np.random.default_rng(4)
IMAGE = 'sensor_msgs/msg/Image'
AS_IMAGE = StreamConfig(kind='image')
COLOURS = 'blue', 'green', 'red'
RANKS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def unit_of(plane):
    return 255 / 65_535 if plane.dtype == np.uint16 else 1.0


def features_of_channel(name, *planes):
    values = np.concatenate([plane.ravel() for plane in planes]).astype(np.float64)
    values *= unit_of(planes[0])
    return {f'{name}_mean': values.mean(), f'{name}_stddev': values.std()}


def features_of_luma(luma):
    levels = luma.astype(np.float64) * unit_of(luma)
    counts = np.bincount(np.rint(levels.clip(0, 255)).astype(np.uint8).ravel())
    shares = counts[counts > 0] / luma.size
    height, width = luma.shape
    while width >= 1280 and height > 1:
        height, width = height // 2, width // 2
        cells = luma[: 2 * height, : 2 * width].astype(np.float64).reshape(height, 2, width, 2)
        mean = cells.mean(axis=(1, 3))
        luma = (np.floor(mean + 0.5) if luma.dtype.kind == 'u' else mean).astype(luma.dtype)
    if width > 640:
        size = (640, max(1, round(height * 640 / width)))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_LINEAR)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float64)
    laplacian = cv2.filter2D(luma.astype(np.float64), -1, kernel, borderType=cv2.BORDER_DEFAULT)
    found = {
        'brightness': levels.mean(),
        'contrast': levels.std(),
        'sharpness': laplacian.var() * unit_of(luma) ** 2,
    }
    if luma.dtype.kind == 'u':  # what is black and white of other numbers is not known
        found |= {
            'dark_fraction': (levels < 5.0001).mean(),
            'bright_fraction': (levels > 249.9999).mean(),
            'entropy_bits': -(shares * np.log2(shares)).sum() + 0.0,
        }
    return found


def saturation_of(pixels):
    high = np.maximum(np.maximum(pixels[:, :, 0], pixels[:, :, 1]), pixels[:, :, 2])
    low = np.minimum(np.minimum(pixels[:, :, 0], pixels[:, :, 1]), pixels[:, :, 2])
    levels = np.iinfo(pixels.dtype).max if pixels.dtype.kind == 'u' else 1.0
    share = levels * (high - low).astype(np.float64)
    np.divide(share, high, out=share, where=high > 0)
    return (np.rint(share) if pixels.dtype.kind == 'u' else share).mean() / levels


def hue_of(means):
    """The hue of mean blue, green and red."""
    return math.degrees(np.angle(means[::-1] @ np.exp(2j * np.pi * np.arange(3) / 3))) % 360


def features_of(pixels):
    """The features of one message by name; pixels: (H, W), or (H, W, 3) as b, g, r."""
    if pixels.ndim == 2:
        return features_of_channel('gray', pixels) | features_of_luma(pixels)
    found = features_of_luma(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
    for index, name in enumerate(COLOURS):
        found |= features_of_channel(name, pixels[:, :, index])
    hue = hue_of(np.array([found[f'{name}_mean'] for name in COLOURS]))
    return found | {'hue_deg': hue, 'saturation': saturation_of(pixels)}


def scalars(profile):
    """The means of the features of a profile that are one number a message."""
    return {
        name.removeprefix('image/'): feature.moments.mean
        for name, feature in profile.features.items()
        if name.startswith('image/') and feature.kind == 'scalar' and feature.moments.count
    }


def tolerance(name, of_floats=False):
    """Saturation and the Laplacian are computed in float32, and so is the luma of floats."""
    if name in {'saturation', 'sharpness'}:
        return 1e-5
    return 1e-6 if of_floats and name in {'brightness', 'contrast'} else 1e-11


def same_scalars(profile, expected, of_floats=False):
    found = scalars(profile)
    assert found.keys() == expected.keys()
    for name, number in expected.items():
        rel = tolerance(name, of_floats)
        assert found[name] == pytest.approx(number, rel=rel, abs=1e-9), name


def bgr8(message):
    return message.data.reshape(message.height, message.width, 3)


RECORDINGS = {
    'kinect_rgbd': ('/camera/color/image_raw', 'bgr8', bgr8),
    'realsense_d435': (
        '/device_0/sensor_1/Color_0/image/data',
        'rgb8',
        lambda message: np.ascontiguousarray(bgr8(message)[:, :, ::-1]),
    ),
    'voc_detections': (
        '/camera/image_raw/compressed',
        'jpeg',
        lambda message: cv2.imdecode(message.data, cv2.IMREAD_COLOR),
    ),
    'euroc_camera_imu': (
        '/cam0/image_raw',
        'mono8',
        lambda message: message.data.reshape(message.height, message.width),
    ),
}


def same_levels(feature, counts):
    """Assert that of each level from 0 to 255 so many are in feature."""
    size, occupied = int(counts.sum()), np.flatnonzero(counts)
    total, squares = (int((counts * np.arange(256) ** power).sum()) for power in (1, 2))
    moments = feature.moments
    assert moments.count == size
    assert (moments.min, moments.max) == (occupied[0], occupied[-1])
    assert moments.mean == total / size
    assert moments.m2 == (size * squares - total**2) / size
    upto = np.cumsum(counts) / size
    for rank, value in zip(RANKS, feature.quantiles(RANKS), strict=True):
        below = upto[int(value) - 1] if value else 0.0
        assert max(below - rank, rank - upto[int(value)]) <= rank_error(200)


@pytest.mark.parametrize('recorded', RECORDINGS)
def test_every_feature_of_a_recording(replay, recorded):
    topic, encoding, pixels_of = RECORDINGS[recorded]
    messages, profile = replay(recorded, topic)
    frames = [pixels_of(message) for message in messages]
    found = {
        name.removeprefix('image/'): feature
        for name, feature in profile.features.items()
        if name.startswith('image/')
    }
    rows = [features_of(frame) for frame in frames]
    expected = {name: [row[name] for row in rows] for name in rows[0]}
    repeated = [np.array_equal(a.data, b.data) for a, b in pairwise(messages)]
    assert ('message/repeated' in profile.features) == (len(messages) > 1)
    if repeated:
        assert profile.features['message/repeated'].moments.mean == np.mean(repeated)
    for name, numbers in expected.items():
        moments, rel = found.pop(name).moments, tolerance(name)
        assert moments.count == len(frames)
        ends = min(numbers), max(numbers)
        assert (moments.min, moments.max) == pytest.approx(ends, rel=rel, abs=1e-12), name
        assert moments.mean == pytest.approx(np.mean(numbers), rel=rel, abs=1e-12), name
        assert moments.stddev == pytest.approx(np.std(numbers), rel=100 * rel, abs=1e-7), name
    for index, name in enumerate(COLOURS if frames[0].ndim == 3 else ('gray',)):
        planes = [frame.reshape(*frame.shape[:2], -1)[:, :, index] for frame in frames]
        same_levels(found.pop(name), sum(np.bincount(p.ravel(), minlength=256) for p in planes))
    assert found.pop('encoding').top(2) == [(encoding, len(frames))]
    sizes = [f'{frame.shape[1]}x{frame.shape[0]}' for frame in frames]
    assert dict(found.pop('size').top(99)) == {size: sizes.count(size) for size in sizes}
    assert not found


def colour_image(height=40, width=60):
    """A smooth coloured image with some noise and black and white parts, (H, W, 3) as r, g, b."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([120 + 90 * np.sin(x / 9), 100 + 50 * np.cos(y / 7), 90 + x], axis=-1)
    pixels = np.clip(waves + RANDOM.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)
    pixels[:4, :8], pixels[-3:, -5:] = 0, 255
    return pixels


RGB = colour_image()
BGR = np.ascontiguousarray(RGB[:, :, ::-1])
GRAY = np.ascontiguousarray(RGB[:, :, 1])


def sent(encoding):
    """The pixels of the picture in a colour encoding; in 16 bits they are 257 times as many."""
    pixels = RGB if encoding.startswith('rgb') else BGR
    if ENCODINGS[encoding].channels == 4:
        pixels = np.dstack([pixels, RANDOM.integers(0, 256, GRAY.shape, dtype=np.uint8)])
    return in_type_of(pixels, encoding)


def in_type_of(pixels, encoding):
    dtype = np.dtype(ENCODINGS[encoding].dtype)
    if dtype == np.int8:
        pixels = pixels // 2
    return pixels.astype(dtype) * dtype.type(257 if dtype == np.uint16 else 1)


def computed(pixels):
    """Pixels in the type that features are computed of."""
    return pixels if pixels.dtype.kind == 'u' else pixels.astype(np.float32)


@pytest.mark.parametrize('big_endian', [0, 1])
@pytest.mark.parametrize('encoding', [n for n, e in ENCODINGS.items() if e.bgr is not None])
def test_a_colour_picture_in_every_encoding(image, profiled, encoding, big_endian):
    pixels = sent(encoding)
    data = pixels.astype(pixels.dtype.newbyteorder('>' if big_endian else '<'))
    profile = profiled(IMAGE, image(data, encoding, padding=8, is_bigendian=big_endian))
    expected = features_of(computed(in_type_of(BGR, encoding)))
    same_scalars(profile, expected, of_floats=pixels.dtype.kind != 'u')
    assert profile.features['image/encoding'].top(2) == [(encoding, 1)]
    assert profile.features['image/size'].top(2) == [('60x40', 1)]
    for index, name in enumerate(('red', 'green', 'blue')):
        feature = profile.features[f'image/{name}']
        channel = RGB[:, :, index] // (2 if encoding.startswith('8S') else 1)
        assert feature.kind == 'elements'
        assert feature.moments.count == channel.size
        assert feature.moments.mean == pytest.approx(channel.mean(), rel=1e-12)
        assert feature.moments.stddev == pytest.approx(channel.std(), rel=1e-12)
        ends = channel.min(), channel.max()
        assert (feature.moments.min, feature.moments.max) == pytest.approx(ends, rel=1e-15)


@pytest.mark.parametrize(
    'encoding', ['mono8', 'mono16', '8UC1', '16UC1', '8SC1', '16SC1', '32SC1', '32FC1', '64FC1']
)
def test_a_gray_picture_in_every_encoding(image, profiled, encoding):
    pixels = in_type_of(GRAY, encoding)
    profile = profiled(IMAGE, image(pixels, encoding), config=AS_IMAGE)
    same_scalars(profile, features_of(computed(pixels)))
    levels = pixels.astype(np.float64) * unit_of(pixels)
    moments = profile.features['image/gray'].moments
    assert moments.mean == pytest.approx(levels.mean(), rel=1e-12)
    assert (moments.min, moments.max) == pytest.approx((levels.min(), levels.max()), rel=1e-15)


@pytest.mark.parametrize('encoding', ['8SC1', '16SC1', '32SC1', '32FC1', '64FC1'])
def test_numbers_below_0_are_taken_as_they_are(image, profiled, encoding):
    pixels = (GRAY.astype(np.int64) // 2 - 100).astype(ENCODINGS[encoding].dtype)
    profile = profiled(IMAGE, image(pixels, encoding), config=AS_IMAGE)
    same_scalars(profile, features_of(pixels.astype(np.float32)))
    assert profile.features['image/gray'].moments.min == pixels.min()


def test_large_integers_are_exact(image, profiled):
    pixels = np.array([[2**31 - 1, -(2**31)], [2**24 + 1, 7]], np.int32)
    moments = profiled(IMAGE, image(pixels, '32SC1')).features['image/gray'].moments
    assert (moments.min, moments.max) == (-(2**31), 2**31 - 1)
    assert moments.mean == pixels.mean()


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('order', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize(('height', 'width'), [(40, 60), (39, 59), (2, 2), (3, 2)])
def test_bayer_colours_are_read_from_the_mosaic(image, profiled, order, bits, height, width):
    encoding = f'bayer_{order}{bits}'
    rgb = in_type_of(RGB[-height:, :width], encoding)
    mosaic, seen = np.zeros((height, width), rgb.dtype), {'r': [], 'g': [], 'b': []}
    for place, colour in enumerate(order):
        part = slice(place // 2, None, 2), slice(place % 2, None, 2)
        mosaic[part] = rgb[part][..., 'rgb'.index(colour)]
        seen[colour].append(mosaic[part])
    # A cell of 2x2 is a pixel with the mean of its greens.
    cells = {c: [plane[: height // 2, : width // 2] for plane in seen[c]] for c in 'rgb'}
    green = np.rint(np.mean(cells['g'], axis=0)).astype(rgb.dtype)
    bgr = np.dstack([cells['b'][0], green, cells['r'][0]])
    expected = features_of(bgr)
    for name in COLOURS:
        expected |= features_of_channel(name, *seen[name[0]])
    expected['hue_deg'] = hue_of(np.array([expected[f'{name}_mean'] for name in COLOURS]))
    profile = profiled(IMAGE, image(mosaic, encoding))
    same_scalars(profile, expected)
    for name in COLOURS:
        values = np.concatenate([plane.ravel() for plane in seen[name[0]]]) * unit_of(mosaic)
        moments = profile.features[f'image/{name}'].moments
        assert moments.count == values.size
        assert moments.mean == pytest.approx(values.mean(), rel=1e-12)
    if height > 30:  # a quarter of the pixels stands for all of them
        plain = scalars(profiled(IMAGE, image(RGB, 'rgb8')))
        for name in ('red_mean', 'green_mean', 'blue_mean', 'brightness', 'hue_deg'):
            assert scalars(profile)[name] == pytest.approx(plain[name], rel=0.05)


@pytest.mark.parametrize(
    ('shape', 'seen'), [((1, 1), 'r'), ((1, 7), 'rg'), ((7, 1), 'rg'), ((2, 1), 'rg')]
)
def test_a_bayer_image_without_a_cell_has_the_colours_that_it_has(image, profiled, shape, seen):
    profile = profiled(IMAGE, image(np.full(shape, 9, np.uint8), 'bayer_rggb8'))
    names = [name for name in ('red', 'green', 'blue') if name[0] in seen]
    assert scalars(profile).keys() == {
        *(f'{name}_{number}' for name in names for number in ('mean', 'stddev')),
    }


@pytest.mark.parametrize('encoding', ['8UC2', '16SC2', '32FC2'])
def test_of_two_channels_only_their_number_is_known(image, profiled, encoding):
    pixels = in_type_of(RGB[:, :, :2], encoding)
    profile = profiled(IMAGE, image(pixels, encoding))
    channels = [pixels[:, :, index] for index in (0, 1)]
    expected = features_of_channel('channel_0', channels[0])
    same_scalars(profile, expected | features_of_channel('channel_1', channels[1]))


def test_luma_is_bt_601(image, profiled):
    found = scalars(profiled(IMAGE, image(RGB, 'rgb8')))
    luma = RGB @ np.array([0.299, 0.587, 0.114])
    assert found['brightness'] == pytest.approx(luma.mean(), abs=0.01)
    assert found['contrast'] == pytest.approx(luma.std(), abs=0.01)


@pytest.mark.parametrize(
    ('colour', 'hue_deg'), [((255, 0, 0), 0), ((0, 255, 0), 120), ((0, 0, 9), 240)]
)
def test_the_hue_of_plain_colours(image, profiled, colour, hue_deg):
    pixels = np.zeros((4, 5, 3), np.uint8) + np.array(colour, np.uint8)
    found = scalars(profiled(IMAGE, image(pixels, 'rgb8')))
    assert found['hue_deg'] == pytest.approx(hue_deg, abs=1e-9)
    assert found['saturation'] == 1.0


@pytest.mark.parametrize('encoding', ['bgr8', 'rgb16', '32FC3'])
def test_grey_has_no_hue_and_no_saturation(image, profiled, encoding):
    profile = profiled(
        IMAGE, image(in_type_of(np.full((4, 5, 3), 77, np.uint8), encoding), encoding)
    )
    assert profile.features['image/hue_deg'].moments.count == 0
    assert profile.features['image/hue_deg'].missing == 1
    assert scalars(profile)['saturation'] == 0.0
    entropy_bits = None if encoding == '32FC3' else 0.0
    assert scalars(profile).get('entropy_bits') == entropy_bits


@pytest.mark.parametrize('encoding', ['rgb8', 'rgb16'])
@pytest.mark.parametrize(
    ('level', 'dark', 'bright'), [(5, 1, 0), (6, 0, 0), (249, 0, 0), (250, 0, 1)]
)
def test_dark_is_up_to_5_and_bright_from_250(image, profiled, encoding, level, dark, bright):
    pixels = in_type_of(np.full((4, 5, 3), level, np.uint8), encoding)
    found = scalars(profiled(IMAGE, image(pixels, encoding)))
    assert (found['dark_fraction'], found['bright_fraction']) == (dark, bright)


@pytest.mark.parametrize('encoding', ['rgb8', 'mono16', '32FC1', '64FC3'])
@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (7, 1), (1, 1000), (3, 1000), (1000, 1)])
def test_the_smallest_and_narrowest_images(image, profiled, encoding, shape):
    channels = ENCODINGS[encoding].channels
    rgb = np.resize(RGB[20:], (*shape, 3))
    pixels = in_type_of(rgb if channels == 3 else rgb[:, :, 0], encoding)
    profile = profiled(IMAGE, image(pixels, encoding), config=AS_IMAGE)
    plain = pixels[:, :, ::-1] if encoding == 'rgb8' else pixels
    expected = features_of(np.ascontiguousarray(computed(plain)))
    same_scalars(profile, expected, of_floats=pixels.dtype.kind == 'f')


@pytest.mark.parametrize('encoding', ['32FC1', '64FC1', '32FC3', '64FC3'])
def test_what_is_not_finite_is_counted_apart(image, profiled, encoding):
    channels = ENCODINGS[encoding].channels
    pixels = in_type_of(BGR if channels == 3 else GRAY, encoding).reshape(40, 60, channels)
    pixels[1, 2], pixels[3, 4], pixels[5, 6] = np.nan, np.inf, -np.inf
    profile = profiled(IMAGE, image(pixels, encoding), config=AS_IMAGE)
    good = np.isfinite(pixels[:, :, 0])
    name = 'blue' if channels == 3 else 'gray'
    feature = profile.features[f'image/{name}']
    assert (feature.missing, feature.pos_inf, feature.neg_inf) == (1, 1, 1)
    assert feature.moments.count == 40 * 60 - 3
    assert feature.moments.mean == pytest.approx(pixels[good][:, 0].mean(dtype=float), rel=1e-12)
    seen = pixels[good].reshape(1, -1, channels).astype(np.float32)
    expected = features_of(seen if channels == 3 else seen[:, :, 0])
    expected.pop('sharpness')  # which needs whole rows
    same_scalars(profile, expected, of_floats=True)
    assert profile.features['image/sharpness'].missing == 1


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('encoding', ['32FC1', '64FC3'])
def test_an_image_without_a_number_has_no_features_of_numbers(image, profiled, encoding, value):
    channels = ENCODINGS[encoding].channels
    pixels = np.full((4, 5, channels), value, ENCODINGS[encoding].dtype)
    profile = profiled(IMAGE, image(pixels, encoding), config=AS_IMAGE)
    assert profile.counters.decoded == 1
    assert scalars(profile) == {}


def test_numbers_below_0_have_no_saturation(image, profiled):
    pixels = BGR.astype(np.float32) - 50
    feature = profiled(IMAGE, image(pixels, '32FC3')).features['image/saturation']
    assert (feature.moments.count, feature.missing) == (0, 1)


def test_numbers_larger_than_float32_are_no_exception(image, profiled):
    pixels = np.full((4, 5, 3), 1e300)
    pixels[0] = 0
    assert profiled(IMAGE, image(pixels, '64FC3')).counters.decoded == 1


def test_a_repeated_frame_is_told_from_a_new_one(image, profiled):
    other = RGB.copy()
    other[-1, -1] ^= 1
    frames = [image(pixels, 'rgb8') for pixels in (RGB, RGB, other, other, RGB)]
    frames.append(image(RGB, 'bgr8'))  # the same bytes show something else
    repeated = profiled(IMAGE, *frames).features['message/repeated'].moments
    assert (repeated.count, repeated.mean) == (5, 2 / 5)


@pytest.mark.parametrize('size', [(1080, 1920), (721, 1281), (1, 2000), (2, 5000)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_the_sharpness_of_large_images(image, profiled, size, dtype):
    random = np.random.default_rng(8)
    pixels = random.integers(0, np.iinfo(dtype).max, size, dtype)
    encoding = 'mono8' if dtype == np.uint8 else 'mono16'
    profile = profiled(IMAGE, image(pixels, encoding))
    same_scalars(profile, features_of(pixels))
