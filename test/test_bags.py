"""A real camera recording against an independent computation over the same frames."""

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from profiler_node.bags import profile_bag
from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.sketches import rank_error
from profiler_node.core.stream import Stream

CAMERA = '/cam0/image_raw'
RANKS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@pytest.fixture(scope='module')
def bag(recording):
    return recording('euroc_camera_imu')


@pytest.fixture(scope='module')
def frames(bag):
    """The pixels of all frames, (N, 480, 752) uint8, read without the code under test."""
    with AnyReader([bag]) as reader:
        images = [
            reader.deserialize(data, connection.msgtype).data.reshape(480, 752)
            for connection, _, data in reader.messages()
            if connection.topic == CAMERA
        ]
    return np.stack(images)


@pytest.fixture(scope='module')
def whole(bag):
    (profile,) = profile_bag(bag, [CAMERA])
    return profile


def test_counts_and_moments_equal_numpy(whole, frames):
    assert whole.counters.decoded == len(frames) == 50
    gray = whole.features['image/gray'].moments
    total, squares = int(frames.sum(dtype=np.int64)), int(np.square(frames, dtype=np.int64).sum())
    assert gray.count == frames.size
    assert (gray.min, gray.max) == (frames.min(), frames.max())
    # From integer sums, so these are equal to the last bit.
    assert gray.mean == total / frames.size
    assert gray.m2 == (frames.size * squares - total**2) / frames.size


def test_the_scalar_features_equal_numpy(whole, frames):
    means = frames.reshape(50, -1).mean(axis=1)
    deviations = frames.reshape(50, -1).std(axis=1)
    for name, values in (('gray_mean', means), ('gray_stddev', deviations)):
        moments = whole.features[f'image/{name}'].moments
        assert moments.count == 50
        assert moments.mean == pytest.approx(values.mean(), rel=1e-13)
        assert moments.stddev == pytest.approx(values.std(), rel=1e-10)
        assert (moments.min, moments.max) == pytest.approx((values.min(), values.max()), rel=1e-13)


def test_quantiles_are_within_the_rank_error(whole, frames):
    ordered = np.cumsum(np.bincount(frames.ravel(), minlength=256)) / frames.size
    for rank, value in zip(RANKS, whole.features['image/gray'].quantiles(RANKS), strict=True):
        below, upto = ordered[int(value) - 1] if value else 0.0, ordered[int(value)]
        assert max(below - rank, rank - upto, 0.0) <= rank_error(200)


def test_the_stamps_point_to_the_frames_with_the_extremes(whole, bag, frames):
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic == CAMERA]
        stamps = [
            header.stamp.sec * 10**9 + header.stamp.nanosec
            for connection, _, data in reader.messages(connections)
            for header in [reader.deserialize(data, connection.msgtype).header]
        ]
    gray = whole.features['image/gray'].moments
    assert gray.min_stamp_ns == stamps[int(frames.min(axis=(1, 2)).argmin())]
    assert gray.max_stamp_ns == stamps[int(frames.max(axis=(1, 2)).argmax())]


def test_windows_merged_equal_the_whole(whole, bag):
    parts = list(profile_bag(bag, [CAMERA], window=WindowConfig(length_s=1.0)))
    assert len(parts) == 3
    merged = parts[0].merged(*parts[1:])
    assert merged.counters.seen == whole.counters.seen
    assert merged.features.keys() == whole.features.keys()
    for name, feature in whole.features.items():
        other = merged.features[name]
        if feature.kind == 'categorical':
            assert (other.count, other.top(9)) == (feature.count, feature.top(9))
            continue
        ours, theirs = other.moments, feature.moments
        assert (ours.count, ours.min, ours.max) == (theirs.count, theirs.min, theirs.max), name
        assert (ours.min_stamp_ns, ours.max_stamp_ns) == (
            theirs.min_stamp_ns,
            theirs.max_stamp_ns,
        ), name
        assert ours.mean == pytest.approx(theirs.mean, rel=1e-13), name
        assert ours.m2 == pytest.approx(theirs.m2, rel=1e-9, abs=1e-15), name


def test_two_runs_over_half_the_recording_merge_to_the_whole(whole, bag):
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic == CAMERA]
        messages = list(reader.messages(connections))
    halves = []
    for part in (messages[:25], messages[25:]):
        stream = Stream(whole.source, WindowConfig(), SketchConfig())
        for _, log_ns, data in part:
            assert stream.update(memoryview(data), log_ns) == []
        halves += stream.windows.close()
    merged = halves[1].merged(halves[0])
    for name, feature in whole.features.items():
        if feature.kind == 'categorical' or name == 'message/interval_s':
            continue
        ours, theirs = merged.features[name].moments, feature.moments
        assert (ours.count, ours.min, ours.max) == (theirs.count, theirs.min, theirs.max), name
        assert ours.min_stamp_ns == theirs.min_stamp_ns, name
        assert ours.max_stamp_ns == theirs.max_stamp_ns, name
        assert ours.mean == pytest.approx(theirs.mean, rel=1e-13), name
        assert ours.m2 == pytest.approx(theirs.m2, rel=1e-9, abs=1e-15), name
    # The interval between the halves belongs to neither.
    assert merged.features['message/interval_s'].moments.count == 48


def test_topics_that_are_not_there_are_named(bag):
    with pytest.raises(ValueError, match='has no topic /camra'):
        list(profile_bag(bag, ['/camra']))


def test_colour_frames_of_a_depth_camera(recording):
    topic = '/camera/color/image_raw'
    (profile,) = profile_bag(recording('kinect_rgbd'), [topic])
    with AnyReader([recording('kinect_rgbd')]) as reader:
        images = [
            reader.deserialize(data, connection.msgtype).data.reshape(480, 640, 3)
            for connection, _, data in reader.messages()
            if connection.topic == topic
        ]
    for index, name in enumerate(('blue', 'green', 'red')):
        channel = np.stack(images)[..., index].astype(np.int64)
        moments = profile.features[f'image/{name}'].moments
        assert moments.mean == channel.sum() / channel.size
        assert (moments.min, moments.max) == (channel.min(), channel.max())
