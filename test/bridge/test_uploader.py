"""Draining the spool while the link comes and goes."""

import threading

import pytest

from profiler_node.bridge.config import BridgeConfig
from profiler_node.bridge.errors import TransportError
from profiler_node.bridge.spool import Entry, Spool
from profiler_node.bridge.uploader import Uploader, backoff_s, drain
from profiler_node.wire.objects import unpack


class Link:
    """A store that confirms while it is up; once it loses the confirmation after writing."""

    def __init__(self):
        self.objects = {}
        self.up = True
        self.lose_next_confirmation = False
        self.sent = threading.Event()

    def send(self, key, body):
        if not self.up:
            raise TransportError('down')
        self.objects[key] = body
        if self.lose_next_confirmation:
            self.lose_next_confirmation = False
            raise TransportError('no answer')
        self.sent.set()

    @property
    def payloads(self):
        return [payload for _, body in sorted(self.objects.items()) for payload in unpack(body)]


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / 'spool.sqlite3') as spool:
        yield spool


def fill(spool, count, start=0):
    for number in range(start, start + count):
        spool.put(Entry('r', 'image', '', 0, number, bytes([number]) * 600))


def test_drain_sends_everything_once(spool):
    fill(spool, 5)
    link = Link()
    assert drain(spool, link.send, 1000) == 5
    assert sorted(payload[0] for payload in link.payloads) == [0, 1, 2, 3, 4]
    assert spool.backlog() == (0, 0)


def test_a_failure_keeps_everything_that_was_not_confirmed(spool):
    fill(spool, 3)
    link = Link()
    link.up = False
    with pytest.raises(TransportError):
        drain(spool, link.send, 1000)
    assert spool.backlog() == (2, 1)
    link.up = True
    drain(spool, link.send, 1000)
    assert len(link.payloads) == 3


def test_a_lost_confirmation_writes_the_same_object_again(spool):
    fill(spool, 2)
    link = Link()
    link.lose_next_confirmation = True
    with pytest.raises(TransportError):
        drain(spool, link.send, 100_000)
    fill(spool, 1, start=2)
    drain(spool, link.send, 100_000)
    assert sorted(payload[0] for payload in link.payloads) == [0, 1, 2]


def test_the_uploader_recovers_by_itself(spool, logged):
    link = Link()
    link.up = False
    fill(spool, 1)
    uploader = Uploader(spool, link.send, BridgeConfig(upload_interval_s=0.1, max_backoff_s=1.0))
    uploader.start()
    assert not link.sent.wait(0.3)
    link.up = True
    assert link.sent.wait(5.0)
    assert uploader.stop(5.0)
    assert 'kept for later: down' in logged[0]


def test_an_unexpected_error_does_not_end_the_uploads(spool, logged):
    link = Link()
    fill(spool, 1)
    answers = iter([RuntimeError('a bug')])

    def send(key, body):
        for error in answers:
            raise error
        link.send(key, body)

    uploader = Uploader(spool, send, BridgeConfig(upload_interval_s=0.1, max_backoff_s=1.0))
    uploader.start()
    assert link.sent.wait(5.0)
    assert uploader.stop(5.0)
    assert 'unexpectedly' in logged[0]


def test_stopping_uploads_what_has_come_in(spool):
    link = Link()
    uploader = Uploader(spool, link.send, BridgeConfig(upload_interval_s=3600.0))
    uploader.start()
    fill(spool, 2)
    assert uploader.stop(5.0)
    assert len(link.payloads) == 2


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
