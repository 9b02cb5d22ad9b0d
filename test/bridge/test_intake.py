"""Profiles become durable without anybody waiting for the disk."""

import time
from dataclasses import replace

import pytest

from profiler_node.bridge.config import SpoolConfig
from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.health import spool_status
from profiler_node.bridge.intake import Intake
from profiler_node.bridge.spool import Entry, Spool
from profiler_node.health import Level

MINUTE_NS = 60 * 10**9


class Disk:
    """A spool whose disk can fail."""

    def __init__(self, path):
        self.spool = Spool(path)
        self.error = None

    def __getattr__(self, name):
        if self.error is not None:
            raise self.error
        return getattr(self.spool, name)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / 'spool.sqlite3')
    yield disk
    disk.spool.close()


def entry(number, urgent=False):
    start_ns = number * MINUTE_NS
    return Entry('r', 's', '', 0, start_ns, start_ns + MINUTE_NS, bytes(1000), urgent=urgent)


def until(condition, deadline_s=10.0):
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_what_is_taken_is_put_in_few_transactions(disk):
    intake = Intake(disk, lambda: None)
    for number in range(1_000):
        intake.take(entry(number))
    intake.take(entry(5))
    intake.start()
    until(lambda: not intake.waiting)
    assert intake.stop(5.0)
    assert (intake.taken, intake.duplicates) == (1_000, 1)
    assert intake.backlog.profiles == 1_000


def test_a_disk_that_fails_keeps_profiles_in_memory_until_it_takes_them(disk, logged):
    intake = Intake(disk, lambda: None)
    disk.error = SpoolError('disk is full')
    intake.start()
    for number in range(10):
        intake.take(entry(number))
    until(lambda: intake.error)
    assert (intake.error, intake.waiting) == ('disk is full', 10)
    disk.error = None
    until(lambda: not intake.waiting)
    until(lambda: not intake.error)
    assert intake.stop(5.0)
    assert intake.taken == 10
    assert logged == ['profiles wait in memory: disk is full']


def test_the_memory_is_bounded_and_what_it_drops_is_counted_on_the_disk(disk):
    intake = Intake(disk, lambda: None, most_bytes=5_000)
    disk.error = SpoolError('disk is full')
    for number in range(8):
        intake.take(entry(number))
    assert intake.waiting == 5
    disk.error = None
    intake.start()
    assert intake.stop(5.0)
    assert intake.backlog.dropped == {'memory': 3}
    assert intake.backlog.profiles == 5


def test_something_urgent_is_told_when_it_is_durable(disk):
    told = []
    intake = Intake(disk, lambda: told.append(disk.spool.backlog().profiles))
    intake.start()
    intake.take(entry(1))
    intake.take(entry(2, urgent=True))
    assert intake.stop(5.0)
    assert told in ([2], [1])


def test_stopping_with_a_disk_that_fails_says_what_is_left(disk):
    intake = Intake(disk, lambda: None)
    disk.error = SpoolError('disk is gone')
    intake.start()
    intake.take(entry(1))
    assert not intake.stop(5.0)
    assert intake.waiting == 1


def test_a_profile_that_cannot_be_stored_does_not_hold_up_the_others(disk, logged):
    intake = Intake(disk, lambda: None)
    for number in range(5):
        intake.take(entry(number))
    intake.take(replace(entry(5), stream='\udcff'))
    for number in range(6, 9):
        intake.take(entry(number))
    intake.start()
    until(lambda: not intake.waiting)
    assert intake.stop(5.0)
    assert intake.backlog.profiles == 8
    assert intake.backlog.dropped == {'unstorable': 1}
    assert 'cannot be stored' in logged[0]


def test_a_fault_of_ours_does_not_end_the_thread(disk, logged):
    intake = Intake(disk, lambda: None)
    disk.error = KeyError('a bug')
    intake.start()
    until(lambda: intake.error)
    disk.error = None
    intake.take(entry(1))
    until(lambda: not intake.waiting)
    until(lambda: not intake.error)
    assert intake.stop(5.0)
    assert 'profiles wait in memory' in logged[0]


def test_what_is_urgent_is_dropped_last(disk):
    intake = Intake(disk, lambda: None, most_bytes=3_000)
    for number in range(6):
        intake.take(entry(number, urgent=number in {0, 1}))
    intake.start()
    assert intake.stop(5.0)
    assert disk.spool.backlog().dropped == {'memory': 3}
    assert disk.spool.next_batch(10_000, urgent_only=True).profiles == 2


def test_losses_are_told_for_an_hour(disk, monkeypatch):
    config = SpoolConfig()
    intake = Intake(disk, lambda: None, most_bytes=2_000)
    disk.spool.count_dropped('memory', 5)  # in an earlier run
    intake.start()
    until(lambda: intake.backlog.dropped)
    assert spool_status(intake, config).level == Level.OK
    for number in range(500):
        intake.take(entry(number))
    until(lambda: intake.backlog.dropped.get('memory', 0) > 5)
    assert spool_status(intake, config).level == Level.WARN
    assert intake.stop(5.0)
    now_s = time.monotonic()
    monkeypatch.setattr('time.monotonic', lambda: now_s + 3_700.0)
    assert spool_status(intake, config).level == Level.OK
    intake.error = 'disk is full'
    assert spool_status(intake, config).level == Level.ERROR
