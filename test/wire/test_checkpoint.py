"""The checkpoint's file: whole, or refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.profile import Source
from profiler_node.core.snapshot import Snapshot
from profiler_node.core.timeline import Message
from profiler_node.core.windows import Windows
from profiler_node.wire.checkpoint import (
    CHECKPOINT_VERSION,
    Checkpoint,
    StreamState,
    pack_checkpoint,
    unpack_checkpoint,
)
from profiler_node.wire.codec import WireError

SECOND = 10**9
times = st.none() | st.integers(-(2**63), 2**63 - 1)


def snapshot(*times_s, tags=()):
    source = Source('robot', 'front', '/image', 'sensor_msgs/msg/Image', dict(tags))
    windows = Windows(source, WindowConfig(10.0), SketchConfig(), epoch=7)
    for time_s in times_s:
        windows.add(Message(time_s * SECOND, {'test/value': 1.5, 'test/name': 'a'}))
    return windows.snapshot()


def example():
    states = (
        StreamState('front', 'd1', 5 * SECOND, snapshot(19, 21, tags=[('firmware', '1')])),
        StreamState('rear', 'd2', 6 * SECOND, snapshot()),
        StreamState('left', 'd3', 0, snapshot(35)),
    )
    return Checkpoint(states, (b'first payload', b'x' * 300))


def test_a_checkpoint_survives_the_round_trip():
    assert [len(state.snapshot.open) for state in example().streams] == [2, 0, 1]
    assert unpack_checkpoint(pack_checkpoint(example())) == example()


@given(st.text(), st.text(), st.integers(0, 2**32 - 1), times, times, times)
def test_any_name_and_time_survives(name, digest, epoch, newest_ns, last_ns, closed_ns):
    state = StreamState(name, digest, 1, Snapshot(epoch, newest_ns, last_ns, closed_ns))
    checkpoint = Checkpoint((state,))
    assert unpack_checkpoint(pack_checkpoint(checkpoint)) == checkpoint


def test_damage_is_seen_at_every_byte():
    data = pack_checkpoint(replace(example(), recent=()))
    for index in range(len(data)):
        damaged = bytearray(data)
        damaged[index] ^= 0x10
        with pytest.raises(WireError):
            unpack_checkpoint(bytes(damaged))


def test_a_part_of_a_file_is_refused_at_every_length():
    data = pack_checkpoint(replace(example(), recent=()))
    for size in range(len(data)):
        with pytest.raises(WireError):
            unpack_checkpoint(data[:size])
    with pytest.raises(WireError):
        unpack_checkpoint(data + b'\0')


def test_another_version_is_refused_by_name():
    data = bytearray(pack_checkpoint(Checkpoint()))
    data[data.index(b' ', 15) + 1] = CHECKPOINT_VERSION + 1
    with pytest.raises(WireError, match='not of version 1'):
        unpack_checkpoint(bytes(data))
