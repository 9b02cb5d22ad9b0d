"""Stores by URL."""

import pytest

from profiler_node.bridge.errors import TransportError
from profiler_node.bridge.transport import sender


@pytest.mark.parametrize('scheme', ['', 'file://'])
def test_a_directory_is_a_store(tmp_path, scheme):
    send = sender(f'{scheme}{tmp_path}/new store', 5.0)
    send('2026-01-01/robot/a.pb.zst', b'body')
    send('2026-01-01/robot/a.pb.zst', b'body')
    assert (tmp_path / 'new store/2026-01-01/robot/a.pb.zst').read_bytes() == b'body'


@pytest.mark.parametrize('url', ['ftp://host/x', 's3://', 'nonsense://'])
def test_a_url_that_is_no_store_is_named(url):
    with pytest.raises(ValueError, match=f"store URL '{url}'") as caught:
        sender(url, 5.0)
    assert 'Debug source' not in str(caught.value)


def test_a_store_that_is_away_is_a_transport_error():
    send = sender('http://127.0.0.1:9/store', 5.0)
    with pytest.raises(TransportError, match=r'127\.0\.0\.1:9'):
        send('a', b'body')


def test_a_directory_that_is_gone_is_a_transport_error(tmp_path):
    folder = tmp_path / 'store'
    send = sender(str(folder), 5.0)
    folder.rmdir()
    folder.write_text('a file now')
    with pytest.raises(TransportError, match='store'):
        send('a/b', b'body')
