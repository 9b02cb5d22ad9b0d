"""Emptying the spool while the link comes and goes."""

import threading
import time

import pytest

from profiler_node.bridge import uploader as module
from profiler_node.bridge.config import BridgeConfig
from profiler_node.bridge.errors import (
    ConfigurationError,
    RefusedError,
    TransportError,
    UnreachableError,
)
from profiler_node.bridge.health import upload_status
from profiler_node.bridge.spool import Entry, Spool
from profiler_node.bridge.uploader import Uploader, backoff_s
from profiler_node.health import Level
from profiler_node.wire.objects import unpack

MINUTE_NS = 60 * 10**9


class Link:
    """A store that confirms, or raises what it is told to."""

    def __init__(self):
        self.objects = {}
        self.error = None
        self.refuses = None  # a payload
        self.loses_confirmation = False
        self.sent = threading.Event()

    def connect(self):
        return self.send

    def send(self, key, body):
        if self.error is not None:
            raise self.error
        if self.refuses is not None and self.refuses in unpack(body):
            raise RefusedError('413 too large')
        assert self.objects.get(key, body) == body
        self.objects[key] = body
        if self.loses_confirmation:
            self.loses_confirmation = False
            raise TransportError('no answer')
        self.sent.set()

    @property
    def numbers(self):
        """The windows in the store, in the order in which they came."""
        return [payload[0] for body in self.objects.values() for payload in unpack(body)]


class Clock:
    """Stands for the module time."""

    def __init__(self):
        self.steady_s = 1_000.0
        self.wall_ns = 20_000 * 86_400 * 10**9

    def monotonic(self):
        return self.steady_s

    def time_ns(self):
        return self.wall_ns

    def go_on(self, seconds):
        self.steady_s += seconds
        self.wall_ns += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / 'spool.sqlite3') as spool:
        yield spool


@pytest.fixture
def link():
    return Link()


def fill(spool, *numbers, urgent=False, size=600):
    for number in numbers:
        start_ns = number * MINUTE_NS
        payload = bytes([number]) * size
        window = start_ns, start_ns + MINUTE_NS
        spool.put([Entry('r', 'image', '', 0, *window, payload, urgent=urgent)])


def one_by_one(spool, link, **changes):
    return Uploader(spool, link.connect, BridgeConfig(**{'batch_bytes': 1_000} | changes))


def test_everything_is_sent_once(spool, link):
    fill(spool, *range(5))
    uploader = one_by_one(spool, link)
    assert uploader.turn() == 10.0
    assert sorted(link.numbers) == [0, 1, 2, 3, 4]
    assert uploader.upload.sent_profiles == uploader.upload.sent_objects == 5
    backlog = spool.backlog()
    assert (backlog.profiles, backlog.batches) == (0, 0)


def test_a_failure_keeps_everything_that_was_not_confirmed(spool, link):
    fill(spool, 0, 1, 2)
    uploader = one_by_one(spool, link)
    link.error = TransportError('down')
    assert 10.0 <= uploader.turn() <= 20.0
    assert uploader.upload.error == 'down'
    assert spool.backlog().profiles + spool.backlog().batches == 3
    link.error = None
    uploader.turn()
    assert sorted(link.numbers) == [0, 1, 2]
    assert (uploader.upload.failures, uploader.upload.error) == (0, '')


def test_a_lost_confirmation_writes_the_same_object_again(spool, link):
    fill(spool, 0, 1)
    uploader = one_by_one(spool, link, batch_bytes=100_000)
    link.loses_confirmation = True
    uploader.turn()
    fill(spool, 2)
    uploader.turn()
    assert link.numbers in ([0, 1, 2], [1, 0, 2])
    assert len(link.objects) == 2


def test_the_newest_go_first_in_the_first_minute_of_a_link_then_the_oldest(spool, link, clock):
    uploader = one_by_one(spool, link, batch_bytes=1_000)
    fill(spool, *range(6))
    slow = link.send

    def send(key, body):
        slow(key, body)
        clock.go_on(25.0)

    link.send = send
    uploader.turn()
    # Three within the minute after the first was confirmed.
    assert link.numbers == [5, 4, 3, 2, 0, 1]
    link.error = TransportError('down')
    fill(spool, *range(6, 9))
    uploader.turn()
    link.error = None
    uploader.turn()
    assert link.numbers[6:] == [8, 7, 6]


def test_what_is_urgent_goes_first_and_through_a_metered_link(spool, link):
    fill(spool, 0, 1)
    fill(spool, 2, urgent=True)
    uploader = one_by_one(spool, link, metered=True)
    uploader.turn()
    assert link.numbers == [2]
    uploader.set_metered(False)
    fill(spool, 3, urgent=True)
    uploader.turn()
    assert link.numbers[:2] == [2, 3]
    assert sorted(link.numbers) == [0, 1, 2, 3]


def test_a_flush_goes_through_a_metered_or_absent_link_once(spool, link):
    uploader = one_by_one(spool, link, metered=True)
    uploader.set_online(False)
    fill(spool, 0, 1)
    uploader.turn()
    assert link.numbers == []
    uploader.flush()
    uploader.turn()
    assert sorted(link.numbers) == [0, 1]
    fill(spool, 2)
    uploader.turn()
    assert sorted(link.numbers) == [0, 1]


def test_the_bytes_per_second_are_kept_on_average(spool, link, clock):
    uploader = one_by_one(spool, link, bytes_per_s=10.0)
    fill(spool, *range(10))
    start_s, sent = clock.steady_s, 0
    while uploader.upload.sent_objects < 10:
        pause_s = uploader.turn()
        clock.go_on(pause_s)
        assert sent - max(map(len, link.objects.values())) <= 10.0 * (clock.steady_s - start_s)
        sent = sum(map(len, link.objects.values()))
    assert sent >= 10.0 * (clock.steady_s - start_s - pause_s) - 1


def test_the_budget_of_a_day_holds_over_restarts_and_ends_at_midnight(spool, link, clock):
    fill(spool, *range(10))
    body = 40  # about the bytes of one object
    for _ in range(3):
        uploader = one_by_one(spool, link, bytes_per_day=3 * body)
        assert 0.0 < uploader.turn() <= 60.0
    assert sum(map(len, link.objects.values())) <= 3 * body
    first = len(link.objects)
    assert first >= 1
    assert uploader.upload.left_today < body
    clock.go_on(-7200.0)  # a clock that goes back gives nothing back
    one_by_one(spool, link, bytes_per_day=3 * body).turn()
    assert len(link.objects) == first
    clock.go_on(7200.0 + 86_400.0)
    uploader.turn()
    assert len(link.objects) == 2 * first


def test_an_object_larger_than_the_budget_of_a_day_goes_alone(spool, link, clock):
    fill(spool, 0, 1)
    uploader = one_by_one(spool, link, bytes_per_day=1)
    uploader.turn()
    assert len(link.objects) == 1
    clock.go_on(86_400.0)
    uploader.turn()
    assert len(link.objects) == 2


@pytest.mark.usefixtures('clock')
def test_tries_are_charged_unless_there_was_no_connection(spool, link):
    fill(spool, 0)
    uploader = one_by_one(spool, link, bytes_per_day=1_000)
    link.error = UnreachableError('no route')
    for _ in range(3):
        uploader.turn()
    assert spool.number('sent.bytes') == 0
    link.error = TransportError('cut')
    left = []
    for _ in range(3):
        fresh = one_by_one(spool, link, bytes_per_day=1_000)
        fresh.turn()
        left.append(fresh.upload.left_today)
    assert 1_000 > left[0] > left[1] > left[2]


def test_a_batch_that_the_store_refuses_lets_the_others_pass_and_is_set_aside(spool, link, logged):
    fill(spool, 0, 1, 2)
    link.refuses = bytes([1]) * 600
    uploader = one_by_one(spool, link)
    for number in range(3, 9):
        uploader.turn()
        fill(spool, number)
    uploader.turn()
    assert sorted(link.numbers) == [0, 2, 3, 4, 5, 6, 7, 8]
    backlog = spool.backlog()
    assert (backlog.profiles, backlog.batches, backlog.refused) == (0, 0, 1)
    assert sum('set aside' in line for line in logged) == 1


def test_a_store_that_refuses_everything_loses_nothing(spool, link):
    fill(spool, *range(20))
    link.error = RefusedError('400')
    uploader = one_by_one(spool, link)
    for _ in range(50):
        assert uploader.turn() > 0
    assert spool.backlog().refused == 0
    link.error = None
    uploader.turn()
    assert sorted(link.numbers) == [*range(20)]


def test_what_a_human_has_to_mend_is_tried_slowly_and_forever(spool, link):
    fill(spool, 0)
    link.error = ConfigurationError('403')
    uploader = one_by_one(spool, link, max_backoff_s=300.0)
    for _ in range(20):
        assert 150.0 <= uploader.turn() <= 300.0
        assert uploader.upload.error_is_lasting
    link.error = None
    uploader.turn()
    assert link.numbers == [0]
    assert not uploader.upload.error_is_lasting


def test_a_store_that_cannot_be_opened_is_tried_again(spool, link):
    fill(spool, 0)
    answers = [ConfigurationError('no such URL')]

    def connect():
        if answers:
            raise answers.pop()
        return link.send

    uploader = Uploader(spool, connect, BridgeConfig())
    uploader.turn()
    assert link.numbers == []
    uploader.turn()
    assert link.numbers == [0]


def test_the_uploader_recovers_by_itself(spool, link, logged):
    link.error = TransportError('down')
    fill(spool, 0)
    uploader = one_by_one(spool, link, upload_interval_s=0.1, max_backoff_s=1.0)
    uploader.start()
    assert not link.sent.wait(0.5)
    link.error = None
    assert link.sent.wait(5.0)
    assert uploader.stop(5.0)
    assert logged == ['upload failed, kept for later: down']  # once, however often it was tried


def test_an_unexpected_error_does_not_end_the_uploads(spool, link, logged):
    fill(spool, 0)
    link.error = RuntimeError('a bug')
    uploader = one_by_one(spool, link, upload_interval_s=0.1, max_backoff_s=1.0)
    uploader.start()
    while not logged:
        time.sleep(0.01)
    link.error = None
    assert link.sent.wait(5.0)
    assert uploader.stop(5.0)
    assert 'unexpectedly' in logged[0]


def test_something_urgent_does_not_wait_for_the_next_look(spool, link):
    uploader = one_by_one(spool, link, upload_interval_s=3600.0)
    uploader.start()
    fill(spool, 0, urgent=True)
    uploader.hurry()
    assert link.sent.wait(5.0)
    assert uploader.stop(5.0)


def test_stopping_uploads_what_has_come_in(spool, link):
    uploader = one_by_one(spool, link, upload_interval_s=3600.0)
    uploader.start()
    fill(spool, 0, 1)
    assert uploader.stop(5.0)
    assert sorted(link.numbers) == [0, 1]


def test_stopping_does_not_wait_for_a_store_that_hangs(spool):
    entered, leave = threading.Event(), threading.Event()

    def send(*_):
        entered.set()
        leave.wait(30.0)

    fill(spool, 0)
    uploader = Uploader(spool, lambda: send, BridgeConfig(upload_interval_s=0.1))
    uploader.start()
    assert entered.wait(5.0)
    start_s = time.monotonic()
    assert not uploader.stop(0.3)
    assert time.monotonic() - start_s < 3.0
    leave.set()
    assert uploader.stop(5.0)


def test_the_waits_grow_to_the_limit_and_differ():
    config = BridgeConfig(upload_interval_s=10.0, max_backoff_s=300.0)
    for failures in (1, 2, 5, 10, 10_000):
        waits = {backoff_s(failures, config) for _ in range(20)}
        longest = min(300.0, 10.0 * 2.0 ** min(failures, 99))
        assert len(waits) > 1
        assert all(longest / 2 <= wait <= longest for wait in waits)


@pytest.mark.parametrize('name', ['upload_interval_s', 'batch_bytes', 'max_backoff_s', 'timeout_s'])
def test_a_bad_setting_is_named(name):
    with pytest.raises(ValueError, match=name):
        BridgeConfig(**{name: 0})


def test_a_setting_of_another_type_is_named():
    with pytest.raises(ValueError, match=r'batch_bytes is 1000\.5, it must be int'):
        BridgeConfig(batch_bytes=1000.5)


def test_being_told_that_there_is_no_link_ends_a_turn(spool, link):
    fill(spool, *range(20))
    uploader = one_by_one(spool, link)
    slow = link.send

    def send(key, body):
        slow(key, body)
        if len(link.objects) == 3:
            uploader.set_online(False)

    link.send = send
    uploader.turn()
    assert len(link.objects) == 3


def test_a_flush_during_a_try_is_not_forgotten(spool, link):
    fill(spool, 0, 1)
    fill(spool, 2, urgent=True)
    uploader = one_by_one(spool, link, metered=True)

    def send(*_):
        uploader.flush()
        raise TransportError('cut')

    good, link.send = link.send, send
    uploader.turn()
    link.send = good
    uploader.turn()
    assert sorted(link.numbers) == [0, 1, 2]


def test_a_store_with_a_limit_of_size_gets_smaller_objects(spool, link, logged):
    good = link.send

    def send(key, body):
        if len(list(unpack(body))) > 4:
            raise RefusedError('413 too large')
        good(key, body)

    link.send = send
    fill(spool, *range(100))
    uploader = one_by_one(spool, link, batch_bytes=10_000)
    for number in range(100, 110):
        uploader.turn()
        fill(spool, number)
    uploader.turn()
    backlog = spool.backlog()
    assert (backlog.profiles, backlog.batches) == (0, 0)
    # The first ones were formed too large: they are kept for a look.
    assert backlog.refused >= 1
    assert len(link.numbers) >= 70
    assert any('set aside' in line for line in logged)


def test_how_it_is_doing_is_told(spool, link):
    uploader = one_by_one(spool, link, bytes_per_day=100)
    assert upload_status(uploader, 's3://b').message == 'waiting for something to upload'
    uploader.turn()
    assert upload_status(uploader, 's3://b').values['budget left today [bytes]'] == 100
    fill(spool, *range(10))
    uploader.turn()
    status = upload_status(uploader, 's3://b')
    assert (status.level, status.message) == (Level.OK, 'waiting for the budget of bytes')
    link.error = ConfigurationError('403')
    uploader = one_by_one(spool, link)
    uploader.turn()
    assert upload_status(uploader, 's3://b').level == Level.ERROR
    link.error = TransportError('cut')
    uploader.turn()
    assert (upload_status(uploader, 's3://b').level, uploader.upload.failures) == (Level.WARN, 2)
    uploader.set_online(False)
    assert upload_status(uploader, 's3://b').message == 'said to be offline'
