"""Objects as the bridge packs them and the fleet opens them."""

import io

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.bridge.batch import pack
from profiler_node.wire.codec import WireError
from profiler_node.wire.objects import unpack, unpack_file


@given(st.lists(st.binary(max_size=400)))
def test_what_is_packed_is_unpacked(payloads):
    assert list(unpack(pack(payloads))) == payloads


@given(st.lists(st.lists(st.binary(max_size=9000)), min_size=1))
def test_frames_one_behind_the_other_are_one_object(frames):
    data = b''.join(map(pack, frames))
    payloads = [payload for frame in frames for payload in frame]
    assert list(unpack(data)) == list(unpack_file(io.BytesIO(data))) == payloads


def test_a_frame_may_begin_anywhere_in_what_is_read_at_once():
    random = np.random.default_rng(1)
    for size in range(4060, 4100):
        first, second = random.bytes(size), random.bytes(30)
        assert list(unpack(pack([first]) + pack([second]))) == [first, second]


def test_what_is_before_a_damaged_frame_is_read():
    whole = pack([b'x' * 300, b'y'])
    for damaged in (whole[:-1], whole[:8], whole[:40] + b'?' + whole[41:], b'junk'):
        with pytest.raises(WireError):
            list(unpack(whole + damaged))
        payloads = unpack(whole + damaged)
        assert [next(payloads), next(payloads)] == [b'x' * 300, b'y']


def test_every_cut_of_an_object_is_refused():
    whole = pack([b'x' * 300, b'y'])
    for size in range(len(whole)):
        with pytest.raises(WireError):
            list(unpack(whole[:size]))


def test_a_flipped_bit_is_noticed():
    whole = pack([bytes(range(256)) * 8, b'y' * 50])
    for byte in range(len(whole)):
        damaged = bytearray(whole)
        damaged[byte] ^= 0x10
        try:
            assert list(unpack(bytes(damaged))) == list(unpack(whole))  # it was a spare bit
        except WireError:
            continue


@pytest.mark.parametrize(
    ('body', 'message'), [(b'\x05abc', 'cut off'), (b'\xff\xff\xff\xff\xff\x01', 'no length')]
)
def test_a_frame_with_damaged_contents_is_refused(body, message):
    with pytest.raises(WireError, match=message):
        list(unpack(zstandard.compress(body)))


def test_a_frame_that_claims_to_be_huge_is_not_decompressed():
    bomb = zstandard.ZstdCompressor().compress(bytes(300 * 2**20))
    with pytest.raises(WireError, match='claims'):
        list(unpack(bomb))


def test_a_frame_that_holds_more_than_it_claims_is_left_early():
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=17)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    bomb = bytearray(compressor.compress(bytes(200 * 2**20)))
    size = zstandard.get_frame_parameters(bytes(bomb)).content_size.to_bytes(4, 'little')
    start = bomb.index(size)
    bomb[start : start + 4] = (10**6).to_bytes(4, 'little')
    with pytest.raises(WireError, match='holds more than the 1000000 bytes'):
        list(unpack(bytes(bomb)))
