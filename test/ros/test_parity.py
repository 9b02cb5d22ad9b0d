"""A recording played through DDS into the node gives the very numbers that it gives offline."""

from dataclasses import dataclass, field, replace

import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')
pytest.importorskip('vision_msgs', reason='needs vision_msgs')

import datasketches
import numpy as np
import yaml
from edge_profiler.msg import Profile as ProfileMessage
from player import playable
from rosbags.highlevel import AnyReader
from scene import write_scene

from profiler_node.bags import Moment, Pass
from profiler_node.core.decode import STORE
from profiler_node.core.sketches import rank_error
from profiler_node.recordings.recording import Recording
from profiler_node.ros.qos import PROFILES_QOS
from profiler_node.settings_file import plan_of
from profiler_node.wire.codec import decode

SECOND = 10**9
RANKS = [n / 20 for n in range(21)]
MOST_CATEGORIES = 1000
K_OF_ALL = 65_535  # a sketch that holds all values, as far as their number allows it
# How fast, and how much of it [s], each recording is played.
PLAYED = {
    'euroc_camera_imu': [(1.0, 2.0), (3.0, None)],
    'kinect_rgbd': [(1.0, 3.0), (5.0, None)],
    'lidar_sweeps': [(1.0, None), (1.5, None)],
    'realsense_d435': [(1.0, None)],
    'scan_hokuyo_2010': [(1.0, 3.0), (10.0, None)],
    'scan_sick_intel_lab': [(1.0, 10.0), (400.0, None)],
    'voc_detections': [(1.0, 3.0), (5.0, None)],
    'scene': [(1.0, 3.0), (4.0, None)],
}
# One a recording; the others, in real time among them, are many.
CASES = [
    pytest.param(name, *each, marks=[pytest.mark.long] if each != every[-1] else [])
    for name, every in PLAYED.items()
    for each in every
]
WINDOW_S = {'scan_sick_intel_lab': 60.0}  # which is long; 2 s of the others
COUNTERS = 'seen', 'decoded', 'decode_errors', 'shed', 'zero_stamps'
COUNTERS_OF_STAMPS = (
    'late', 'duplicate_stamps', 'stamp_regressions', 'foreign_stamps', 'stamp_gaps'
)  # fmt: skip


@pytest.fixture(scope='module')
def find(recording, tmp_path_factory):
    """The folder of a recording by name: a real one, or the generated scene."""
    made = {}

    def find(name):
        if name != 'scene':
            return recording(name)
        if name not in made:
            made[name] = tmp_path_factory.mktemp('demo') / name
            write_scene(made[name])
        return made[name]

    return find


def topics_of(bag):
    with AnyReader([bag], default_typestore=STORE) as reader:
        classes, _ = playable(reader.connections)
        return sorted(classes)


def write_config(path, topics, window_s, kll_k):
    names = [topic.lstrip('/') for topic in topics]
    parameters = {
        'use_sim_time': True,
        'robot_id': 'robot-7',
        'queue_depth': 1000,
        'streams': names,
        'stream': {name: {'topic': f'/{name}'} for name in names},
        'state_dir': str(path.parent / 'state'),
        'window': {'length_s': window_s},
        'sketch': {'kll_k': kll_k},
    }
    text = yaml.safe_dump({'/**': {'ros__parameters': parameters}})
    path.write_text(text, encoding='utf-8')


@pytest.fixture
def both(run, observer, find, tmp_path):
    """Profiles a recording, live and offline, with one configuration file."""

    def profile(name, rate, seconds, kll_k):
        bag, config = find(name), tmp_path / 'profiler.yaml'
        topics = topics_of(bag)
        write_config(config, topics, WINDOW_S.get(name, 2.0), kll_k)
        live = []
        observer.node.create_subscription(
            ProfileMessage,
            '/profiles',
            lambda message: live.append(decode(bytes(message.payload))),
            PROFILES_QOS,
        )
        node = run('profiler', '--ros-args', '--params-file', config)
        assert observer.until(lambda: observer.node.count_publishers('/profiles'))
        part = ['--seconds', seconds] if seconds else []
        player = run('player', bag, '--rate', rate, *part, '--expect', *topics)
        assert player.wait(120.0) == 0, player.output
        assert node.end() == 0, node.output
        plan = plan_of(config)
        if seconds:
            plan = replace(plan, end=Moment(round(seconds * SECOND) + 1, relative=True))
        with Recording(bag) as opened:
            offline = list(Pass(opened, plan).profiles())
        observer.until(lambda: len(live) >= len(offline), timeout_s=5.0)
        return live, offline

    return profile


@dataclass
class Parity:
    """What was compared; differences: in words."""

    profiles: int = 0
    features: int = 0
    exact: int = 0  # sketches whose items are equal
    close: int = 0  # sketches that are within the rank error of each other
    differences: list[str] = field(default_factory=list)

    def check(self, where, ours, theirs):
        if ours != theirs:
            self.differences.append(f'{where}: {ours}, not {theirs}')


def items(kll):
    """The values of a sketch and how many times it holds each."""
    sketch = datasketches.kll_floats_sketch.deserialize(kll)
    values, weights = zip(*sketch, strict=True) if not sketch.is_empty() else ((), ())
    unique, index = np.unique(values, return_inverse=True)
    return unique.tolist(), np.bincount(index, weights).tolist() if values else []


def within_rank_error(ours, theirs, k):
    """Whether the quantiles of each have the ranks in the other that they should have."""
    one, other = (datasketches.kll_floats_sketch.deserialize(each) for each in (ours, theirs))
    if one.is_empty() or other.is_empty():
        return one.is_empty() == other.is_empty()
    allowed = 2 * rank_error(k) + 1e-9
    for first, second in ((one, other), (other, one)):
        for rank in RANKS:
            value = first.get_quantile(rank, True)
            low, high = second.get_rank(value, False), second.get_rank(value, True)
            if not low - allowed <= rank <= high + allowed:
                return False
    return True


def compared(live, offline, k):
    """Compare profiles by identity."""
    result = Parity()
    result.check('identities', {p.identity for p in live}, {p.identity for p in offline})
    result.check('number of profiles', len(live), len(offline))
    ours = {p.identity: p for p in live}
    for theirs in offline:
        if theirs.identity in ours:
            result.profiles += 1
            compare_profiles(result, ours[theirs.identity], theirs, k)
    return result


def compare_profiles(result, ours, theirs, k):
    where = f'{theirs.source.stream} at {theirs.window_start_ns}'
    # Without a stamp event time is the receive time, which is a little later over DDS.
    timed = 'message/frame_id' in theirs.features and not theirs.counters.zero_stamps
    for name in COUNTERS + (COUNTERS_OF_STAMPS if timed else ()):
        pair = getattr(ours.counters, name), getattr(theirs.counters, name)
        result.check(f'{where} {name}', *pair)
    # A recording that comes from ROS 1 names the matrices of a camera in capitals.
    every = [{name.lower(): f for name, f in p.features.items()} for p in (ours, theirs)]
    for name in sorted({*every[0], *every[1]}):
        if name == 'message/latency_s' or (name == 'message/interval_s' and not timed):
            continue
        result.features += 1
        pair = every[0].get(name), every[1].get(name)
        if None in pair:
            result.differences.append(f'{where}: {name} is in one alone')
        else:
            compare_features(result, f'{where} {name}', *pair, k, timed=timed)


def contents(feature):
    """What a categorical feature says: its bytes depend on when the profiler wrote a checkpoint."""
    return feature.count, feature.missing, feature.distinct, dict(feature.top(MOST_CATEGORIES))


def compare_features(result, where, ours, theirs, k, *, timed):
    if theirs.kind == 'categorical':
        result.check(where, *map(contents, (ours, theirs)))
        return
    compared_moments = slice(None if timed else 5)  # without the stamps
    result.check(where, ours.moments[compared_moments], theirs.moments[compared_moments])
    result.check(where, ours[3:], theirs[3:])  # missing, +inf, -inf
    if items(ours.kll) == items(theirs.kll):
        result.exact += 1
    elif within_rank_error(ours.kll, theirs.kll, k):
        result.close += 1
    else:
        result.differences.append(f'{where}: its sketches differ by more than their error')


@pytest.mark.parametrize(('name', 'rate', 'seconds'), CASES)
def test_a_recording_gives_the_same_numbers_live_and_offline(both, name, rate, seconds):
    """With sketches that hold all values, which then have to be equal."""
    live, offline = both(name, rate, seconds, K_OF_ALL)
    result = compared(live, offline, K_OF_ALL)
    streams = len({p.source.stream for p in offline})
    messages = sum(p.counters.seen for p in offline)
    print(
        f'| {name} | {rate:g} | {streams} | {messages} | {result.profiles} | {result.features} | '
        f'{result.exact} | {result.close} | {len(result.differences)} |'
    )
    assert not result.differences
    assert result.features > 0
    assert result.close == 0
    assert sum(p.counters.seen for p in live) == messages


def test_sketches_of_the_usual_size_agree_within_their_error(both):
    live, offline = both('scene', 2.0, None, 200)
    result = compared(live, offline, 200)
    assert not result.differences
    assert result.close > 0
