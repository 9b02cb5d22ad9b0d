"""Streams in simulated time: what arrives, what it costs, and what is left out."""

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from profiler_node.core.load import LoadShedding

S = 10**9
DEPTH = 10


@dataclass
class Simulated:
    """A stream with hz messages a second that cost cost_s each; counts of what became of them."""

    hz: float
    cost_s: float
    depth: int = DEPTH
    queue: deque[int] = field(default_factory=deque)
    sent: int = 0
    lost: int = 0
    unseen: int = 0
    kept: list[int] = field(default_factory=list)  # the numbers of the messages that were profiled
    shed: int = 0
    longest_wait_ns: int = 0

    def arrive(self, now_ns):
        while self.sent / self.hz * S <= now_ns:
            if len(self.queue) == self.depth:
                self.queue.popleft()
                self.lost += 1
                self.unseen += 1
            self.queue.append(self.sent)
            self.sent += 1


def run(load, streams, seconds, now_ns=0, other_load=0.0):
    """One thread takes the messages in turn; other_load: share of its time that others take."""
    for name, stream in streams.items():
        if name not in load.kept() and not stream.sent:
            load.begin(name, stream.depth)
    end_ns, next_ns, last_ns = now_ns + seconds * S, now_ns + S, now_ns
    while now_ns < end_ns:
        idle = True
        for name, stream in streams.items():
            stream.arrive(now_ns)
            if not stream.queue:
                continue
            idle = False
            number = stream.queue.popleft()
            waited_ns = now_ns - round(number / stream.hz * S)
            stream.longest_wait_ns = max(stream.longest_wait_ns, waited_ns)
            if load.admits(name, waited_ns, stream.unseen):
                stream.kept.append(number)
                load.count_cost(name, round(stream.cost_s * S))
                now_ns += round(stream.cost_s / (1 - other_load) * S)
            else:
                stream.shed += 1
            stream.unseen = 0
        now_ns += S // 1000 if idle else 0
        if now_ns >= next_ns:
            load.adapt(now_ns - last_ns)
            last_ns, next_ns = now_ns, now_ns + S
    return now_ns


def spent(*streams):
    return sum(len(stream.kept) * stream.cost_s for stream in streams)


def balanced(stream):
    return stream.sent == len(stream.kept) + stream.shed + stream.lost + len(stream.queue)


def gaps(stream, after):
    kept = [number for number in stream.kept if number >= after]
    return {b - a for a, b in pairwise(kept)}


def test_without_a_budget_everything_is_profiled_while_there_is_time():
    camera = Simulated(25, 0.03)
    run(LoadShedding(), {'camera': camera}, 60)
    assert (camera.shed, camera.lost) == (0, 0)


@pytest.mark.parametrize('budget', [0.01, 0.1, 0.5])
def test_a_budget_is_kept(budget):
    camera = Simulated(25, 0.03)  # 0.75 of a core
    run(LoadShedding(budget), {'camera': camera}, 120)
    assert 0.7 * budget < spent(camera) / 120 < 1.05 * budget + 0.75 / 120
    assert balanced(camera)


def test_messages_are_left_out_evenly():
    camera = Simulated(30, 0.01)
    run(LoadShedding(0.1), {'camera': camera}, 60)
    assert gaps(camera, after=camera.sent // 2) <= {2, 3, 4}


def test_a_cheap_stream_stays_whole_where_a_dear_one_takes_the_time():
    camera, imu = Simulated(25, 0.03), Simulated(200, 0.00005, depth=500)
    run(LoadShedding(0.1), {'camera': camera, 'imu': imu}, 60)
    assert imu.shed == imu.lost == 0
    assert camera.shed > camera.sent / 2


def test_two_dear_streams_get_the_same_time():
    camera, lidar = Simulated(30, 0.01), Simulated(10, 0.05)
    run(LoadShedding(0.2), {'camera': camera, 'lidar': lidar}, 120)
    assert spent(camera) == pytest.approx(spent(lidar), rel=0.1)


def test_what_a_machine_cannot_keep_up_with_is_shed_and_not_lost():
    """Twice what one core can do. Waiting stays short, and nearly all that is missing is shed."""
    camera, imu = Simulated(25, 0.08), Simulated(200, 0.00005, depth=500)
    run(LoadShedding(), {'camera': camera, 'imu': imu}, 120)
    assert balanced(camera)
    assert balanced(imu)
    assert camera.lost < 0.1 * camera.sent
    assert camera.shed > 0.3 * camera.sent
    assert imu.lost + imu.shed < 0.01 * imu.sent
    assert camera.longest_wait_ns < 1.5 * S
    assert spent(camera) > 0.6 * 120


def test_all_is_profiled_again_when_the_overload_is_over():
    load = LoadShedding()
    camera = Simulated(25, 0.03)
    now_ns = run(load, {'camera': camera}, 30, other_load=0.7)
    assert load.kept()
    now_ns = run(load, {'camera': camera}, 90, now_ns)
    assert load.kept() == {}
    shed, lost = camera.shed, camera.lost
    run(load, {'camera': camera}, 60, now_ns)
    assert (camera.shed, camera.lost) == (shed, lost)


def test_a_single_long_wait_is_no_overload():
    """As when the process was stopped for a moment: all that waited is profiled."""
    load = LoadShedding()
    load.begin('camera', DEPTH)
    for number in range(25):
        assert load.admits('camera', waited_ns=S if number < 9 else 0)
        load.count_cost('camera', S // 100)
    load.adapt(S)
    assert load.kept() == {}


def test_a_slow_and_dear_stream_keeps_to_the_budget_too():
    map_ = Simulated(0.5, 0.5)
    run(LoadShedding(0.05), {'map': map_}, 600)
    assert spent(map_) / 600 < 0.06


def test_what_was_lost_before_us_is_no_overload():
    load = LoadShedding()
    load.begin('camera', DEPTH)
    for number in range(25):
        assert load.admits('camera', waited_ns=2_000_000, lost=1500 if number == 5 else 0)
        load.count_cost('camera', 5_000_000)
    load.adapt(S)
    assert load.kept() == {}


def test_cameras_that_wait_for_each_other_are_no_overload():
    load = LoadShedding()
    cameras = {f'camera{index}': Simulated(3, 0.045) for index in range(6)}
    run(load, cameras, 30)
    assert load.kept() == {}
    assert sum(camera.shed + camera.lost for camera in cameras.values()) == 0


def test_a_period_cut_short_by_a_hiccup_says_nothing():
    load = LoadShedding()
    load.begin('camera', DEPTH)
    for _ in range(10):
        load.admits('camera', waited_ns=S)
    assert not load.adapt(S // 20)
    assert load.kept() == {}


def test_it_recovers_from_a_time_in_which_nothing_could_be_done():
    load = LoadShedding()
    load.begin('camera', DEPTH)
    load.admits('camera')
    load.count_cost('camera', 10_000_000)
    for _ in range(60):  # taking them took all the time
        for _ in range(20):
            load.admits('camera', waited_ns=400_000_000)
        load.adapt(S)
    assert load.kept()['camera'] < 0.1
    for _ in range(120):
        for _ in range(25):
            if load.admits('camera'):
                load.count_cost('camera', 10_000_000)
        load.adapt(S)
    assert load.kept() == {}
