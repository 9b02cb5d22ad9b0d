"""Near the cap: longer windows first, losses last, both counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler_node.bridge import room
from profiler_node.bridge import spool as spool_module
from profiler_node.bridge.config import SpoolConfig
from profiler_node.bridge.room import neighbours
from profiler_node.bridge.spool import Entry, Spool
from profiler_node.wire.objects import unpack

MINUTE_NS = 60 * 10**9
SMALL = SpoolConfig(max_bytes=4_000_000)


def numbered(number, size):
    """A payload that says which windows are in it, and cannot be compressed."""
    return b'%d ' % number + np.random.default_rng(number).bytes(size).replace(b' ', b'_')


def joined(payloads):
    """Merge: the numbers of all, and the bytes of one, as sketches do not grow."""
    numbers = [number for payload in payloads for number in payload.split(b' ')[:-1]]
    return b' '.join([*numbers, payloads[0].split(b' ')[-1]])


def entry(number, size=9_000, **changes):
    start_ns = number * MINUTE_NS
    fields = {'stream': 'image', 'source': 'a', 'epoch': 0} | changes
    return Entry(
        'r',
        fields['stream'],
        '',
        fields['epoch'],
        start_ns,
        start_ns + MINUTE_NS,
        numbered(number, size),
        fields['source'],
        fields.get('urgent', False),
    )


def put(spool, *entries):
    """As the bridge does it when it has time."""
    spool.put(entries)
    while spool.make_room():
        pass


def contents(spool):
    """The window numbers in each payload that is sent."""
    groups = []
    while batch := spool.next_batch(1):
        (payload,) = unpack(batch.body)
        groups.append([int(number) for number in payload.split(b' ')[:-1]])
        spool.confirm(batch)
    return groups


def size_on_disk(path):
    return sum(part.stat().st_size for part in path.parent.glob('spool.sqlite3*'))


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'spool.sqlite3'


def test_neighbouring_windows_become_longer_ones_the_oldest_first_and_nothing_is_lost(path):
    with Spool(path, SMALL, joined) as spool:
        for first in range(0, 1_000, 10):
            put(spool, *(entry(number) for number in range(first, first + 10)))
            assert size_on_disk(path) <= SMALL.max_bytes
        backlog = spool.backlog()
        groups = contents(spool)
    assert backlog.dropped == {}
    assert [number for group in groups for number in group] == [*range(1_000)]
    assert backlog.merged == 1_000 - len(groups)
    lengths = [len(group) for group in groups]
    assert lengths[0] >= 2
    assert lengths[-1] == 1  # the newest keep their resolution
    assert max(lengths) <= 5


def test_beyond_the_longest_windows_the_oldest_are_dropped_and_counted(path):
    with Spool(path, SMALL, joined) as spool:
        for first in range(0, 60_000, 400):
            put(
                spool, *(entry(number) for number in range(first, first + 400, 20))
            )  # three an hour
        backlog = spool.backlog()
        groups = contents(spool)
    kept = [number for group in groups for number in group]
    assert kept == [*range(60_000 - 20 * len(kept), 60_000, 20)]
    dropped_windows = 3_000 - len(kept)
    assert 0 < backlog.dropped['bytes'] <= dropped_windows
    assert len(groups[0]) == 3


def test_without_a_merge_function_the_oldest_are_dropped(path):
    with Spool(path, SMALL) as spool:
        for first in range(0, 600, 10):
            put(spool, *(entry(number) for number in range(first, first + 10)))
        backlog = spool.backlog()
        groups = contents(spool)
    kept = [group[0] for group in groups]
    assert kept == [*range(600 - len(kept), 600)]
    assert backlog.dropped == {'bytes': 600 - len(kept)}
    assert len(kept) > 300


def test_the_number_of_rows_is_bounded_too(path):
    with Spool(path, SpoolConfig(max_rows=100), joined) as spool:
        for number in range(250):
            put(spool, entry(number, 10))
            assert spool.backlog().profiles <= 100
        assert spool.backlog().dropped == {}
        assert sum(len(group) for group in contents(spool)) == 250


@pytest.mark.parametrize('difference', ['stream', 'source', 'epoch'])
def test_windows_of_different_streams_sources_or_epochs_are_never_merged(path, difference):
    with Spool(path, SpoolConfig(max_rows=100), joined) as spool:
        for number in range(200):
            put(spool, entry(number, 10, **{difference: number % 2}))
        groups = contents(spool)
    assert any(len(group) > 1 for group in groups)
    assert all(len({number % 2 for number in group}) == 1 for group in groups)


def test_urgent_windows_stay_as_they_are(path):
    with Spool(path, SpoolConfig(max_rows=100), joined) as spool:
        for number in range(200):
            put(spool, entry(number, 10, urgent=number < 20))
        groups = contents(spool)
    assert groups[:20] == [[number] for number in range(20)]


def test_windows_that_cannot_be_merged_stay_until_there_is_no_room(path):
    tries = []

    def refuses(payloads):
        tries.append(len(payloads))
        raise ValueError('not of one kind')

    with Spool(path, SpoolConfig(max_rows=100), refuses) as spool:
        for number in range(150):
            put(spool, entry(number, 10))
        assert spool.backlog().dropped == {'rows': 50}
    assert len(tries) <= 80  # no pair is tried twice


class Clocks:
    """Stands for the module time."""

    def __init__(self, wall_s):
        self.wall_ns, self.steady_ns = int(wall_s * 1e9), 5 * 10**9

    def time_ns(self):
        return self.wall_ns

    def monotonic_ns(self):
        return self.steady_ns

    def go_on(self, seconds):
        self.wall_ns += int(seconds * 1e9)
        self.steady_ns += int(seconds * 1e9)


@pytest.fixture
def clocks(monkeypatch):
    clocks = Clocks(1.8e9)
    for module in (room, spool_module):
        monkeypatch.setattr(module, 'time', clocks)
    return clocks


def test_old_profiles_are_dropped_when_an_age_is_given(path, clocks):
    with Spool(path, SpoolConfig(max_age_s=3600.0), joined) as spool:
        put(spool, entry(1), entry(2))
        clocks.go_on(3_599)
        put(spool, entry(3))
        assert spool.backlog().profiles == 3
        clocks.go_on(2)
        put(spool, entry(4))
        assert spool.backlog().dropped == {'age': 2}
        assert contents(spool) == [[3], [4]]


@pytest.mark.parametrize('step_s', [-1e6, 1e6, -1.8e9 + 60])
def test_a_clock_that_is_set_makes_nothing_old_or_young(path, clocks, step_s):
    with Spool(path, SpoolConfig(max_age_s=3600.0)) as spool:
        put(spool, entry(1))
        clocks.go_on(1_800)
        clocks.wall_ns += int(step_s * 1e9)
        put(spool, entry(2))
        clocks.go_on(1_799)
        put(spool, entry(3))
        assert spool.backlog().dropped == {}
        clocks.go_on(2)
        put(spool, entry(4))
        assert spool.backlog().dropped == {'age': 1}


def test_a_robot_that_learns_the_time_between_two_starts_loses_nothing(path, clocks):
    clocks.wall_ns = 10**9  # 1970
    with Spool(path, SpoolConfig(max_age_s=3600.0)) as spool:
        put(spool, entry(1))
    clocks.wall_ns = int(1.8e18)
    with Spool(path, SpoolConfig(max_age_s=3600.0)) as spool:
        put(spool, entry(2))
        clocks.go_on(3_599)
        put(spool, entry(3))
        assert spool.backlog().dropped == {}


@given(
    st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 90)), max_size=60),
    st.integers(0, 3),
)
def test_what_is_merged_stays_within_the_full_minutes_of_its_length(windows, level):
    length_s = (120, 300, 900, 3600)[level]
    rows = [
        (i, 'r', 's', '', 0, '', start * 10**9, (start + length) * 10**9)
        for i, (start, length) in enumerate(windows)
    ]
    for ids in neighbours(rows, level):
        start_s = min(windows[i][0] for i in ids)
        end_s = max(sum(windows[i]) for i in ids)
        assert end_s - start_s <= length_s
        longer_s = 300 if level == 0 else 3600
        assert start_s // longer_s == (end_s - 1) // longer_s


def test_five_minutes_are_two_and_two_and_one():
    rows = [(i, 'r', 's', '', 0, '', i * MINUTE_NS, (i + 1) * MINUTE_NS) for i in range(10)]
    assert neighbours(rows, 0) == [[0, 1], [2, 3], [5, 6], [7, 8]]
    assert neighbours(rows, 1) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_one_window_that_cannot_be_merged_does_not_keep_the_others_apart(path):
    def merge(payloads):
        if any(payload.startswith(b'7 ') for payload in payloads):
            raise ValueError('not of one kind')
        return joined(payloads)

    with Spool(path, SpoolConfig(max_rows=100), merge) as spool:
        for number in range(91):
            put(spool, entry(number, 10))
        groups = contents(spool)
    assert [7] in groups
    assert [0, 1] in groups or [0, 1, 2, 3, 4] in groups


def test_a_fault_in_merging_stops_nothing(path, logged):
    def merge(_):
        raise KeyError('a bug')

    with Spool(path, SpoolConfig(max_rows=100), merge) as spool:
        for number in range(150):
            put(spool, entry(number, 10))
        assert spool.backlog().profiles == 100
    assert 'could not be merged' in logged[0]


def test_room_that_is_not_needed_is_given_back_to_the_disk(path):
    with Spool(path, SMALL) as spool:
        put(spool, *map(entry, range(300)))
        full = path.stat().st_size
        contents(spool)
        while spool.make_room():
            pass
        put(spool, entry(1_000))
    assert path.stat().st_size < full / 4
