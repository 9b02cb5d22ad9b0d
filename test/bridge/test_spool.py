"""The spool: durable, exactly once by identity, never in the way."""

import resource
import signal
from dataclasses import replace

import numpy as np
import pytest

from profiler_node.bridge.config import SpoolConfig
from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.spool import Entry, Spool
from profiler_node.wire.objects import unpack

MINUTE_NS = 60 * 10**9


def entry(number=0, robot_id='r', payload=None, urgent=False):
    start_ns = number * MINUTE_NS
    payload = payload or b'payload-%d' % number
    return Entry(robot_id, 'image', '', 0, start_ns, start_ns + MINUTE_NS, payload, urgent=urgent)


def waiting(spool):
    backlog = spool.backlog()
    return backlog.profiles, backlog.batches


def sent(spool, most_bytes=10_000, **options):
    """The payloads of all batches in the order in which they are sent."""
    batches = []
    while batch := spool.next_batch(most_bytes, **options):
        payloads = list(unpack(batch.body))
        assert batch.profiles == len(payloads)
        batches.append(payloads)
        spool.confirm(batch)
    return batches


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'deep' / 'spool.sqlite3'


def test_what_was_put_is_there_after_a_restart(path):
    with Spool(path) as spool:
        assert spool.put([entry(1)]) == 1
    with Spool(path) as spool:
        assert waiting(spool) == (1, 0)
        assert list(unpack(spool.next_batch(10_000).body)) == [b'payload-1']


def test_the_same_identity_is_kept_once(path):
    with Spool(path) as spool:
        assert spool.put([entry(1)]) == 1
        assert spool.put([entry(1, payload=b'again'), entry(1)]) == 0
        assert spool.put([entry(1, robot_id='other')]) == 1
        assert waiting(spool) == (2, 0)


def test_a_batch_keeps_its_key_and_bytes_until_it_is_confirmed(path):
    with Spool(path) as spool:
        spool.put([entry(1)])
        batch = spool.next_batch(10_000)
    with Spool(path) as spool:
        spool.put([entry(2)])
        assert spool.next_batch(10_000) == batch
        spool.confirm(batch)
        later = spool.next_batch(10_000)
        assert later.key != batch.key
        assert list(unpack(later.body)) == [b'payload-2']
        spool.confirm(later)
        assert spool.next_batch(10_000) is None


def test_a_second_process_is_told_that_the_spool_is_taken(path):
    with Spool(path) as one:
        one.put([entry(1)])
        with Spool(path) as other, pytest.raises(SpoolError, match='another process'):
            other.put([entry(2)])
    with Spool(path) as other:
        assert other.put([entry(2)]) == 1


def test_an_identity_is_taken_once_even_after_it_was_sent(path):
    with Spool(path) as spool:
        spool.put([entry(1)])
        assert sent(spool) == [[b'payload-1']]
    with Spool(path) as spool:
        assert spool.put([entry(1), entry(2)]) == 1
        assert sent(spool) == [[b'payload-2']]


def test_all_of_one_put_is_taken_or_nothing(path):
    with Spool(path) as spool:
        spool.put([entry(1)])
        broken = replace(entry(3), payload='no bytes')
        with pytest.raises((TypeError, SpoolError)):
            spool.put([entry(2), broken])
        assert waiting(spool) == (1, 0)
        assert spool.put([entry(2)]) == 1


def test_batches_are_bounded_and_of_one_robot(path):
    with Spool(path) as spool:
        for number in range(6):
            spool.put([entry(number, robot_id=f'r{number // 3}', payload=bytes([number]) * 400)])
        numbers = [[payload[0] for payload in batch] for batch in sent(spool, 1000)]
    assert numbers == [[0, 1], [2], [3, 4], [5]]


def test_a_profile_larger_than_a_batch_goes_alone(path):
    with Spool(path) as spool:
        spool.put([entry(1, payload=b'x' * 5000), entry(2)])
        assert sent(spool, 1000) == [[b'x' * 5000], [b'payload-2']]


def test_the_oldest_windows_go_first_or_the_newest_when_asked(path):
    with Spool(path) as spool:
        spool.put([entry(number) for number in (2, 0, 1)])
        assert sent(spool, 1) == [[b'payload-0'], [b'payload-1'], [b'payload-2']]
        spool.put([entry(number) for number in (4, 3, 5)])
        assert sent(spool, 1, newest_first=True) == [[b'payload-5'], [b'payload-4'], [b'payload-3']]


def test_what_is_urgent_goes_before_all_else_and_alone(path):
    with Spool(path) as spool:
        spool.put([entry(1), entry(2)])
        formed = spool.next_batch(1)
        spool.put([entry(3, urgent=True), entry(4, urgent=True)])
        assert sent(spool, urgent_only=True) == [[b'payload-3', b'payload-4']]
        assert spool.next_batch(1) == formed
        assert sent(spool, 1) == [[b'payload-1'], [b'payload-2']]


def test_a_refused_batch_lets_the_others_go_first(path):
    with Spool(path) as spool:
        spool.put([entry(1), entry(2)])
        first = spool.next_batch(1)
        spool.refuse(first)
        second = spool.next_batch(1)
        assert second.key != first.key
        spool.confirm(second)
        assert spool.next_batch(1) == first
        spool.refuse(first)
        assert spool.next_batch(1) == first


def test_what_is_refused_does_not_keep_others_from_being_sent(path):
    with Spool(path) as spool:
        spool.put([entry(number) for number in range(50)])
        for _ in range(49):
            spool.refuse(spool.next_batch(1))
        assert list(unpack(spool.next_batch(1).body)) == [b'payload-49']
        spool.put([entry(50, urgent=True)])
        assert list(unpack(spool.next_batch(1, urgent_only=True).body)) == [b'payload-50']
        assert len(sent(spool, 1)) == 51


def test_few_batches_are_formed_before_they_can_be_sent(path):
    with Spool(path) as spool:
        for number in range(50):
            spool.put([entry(number)])
            spool.next_batch(1, newest_first=True)
        assert waiting(spool) == (42, 8)
        spool.put([entry(50, urgent=True)])
        assert list(unpack(spool.next_batch(1).body)) == [b'payload-50']


def test_profiles_of_two_robots_that_come_in_turns_go_into_two_objects(path):
    with Spool(path) as spool:
        for number in range(40):
            spool.put([entry(number, robot_id='a'), entry(number, robot_id='b')])
        assert [len(batch) for batch in sent(spool)] == [40, 40]


def test_what_was_set_aside_is_kept_for_a_look_and_bounded(path):
    with Spool(path, SpoolConfig(max_bytes=4_000_000)) as spool:
        for number in range(4):
            spool.put([entry(number, payload=np.random.default_rng(number).bytes(100_000))])
            spool.set_aside(spool.next_batch(1).key, '413 too large')
        backlog = spool.backlog()
        assert (backlog.batches, backlog.refused) == (0, 2)  # a sixteenth holds two
        assert backlog.dropped == {'refused': 2}
        assert spool.next_batch(1) is None


def test_numbers_and_losses_are_remembered(path):
    with Spool(path) as spool:
        spool.keep_numbers({'day': 3, 'sent': 5})
        spool.keep_numbers({'sent': 7})
        spool.count_dropped('memory', 2)
        spool.count_dropped('memory', 1)
    with Spool(path) as spool:
        assert (spool.number('day'), spool.number('sent'), spool.number('none')) == (3, 7, 0)
        assert spool.backlog().dropped == {'memory': 3}


def test_a_place_that_cannot_be_written_is_named_and_tried_again(tmp_path):
    (tmp_path / 'file').write_text('')
    with Spool(tmp_path / 'file' / 'spool.sqlite3') as spool:
        with pytest.raises(SpoolError, match='file'):
            spool.put([entry(1)])
        (tmp_path / 'file').unlink()
        assert spool.put([entry(1)]) == 1


def test_a_full_disk_is_a_spool_error_and_loses_nothing(path):
    with Spool(path) as spool:
        spool.put([entry(1)])
        noise = np.random.default_rng(1).bytes(300_000)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(SpoolError):
                spool.put([entry(2, payload=noise)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert waiting(spool) == (1, 0)
        assert spool.put([entry(2, payload=noise)]) == 1
        assert sent(spool, 1) == [[b'payload-1'], [noise]]


def test_writes_are_synchronous(path):
    with Spool(path) as spool:
        spool.put([entry(1)])
        full, wal = (
            spool._open.execute(f'PRAGMA {name}').fetchone()[0]
            for name in ('synchronous', 'journal_mode')
        )
    assert (full, wal) == (2, 'wal')
