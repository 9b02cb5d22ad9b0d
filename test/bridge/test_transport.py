"""Objects into directories and HTTP stores, whatever the link does."""

import errno
import os
import socket
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from faults import Fault, FaultyStore, Reply

from profiler_node.bridge.errors import (
    ConfigurationError,
    RefusedError,
    TransportError,
    UnreachableError,
)
from profiler_node.bridge.transport import sender

KEY = '2026-01-01/robot/a.pb.zst'
BODY = bytes(range(256)) * 40
TIMEOUT_S = 2.0
SLACK_S = 5.0  # of a slow machine


@contextmanager
def raised_in_time(kind):
    """What is done inside raises kind, and no class below it, in time."""
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.type is kind
    assert time.monotonic() - start < TIMEOUT_S + SLACK_S


# Directories


@pytest.mark.parametrize('scheme', ['', 'file://'])
def test_a_directory_is_a_store(tmp_path, scheme):
    send = sender(f'{scheme}{tmp_path}/new store', TIMEOUT_S)
    send(KEY, BODY)
    send(KEY, BODY)
    files = [path for path in tmp_path.rglob('*') if path.is_file()]
    assert files == [tmp_path / 'new store' / KEY]
    assert files[0].read_bytes() == BODY


def test_a_file_that_is_there_is_left_alone_and_a_damaged_one_is_replaced(tmp_path):
    send, path = sender(str(tmp_path), TIMEOUT_S), tmp_path / KEY
    send(KEY, BODY)
    inode = path.stat().st_ino
    send(KEY, BODY)
    assert path.stat().st_ino == inode
    path.write_bytes(BODY[:-1])
    send(KEY, BODY)
    assert path.read_bytes() == BODY


def test_a_file_is_durable_before_it_has_its_name_and_its_folders_before_it_is_confirmed(
    tmp_path, monkeypatch
):
    send, done = sender(str(tmp_path / 'store'), TIMEOUT_S), []
    sync, replace = os.fsync, Path.replace

    def record_sync(descriptor):
        done.append(Path(f'/proc/self/fd/{descriptor}').readlink())
        sync(descriptor)

    def record_replace(self, target):
        done.append(f'named {target.name}')
        return replace(self, target)

    monkeypatch.setattr(os, 'fsync', record_sync)
    monkeypatch.setattr(Path, 'replace', record_replace)
    send(KEY, BODY)
    path = tmp_path / 'store' / KEY
    folders = [path.parent, path.parent.parent, tmp_path / 'store']
    assert done == [Path(f'{path}#1'), f'named {path.name}', path, *folders]


@pytest.mark.parametrize(
    ('number', 'kind'),
    [
        (errno.ENOSPC, ConfigurationError),
        (errno.EROFS, ConfigurationError),
        (errno.EACCES, ConfigurationError),
        (errno.EIO, TransportError),
    ],
)
def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch, number, kind):
    send = sender(str(tmp_path), TIMEOUT_S)
    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', lambda _: (_ for _ in ()).throw(OSError(number, 'no')))
        with raised_in_time(kind) as caught:
            send(KEY, BODY)
    assert KEY in str(caught.value)
    assert not any(path.is_file() for path in tmp_path.rglob('*'))
    send(KEY, BODY)
    assert (tmp_path / KEY).read_bytes() == BODY


def test_a_directory_that_is_gone_is_reported(tmp_path):
    folder = tmp_path / 'store'
    send = sender(str(folder), TIMEOUT_S)
    folder.rmdir()
    folder.write_text('a file now')
    with pytest.raises(ConfigurationError, match='store'):
        send('a/b', BODY)


def test_a_directory_that_was_unmounted_is_not_made_anew(tmp_path):
    folder = tmp_path / 'store'
    send = sender(str(folder), TIMEOUT_S)
    folder.rmdir()
    with pytest.raises(ConfigurationError, match='No such file'):
        send('a/b', BODY)
    assert not folder.exists()
    folder.mkdir()
    send('a/b', BODY)
    assert (folder / 'a' / 'b').read_bytes() == BODY


# Faults of the link and of the store


@pytest.fixture(params=['http', 's3'])
def faulty(request):
    """A store with faults, the function that sends to it, and one that returns what it holds."""
    if request.param == 'http':
        with FaultyStore() as store:
            yield store, sender(store.url, TIMEOUT_S), lambda: store.objects
        return
    s3 = request.getfixturevalue('s3')
    bucket = request.getfixturevalue('bucket')
    with FaultyStore(upstream=s3.host) as store:
        request.getfixturevalue('monkeypatch').setenv('AWS_ENDPOINT_URL', store.url)
        yield store, sender(f's3://{bucket}', TIMEOUT_S), lambda: s3.objects(bucket)


@pytest.mark.parametrize(
    ('fault', 'kind', 'text'),
    [
        (Fault.REFUSED, UnreachableError, 'Connection refused'),
        (Fault.CUT_BODY, TransportError, '(?i)connection|pipe'),  # cut, reset, broken
        (Fault.LOST_ACK, TransportError, 'the connection was cut'),
        (Fault.SLOW, TransportError, 'no answer'),
        (Fault.HANG, TransportError, 'no answer'),
        (HTTPStatus.FORBIDDEN, ConfigurationError, '403 Forbidden'),
        (HTTPStatus.TOO_MANY_REQUESTS, TransportError, '429 Too Many Requests'),
        (HTTPStatus.INTERNAL_SERVER_ERROR, TransportError, '500 Internal Server Error'),
        (HTTPStatus.SERVICE_UNAVAILABLE, TransportError, '503 Service Unavailable'),
        (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, RefusedError, '413'),
    ],
)
def test_a_put_fails_in_time_and_goes_through_after_the_fault(faulty, fault, kind, text):
    store, send, objects = faulty
    expected = {KEY: BODY}
    if fault is not Fault.REFUSED:  # or the open connection may be tried first, and be cut
        send('2026-01-01/robot/before', b'before')
        expected['2026-01-01/robot/before'] = b'before'
    store.error_headers = {'Retry-After': '3600'}
    store.fault = fault
    with raised_in_time(kind) as caught:
        send(KEY, BODY)
    caught.match(text)
    caught.match(KEY)
    store.fault = None
    send(KEY, BODY)
    assert objects() == expected


def test_a_connection_that_the_store_has_closed_is_opened_again(faulty):
    store, send, objects = faulty
    send(KEY, BODY)
    store.fault = Fault.REFUSED
    with pytest.raises(TransportError):
        send('b', b'b')
    store.fault = None
    send('b', b'b')
    assert objects() == {KEY: BODY, 'b': b'b'}


def test_a_lost_confirmation_of_s3_costs_no_second_object(s3, bucket, monkeypatch):
    with FaultyStore(upstream=s3.host) as store:
        monkeypatch.setenv('AWS_ENDPOINT_URL', store.url)
        send = sender(f's3://{bucket}', TIMEOUT_S)
        store.fault = Fault.LOST_ACK
        with raised_in_time(TransportError):
            send(KEY, BODY)
        assert s3.objects(bucket) == {KEY: BODY}
        written = s3.client('s3').head_object(Bucket=bucket, Key=KEY)['LastModified']
        store.fault = None
        send(KEY, BODY)
        assert s3.client('s3').head_object(Bucket=bucket, Key=KEY)['LastModified'] == written
        assert [request.method for request in store.requests] == ['PUT', 'PUT', 'HEAD']


def test_nothing_hangs_where_connections_are_not_taken():
    """A full queue of connections to accept answers nothing, as does a firewall."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(('127.0.0.1', 0))
        server.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        send = sender(f'http://127.0.0.1:{server.getsockname()[1]}', TIMEOUT_S)
        start = time.monotonic()
        with raised_in_time(UnreachableError):
            send(KEY, BODY)
        assert time.monotonic() - start > TIMEOUT_S / 2


def test_the_time_limit_is_for_all_requests_of_an_object():
    with FaultyStore() as store:
        store.delay_s, send = TIMEOUT_S * 0.7, sender(store.url, TIMEOUT_S)
        with raised_in_time(TransportError) as caught:
            send(KEY, BODY)  # takes seven requests, for its folders
        caught.match('no answer within 2 s')
        assert len(store.requests) == 2


def test_the_process_goes_on_during_an_upload():
    """An upload must not stop the callbacks of the node."""
    with FaultyStore() as store:
        store.fault = Fault.HANG
        send = sender(store.url, TIMEOUT_S)
        with ThreadPoolExecutor(1) as pool:
            upload = pool.submit(send, KEY, BODY)
            turns = 0
            while not upload.done():
                turns += 1
                time.sleep(0.01)
            assert isinstance(upload.exception(), TransportError)
        assert turns > 10


# What the store answers


@pytest.mark.parametrize(
    ('status', 'code', 'kind'),
    [
        (400, '', RefusedError),
        (400, 'EntityTooLarge', RefusedError),
        (400, 'ExpiredToken', ConfigurationError),
        (400, 'AuthorizationHeaderMalformed', ConfigurationError),
        (400, 'KMS.DisabledException', ConfigurationError),
        (400, 'RequestTimeout', TransportError),
        (400, 'BadDigest', TransportError),
        (401, '', ConfigurationError),
        (403, 'RequestTimeTooSkewed', ConfigurationError),
        (404, '', ConfigurationError),
        (405, '', ConfigurationError),
        (407, '', ConfigurationError),
        (408, '', TransportError),
        (411, '', RefusedError),
        (414, '', RefusedError),
        (415, '', RefusedError),
        (422, '', RefusedError),
        (423, '', TransportError),
        (501, '', ConfigurationError),
        (502, '', TransportError),
        (504, '', TransportError),
        (507, '', ConfigurationError),
        (511, '', ConfigurationError),
    ],
)
def test_an_answer_tells_whether_it_is_worth_to_try_again(faulty, status, code, kind):
    store, send, objects = faulty
    store.fault = HTTPStatus(status)
    store.error_body = f'<Error><Code>{code}</Code><Message>why</Message></Error>'.encode()
    with raised_in_time(kind) as caught:
        send(KEY, BODY)
    assert str(status) in str(caught.value)
    assert f'{code}: why' in str(caught.value) or not code
    assert objects() == {}


@pytest.mark.parametrize('status', [HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND])
@pytest.mark.parametrize('where', [{}, {'Location': 'http://127.0.0.1:9/login'}])
def test_a_store_that_sends_elsewhere_is_not_followed(faulty, status, where):
    """Another region, a login page: what is signed for one place is not sent to another."""
    store, send, _ = faulty
    store.fault, store.error_headers = status, where
    with raised_in_time(ConfigurationError) as caught:
        send(KEY, BODY)
    caught.match(f'{status:d}' if where else 'region')


def test_folders_are_made_where_webdav_needs_them():
    with FaultyStore() as store:
        store.folders.add('base folder')
        send = sender(f'{store.url}/base%20folder', TIMEOUT_S)
        send(KEY, BODY)
        send('2026-01-02/robot/b', b'b')
        assert store.objects == {f'base folder/{KEY}': BODY, 'base folder/2026-01-02/robot/b': b'b'}
        assert 'base folder/2026-01-01/robot' in store.folders


def test_a_folder_of_the_url_that_is_not_there_is_a_matter_of_configuration():
    with FaultyStore() as store, raised_in_time(ConfigurationError) as caught:
        sender(f'{store.url}/base', TIMEOUT_S)(KEY, BODY)
    caught.match('409 Conflict')


def test_robots_that_make_the_same_folder_at_once_get_all_objects_there():
    with FaultyStore() as store, ThreadPoolExecutor(16) as pool:

        def write(number):
            send, deadline = sender(store.url, 30.0), time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    return send(f'day/all/{number}', BODY)
                except (ConfigurationError, RefusedError):
                    raise
                except TransportError:
                    continue  # another one has just made the folder
            raise TimeoutError

        list(pool.map(write, range(16)))
        assert len(store.objects) == 16


@pytest.mark.parametrize(
    ('status', 'page'), [(HTTPStatus.OK, b'<html>log in</html>'), (HTTPStatus.NO_CONTENT, b'')]
)
def test_a_web_page_is_no_store(status, page):
    """A login page or a web application answers any request with 200."""
    with FaultyStore() as store:
        send = sender(store.url, TIMEOUT_S)
        store.fault, store.error_body = status, page
        with raised_in_time(ConfigurationError) as caught:
            send(KEY, BODY)
        caught.match('no store')


def test_a_store_that_cannot_be_read_takes_objects():
    """A drop box: PUT alone is allowed."""
    with FaultyStore(webdav=False) as store:
        refused = Reply(HTTPStatus.FORBIDDEN)
        store.script = lambda request: None if request.method == 'PUT' else refused
        sender(store.url, TIMEOUT_S)(KEY, BODY)
        assert store.objects == {KEY: BODY}
        assert [request.method for request in store.requests] == ['PUT', 'HEAD']


# Secrets


@pytest.mark.parametrize('fault', [*Fault, *(HTTPStatus(n) for n in (400, 401, 403, 404, 500))])
def test_no_credential_is_in_an_error(faulty, fault, monkeypatch):
    store, send, _ = faulty
    secrets = ['AKIAROBOTROBOT', 'secret-of-the-robot', 'pass%2Fword', 'pass/word', 'dXNlcjpwYXNz']
    monkeypatch.setenv('AZURE_STORAGE_SAS_TOKEN', 'sig-of-azure')
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'AKIAROBOTROBOT')
    if store.upstream is None:
        send = sender(store.url.replace('://', '://user:pass%2Fword@') + '?sig=abc', TIMEOUT_S)
    store.fault = fault
    store.error_body = (
        '<Error><Code>InvalidAccessKeyId</Code><Message>AKIAROBOTROBOT sig-of-azure</Message>'
        f'<StringToSign>{" ".join(secrets)}</StringToSign></Error>'
    ).encode()
    try:
        send(KEY, BODY)
    except TransportError as error:
        text = ''.join(traceback.format_exception(error))
        assert [secret for secret in (*secrets, 'sig-of-azure', 'sig=') if secret in text] == []
        assert f'127.0.0.1:{store.port}' in text or store.upstream
    else:
        assert fault in {Fault.NO_CONDITIONS, Fault.IGNORED_CONDITIONS}


def test_a_link_that_is_slow_gets_an_object_through_in_the_end():
    with FaultyStore() as store:
        send = sender(store.url, 1.0)
        store.fault = Fault.SLOW
        errors = []
        while len(errors) < 5:
            try:
                send('2026-01-01/robot/a.pb.zst', bytes(2_500))
                break
            except TransportError as error:
                errors.append(str(error))
        assert 1 <= len(errors) <= 3
        assert all('no answer within' in error for error in errors)
        assert store.objects == {'2026-01-01/robot/a.pb.zst': bytes(2_500)}
