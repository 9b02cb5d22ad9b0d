"""Near the cap: longer windows first, losses last, both counted."""

import numpy as np
import pytest

from profiler_node.bridge.config import SpoolConfig
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
        for number in range(1_000):
            spool.put([entry(number)])
            assert size_on_disk(path) <= SMALL.max_bytes
        backlog = spool.backlog()
        groups = contents(spool)
    assert backlog.dropped == {}
    assert [number for group in groups for number in group] == [*range(1_000)]
    assert backlog.merged == 1_000 - len(groups)
    lengths = [len(group) for group in groups]
    assert lengths[0] >= 2
    assert lengths[-1] == 1  # the newest keep their resolution
    assert max(lengths) <= 6  # of five minutes, and one that began in them


def test_beyond_the_longest_windows_the_oldest_are_dropped_and_counted(path):
    with Spool(path, SMALL, joined) as spool:
        for number in range(0, 60_000, 20):  # three an hour
            spool.put([entry(number)])
        backlog = spool.backlog()
        groups = contents(spool)
    kept = [number for group in groups for number in group]
    assert kept == [*range(60_000 - 20 * len(kept), 60_000, 20)]
    dropped_windows = 3_000 - len(kept)
    assert 0 < backlog.dropped['bytes'] <= dropped_windows
    assert len(groups[0]) == 3


def test_without_a_merge_function_the_oldest_are_dropped(path):
    with Spool(path, SMALL) as spool:
        for number in range(600):
            spool.put([entry(number)])
        backlog = spool.backlog()
        groups = contents(spool)
    kept = [group[0] for group in groups]
    assert kept == [*range(600 - len(kept), 600)]
    assert backlog.dropped == {'bytes': 600 - len(kept)}
    assert len(kept) > 300


def test_the_number_of_rows_is_bounded_too(path):
    with Spool(path, SpoolConfig(max_rows=100), joined) as spool:
        for number in range(250):
            spool.put([entry(number, 10)])
            assert spool.backlog().profiles <= 100
        assert spool.backlog().dropped == {}
        assert sum(len(group) for group in contents(spool)) == 250


@pytest.mark.parametrize('difference', ['stream', 'source', 'epoch'])
def test_windows_of_different_streams_sources_or_epochs_are_never_merged(path, difference):
    with Spool(path, SpoolConfig(max_rows=100), joined) as spool:
        for number in range(200):
            spool.put([entry(number, 10, **{difference: number % 2})])
        groups = contents(spool)
    assert any(len(group) > 1 for group in groups)
    assert all(len({number % 2 for number in group}) == 1 for group in groups)


def test_urgent_windows_stay_as_they_are(path):
    with Spool(path, SpoolConfig(max_rows=100), joined) as spool:
        for number in range(200):
            spool.put([entry(number, 10, urgent=number < 20)])
        groups = contents(spool)
    assert groups[:20] == [[number] for number in range(20)]


def test_windows_that_cannot_be_merged_stay_until_there_is_no_room(path):
    tries = []

    def refuses(payloads):
        tries.append(len(payloads))
        raise ValueError('not of one kind')

    with Spool(path, SpoolConfig(max_rows=100), refuses) as spool:
        for number in range(150):
            spool.put([entry(number, 10)])
        assert spool.backlog().dropped == {'rows': 50}
    assert len(tries) <= 150  # no group is tried twice


def test_old_profiles_are_dropped_when_an_age_is_given(path, monkeypatch):
    now_ns = 10**18
    monkeypatch.setattr('time.time_ns', lambda: now_ns)
    with Spool(path, SpoolConfig(max_age_s=3600.0), joined) as spool:
        spool.put([entry(1), entry(2)])
        now_ns += 3_599 * 10**9
        spool.put([entry(3)])
        assert spool.backlog().profiles == 3
        now_ns += 2 * 10**9
        spool.put([entry(4)])
        assert spool.backlog().dropped == {'age': 2}
        assert contents(spool) == [[3], [4]]
