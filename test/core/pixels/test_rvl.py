"""RVL against an encoder written from its description, and data that is not RVL."""

import tracemalloc

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from profiler_node.core.errors import DecodeError
from profiler_node.core.pixels.rvl import decode_rvl

RANDOM = np.random.default_rng(6)


def packed(*numbers):
    """RVL data of numbers."""
    nibbles = []
    for number in numbers:
        groups = [number >> shift & 7 for shift in range(0, max(1, number.bit_length()), 3)]
        nibbles += [8 | group for group in groups[:-1]] + groups[-1:]
    nibbles += [0] * (-len(nibbles) % 8)
    words = [
        int(''.join(f'{nibble:x}' for nibble in nibbles[at : at + 8]), 16)
        for at in range(0, len(nibbles), 8)
    ]
    return np.array(words, '<u4').view(np.uint8)


def encoded(pixels):
    """RVL data of pixels, (N,) uint16."""
    numbers, previous, at = [], 0, 0
    values = [*pixels.tolist(), None]
    while at < pixels.size:
        start = at
        while values[at] == 0:
            at += 1
        numbers.append(at - start)
        start = at
        while values[at]:
            at += 1
        numbers.append(at - start)
        for value in values[start:at]:
            difference, previous = value - previous, value
            numbers.append(2 * difference if difference >= 0 else -2 * difference - 1)
    return packed(*numbers)


def test_the_bytes_of_a_small_image():
    # Runs of 2 and 2, then 5 and 1 more: 2, 2, 10 as two groups, 2; the last word filled with 0.
    data = np.frombuffer(bytes.fromhex('0020a122'), np.uint8)
    assert decode_rvl(data, 4).tolist() == [0, 0, 5, 6]


@pytest.mark.parametrize(
    'pixels',
    [
        np.zeros(1),
        np.ones(1),
        np.zeros(100_000),
        np.array([0, 0, 5]),
        np.array([5, 0, 0]),
        np.tile([65_535, 1], 500),
        RANDOM.integers(0, 65_536, 60_000),  # more than a block of nibbles
        RANDOM.integers(0, 2, 30_000) * RANDOM.integers(1, 65_536, 30_000),
    ],
)
def test_what_was_encoded_is_decoded(pixels):
    pixels = pixels.astype(np.uint16)
    assert (decode_rvl(encoded(pixels), pixels.size) == pixels).all()


def test_a_real_depth_image(recording):
    with AnyReader([recording('kinect_rgbd')]) as reader:
        connections = [c for c in reader.connections if c.topic.endswith('image_rect_raw')]
        connection, _, data = next(iter(reader.messages(connections)))
        pixels = reader.deserialize(data, connection.msgtype).data.view(np.uint16)[-64_000:]
    assert (pixels == 0).any()
    assert (decode_rvl(encoded(pixels), pixels.size) == pixels).all()


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (packed(), 'short_data'),
        (packed(2, 1, 10)[:2], 'short_data'),
        (packed(3, 100, 2), 'short_data'),  # 100 others that do not follow
        (packed(2**29, 0), 'bad_data'),
        (packed(0, 2**29), 'short_data'),
        (packed(99, 2, 2, 2), 'bad_data'),  # one pixel too many
        (packed(*[0] * 80), 'bad_data'),  # runs of nothing, for ever
        (packed(2**40, 0), 'bad_data'),
        (np.full(400, 0xFF, np.uint8), 'bad_data'),  # a number without an end
    ],
)
def test_data_that_does_not_add_up_is_an_error(data, reason):
    with pytest.raises(DecodeError) as caught:
        decode_rvl(data, 100)
    assert caught.value.reason == reason


def test_every_cut_is_an_error():
    data = encoded(RANDOM.integers(1, 65_536, 500).astype(np.uint16))
    for size in range(0, data.size, 4):
        with pytest.raises(DecodeError):
            decode_rvl(data[:size], 500)


def test_memory_is_in_proportion_to_the_data():
    data = np.full(600_000, 0x12, np.uint8)  # runs of one pixel
    tracemalloc.start()
    with pytest.raises(DecodeError):
        decode_rvl(data, 300_001)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * data.size
