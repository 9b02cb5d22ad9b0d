"""Stores by URL."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from profiler_node.bridge.errors import TransportError
from profiler_node.bridge.transport import sender


@pytest.mark.parametrize('scheme', ['', 'file://'])
def test_a_directory_is_a_store(tmp_path, scheme):
    send = sender(f'{scheme}{tmp_path}/new store', 5.0)
    send('2026-01-01/robot/a.pb.zst', b'body')
    send('2026-01-01/robot/a.pb.zst', b'body')
    assert (tmp_path / 'new store/2026-01-01/robot/a.pb.zst').read_bytes() == b'body'


@pytest.mark.parametrize(
    'url', ['ftp://host/x', 's3://', 'nonsense://', 'http://[x', '~nosuchuser/x']
)
def test_a_url_that_is_no_store_is_named(url):
    with pytest.raises(ValueError, match=re.escape(f"store URL '{url}'")) as caught:
        sender(url, 5.0)
    assert 'Debug source' not in str(caught.value)


class Put(BaseHTTPRequestHandler):
    """Takes objects by PUT, as WebDAV servers do."""

    def do_PUT(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.server.objects[self.path] = body
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_objects_are_put_over_http():
    with ThreadingHTTPServer(('127.0.0.1', 0), Put) as server:
        server.objects = {}
        threading.Thread(target=server.serve_forever).start()
        send = sender(f'http://127.0.0.1:{server.server_port}/store', 5.0)
        send('2026-01-01/robot/a.pb.zst', b'body')
        server.shutdown()
    assert server.objects == {'/store/2026-01-01/robot/a.pb.zst': b'body'}
    with pytest.raises(TransportError, match=r'127\.0\.0\.1'):
        send('b', b'body')


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
