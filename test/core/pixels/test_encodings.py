"""Every image encoding, from bytes to arrays, against plain numpy."""

import numpy as np
import pytest

from profiler_node.core.decode import decoder_for
from profiler_node.core.errors import DecodeError
from profiler_node.core.pixels.encodings import ENCODINGS, bgr_of, encoding_of, pixels_of, yuv_of

RANDOM = np.random.default_rng(8)
DECODE = decoder_for('sensor_msgs/msg/Image')
VIEWS = [name for name, encoding in ENCODINGS.items() if encoding.to_bgr is None]
YUV = [name for name in ENCODINGS if name not in VIEWS]

# sensor_msgs/image_encodings.hpp, and NV12.
COLOURS = [
    f'{order}{alpha}{bits}' for order in ('rgb', 'bgr') for alpha in ('', 'a') for bits in (8, 16)
]
BAYER = [f'bayer_{order}{bits}' for order in ('rggb', 'bggr', 'gbrg', 'grbg') for bits in (8, 16)]
GENERIC = [
    f'{kind}C{channels}'
    for kind in ('8U', '8S', '16U', '16S', '32S', '32F', '64F')
    for channels in (1, 2, 3, 4)
]
PACKED_YUV = {'uyvy': 'uyvy', 'yuv422': 'uyvy', 'yuyv': 'yuyv', 'yuv422_yuy2': 'yuyv'}
PLANAR_YUV = {'nv12': (2, 'uv'), 'nv21': (2, 'vu'), 'nv24': (1, 'uv')}  # chroma: per pixels, order
HEIGHT, WIDTH = 6, 10


def test_all_encodings_of_ros_are_there():
    known = {'mono8', 'mono16', *COLOURS, *BAYER, *GENERIC, *PACKED_YUV, *PLANAR_YUV}
    assert known == set(ENCODINGS)


def random_pixels(encoding, height=HEIGHT, width=WIDTH):
    dtype = np.dtype(ENCODINGS[encoding].dtype)
    shape = height, width, ENCODINGS[encoding].channels
    if dtype.kind == 'f':
        return RANDOM.normal(0, 1e3, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return RANDOM.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize('encoding', VIEWS)
@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize('padding', [0, 5, 8])
def test_pixels_are_read_from_the_bytes(image, encoding, order, padding):
    pixels = random_pixels(encoding)
    message = image(
        pixels.astype(pixels.dtype.newbyteorder(order)),
        encoding,
        padding=padding,
        is_bigendian=int(order == '>'),
    )
    found = pixels_of(DECODE(message))
    assert found.dtype == pixels.dtype
    assert found.dtype.isnative
    assert np.array_equal(found, pixels)


def test_8_bit_pixels_are_not_copied(image):
    message = image(random_pixels('bgr8'), 'bgr8', padding=5)
    assert np.shares_memory(pixels_of(DECODE(message)), np.frombuffer(message, np.uint8))


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (1, 7), (7, 1), (3, 5)])
@pytest.mark.parametrize('encoding', ['mono8', 'rgb16', '32FC3', 'bayer_gbrg8', '64FC1', 'nv24'])
def test_the_smallest_images(image, encoding, height, width):
    if encoding == 'nv24':
        message = image(np.zeros((3 * height, width), np.uint8), encoding, height=height)
        assert bgr_of(DECODE(message)).shape == (height, width, 3)
    else:
        pixels = random_pixels(encoding, height, width)
        assert np.array_equal(pixels_of(DECODE(image(pixels, encoding))), pixels)


def yuv_message(image, encoding, y, u, v, padding=0):
    """A message of y, (H, W), and of u and v at the resolution of its chroma."""
    if encoding in PACKED_YUV:
        parts = {'y': y, 'u': np.repeat(u, 2, axis=1), 'v': np.repeat(v, 2, axis=1)}
        order = PACKED_YUV[encoding]
        pixels = np.empty((*y.shape, 2), np.uint8)
        for place, part in enumerate(order):
            pixels[:, place // 2 :: 2, place % 2] = parts[part][:, place // 2 :: 2]
        return image(pixels, encoding, padding=padding)
    per, order = PLANAR_YUV[encoding]
    chroma = np.stack([u, v] if order == 'uv' else [v, u], axis=2).reshape(len(u), -1)
    # A row of NV24 chroma is as long as two of luma, padding included.
    chroma = np.pad(chroma, ((0, 0), (0, padding * 2 // per)))
    rows = np.pad(y, ((0, 0), (0, padding)))
    rows = np.concatenate([rows, chroma.reshape(-1, rows.shape[1])])
    return image(rows, encoding, height=y.shape[0], width=y.shape[1])


def planes_of(encoding):
    """Random y, u and v as encoding has them, and u and v for every pixel."""
    rows, columns = (1, 2) if encoding in PACKED_YUV else (PLANAR_YUV[encoding][0],) * 2
    y = RANDOM.integers(16, 236, (HEIGHT, WIDTH), dtype=np.uint8)
    shape = HEIGHT // rows, WIDTH // columns
    u, v = (RANDOM.integers(90, 170, shape, dtype=np.uint8) for _ in 'uv')
    whole = (np.repeat(np.repeat(plane, rows, axis=0), columns, axis=1) for plane in (u, v))
    return y, u, v, *whole


@pytest.mark.parametrize('encoding', YUV)
@pytest.mark.parametrize('padding', [0, 6])
def test_yuv_is_converted_by_bt_601(image, encoding, padding):
    y, u, v, every_u, every_v = planes_of(encoding)
    found = bgr_of(DECODE(yuv_message(image, encoding, y, u, v, padding))).astype(float)
    luma, cb, cr = 1.164 * (y - 16.0), every_u - 128.0, every_v - 128.0
    expected = np.stack(
        [luma + 2.018 * cb, luma - 0.391 * cb - 0.813 * cr, luma + 1.596 * cr], axis=2
    )
    assert np.abs(found - expected.clip(0, 255)).max() <= 1.5  # rounded, and 8-bit weights


def test_yuv_bytes_come_without_padding(image):
    pixels = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 2), dtype=np.uint8)
    found = yuv_of(DECODE(image(pixels, 'uyvy', padding=3)))
    assert found.flags.c_contiguous
    assert np.array_equal(found, pixels)


BAD = [
    ('rgb8', {'height': 0}, 'empty_image'),
    ('rgb8', {'width': 0}, 'empty_image'),
    ('rgb8', {'step': 0}, 'bad_step'),
    ('rgb8', {'step': 3 * WIDTH - 1}, 'bad_step'),
    ('rgb8', {'width': 2**31 - 1}, 'bad_step'),
    ('rgb8', {'width': 2**32 - 1}, 'bad_size'),
    ('rgb8', {'height': 2**32 - 1}, 'bad_size'),
    ('rgb8', {'height': HEIGHT + 1}, 'short_data'),
    ('rgb8', {'step': 2**32 - 1}, 'short_data'),
    ('rgb8', {'height': HEIGHT - 1}, 'long_data'),
    ('mono16', {'width': 3 * WIDTH}, 'bad_step'),
    ('8UC5', {}, 'unsupported_encoding'),
    ('', {}, 'unsupported_encoding'),
    ('x' * 10_000, {}, 'unsupported_encoding'),
    ('uyvy', {'width': 9}, 'bad_size'),
    ('nv12', {'width': 9}, 'bad_size'),
    ('nv21', {'height': 3}, 'bad_size'),
    ('nv12', {'step': 9}, 'bad_step'),
    ('nv21', {'height': HEIGHT * 4}, 'short_data'),
    ('nv24', {'step': WIDTH, 'height': 5}, 'long_data'),
    ('nv24', {'height': HEIGHT + 2}, 'short_data'),
]


@pytest.mark.parametrize(('encoding', 'changes', 'reason'), BAD)
def test_what_does_not_fit_together_is_an_error(image, encoding, changes, reason):
    message = DECODE(image(random_pixels('rgb8'), encoding, **changes))
    read = bgr_of if encoding in YUV else pixels_of
    with pytest.raises(DecodeError) as caught:
        read(message)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 1_000


def test_the_last_row_may_come_without_its_padding(image):
    pixels = random_pixels('rgb8')
    rows = np.pad(pixels.reshape(HEIGHT, -1), ((0, 0), (0, 7))).ravel()
    message = image(pixels, 'rgb8', step=3 * WIDTH + 7, data=rows[:-7])
    assert np.array_equal(pixels_of(DECODE(message)), pixels)
    with pytest.raises(DecodeError, match='bytes of data'):
        pixels_of(DECODE(image(pixels, 'rgb8', step=3 * WIDTH + 7, data=rows[:-8])))


def test_each_reader_refuses_what_is_the_others(image):
    with pytest.raises(DecodeError, match='view of channels'):
        bgr_of(DECODE(image(random_pixels('rgb8'), 'rgb8')))
    assert encoding_of(DECODE(image(random_pixels('rgb8'), 'nv12'))).to_bgr is not None
