"""Whatever happens to the file: the spool starts, says so, and saves what can be read."""

import sqlite3

import numpy as np
import pytest

from profiler_node.bridge.spool import Entry, Spool
from profiler_node.wire.objects import unpack

MINUTE_NS = 60 * 10**9
PAGE = 4096
COUNT = 60


def payload(number):
    return b'%d ' % number + np.random.default_rng(number).bytes(600)


def entry(number):
    start_ns = number * MINUTE_NS
    return Entry('r', 'image', '', 0, start_ns, start_ns + MINUTE_NS, payload(number))


def drained(spool):
    """The payloads that are sent; each must be as it was put."""
    found = []
    while batch := spool.next_batch(5_000):
        found += [int(item.split(b' ')[0]) for item in unpack(batch.body)]
        assert all(item == payload(int(item.split(b' ')[0])) for item in unpack(batch.body))
        spool.confirm(batch)
    return found


@pytest.fixture
def path(tmp_path):
    """A closed spool with profiles and a formed batch, nothing in its log."""
    path = tmp_path / 'spool.sqlite3'
    with Spool(path) as spool:
        spool.put([entry(number) for number in range(COUNT)])
        spool.next_batch(5_000)
    assert not path.with_name(path.name + '-wal').exists()
    return path


def asides(path):
    return list(path.parent.glob('spool.sqlite3.corrupt-*'))


@pytest.mark.parametrize(
    'damage',
    [b'this is no database' * 100, b'SQLite format 3\0' + b'\xff' * 4096],
    ids=['no database', 'a broken one'],
)
def test_another_file_is_kept_aside_and_a_new_one_started(tmp_path, damage, logged):
    path = tmp_path / 'spool.sqlite3'
    path.write_bytes(damage)
    with Spool(path) as spool:
        assert spool.put([entry(1)]) == 1
    (aside,) = asides(path)
    assert aside.read_bytes() == damage
    assert 'is damaged' in logged[0]


def test_a_file_of_a_later_version_is_kept_aside(path, logged):
    with sqlite3.connect(path) as database:
        database.execute('PRAGMA user_version = 99')
    with Spool(path) as spool:
        assert spool.put([entry(COUNT)]) == 1
    assert 'version 99' in logged[0]


def test_a_flipped_bit_in_any_page_costs_at_most_what_is_on_it(path, tmp_path):
    good = path.read_bytes()
    saved = []
    rng = np.random.default_rng(7)
    for page in range(len(good) // PAGE):
        for _ in range(3):
            data = bytearray(good)
            data[page * PAGE + int(rng.integers(PAGE))] ^= 1 << int(rng.integers(8))
            folder = tmp_path / f'{page}-{len(saved)}'
            folder.mkdir()
            damaged = folder / 'spool.sqlite3'
            damaged.write_bytes(data)
            with Spool(damaged) as spool:
                spool.put([entry(COUNT)])
                found = drained(spool)
                lost = sum(spool.backlog().dropped.values())
            assert COUNT in found
            assert len(found) == len(set(found))
            # What is missing was counted, or the file is kept aside.
            assert len(found) + lost >= COUNT + 1 or asides(damaged)
            saved.append(len(found))
    assert sum(found == COUNT + 1 for found in saved) > len(saved) / 2


def test_any_bit_of_the_first_page_can_flip(path, tmp_path):
    good = path.read_bytes()
    few = []
    bits = [*range(18 * 8, 19 * 8), *range(60 * 8, 64 * 8), *range(3, 100 * 8, 97)]
    bits += range(100 * 8, PAGE * 8, 2_497)
    for bit in bits:
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        damaged = tmp_path / f'{bit}.sqlite3'
        damaged.write_bytes(data)
        with Spool(damaged) as spool:
            spool.put([entry(COUNT)])
            found = drained(spool)
        assert COUNT in found
        if len(found) < COUNT + 1:
            few.append(bit)
    assert len(few) <= len(bits) / 20


def test_a_file_cut_at_any_page_still_starts(path, tmp_path):
    good = path.read_bytes()
    saved = []
    for pages in range(len(good) // PAGE):
        folder = tmp_path / str(pages)
        folder.mkdir()
        damaged = folder / 'spool.sqlite3'
        damaged.write_bytes(good[: pages * PAGE + 100 * (pages % 3)])
        with Spool(damaged) as spool:
            spool.put([entry(COUNT)])
            found = drained(spool)
            lost = sum(spool.backlog().dropped.values())
        assert COUNT in found
        assert asides(damaged) or pages == 0 or len(found) + lost == COUNT + 1
        saved.append(len(found))
    assert max(saved) > COUNT / 2


def test_damage_that_comes_while_it_runs_is_survived(path):
    with Spool(path) as spool:
        spool.put([entry(COUNT)])
        spool._open.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        data = bytearray(path.read_bytes())
        for page in range(3, len(data) // PAGE):
            data[page * PAGE : page * PAGE + 16] = b'\xaa' * 16
        with path.open('r+b') as file:
            file.write(data)
        spool._open.execute('PRAGMA shrink_memory')
        spool.put([entry(COUNT + 1)])
        assert COUNT + 1 in drained(spool)
    assert asides(path)


def test_damaged_files_do_not_pile_up(path):
    for number in range(6):
        path.write_bytes(b'no database' * (number + 1))
        with Spool(path) as spool:
            spool.put([entry(number)])
    kept = sorted(asides(path))
    assert [len(file.read_bytes()) for file in kept] == [55, 66]
    assert [file.name[-6:] for file in kept] == ['000005', '000006']


def test_a_changed_payload_is_never_sent(path):
    with sqlite3.connect(path) as database:
        (row_id,) = database.execute('SELECT min(id) FROM profiles').fetchone()
        database.execute('UPDATE profiles SET payload = zeroblob(100) WHERE id = ?', (row_id,))
        database.execute("UPDATE batches SET body = x'00'")
        (in_batch,) = database.execute('SELECT profiles FROM batches').fetchone()
    with Spool(path) as spool:
        assert len(drained(spool)) == COUNT - 1 - in_batch
        assert spool.backlog().dropped == {'damaged': 1 + in_batch}
