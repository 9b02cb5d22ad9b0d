"""The spool: durable, exactly once by identity, never in the way."""

import sqlite3

import pytest

from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.spool import Entry, Spool
from profiler_node.wire.objects import unpack


def entry(number=0, robot_id='r', payload=None):
    return Entry(robot_id, 'image', '', 0, number, payload or b'payload-%d' % number)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'deep' / 'spool.sqlite3'


def test_what_was_put_is_there_after_a_restart(path):
    with Spool(path) as spool:
        assert spool.put(entry(1))
    with Spool(path) as spool:
        assert spool.backlog() == (1, 0)
        assert list(unpack(spool.next_batch(10_000).body)) == [b'payload-1']


def test_the_same_identity_is_kept_once(path):
    with Spool(path) as spool:
        assert spool.put(entry(1))
        assert not spool.put(entry(1, payload=b'again'))
        assert spool.put(entry(1, robot_id='other'))
        assert spool.backlog() == (2, 0)


def test_a_batch_keeps_its_key_and_bytes_until_it_is_confirmed(path):
    with Spool(path) as spool:
        spool.put(entry(1))
        batch = spool.next_batch(10_000)
    with Spool(path) as spool:
        spool.put(entry(2))
        assert spool.next_batch(10_000) == batch
        spool.confirm(batch)
        later = spool.next_batch(10_000)
        assert later.key != batch.key
        assert list(unpack(later.body)) == [b'payload-2']
        spool.confirm(later)
        assert spool.next_batch(10_000) is None


def test_two_processes_do_not_take_each_others_batches(path):
    with Spool(path) as one, Spool(path) as other:
        one.put(entry(1))
        batch = one.next_batch(10_000)
        assert other.next_batch(10_000) == batch
        one.confirm(batch)
        one.put(entry(2))
        later = one.next_batch(10_000)
        with pytest.raises(SpoolError, match='cannot be deleted'):
            other.confirm(batch)
        assert other.next_batch(10_000) == later


def test_batches_are_bounded_and_of_one_robot(path):
    with Spool(path) as spool:
        for number in range(6):
            spool.put(entry(number, robot_id=f'r{number % 2}', payload=bytes([number]) * 400))
        sizes = []
        while batch := spool.next_batch(1000):
            sizes.append([payload[0] for payload in unpack(batch.body)])
            spool.confirm(batch)
    assert sizes == [[0, 2], [1, 3], [4], [5]]


def test_a_profile_larger_than_a_batch_goes_alone(path):
    with Spool(path) as spool:
        spool.put(entry(1, payload=b'x' * 5000))
        assert list(unpack(spool.next_batch(1000).body)) == [b'x' * 5000]


@pytest.mark.parametrize(
    'damage', [b'this is no database' * 100, b'SQLite format 3\0' + b'\xff' * 4096]
)
def test_a_damaged_file_is_kept_aside_and_a_new_one_started(path, damage, logged):
    path.parent.mkdir()
    path.write_bytes(damage)
    with Spool(path) as spool:
        assert spool.put(entry(1))
    (aside,) = path.parent.glob('spool.sqlite3.corrupt-*')
    assert aside.read_bytes() == damage
    assert 'is damaged' in logged[0]


def test_a_damaged_page_is_found_at_the_start(path):
    with Spool(path) as spool:
        for number in range(50):
            spool.put(entry(number, payload=bytes(3000)))
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b'\xaa' * 64
    path.write_bytes(data)
    with Spool(path) as spool:
        assert spool.backlog() == (0, 0)
    assert len(list(path.parent.glob('spool.sqlite3.corrupt-*'))) == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SpoolError, match='file'):
        Spool(tmp_path / 'file' / 'spool.sqlite3')


def test_a_full_disk_is_a_spool_error_and_loses_nothing(path):
    with Spool(path) as spool:
        spool.put(entry(1))
        pages = spool._database.execute('PRAGMA page_count').fetchone()[0]
        spool._database.execute(f'PRAGMA max_page_count = {pages}')
        with pytest.raises(SpoolError, match='full'):
            spool.put(entry(2, payload=bytes(100_000)))
        assert spool.backlog() == (1, 0)


def test_writes_are_synchronous(path):
    with Spool(path) as spool:
        full, wal = (
            spool._database.execute(f'PRAGMA {name}').fetchone()[0]
            for name in ('synchronous', 'journal_mode')
        )
    assert (full, wal) == (2, 'wal')
    assert sqlite3.connect(path).execute('SELECT count(*) FROM profiles').fetchone() == (0,)
