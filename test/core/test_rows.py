import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.decode import STORE, decoder_for, store_with, types_in
from profiler_node.core.errors import DecodeError
from profiler_node.core.extract.fields import FieldsExtractor
from profiler_node.core.profile import Source
from profiler_node.core.rows import row_layout
from profiler_node.core.sketches import rank_error
from profiler_node.core.stream import Stream

FIXED = 'test_msgs/msg/Fixed'
DEFINITION = """
std_msgs/Header header
bool on
float64 x
uint8 small
int64[3] big
bool[2] flags
test_msgs/Inner inner
uint16 last
"""
INNER = 'float32 y\nbuiltin_interfaces/Time at\nint8 z'
STORE_OF_FIXED = store_with(
    STORE.fielddefs | types_in(FIXED, DEFINITION) | types_in('test_msgs/msg/Inner', INNER)
)
HEADER = {'stamp': {'sec': 1000, 'nanosec': 5}, 'frame_id': 'base'}


def layout_of(message_type, store=STORE, paths=(), *, has_header=True):
    leaves = FieldsExtractor(message_type, store, paths).leaves
    return row_layout(message_type, store, leaves, has_header=has_header)


def read(layout, data):
    stamp_ns, frame_id, row = layout.read(data)
    rows = np.frombuffer(row.data, row.dtype)
    return (
        stamp_ns,
        frame_id,
        {name: take(rows)[0].tolist() for name, take in layout.columns.items()},
    )


@pytest.mark.parametrize(
    'message_type',
    ['sensor_msgs/msg/Imu', 'sensor_msgs/msg/Range', 'geometry_msgs/msg/PoseWithCovarianceStamped'],
)
def test_a_header_followed_by_numbers_is_fixed(message_type):
    assert layout_of(message_type) is not None


def test_numbers_without_a_header_are_fixed():
    assert layout_of('geometry_msgs/msg/Twist', has_header=False) is not None


@pytest.mark.parametrize(
    'message_type', ['sensor_msgs/msg/JointState', 'nav_msgs/msg/Odometry', 'std_msgs/msg/Header']
)
def test_a_type_with_strings_or_sequences_is_not(message_type):
    assert layout_of(message_type) is None


@pytest.mark.parametrize('frame_id', ['', *('abcdefgh'[:length] for length in range(1, 9)), 'ö'])
@pytest.mark.parametrize('little_endian', [True, False])
def test_numbers_are_read_as_the_decoder_reads_them(frame_id, little_endian, serialized):
    """At every alignment that a frame's name leaves behind, in both byte orders."""
    data = serialized(
        FIXED,
        STORE_OF_FIXED,
        header={'stamp': {'sec': 7, 'nanosec': 8}, 'frame_id': frame_id},
        on=True,
        x=1.25,
        small=200,
        big=np.array([-1, 2**62, 3]),
        flags=np.array([False, True]),
        inner={'y': 0.5, 'at': {'sec': 3, 'nanosec': 250_000_000}, 'z': -4},
        last=65_535,
    )
    message = STORE_OF_FIXED.deserialize_cdr(data, FIXED)
    data = STORE_OF_FIXED.serialize_cdr(message, FIXED, little_endian=little_endian)
    assert read(layout_of(FIXED, STORE_OF_FIXED), data) == (
        7_000_000_008,
        frame_id,
        {
            'field/on': 1.0,
            'field/x': 1.25,
            'field/small': 200.0,
            'field/big': [-1.0, 2.0**62, 3.0],
            'field/flags': [0.0, 1.0],
            'field/inner.y': 0.5,
            'field/inner.at': 3.25,
            'field/inner.z': -4.0,
            'field/last': 65_535.0,
        },
    )


def test_named_fields_alone_are_read(serialized):
    data = serialized(FIXED, STORE_OF_FIXED, header=HEADER, x=2.0, big=np.array([4, 5, 6]))
    layout = layout_of(FIXED, STORE_OF_FIXED, ('speed=x', 'big[1]'))
    assert read(layout, data)[2] == {'field/speed': 2.0, 'field/big[1]': 5.0}


def test_a_field_of_the_header_is_left_to_the_decoder():
    assert layout_of(FIXED, STORE_OF_FIXED, ('header.stamp',)) is None


@given(st.data())
def test_damaged_messages_are_refused_as_the_decoder_refuses_them(data):
    """Bytes changed, cut off and added anywhere."""
    layout, decode = layout_of(FIXED, STORE_OF_FIXED), decoder_for(FIXED, STORE_OF_FIXED)
    whole = bytearray(bytes.fromhex('00010000e8030000050000000500000062617365') + bytes(80))
    message = whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole
    for _ in range(data.draw(st.integers(0, 3)) if message else 0):
        message[data.draw(st.integers(0, min(len(message), 28) - 1))] = data.draw(
            st.integers(0, 255)
        )
    answers = []
    for call in (decode, layout.read):
        try:
            call(memoryview(message))
            answers.append('')
        except DecodeError as error:
            answers.append(error.reason)
    assert answers[0] == answers[1]


def imu_stream():
    stream = Stream(
        Source('robot', 'imu', '/imu', 'sensor_msgs/msg/Imu'),
        WindowConfig(3600.0),
        SketchConfig(),
    )
    assert stream.problem == ''
    return stream


@pytest.mark.parametrize('count', [1, 255, 256, 257, 1000])
def test_a_block_of_messages_has_the_numbers_of_all_of_them(count, serialized):
    """Frames of two lengths take turns, so that the alignment changes."""
    random = np.random.default_rng(1)
    x, covariances = random.normal(5, 2, count), random.normal(size=(count, 9))
    x[count // 2] = np.nan
    stream = imu_stream()
    for index in range(count):
        stream.update(
            serialized(
                'sensor_msgs/msg/Imu',
                header={'stamp': {'sec': 3600 + index}, 'frame_id': 'imu' * (1 + index // 300 % 2)},
                linear_acceleration={'x': x[index]},
                angular_velocity_covariance=covariances[index],
            ),
            0,
        )
    (profile, *_) = stream.windows.close()
    feature = profile.features['field/linear_acceleration.x']
    finite = x[np.isfinite(x)]
    assert (feature.moments.count, feature.missing) == (finite.size, 1)
    if finite.size:
        assert feature.moments.mean == pytest.approx(finite.mean(), rel=1e-12)
        assert feature.moments.max == finite.max()
        assert feature.moments.max_stamp_ns == (3600 + int(np.nanargmax(x))) * 10**9
    array = profile.features['field/angular_velocity_covariance']
    assert (array.kind, feature.kind) == ('elements', 'scalar')
    assert array.moments.count == covariances.size
    assert array.moments.m2 == pytest.approx(covariances.var() * covariances.size, rel=1e-12)
    (median,) = array.quantiles([0.5])
    assert abs((covariances <= median).mean() - 0.5) <= 2 * rank_error(200) + 1 / covariances.size
