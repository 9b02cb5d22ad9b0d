"""What was acknowledged is in the store, once, at whatever moment the bridge is killed."""

import re
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from faults import Fault, FaultyStore
from ledger import NEAR_THE_CAP, Robot, account, kill_at_random, vary
from worker import SPOOL, payload

from profiler_node.bridge.batch import pack

NOTHING_IS_SENT = {'metered': True}


@pytest.fixture
def store():
    with FaultyStore() as store:
        yield store


@pytest.fixture
def robot(tmp_path, store):
    robot = Robot(tmp_path / 'robot', store.url)
    yield robot
    robot.end()


def test_kills_at_random_moments_with_a_store_that_fails_at_times(robot, store):
    kill_at_random(robot, 60, 1, lambda chance: vary(store, chance))
    store.fault = None
    robot.drain()
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    assert outcome.acked == outcome.delivered > 1_000


@pytest.mark.parametrize('step', ['put', 'next_batch', 'send', 'confirm'])
@pytest.mark.parametrize('moment', ['before', 'after'])
def test_kills_between_any_two_steps(robot, store, moment, step):
    for count in (1, 2, 5):
        assert robot.dies(kill_at=f'{moment} {step} {count}') == -signal.SIGKILL, robot.log()
    robot.drain()
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome


def test_kills_within_transactions(robot, store):
    for count in range(1, 41):
        assert robot.dies(kill_at=f'sql {count}') == -signal.SIGKILL, robot.log()
    for statement in ('COMMIT', 'INSERT INTO batches', 'DELETE FROM profiles', 'DELETE FROM b'):
        assert robot.dies(kill_at=f'sql {statement} 2') == -signal.SIGKILL, robot.log()
    robot.drain()
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome


def test_kills_within_writes_to_the_disk(robot, store):
    for size in (5_000, 20_001, 45_678, 98_765, 131_072, 200_000):
        assert robot.dies(file_bytes=size, spool={'max_bytes': 4_000_000}) == -signal.SIGXFSZ
    robot.drain()
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome


def test_kills_near_the_cap_lose_no_message_of_any_window(robot, store):
    fill = {**NEAR_THE_CAP, 'upload': NOTHING_IS_SENT}
    for place in ('DELETE FROM profiles', 'INSERT INTO numbers') * 2:
        for count in (1, 20, 70):
            assert robot.dies(kill_at=f'sql {place} {count}', **fill) == -signal.SIGKILL
    backlog = robot.drain(**NEAR_THE_CAP)
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    assert backlog['dropped'] == {}
    assert backlog['merged'] > 100


def damage(path):
    """Write over an index: all rows can still be read."""
    with closing(sqlite3.connect(path)) as database:
        database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'by_time'"
        (page,) = database.execute(query).fetchone()
    with path.open('r+b') as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(range(256)) * 16)


@pytest.mark.parametrize(
    'place',
    [
        *('sql BEGIN 1', 'sql INSERT INTO profiles 1', 'sql INSERT INTO profiles 20'),
        *('sql COMMIT 2', 'before rename 1', 'after rename 1', 'after rename 2', 'after rename 3'),
    ],
)
def test_a_kill_while_a_damaged_spool_is_replaced_costs_nothing(robot, store, place):
    robot.dies(kill_at='after put 20', upload=NOTHING_IS_SENT)
    damage(robot.folder / SPOOL / 'spool.sqlite3')
    assert robot.dies(kill_at=place, upload=NOTHING_IS_SENT) == -signal.SIGKILL
    robot.drain(offered_again=0)
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    assert list((robot.folder / SPOOL).glob('spool.sqlite3.corrupt-*'))


def test_two_robots_with_the_same_streams_share_a_store(tmp_path, store):
    robots = [Robot(tmp_path / name, store.url, robot=name) for name in ('red', 'blue')]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda robot: kill_at_random(robot, 5, 2, lambda _: None), robots))
        list(threads.map(Robot.drain, robots))
    acked = [number for robot in robots for number in robot.acked()]
    outcome = account(acked, store.objects, [each for robot in robots for each in robot.sent()])
    assert outcome.is_right, outcome
    assert {robot for robot, _ in acked} == {'red', 'blue'}


def test_a_clock_that_steps_back_and_forth_stops_nothing(robot, store):
    limits = {'bytes_per_s': 300_000.0, 'bytes_per_day': 1_000_000_000}
    stepping = Robot(robot.folder, store.url, clock_steps=True, upload=limits)
    kill_at_random(stepping, 6, 3, lambda _: None)
    robot.drain(clock_steps=True, upload=limits)
    outcome = robot.account(store.objects)
    assert outcome.is_right, outcome
    name = re.compile(r'\d{4}-\d\d-\d\d/robot/\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}\.pb\.zst')
    assert all(name.fullmatch(key) for key in store.objects)
    assert len({key[:10] for key in store.objects}) > 3  # days


# The ledger tells what is wrong with a bridge.


def test_a_profile_in_two_objects_is_doubled_and_one_in_none_is_lost():
    one, two, both = (
        pack([payload('r', number, 10) for number in numbers]) for numbers in ([1], [2], [1, 2])
    )
    acked = [('r', 1), ('r', 2), ('r', 3)]
    assert str(account(acked, {'a': one})) == 'acked 3 delivered 1 lost 2 doubled 0'
    assert str(account(acked, {'a': two, 'b': both})) == 'acked 3 delivered 2 lost 1 doubled 1'
    assert account(acked[:2], {'a': one, 'b': two}).is_right
    assert not account([], {}).is_right
    sent = [('a', 'x'), ('b', 'y'), ('a', 'z')]
    assert account(acked[:2], {'a': both}, sent).rewritten == {'a'}


NEEDS = {
    'acknowledges before it puts': {'kill_at': 'before put 3'},
    'deletes before it sends': {'kill_at': 'before send 2'},
    'names a batch anew': {'kill_at': 'after send 2'},
}
MERGES = {'kill_at': 'sql INSERT INTO numbers 40', **NEAR_THE_CAP, 'upload': NOTHING_IS_SENT}


def live_with(robot, flaw):
    """A life in which the flaw shows, and one that uploads the rest."""
    if flaw == 'forgets what it has taken':
        robot.drain(flaw=flaw, until=40)
        robot.drain(flaw=flaw, until=60)
        return
    robot.dies(flaw=flaw, offered_again=0, **NEEDS.get(flaw, MERGES))
    robot.drain(offered_again=0)


@pytest.mark.parametrize(
    'flaw',
    ['acknowledges before it puts', 'deletes before it sends', 'forgets one in merging'],
)
def test_the_ledger_shows_that_a_bridge_loses(robot, store, flaw):
    live_with(robot, flaw)
    outcome = robot.account(store.objects)
    assert outcome.lost, outcome
    assert not outcome.doubled


@pytest.mark.parametrize(
    'flaw', ['names a batch anew', 'forgets what it has taken', 'merges one twice']
)
def test_the_ledger_shows_that_a_bridge_doubles(robot, store, flaw):
    live_with(robot, flaw)
    outcome = robot.account(store.objects)
    assert outcome.doubled, outcome
    assert not outcome.lost


def test_a_confirmation_that_was_lost_doubles_with_a_batch_that_is_named_anew(robot, store):
    store.webdav = False
    store.fault = Fault.LOST_ACK
    process = robot.start(until=100, flaw='names a batch anew')
    deadline_s = time.monotonic() + 30
    while not store.objects and time.monotonic() < deadline_s:
        time.sleep(0.01)
    store.fault = None
    robot.finish(process)
    assert robot.account(store.objects).doubled
