"""A store over HTTP whose faults can be switched on and off, for tests and soak runs.

    with FaultyStore() as store:
        send = sender(store.url, 5.0)
        store.fault = Fault.LOST_ACK  # from the next request on
        ...
        store.fault = HTTPStatus.SERVICE_UNAVAILABLE
        ...
        store.fault = None
        assert store.objects == {'key': b'body'}

It keeps objects in memory, with the folders of WebDAV, or forwards requests to an upstream such as
an S3 server. It runs in threads of its own and listens on loopback alone.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

_SLOW_PIECE_BYTES = 100
_SLOW_PIECE_S = 0.1
_HOP_BY_HOP = {'connection', 'keep-alive', 'transfer-encoding', 'content-length', 'server', 'date'}


class Fault(Enum):
    """What a link or a store can do other than answer. HTTP errors are given by their status."""

    REFUSED = auto()
    """Nobody listens, and open connections are cut."""
    CUT_BODY = auto()
    """The connection is cut when half of the body has come."""
    LOST_ACK = auto()
    """The request is carried out, then the connection is cut without an answer."""
    SLOW = auto()
    """The body is read at 1 kB/s."""
    HANG = auto()
    """The request is read and not answered while the fault lasts, nor carried out."""
    NO_CONDITIONS = auto()
    """Requests with If-None-Match are answered 501, as by older S3-compatible stores."""
    IGNORED_CONDITIONS = auto()
    """If-None-Match is not looked at."""


@dataclass(frozen=True)
class Request:
    """What was asked: path as sent, with its query; the names of headers in small letters."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b''


class FaultyStore:
    """A store at url, an HTTP server on a free port of 127.0.0.1 while the context lasts.

    upstream: host:port that requests are forwarded to, instead of being kept here.
    tls: certificate to serve HTTPS with.
    webdav: whether a PUT needs its folder to be there (MKCOL), as WebDAV has it.
    """

    def __init__(
        self,
        *,
        upstream: str | None = None,
        tls: ssl.SSLContext | None = None,
        webdav: bool = True,
    ) -> None:
        self.upstream = upstream
        self.tls = tls
        self.webdav = webdav
        self.objects: dict[str, bytes] = {}
        """By path without the first slash, percent-decoded."""
        self.folders: set[str] = {''}
        self.requests: list[Request] = []
        """All that came in with readable headers, refused or not."""
        self.error_headers: dict[str, str] = {}
        """Sent with the answer where the fault is an HTTP status, as Retry-After is."""
        self.error_body = b''
        self.delay_s = 0.0
        """Each answer is as late as that."""
        self.script: Callable[[Request], Reply | None] | None = None
        """Answers a request by itself where it returns a reply, unless there is a fault."""
        self._state: tuple[Fault | HTTPStatus | None, threading.Event] = (None, threading.Event())
        self._lock = threading.Lock()
        self._server = _Server(self, 0)
        self.port = self._server.server_port
        self.url = f'{"https" if tls else "http"}://127.0.0.1:{self.port}'

    def __enter__(self) -> 'FaultyStore':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._state[1].set()
        self._server.end()

    @property
    def fault(self) -> Fault | HTTPStatus | None:
        """What requests meet from now on; None: nothing.

        A request that hangs is dropped when the fault changes, a slow one then goes on in full.
        """
        return self._state[0]

    @fault.setter
    def fault(self, fault: Fault | HTTPStatus | None) -> None:
        (was, ended), self._state = self._state, (fault, threading.Event())
        ended.set()
        if fault is Fault.REFUSED and was is not Fault.REFUSED:
            self._server.end()
        elif was is Fault.REFUSED and fault is not Fault.REFUSED:
            self._server = _Server(self, self.port)

    def puts(self) -> list[str]:
        """Return the paths of all PUT requests so far, in order."""
        with self._lock:
            return [request.path for request in self.requests if request.method == 'PUT']

    def _serve(self, connection: '_Connection') -> Reply | None:
        """Return the answer to the request of connection, None to cut it off."""
        fault, ended = self._state
        headers = {name.lower(): value for name, value in connection.headers.items()}
        request = Request(connection.command, connection.path, headers)
        with self._lock:
            self.requests.append(request)
        length = int(headers.get('content-length', 0))
        if fault is Fault.CUT_BODY:
            connection.rfile.read(length // 2)
            return None
        body = _read_slowly(connection, length, ended) if fault is Fault.SLOW else None
        body = connection.rfile.read(length) if body is None else body
        if len(body) < length:  # the client has gone
            return None
        if fault is Fault.HANG:
            ended.wait()
            return None
        if isinstance(fault, HTTPStatus):
            return Reply(fault, self.error_headers, self.error_body)
        if fault is Fault.NO_CONDITIONS and 'if-none-match' in headers:
            return Reply(HTTPStatus.NOT_IMPLEMENTED, body=_NOT_IMPLEMENTED)
        if fault is Fault.IGNORED_CONDITIONS:
            headers.pop('if-none-match', None)
        reply = self.script(request) if self.script else None
        if reply is None:
            reply = self._forward(request, body) if self.upstream else self._keep(request, body)
        ended.wait(self.delay_s)
        return None if fault is Fault.LOST_ACK else reply

    def _forward(self, request: Request, body: bytes) -> Reply:
        assert self.upstream
        upstream = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            upstream.request(request.method, request.path, body, request.headers)
            answer = upstream.getresponse()
            dropped = _HOP_BY_HOP - ({'content-length'} if request.method == 'HEAD' else set())
            kept = {n: v for n, v in answer.getheaders() if n.lower() not in dropped}
            return Reply(answer.status, kept, answer.read())
        finally:
            upstream.close()

    def _keep(self, request: Request, body: bytes) -> Reply:
        path = unquote(urlsplit(request.path).path).strip('/')
        with self._lock:
            if request.method == 'PUT':
                return self._put(path, body, create=request.headers.get('if-none-match') == '*')
            if request.method == 'MKCOL':
                return self._make_folder(path)
            if request.method in {'GET', 'HEAD'} and path in self.objects:
                return Reply(HTTPStatus.OK, _TAGS, self.objects[path])
        return Reply(HTTPStatus.NOT_FOUND)

    def _put(self, path: str, body: bytes, *, create: bool) -> Reply:
        if self.webdav and path.rpartition('/')[0] not in self.folders:
            return Reply(HTTPStatus.CONFLICT)
        if create and path in self.objects:
            return Reply(HTTPStatus.PRECONDITION_FAILED)
        self.objects[path] = body
        return Reply(HTTPStatus.CREATED, _TAGS)

    def _make_folder(self, path: str) -> Reply:
        if path in self.folders:
            return Reply(HTTPStatus.METHOD_NOT_ALLOWED)
        if path.rpartition('/')[0] not in self.folders:
            return Reply(HTTPStatus.CONFLICT)
        self.folders.add(path)
        return Reply(HTTPStatus.CREATED)


_TAGS = {'ETag': '"1"', 'Last-Modified': 'Thu, 01 Jan 2026 00:00:00 GMT'}
_NOT_IMPLEMENTED = (
    b'<?xml version="1.0"?><Error><Code>NotImplemented</Code><Message>A header you provided '
    b'implies functionality that is not implemented</Message></Error>'
)


def _read_slowly(connection: '_Connection', length: int, ended: threading.Event) -> bytes:
    body = bytearray()
    while len(body) < length:
        piece = connection.rfile.read(min(_SLOW_PIECE_BYTES, length - len(body)))
        if not piece:
            break
        body += piece
        ended.wait(_SLOW_PIECE_S)
    return bytes(body)


class _Server(ThreadingHTTPServer):
    """Listens, in a thread of its own, until end()."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, store: FaultyStore, port: int) -> None:
        super().__init__(('127.0.0.1', port), _Connection)
        self.store = store
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.store.tls:  # the handshake is done by the first read, in the connection's thread
            connection = self.store.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what this is for."""

    def end(self) -> None:
        """Stop to listen, and cut what is open."""
        self.shutdown()
        self._thread.join()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # gone already
                continue
        self.server_close()


class _Connection(BaseHTTPRequestHandler):
    """Requests of one client, one after the other."""

    protocol_version = 'HTTP/1.1'
    server: _Server

    def _answer(self) -> None:
        reply = self.server.store._serve(self)
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if 'Content-Length' not in reply.headers:
            self.send_header('Content-Length', str(len(reply.body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_MKCOL = do_PROPFIND = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Write nothing."""
