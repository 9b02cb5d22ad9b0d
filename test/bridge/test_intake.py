"""Profiles become durable without anybody waiting for the disk."""

import time

import pytest

from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.intake import Intake
from profiler_node.bridge.spool import Entry, Spool

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
