"""Compressed images: sizes, pixels, the arithmetic of compressedDepth, and hostile data."""

import struct
import time
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from profiler_node.core.errors import DecodeError
from profiler_node.core.pixels.compressed import decode_depth, decode_image, head_of

RANDOM = np.random.default_rng(12)
SMOOTH = cv2.resize(RANDOM.integers(0, 256, (6, 8, 3), dtype=np.uint8), (37, 23))
LOSSLESS_WEBP = [cv2.IMWRITE_WEBP_QUALITY, 101]


def compressed(extension, pixels, options=()):
    found, data = cv2.imencode(extension, pixels, list(options))
    assert found
    return data.ravel()


def chunk(kind, data=b''):
    return struct.pack('>I4s', len(data), kind) + data + struct.pack('>I', zlib.crc32(kind + data))


def png(width, height, bits, colour_type, rows, *chunks):
    """A PNG of rows of bytes."""
    head = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, colour_type, 0, 0, 0))
    body = chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row for row in rows), 9))
    return np.frombuffer(
        b'\x89PNG\r\n\x1a\n' + head + b''.join(chunks) + body + chunk(b'IEND'), np.uint8
    )


def decoded(data, **options):
    return decode_image(data, head_of(data), **options)


ALPHA = np.dstack([SMOOTH, SMOOTH[:, :, 0]])
LOSSLESS = {
    'png gray': ('.png', SMOOTH[:, :, 0], ()),
    'png': ('.png', SMOOTH, ()),
    'png alpha': ('.png', ALPHA, ()),
    'png 16-bit gray': ('.png', SMOOTH[:, :, 0].astype(np.uint16) * 257, ()),
    'png 16-bit': ('.png', SMOOTH.astype(np.uint16) * 250, ()),
    'png 16-bit alpha': ('.png', ALPHA.astype(np.uint16) * 250, ()),
    'webp': ('.webp', SMOOTH, LOSSLESS_WEBP),
    'webp alpha': ('.webp', ALPHA, LOSSLESS_WEBP),
    'png of one pixel': ('.png', SMOOTH[:1, :1], ()),
    'webp of one row': ('.webp', SMOOTH[:1], LOSSLESS_WEBP),
}
LOSSY = {
    'jpeg gray': ('.jpg', SMOOTH[:, :, 0], ()),
    'jpeg': ('.jpg', SMOOTH, ()),
    'jpeg progressive': ('.jpg', SMOOTH, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    'jpeg with restarts': ('.jpg', SMOOTH, (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
    'jpeg of one column': ('.jpg', SMOOTH[:, :1], ()),
    'webp lossy': ('.webp', SMOOTH, (cv2.IMWRITE_WEBP_QUALITY, 90)),
    'webp lossy alpha': ('.webp', ALPHA, (cv2.IMWRITE_WEBP_QUALITY, 90)),
}
ALL = LOSSLESS | LOSSY


@pytest.mark.parametrize('name', LOSSLESS)
def test_lossless_pixels_come_back(name):
    extension, pixels, options = LOSSLESS[name]
    found = decoded(compressed(extension, pixels, options))
    assert found.dtype == pixels.dtype
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize('name', LOSSY)
def test_lossy_pixels_are_close(name):
    extension, pixels, options = LOSSY[name]
    found = decoded(compressed(extension, pixels, options))
    assert found.shape == pixels.shape
    assert np.abs(found.astype(float) - pixels).mean() < 12


@pytest.mark.parametrize('name', ALL)
def test_the_head_tells_format_and_size(name):
    extension, pixels, options = ALL[name]
    head = head_of(compressed(extension, pixels, options))
    assert head.kind == name.split()[0]
    assert (head.height, head.width) == pixels.shape[:2]


def test_rare_kinds_of_png():
    def pixels(*arguments):
        return decoded(png(*arguments)).tolist()

    assert pixels(4, 1, 1, 0, [b'\xa0']) == [[255, 0, 255, 0]]
    palette = chunk(b'PLTE', bytes([1, 2, 3, 4, 5, 6]))
    assert pixels(2, 1, 8, 3, [b'\1\0'], palette) == [[[6, 5, 4], [3, 2, 1]]]
    assert pixels(2, 1, 8, 4, [b'\7\x64\x08\x65']) == [[[7, 7, 7, 100], [8, 8, 8, 101]]]


@pytest.mark.parametrize('reduction', [2, 4, 8])
def test_a_jpeg_is_decoded_at_a_fraction_of_its_size(reduction):
    pixels = cv2.resize(SMOOTH, (320, 200))
    found = decoded(compressed('.jpg', pixels), reduction=reduction)
    assert found.shape == (200 // reduction, 320 // reduction, 3)
    means = pixels.reshape(200 // reduction, reduction, 320 // reduction, reduction, 3).mean((1, 3))
    assert np.abs(found - means).mean() < 3


def exif(orientation):
    entry = struct.pack('>HHIHH', 0x0112, 3, 1, orientation, 0)
    return b'MM\0\x2a\0\0\0\x08\0\1' + entry + b'\0\0\0\0'


@pytest.mark.parametrize('orientation', [3, 6, 8])
def test_a_picture_is_not_turned_by_its_exif_orientation(orientation):
    for gray in (False, True):
        plain = compressed('.jpg', SMOOTH[:, :, 0] if gray else SMOOTH)
        payload = b'Exif\0\0' + exif(orientation)
        segment = b'\xff\xe1' + struct.pack('>H', 2 + len(payload)) + payload
        turned = np.frombuffer(plain[:2].tobytes() + segment + plain[2:].tobytes(), np.uint8)
        # OpenCV does turn it, unless told not to.
        assert cv2.imdecode(turned, cv2.IMREAD_COLOR).shape[:2] == (
            (23, 37) if orientation == 3 else (37, 23)
        )
        assert np.array_equal(decoded(turned), decoded(plain))
    rows = [row.tobytes() for row in SMOOTH[:, :, ::-1]]
    assert np.array_equal(
        decoded(png(37, 23, 8, 2, rows, chunk(b'eXIf', exif(orientation)))), SMOOTH
    )


def reason_of(data, read=head_of):
    with pytest.raises(DecodeError) as caught:
        read(data)
    return caught.value.reason


@pytest.mark.parametrize('name', ALL)
def test_every_cut_is_an_error_before_it_is_decoded(name):
    extension, pixels, options = ALL[name]
    data = compressed(extension, pixels, options)
    reasons = {reason_of(data[:size]) for size in range(12, data.size)}
    assert reasons == {'short_data'}
    assert {reason_of(data[:size]) for size in range(12)} <= {'short_data', 'unsupported_format'}


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (b'', 'short_data'),
        (b'GIF89a' + bytes(50), 'unsupported_format'),
        (b'II*\0' + bytes(50), 'unsupported_format'),
        (b'RIFF\x30\0\0\0AVI ' + bytes(50), 'unsupported_format'),
        (b'RIFF\x30\0\0\0WEBPVP9 ' + bytes(50), 'bad_data'),
        (b'\xff\xd8\xff\xe0' + bytes(50), 'bad_data'),
        (png(0, 4, 8, 0, []).tobytes(), 'empty_image'),
        (png(4, 0, 8, 0, []).tobytes(), 'empty_image'),
    ],
)
def test_other_data_is_an_error_by_reason(data, reason):
    assert reason_of(np.frombuffer(data, np.uint8)) == reason


@pytest.mark.parametrize('name', ['png', 'png 16-bit gray', 'webp', 'jpeg'])
def test_damaged_bytes_are_an_error_or_another_picture(name):
    extension, pixels, options = ALL[name]
    data = compressed(extension, pixels, options)
    for _ in range(200):
        damaged = data.copy()
        damaged[RANDOM.integers(0, data.size, 2)] = RANDOM.integers(0, 256, 2)
        try:
            assert decoded(damaged).size <= 4 * 512 * 8 * data.size
        except DecodeError as error:
            assert error.reason in {  # noqa: PT017 (either may be)
                'bad_data',
                'bad_size',
                'empty_image',
                'short_data',
                'unsupported_format',
            }


def with_size(data, place, layout, *size):
    damaged = bytearray(data)
    struct.pack_into(layout, damaged, place, *size)
    return np.frombuffer(bytes(damaged), np.uint8)


JPEG = compressed('.jpg', SMOOTH)
WEBP_ALPHA = compressed('.webp', ALPHA, (cv2.IMWRITE_WEBP_QUALITY, 90))
BOMBS = {
    'jpeg': (JPEG, JPEG.tobytes().index(b'\xff\xc0') + 5, '>HH', 65_535, 65_535),
    'png': (compressed('.png', SMOOTH), 16, '>II', 2**31 - 1, 2**31 - 1),
    'png of 36 MB': (compressed('.png', SMOOTH), 16, '>II', 3_000, 4_000),
    'webp': (compressed('.webp', SMOOTH, [cv2.IMWRITE_WEBP_QUALITY, 90]), 26, '<HH', 9_000, 9_000),
    'webp lossless': (compressed('.webp', SMOOTH, LOSSLESS_WEBP), 21, '<I', 16_382 | 16_382 << 14),
    'webp extended': (WEBP_ALPHA, 24, '<6s', b'\xff' * 6),
}


@pytest.mark.parametrize('name', BOMBS)
def test_an_image_larger_than_its_bytes_can_hold_is_not_decoded(name):
    data, place, layout, *size = BOMBS[name]
    assert reason_of(with_size(data, place, layout, *size)) == 'bad_size'


@pytest.mark.parametrize(
    ('bits', 'colour_type', 'channels'),
    [(1, 0, 1), (16, 0, 1), (4, 3, 1), (8, 2, 3), (16, 4, 2), (8, 6, 4), (16, 6, 4)],
)
def test_a_png_holds_1032_times_its_bytes(bits, colour_type, channels):
    data = png(1, 1, bits, colour_type, [bytes(9)])
    most = 1032 * 8 * data.size // (bits * channels)
    assert head_of(png(most, 1, bits, colour_type, [bytes(9)])).width == most
    assert reason_of(png(most + 1, 1, bits, colour_type, [bytes(9)])) == 'bad_size'


def test_no_image_has_more_pixels_than_any_camera():
    data = png(2**14, 2**14, 1, 0, [bytes(2**11)] * 2**14)  # a real one
    assert data.size < 100_000
    assert reason_of(data) == 'bad_size'


@pytest.mark.parametrize(
    ('extension', 'options'),
    [
        ('.png', [cv2.IMWRITE_PNG_COMPRESSION, 9]),
        ('.jpg', [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1]),
        ('.webp', LOSSLESS_WEBP),
    ],
)
@pytest.mark.parametrize('shape', [(2160, 3840), (2160, 3840, 3)])
def test_a_black_4k_frame_is_decoded(extension, options, shape):
    data = compressed(extension, np.zeros(shape, np.uint8), options)
    assert data.size < 70_000
    assert not decoded(data).any()


@pytest.mark.parametrize('kind', [b'IDAT', b'IEND', b'tEXt'])
def test_a_png_chunk_that_claims_more_than_there_is_is_not_decoded(kind):
    data = bytearray(png(4, 1, 8, 0, [b'abcd'], chunk(b'tEXt', b'a\0b')).tobytes())
    struct.pack_into('>I', data, data.index(kind) - 4, 0x7FFF_FF00)
    assert reason_of(np.frombuffer(bytes(data), np.uint8)) == 'short_data'


def test_a_long_run_of_jpeg_fill_bytes_takes_no_time():
    data = np.full(30_000_000, 0xFF, np.uint8)
    data[1] = 0xD8
    start = time.process_time()
    assert reason_of(data) == 'bad_data'
    assert time.process_time() - start < 1


# What compressed_depth_image_transport does with 32FC1: a 16-bit inverse depth, cut to whole
# numbers, 0 for what is NaN or beyond the largest depth.
DEPTH_M = RANDOM.uniform(0.5, 9.9, (30, 40)).astype(np.float32)
DEPTH_M[::5, ::3], DEPTH_M[3], DEPTH_M[4] = np.nan, 10.5, np.inf
QUANTUM = np.float32(100 * 101)
OFFSET = np.float32(1) - QUANTUM / np.float32(10)


def quantized():
    with np.errstate(invalid='ignore'):
        inverse = np.where(DEPTH_M < 10, QUANTUM / DEPTH_M + OFFSET, 0)
    return inverse.astype(np.uint16)


def rvl(pixels):
    """RVL of pixels that are all set but for their start, without compression to speak of."""
    nibbles = []
    numbers = [0, pixels.size]
    previous = 0
    for value in pixels.ravel().tolist():
        numbers.append(abs(2 * (value - previous)) - (value < previous))
        previous = value
    for number in numbers:
        groups = [number >> shift & 7 for shift in range(0, max(1, number.bit_length()), 3)]
        nibbles += [8 | group for group in groups[:-1]] + groups[-1:]
    nibbles += [0] * (-len(nibbles) % 8)
    words = np.array(nibbles, np.uint32).reshape(-1, 8) << np.arange(28, -1, -4, dtype=np.uint32)
    return struct.pack('<II', *pixels.shape[::-1]) + words.sum(1, dtype=np.uint32).tobytes()


def message(form, body, quantum=0.0, offset=0.0):
    data = struct.pack('<iff', 0, quantum, offset) + bytes(body)
    return SimpleNamespace(format=form, data=np.frombuffer(data, np.uint8))


@pytest.mark.parametrize('form', ['32FC1; compressedDepth', '32FC1; compressedDepth png'])
def test_inverse_depth_is_read_as_image_transport_does(form):
    inverse = quantized()
    found = decode_depth(message(form, compressed('.png', inverse), QUANTUM, OFFSET))
    assert found.dtype == np.float32
    for value, depth in zip(inverse.ravel().tolist(), found.ravel().tolist(), strict=True):
        expected = QUANTUM / (np.float32(value) - OFFSET) if value else np.float32('nan')
        assert depth == expected or (np.isnan(depth) and np.isnan(expected))
    seen = DEPTH_M < 10
    assert np.array_equal(np.isnan(found), ~seen)
    # One step of the inverse depth is z^2 / quantum metres; cut numbers lie farther away.
    error = (found - DEPTH_M)[seen]
    assert error.min() > -1e-4
    assert (error <= found[seen] * DEPTH_M[seen] / QUANTUM + 1e-4).all()


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1', 'mono16'])
def test_rvl_gives_what_png_gives(encoding):
    pixels = RANDOM.integers(1, 65_536, (7, 11), dtype=np.uint16)
    coded = message(f'{encoding}; compressedDepth rvl', rvl(pixels), 10_100.0, -1_009.0)
    plain = message(
        f'{encoding}; compressedDepth png', compressed('.png', pixels), 10_100.0, -1_009.0
    )
    assert np.array_equal(decode_depth(coded), decode_depth(plain))


@pytest.mark.parametrize(
    'form',
    [
        '16UC1; compressedDepth png',
        '16UC1; compressedDepth',
        '; compressedDepth',
        'mono16; compressedDepth png',
    ],
)
def test_integer_depth_is_read_as_it_is(form):
    pixels = RANDOM.integers(0, 65_536, (7, 11), dtype=np.uint16)
    found = decode_depth(message(form, compressed('.png', pixels), np.nan, np.inf))
    assert found.dtype == np.uint16
    assert np.array_equal(found, pixels)


DEPTH_PNG = compressed('.png', RANDOM.integers(0, 65_536, (7, 11), dtype=np.uint16))


@pytest.mark.parametrize('quantum', [0.0, -1.0, np.nan, np.inf, 3e38])
@pytest.mark.parametrize('offset', [1.0, np.nan, -np.inf, 3e38])
def test_odd_quantization_is_no_exception(quantum, offset):
    found = decode_depth(message('32FC1; compressedDepth', DEPTH_PNG, quantum, offset))
    assert found.shape == (7, 11)


@pytest.mark.parametrize(
    ('codec', 'body', 'reason'),
    [
        ('png', b'', 'short_data'),
        ('png', DEPTH_PNG[:-20], 'short_data'),
        ('png', compressed('.jpg', SMOOTH[:, :, 0]), 'lossy_depth'),
        ('png', compressed('.webp', SMOOTH), 'lossy_depth'),
        ('png', compressed('.png', SMOOTH[:, :, 0]), 'bad_data'),
        ('png', compressed('.png', SMOOTH.astype(np.uint16) * 9), 'bad_data'),
        ('zstd', bytes(90), 'unsupported_format'),
        ('rvl', bytes(5), 'short_data'),
        ('rvl', struct.pack('<II', 0, 9), 'empty_image'),
        ('rvl', struct.pack('<II', 9, 0), 'empty_image'),
        ('rvl', struct.pack('<II', 9, 9), 'short_data'),
        ('rvl', struct.pack('<II', 2**32 - 1, 2**32 - 1) + bytes(90), 'bad_size'),
        ('rvl', struct.pack('<II', 4_000, 4_000) + bytes(90), 'bad_size'),
    ],
)
@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_bad_depth_is_an_error_by_reason(encoding, codec, body, reason):
    found = reason_of(message(f'{encoding}; compressedDepth {codec}', body), decode_depth)
    assert found == reason
