"""A running bridge while the link, the store or the disk fails: nothing is lost or doubled."""

import re
import resource
import shutil
import subprocess
import time
from http import HTTPStatus

import pytest
from faults import Fault, FaultyStore
from ledger import Robot
from worker import SPOOL, Job, Killer, WatchedSpool, entry, watched

from profiler_node.bridge.config import BridgeConfig
from profiler_node.bridge.intake import Intake
from profiler_node.bridge.transport import sender
from profiler_node.bridge.uploader import Uploader

DEADLINE_S = 60.0
LINK_FAULTS = [
    Fault.REFUSED,
    Fault.CUT_BODY,
    Fault.LOST_ACK,
    Fault.SLOW,
    Fault.HANG,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
]


def until(condition, deadline_s=DEADLINE_S):
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


class Bridge:
    """Intake, spool and uploader, running in this process."""

    def __init__(self, robot, timeout_s=1.0, size=300):
        self.job = Job(str(robot.folder), robot.job.url, size=size)
        self.config = BridgeConfig(0.1, 2_000, max_backoff_s=1.0, timeout_s=timeout_s)
        self.spool = WatchedSpool(self.job, Killer(''))
        self.uploader = Uploader(self.spool, self._connect, self.config)
        self.intake = Intake(self.spool, self.uploader.hurry)
        self.intake.start()
        self.uploader.start()

    def _connect(self):
        return watched(sender(self.job.url, self.config.timeout_s), self.job, Killer(''))

    @property
    def upload(self):
        return self.uploader.upload

    def take(self, numbers):
        for number in numbers:
            self.intake.take(entry(self.job, number))

    def put(self, numbers, deadline_s=DEADLINE_S):
        """Take profiles, and wait until they are durable."""
        done = self.intake.taken
        self.take(numbers)
        until(lambda: self.intake.taken == done + len(numbers), deadline_s)

    def drain(self):
        until(lambda: not self.intake.waiting)
        until(lambda: not self.spool.backlog().profiles + self.spool.backlog().batches)

    def stop(self):
        assert self.intake.stop(DEADLINE_S)
        assert self.uploader.stop(DEADLINE_S)
        self.spool.close()


@pytest.fixture
def store():
    with FaultyStore() as store:
        yield store


@pytest.fixture
def robot(tmp_path, store):
    robot = Robot(tmp_path / 'robot', store.url)
    yield robot
    robot.end()


@pytest.mark.parametrize('fault', LINK_FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_lost_or_doubled_by_a_link_that_fails_twice(robot, store, fault):
    bridge = Bridge(robot)
    store.error_headers = {'Retry-After': '1'}
    for start in (0, 30):
        store.fault = fault
        bridge.put(range(start, start + 30))
        until(lambda: bridge.upload.failures)
        assert bridge.upload.error_is_lasting == (fault is HTTPStatus.FORBIDDEN)
        store.fault = None
        bridge.drain()
        until(lambda: not bridge.upload.failures)
    bridge.stop()
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    assert outcome.acked == 60
    assert bridge.upload.error == ''


@pytest.mark.parametrize('fault', [Fault.SLOW, Fault.HANG], ids=lambda fault: fault.name)
def test_profiles_become_durable_while_an_upload_waits_for_the_link(robot, store, fault):
    store.fault = fault
    bridge = Bridge(robot, timeout_s=600.0, size=200_000)
    bridge.put(range(1))
    until(store.puts)
    for number in range(1, 20):
        start_s = time.monotonic()
        bridge.take([number])
        assert time.monotonic() - start_s < DEADLINE_S / 2  # for the disk it does not wait either
    until(lambda: bridge.intake.taken == 20)
    assert not bridge.upload.sent_objects + bridge.upload.failures  # it still waits
    store.fault = None
    bridge.drain()
    bridge.stop()
    assert robot.account(store.objects).is_right


# The disk


@pytest.fixture
def disk(robot):
    """Mounts a disk of 3 MB anew with other options; the spool is on it."""
    folder = robot.folder / SPOOL
    folder.mkdir()
    if not mounts('mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder):
        pytest.skip('needs the right to mount a tmpfs')
    yield lambda options: mounts('mount', '-o', f'remount,{options}', folder)
    assert mounts('umount', '--lazy', folder)


def mounts(*command):
    """Whether command has worked."""
    if not shutil.which(command[0]):
        return False
    return not subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode


def test_a_full_disk_keeps_profiles_in_memory_and_loses_none(robot, store, disk):
    store.fault = Fault.REFUSED
    bridge = Bridge(robot, size=20_000)
    bridge.take(range(300))
    until(lambda: bridge.intake.error)
    assert re.search('full', bridge.intake.error)
    durable = bridge.intake.taken
    assert 0 < durable < 300
    assert bridge.intake.waiting == 300 - durable
    assert disk('size=30m')
    until(lambda: bridge.intake.taken == 300)
    until(lambda: not bridge.intake.error)
    store.fault = None
    bridge.drain()
    bridge.stop()
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    assert outcome.acked == 300


def test_what_a_full_disk_cannot_forget_is_not_sent_again_and_again(robot, store, disk):
    store.fault = Fault.REFUSED
    bridge = Bridge(robot, size=20_000)
    bridge.take(range(300))
    until(lambda: bridge.intake.error)
    store.fault = None
    until(lambda: store.objects and 'full' in bridge.upload.error)
    failures, puts = bridge.upload.failures, len(store.puts())
    until(lambda: bridge.upload.failures >= failures + 3)
    assert len(store.puts()) == puts
    assert disk('size=30m')
    until(lambda: bridge.intake.taken == 300)
    bridge.drain()
    bridge.stop()
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    assert outcome.acked == 300


def test_a_disk_that_comes_up_read_only_is_told_and_used_when_it_can_be(robot, store, disk):
    store.fault = Fault.REFUSED
    first = Bridge(robot)
    first.put(range(20))
    first.stop()
    assert disk('ro')
    bridge = Bridge(robot)
    bridge.take(range(20, 40))
    until(lambda: bridge.intake.error)
    assert bridge.intake.waiting == 20
    assert disk('rw')
    until(lambda: bridge.intake.taken == 20)
    until(lambda: not bridge.intake.error)
    store.fault = None
    bridge.drain()
    bridge.stop()
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    assert outcome.acked == 40


def test_a_quota_that_is_used_up_loses_nothing_and_says_so(robot, store):
    process = robot.start(size=5_000, most_waiting=2_000, until=400, upload={'metered': True})
    hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (400_000, hard))
    until(lambda: 'profiles wait in memory' in robot.log())
    durable = len(robot.acked())
    assert durable < 400
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    until(lambda: 'the disk takes profiles again' in robot.log())
    until(lambda: len(robot.acked()) == 400)
    process.kill()
    process.wait()
    robot.drain(size=5_000)
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    assert outcome.acked == 400
