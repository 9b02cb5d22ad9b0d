"""What an image topic is taken for, compressed images, and what is wrong with them."""

import struct

import cv2
import numpy as np
import pytest

from profiler_node.core.config import StreamConfig
from profiler_node.core.pixels.encodings import ENCODINGS

RANDOM = np.random.default_rng(21)
IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
BGR = cv2.resize(RANDOM.integers(0, 256, (6, 8, 3), dtype=np.uint8), (64, 48))
GRAY = np.ascontiguousarray(BGR[:, :, 0])
ALPHA = np.dstack([BGR, GRAY])
DEPTH = RANDOM.integers(0, 5_000, (12, 16), dtype=np.uint16)
LOSSLESS = (cv2.IMWRITE_WEBP_QUALITY, 101)


@pytest.fixture
def compressed(serialized):
    """Serializes a CompressedImage of pixels, or of bytes as they are."""

    def serialize(content, form, extension='.png', options=()):
        if isinstance(content, np.ndarray):
            content = cv2.imencode(extension, content, list(options))[1].tobytes()
        header = {'stamp': {'sec': 10**9}, 'frame_id': 'camera'}
        data = np.frombuffer(content, np.uint8)
        return serialized(COMPRESSED, header=header, format=form, data=data)

    return serialize


def groups(profile):
    return {name.split('/')[0] for name in profile.features} - {'message'}


def scalars(profile):
    """The means of what is one number a message."""
    return {
        name: feature.moments.mean
        for name, feature in profile.features.items()
        if feature.kind == 'scalar' and not name.startswith('message/') and feature.moments.count
    }


@pytest.mark.parametrize(
    ('encoding', 'kind', 'group'),
    [
        ('16UC1', '', 'depth'),
        ('32FC1', '', 'depth'),
        ('64FC1', '', 'depth'),
        ('mono16', '', 'image'),
        ('16SC1', '', 'image'),
        ('32FC3', '', 'image'),
        ('16UC1', 'image', 'image'),
        ('32FC1', 'image', 'image'),
        ('mono16', 'depth', 'depth'),
        ('8UC1', 'depth', 'depth'),
        ('16SC1', 'depth', 'depth'),
    ],
)
def test_depth_is_told_by_encoding_or_configuration(image, profiled, encoding, kind, group):
    types = {'16UC1': 'u2', 'mono16': 'u2', '16SC1': 'i2', '8UC1': 'u1', '64FC1': 'f8'}
    pixels = (DEPTH // 20).astype(types.get(encoding, 'f4'))
    if encoding == '32FC3':
        pixels = np.dstack([pixels] * 3)
    profile = profiled(IMAGE, image(pixels, encoding), config=StreamConfig(kind=kind))
    assert groups(profile) == {group}
    assert profile.counters.decoded == 1
    assert profile.features[f'{group}/encoding'].top(1) == [(encoding, 1)]
    assert profile.features[f'{group}/size'].top(1) == [('16x12', 1)]


@pytest.mark.parametrize('encoding', ['rgb8', 'bayer_rggb8', 'yuyv', 'nv12', '16UC2'])
def test_what_has_no_one_channel_is_no_depth(image, profiled, encoding):
    profile = profiled(IMAGE, image(BGR, encoding), config=StreamConfig(kind='depth'))
    assert dict(profile.counters.decode_errors) == {'unsupported_encoding': 1}


@pytest.mark.parametrize(('encoding', 'dtype'), [('16SC1', np.int16), ('32SC1', np.int32)])
def test_signed_depth_is_millimetres(image, profiled, encoding, dtype):
    pixels = np.array([[-5, 0, 1_500, 2_500]], dtype)
    profile = profiled(IMAGE, image(pixels, encoding), config=StreamConfig(kind='depth'))
    found = scalars(profile)
    assert found['depth/valid_fraction'] == 0.5
    assert found['depth/zero_fraction'] == found['depth/out_of_range_fraction'] == 0.25
    assert (found['depth/min_m'], found['depth/max_m']) == (1.5, 2.5)
    config = StreamConfig(kind='depth', depth_scale_m=0.01)
    assert scalars(profiled(IMAGE, image(pixels, encoding), config=config))['depth/max_m'] == 25.0


def test_a_recorded_mono16_depth_topic_is_an_image_unless_told_otherwise(replay):
    topic = '/device_0/sensor_0/Depth_0/image/data'
    messages, profile = replay('realsense_d435', topic)
    pixels = np.stack([message.data.view('<u2') for message in messages]).astype(np.float64)
    moments = profile.features['image/gray'].moments
    assert groups(profile) == {'image'}
    assert moments.mean == pytest.approx(pixels.mean() * 255 / 65_535, rel=1e-12)
    assert moments.max == pytest.approx(pixels.max() * 255 / 65_535, rel=1e-12)
    assert profile.features['image/encoding'].top(1) == [('mono16', len(messages))]
    _, profile = replay('realsense_d435', topic, StreamConfig(kind='depth'))
    moments = profile.features['depth/range_m'].moments
    assert groups(profile) == {'depth'}
    assert moments.count == np.count_nonzero(pixels)
    assert moments.mean == pytest.approx(pixels[pixels > 0].mean() / 1000, rel=1e-12)


def yuv_of(encoding):
    """The rows of the colour image in a YUV encoding, by OpenCV's conversion to 4:2:0."""
    planar = cv2.cvtColor(BGR, cv2.COLOR_BGR2YUV_I420)
    y, u, v = planar[:48], planar[48:60].reshape(24, 32), planar[60:].reshape(24, 32)
    if encoding in {'nv12', 'nv21'}:
        both = np.dstack([u, v] if encoding == 'nv12' else [v, u])
        return np.concatenate([y, both.reshape(24, 64)])
    u, v = (np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1) for plane in (u, v))
    if encoding == 'nv24':
        return np.concatenate([y, np.dstack([u, v]).reshape(96, 64)])
    chroma = np.where(np.arange(64) % 2, v, u)
    return np.dstack([y, chroma] if encoding.startswith(('yuyv', 'yuv422_')) else [chroma, y])


@pytest.mark.parametrize('encoding', [n for n, e in ENCODINGS.items() if e.to_bgr is not None])
def test_a_yuv_picture_is_nearly_that_which_it_was_made_from(image, profiled, encoding):
    profile = profiled(IMAGE, image(yuv_of(encoding), encoding, height=48))
    found, plain = scalars(profile), scalars(profiled(IMAGE, image(BGR, 'bgr8')))
    assert found.keys() == plain.keys()
    for name in ('red_mean', 'green_mean', 'blue_mean', 'brightness'):
        assert found[f'image/{name}'] == pytest.approx(plain[f'image/{name}'], abs=1.5)
    assert found['image/contrast'] == pytest.approx(plain['image/contrast'], rel=0.03)
    assert profile.features['image/size'].top(1) == [('64x48', 1)]


def test_a_yuv_picture_is_converted_by_what_is_given(image, profiled):
    found = profiled(IMAGE, image(yuv_of('yuyv'), 'yuyv'), to_bgr=lambda _: BGR)
    assert scalars(found) == scalars(profiled(IMAGE, image(BGR, 'bgr8')))


BAD = {
    'unsupported_encoding': {'encoding': 'bayer_what8'},
    'empty_image': {'height': 0},
    'bad_step': {'step': 191},
    'bad_size': {'width': 2**32 - 1},
    'short_data': {'height': 49},
    'long_data': {'height': 47},
}


@pytest.mark.parametrize('reason', BAD)
def test_an_image_that_does_not_fit_together_is_counted_by_reason(image, profiled, reason):
    good, fields = image(BGR, 'bgr8'), {'encoding': 'bgr8'} | BAD[reason]
    profile = profiled(IMAGE, good, image(BGR, fields.pop('encoding'), **fields), good)
    assert dict(profile.counters.decode_errors) == {reason: 1}
    assert (profile.counters.seen, profile.counters.decoded) == (3, 2)
    assert profile.features['image/red_mean'].moments.count == 2
    assert profile.features['message/size_bytes'].moments.count == 3


RAW = {
    'mono8': (GRAY, '.png', ()),
    'mono16': (DEPTH, '.png', ()),
    'bgr8': (BGR, '.png', ()),
    'bgr16': (BGR.astype(np.uint16) * 250, '.png', ()),
    'bgra8': (ALPHA, '.png', ()),
    'bgra16': (ALPHA.astype(np.uint16) * 250, '.png', ()),
    '8UC3': (BGR, '.webp', LOSSLESS),
    '8UC4': (ALPHA, '.webp', LOSSLESS),
}


@pytest.mark.parametrize('encoding', RAW)
def test_compressed_without_loss_is_as_raw(image, compressed, profiled, encoding):
    pixels, extension, options = RAW[encoding]
    found = profiled(COMPRESSED, compressed(pixels, 'png', extension, options))
    raw = profiled(IMAGE, image(pixels, encoding))
    assert scalars(found) == scalars(raw)
    assert found.features['image/encoding'].top(1) == [('png', 1)]
    assert found.features['image/size'] == raw.features['image/size']
    for colour in {'image/red', 'image/green', 'image/blue', 'image/gray'} & set(raw.features):
        assert found.features[colour].moments == raw.features[colour].moments


@pytest.mark.parametrize('pixels', [GRAY, BGR], ids=['gray', 'colour'])
@pytest.mark.parametrize('extension', ['.jpg', '.webp'])
def test_compressed_with_loss_is_as_what_it_is_decoded_to(
    image, compressed, profiled, pixels, extension
):
    message = compressed(pixels, 'jpeg', extension, (cv2.IMWRITE_WEBP_QUALITY, 80))
    data = np.frombuffer(cv2.imencode(extension, pixels, [64, 80])[1], np.uint8)
    plain = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    encoding = 'mono8' if plain.ndim == 2 else 'bgr8'
    raw = profiled(IMAGE, image(plain, encoding))
    assert scalars(profiled(COMPRESSED, message)) == scalars(raw)


@pytest.mark.parametrize(
    ('form', 'first'),
    [
        ('jpeg', 'blue'),
        ('', 'blue'),
        ('rgb8; jpeg compressed bgr8', 'blue'),
        ('bgr8; jpeg compressed bgr8', 'blue'),
        ('rgb8; jpeg compressed', 'blue'),
        ('rgb8; png compressed rgb8', 'red'),
        ('bgr16; png compressed rgb16', 'red'),
    ],
)
def test_colours_are_those_that_the_format_claims(compressed, profiled, form, first):
    found = scalars(profiled(COMPRESSED, compressed(BGR, form)))
    assert found[f'image/{first}_mean'] == pytest.approx(BGR[:, :, 0].mean(), rel=1e-12)


REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@pytest.mark.parametrize('reduction', REDUCED)
def test_a_reduced_jpeg_is_marked(image, compressed, profiled, reduction):
    config = StreamConfig(jpeg_reduction=reduction)
    profile = profiled(COMPRESSED, compressed(BGR, 'jpeg', '.jpg'), config=config)
    data = cv2.imencode('.jpg', BGR)[1]
    small = cv2.imdecode(data, REDUCED[reduction])
    expected = scalars(profiled(IMAGE, image(small, 'bgr8')))
    assert scalars(profile) == expected | {'image/reduction': reduction}
    assert profile.features['image/red'].moments.count == BGR.size // 3 // reduction**2
    assert profile.features['image/size'].top(1) == [('64x48', 1)]  # of what was sent


def test_only_jpeg_is_reduced(compressed, profiled):
    config = StreamConfig(jpeg_reduction=2)
    profile = profiled(COMPRESSED, compressed(BGR, 'png'), config=config)
    assert profile.features['image/red'].moments.count == BGR.size // 3
    assert 'image/reduction' not in profile.features
    assert 'image/reduction' not in profiled(COMPRESSED, compressed(BGR, 'jpeg', '.jpg')).features


HEADER = struct.pack('<iff', 0, 10_100.0, -1_009.0)
PNG = cv2.imencode('.png', DEPTH)[1].tobytes()


@pytest.mark.parametrize(
    ('form', 'kind', 'content'),
    [
        ('16UC1; compressedDepth png', '', HEADER + PNG),
        ('16UC1; compressedDepth', '', HEADER + PNG),
        ('; compressedDepth', '', HEADER + PNG),
        ('16UC1; png compressed ', '', PNG),
        ('mono16; png compressed ', 'depth', PNG),
        ('png', 'depth', PNG),
    ],
)
def test_compressed_integer_depth_is_as_raw(image, compressed, profiled, form, kind, content):
    config = StreamConfig(kind=kind)
    profile = profiled(COMPRESSED, compressed(content, form), config=config)
    raw = profiled(IMAGE, image(DEPTH, '16UC1'))
    assert groups(profile) == {'depth'}
    assert scalars(profile) == scalars(raw)
    assert profile.features['depth/range_m'].moments == raw.features['depth/range_m'].moments
    assert profile.features['depth/size'] == raw.features['depth/size']
    assert profile.features['depth/encoding'].top(1) == [(form, 1)]


def test_compressed_float_depth_is_as_raw_but_for_its_steps(compressed, profiled):
    # 12 m is beyond what is sent, and comes back as NaN.
    metres = (RANDOM.integers(600, 9_000, (12, 16)) / 1000).astype(np.float32)
    metres[0, :3] = np.nan, np.inf, 12.0
    with np.errstate(invalid='ignore'):
        inverse = np.where(metres < 10, np.float32(10_100) / metres - np.float32(1_009), 0)
    inverse = inverse.astype(np.uint16)
    content = HEADER + cv2.imencode('.png', inverse)[1].tobytes()
    profile = profiled(COMPRESSED, compressed(content, '32FC1; compressedDepth png'))
    found = scalars(profile)
    assert found['depth/nan_fraction'] == 3 / metres.size
    assert found['depth/valid_fraction'] == 1 - 3 / metres.size
    seen = metres[np.isfinite(metres) & (metres < 10)].astype(np.float64)
    # Quantized to z^2 / 10100 m, cut and not rounded.
    assert seen.mean() <= found['depth/mean_m'] <= seen.mean() + 9**2 / 10_100
    assert seen.min() <= found['depth/min_m'] <= seen.min() + 1e-4
    assert seen.max() <= found['depth/max_m'] <= seen.max() + 9**2 / 10_000


def test_compressed_depth_may_be_taken_for_an_image(image, compressed, profiled):
    config = StreamConfig(kind='image')
    profile = profiled(
        COMPRESSED, compressed(HEADER + PNG, '16UC1; compressedDepth'), config=config
    )
    assert scalars(profile) == scalars(profiled(IMAGE, image(DEPTH, 'mono16')))
    assert profile.features['image/size'].top(1) == [('16x12', 1)]


@pytest.mark.parametrize(
    ('form', 'kind', 'extension', 'head'),
    [
        ('16UC1; jpeg compressed mono8', '', '.jpg', b''),
        ('16UC1; jpeg compressed ', '', '.jpg', b''),
        ('mono16; jpeg compressed mono8', 'depth', '.jpg', b''),
        ('jpeg', 'depth', '.jpg', b''),
        ('webp', 'depth', '.webp', b''),
        ('16UC1; compressedDepth', '', '.jpg', HEADER),
        ('32FC1; compressedDepth png', '', '.jpg', HEADER),
    ],
)
def test_depth_by_a_codec_that_changes_it_is_flagged(
    compressed, profiled, form, kind, extension, head
):
    content = head + cv2.imencode(extension, GRAY)[1].tobytes()
    profile = profiled(COMPRESSED, compressed(content, form), config=StreamConfig(kind=kind))
    assert dict(profile.counters.decode_errors) == {'lossy_depth': 1}
    assert set(profile.features) - {'depth/size'} == {
        'message/size_bytes',
        'message/latency_s',
        'message/frame_id',
        'depth/encoding',
    }


def test_colours_are_no_depth(compressed, profiled):
    profile = profiled(COMPRESSED, compressed(BGR, 'png'), config=StreamConfig(kind='depth'))
    assert dict(profile.counters.decode_errors) == {'unsupported_encoding': 1}


def test_a_repeated_compressed_frame_is_told_from_a_new_one(compressed, profiled):
    first, second = compressed(BGR, 'jpeg', '.jpg'), compressed(255 - BGR, 'jpeg', '.jpg')
    profile = profiled(COMPRESSED, first, first, second, first, first)
    repeated = profile.features['message/repeated'].moments
    assert (repeated.count, repeated.mean) == (4, 2 / 4)
    depth = compressed(HEADER + PNG, '16UC1; compressedDepth')
    assert profiled(COMPRESSED, depth, depth).features['message/repeated'].moments.mean == 1


@pytest.mark.parametrize(
    ('content', 'form', 'reason'),
    [
        (b'', 'jpeg', 'short_data'),
        (b'', '16UC1; compressedDepth', 'short_data'),
        (HEADER, '16UC1; compressedDepth', 'short_data'),
        (b'\0' * 99, 'jpeg', 'unsupported_format'),
        (b'\0\0\0\1\x67' * 20, 'h264', 'unsupported_format'),
        (PNG[:-9], 'png', 'short_data'),
        (PNG[:60] + b'\xff' + PNG[61:], 'png', 'bad_data'),
        (PNG[:16] + b'\x7f' + PNG[17:], 'png', 'bad_size'),
        (PNG[:16] + bytes(4) + PNG[20:], 'png', 'empty_image'),
        (HEADER + b'\xff' * 99, '16UC1; compressedDepth rvl', 'bad_size'),
    ],
)
def test_what_cannot_be_decoded_is_counted_by_reason(compressed, profiled, content, form, reason):
    good = compressed(BGR, 'jpeg', '.jpg')
    profile = profiled(COMPRESSED, good, compressed(content, form), good)
    assert dict(profile.counters.decode_errors) == {reason: 1}
    assert (profile.counters.seen, profile.counters.decoded) == (3, 2)
    assert profile.features['image/red_mean'].moments.count == 2
