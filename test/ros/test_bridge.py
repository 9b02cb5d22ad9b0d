"""The node `bridge` as a process over DDS: killed, told about its link, without store or disk."""

import random
import time

import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')

from diagnostic_msgs.msg import DiagnosticArray
from edge_profiler.msg import Profile as ProfileMessage
from faults import Fault, FaultyStore
from ledger import account, files
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from worker import MINUTE_NS, payload

from profiler_node.ros.qos import PROFILES_QOS

NEVER = 'upload.upload_interval_s:=3600.0'
SOON = 'upload.upload_interval_s:=0.1'


class Publisher:
    """A profiler's side of the topic: numbered profiles."""

    def __init__(self, observer):
        self._node = observer.node
        self._publisher = observer.node.create_publisher(ProfileMessage, '/profiles', PROFILES_QOS)
        self.published = 0

    def publish(self, count, pause_s=0.0):
        for _ in range(count):
            start_ns = self.published * MINUTE_NS
            self._publisher.publish(
                ProfileMessage(
                    robot_id='robot',
                    stream='image',
                    window_start_ns=start_ns,
                    window_end_ns=start_ns + MINUTE_NS,
                    payload=payload('robot', self.published, 300),
                )
            )
            self.published += 1
            time.sleep(pause_s)

    def close(self):
        self._node.destroy_publisher(self._publisher)

    def is_heard(self):
        return self._publisher.get_subscription_count() > 0

    def account(self, objects):
        return account([('robot', number) for number in range(self.published)], objects)


@pytest.fixture
def profiles(observer):
    return Publisher(observer)


@pytest.fixture
def start(run, tmp_path):
    """Starts the bridge with these parameters."""

    def with_settings(*settings, store=tmp_path / 'store', state=tmp_path / 'state'):
        given = [f'store_url:={store}', f'state_dir:={state}', *settings]
        return run('bridge', '--ros-args', *(each for one in given for each in ('-p', one)))

    return with_settings


@pytest.fixture
def status(observer):
    """The newest values of the bridge's statuses, by name."""
    values = {}

    def take(message):
        for each in message.status:
            values.update({pair.key: pair.value for pair in each.values})

    observer.node.create_subscription(DiagnosticArray, '/diagnostics', take, 10)
    return values


@pytest.fixture
def call(observer):
    """Calls a service of the bridge and returns its answer."""

    def get(kind, name, **fields):
        client = observer.node.create_client(kind, name)
        assert observer.until(client.service_is_ready)
        answer = client.call_async(kind.Request(**fields))
        assert observer.until(answer.done)
        assert answer.result().success
        return answer.result().message

    return get


def test_kills_lose_nothing_that_was_published_while_it_was_up_or_down(
    observer, profiles, start, tmp_path
):
    chance = random.Random(5)  # noqa: S311
    for _ in range(4):
        bridge = start(SOON)
        assert observer.until(profiles.is_heard)
        profiles.publish(60, pause_s=0.003)
        observer.until(lambda: False, chance.uniform(0, 0.3))
        bridge.end(9)
        profiles.publish(40)
    bridge = start(SOON)
    folder = tmp_path / 'store'
    assert observer.until(lambda: profiles.account(files(folder)).delivered == profiles.published)
    profiles.close()
    assert bridge.end() == 0, bridge.output
    outcome = profiles.account(files(folder))
    assert outcome.is_right, outcome
    assert outcome.acked == 400


def test_flush_sends_at_once_what_waits(observer, profiles, start, status, call, tmp_path):
    start(NEVER)
    profiles.publish(3)
    assert observer.until(lambda: status.get('backlog [profiles]') == '3')
    assert not files(tmp_path / 'store')
    assert '3 profile(s)' in call(Trigger, '/bridge/flush')
    assert observer.until(lambda: profiles.account(files(tmp_path / 'store')).is_right)


def still_waits(observer, profiles, status, folder):
    """Whether a profile that is published now is kept for three looks at the link."""
    profiles.publish(1)
    taken = str(profiles.published)
    assert observer.until(lambda: status.get('taken [profiles]') == taken)
    before = len(files(folder))
    observer.until(lambda: False, 0.5)
    return len(files(folder)) == before


@pytest.mark.parametrize(('topic', 'stopped'), [('metered', True), ('online', False)])
def test_topics_tell_whether_the_link_may_be_used(
    observer, profiles, start, status, tmp_path, topic, stopped
):
    switch = observer.node.create_publisher(Bool, f'/bridge/{topic}', 1)
    start(SOON)
    assert observer.until(switch.get_subscription_count)
    switch.publish(Bool(data=stopped))
    assert observer.until(lambda: status.get(topic) == str(stopped))
    assert still_waits(observer, profiles, status, tmp_path / 'store')
    switch.publish(Bool(data=not stopped))
    assert observer.until(lambda: profiles.account(files(tmp_path / 'store')).is_right)


def test_a_service_tells_whether_the_link_is_metered(
    observer, profiles, start, status, call, tmp_path
):
    start(SOON, 'upload.metered:=true')
    assert still_waits(observer, profiles, status, tmp_path / 'store')
    call(Trigger, '/bridge/flush')  # in spite of it
    assert observer.until(lambda: profiles.account(files(tmp_path / 'store')).is_right)
    assert still_waits(observer, profiles, status, tmp_path / 'store')
    call(SetBool, '/bridge/set_metered', data=False)
    assert observer.until(lambda: profiles.account(files(tmp_path / 'store')).is_right)


@pytest.mark.parametrize('fault', [Fault.HANG, Fault.REFUSED], ids=['hangs', 'is not there'])
def test_it_ends_in_time_while_the_store_fails_and_goes_on_later(
    observer, profiles, start, status, fault
):
    with FaultyStore() as store:
        store.fault = fault
        bridge = start(SOON, store=store.url)
        profiles.publish(5)
        assert observer.until(lambda: status.get('taken [profiles]') == '5')
        assert fault is Fault.REFUSED or observer.until(lambda: store.requests)
        profiles.close()
        start_s = time.monotonic()
        assert bridge.end() == 0, bridge.output
        assert time.monotonic() - start_s < 5.0
        store.fault = None
        start(SOON, store=store.url)
        assert observer.until(lambda: profiles.account(store.objects).is_right)


def test_a_wrong_store_keeps_profiles_until_it_is_set_right(
    observer, profiles, start, status, tmp_path
):
    bridge = start(SOON, store='ftp://host')
    profiles.publish(5)
    assert observer.until(lambda: status.get('taken [profiles]') == '5')
    assert bridge.says("store URL 'ftp://host'"), bridge.output
    profiles.close()
    assert bridge.end() == 0, bridge.output
    start(SOON)
    assert observer.until(lambda: profiles.account(files(tmp_path / 'store')).is_right)


def test_a_folder_that_cannot_be_made_is_used_as_soon_as_it_can(
    observer, profiles, start, status, tmp_path
):
    in_the_way = tmp_path / 'state'
    in_the_way.write_text('no folder')
    start(SOON)
    profiles.publish(5)
    assert observer.until(lambda: status.get('in memory [profiles]') == '5')
    assert 'state' in status['last error']
    in_the_way.unlink()
    assert observer.until(lambda: profiles.account(files(tmp_path / 'store')).is_right)
