"""Object stores by URL, for the bridge that writes them and the fleet that reads them.

Credentials come from the environment (AWS_*, GOOGLE_*, AZURE_*, EDGE_PROFILER_AUTHORIZATION) or
the instance; only for http(s):// may they be in the URL. No text from here shows them.
"""

import base64
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import HTTPStore, LocalStore, ObjectStore

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_AUTHORIZATION = 'EDGE_PROFILER_AUTHORIZATION'
_ERRORS = (BaseError, OSError, RuntimeError, ValueError)
_USER = re.compile(r'(?<=://)[^/?#]*@')
_LIKE_USER = re.compile(r'(?<=://)([^/?#\s]*|[^/?#\s]*:(?!\d+/)\S*)@')  # also badly written ones
_QUERY = re.compile(r'(://[^\s?"\']*)\?[^\s"\']*')  # where signatures are
_SECRET = re.compile(rf'(AWS|AZURE|GOOGLE)_\w*(KEY|SECRET|TOKEN|SAS)\w*(?<!FILE)|{_AUTHORIZATION}')


class StoreUrlError(ValueError):
    """A URL that names no store; the text names the URL."""


def local_path(url: str) -> Path | None:
    """Return the path that url means, None for a remote store. Raises StoreUrlError."""
    try:
        if url.startswith('file://'):
            return Path(unquote(urlsplit(url).path)).absolute()
        return None if '://' in url else Path(url).expanduser().absolute()
    except _ERRORS as error:
        raise _named(url, error) from None


def open_store(
    url: str,
    timeout_s: float,
    *,
    connect_timeout_s: float | None = None,
    retries: int = 0,
    create: bool = False,
) -> ObjectStore:
    """Return the store at url: a directory, or file://, s3://, gs://, az://, http(s)://.

    timeout_s: for each request, from connecting to the end of the answer; connect_timeout_s: for
    connecting alone, the same by default. retries: of a request that failed for a reason that may
    pass, with a growing pause before each; none for the uploader, which knows itself when to stop.
    create: make the directory where there is none. Raises StoreUrlError.
    """
    path = local_path(url)
    try:
        if path is not None:
            return LocalStore(path, mkdir=create)
        return _open_remote(url, timeout_s, connect_timeout_s or timeout_s, retries)
    except _ERRORS as error:
        raise _named(url, error) from None


def _open_remote(
    url: str, timeout_s: float, connect_timeout_s: float, max_retries: int
) -> ObjectStore:
    options: ClientConfig = {
        'timeout': timedelta(seconds=timeout_s),
        'connect_timeout': timedelta(seconds=connect_timeout_s),
        'allow_http': _is_plain(url),
    }
    retries: RetryConfig = {'max_retries': max_retries}
    address, authorization = url, ''
    if url.startswith(('http://', 'https://')):
        address, authorization = _USER.sub('', url, count=1), _authorization(url)
    store = obstore.store.from_url(address, client_options=options, retry_config=retries)
    if authorization and isinstance(store, HTTPStore):  # not S3 or Azure, known by their hosts
        options['default_headers'] = {'Authorization': authorization}
        http: HTTPStore = HTTPStore.from_url(address, client_options=options, retry_config=retries)
        return http
    return store


def _authorization(url: str) -> str:
    """Return the Authorization header for an HTTP store: of its URL, else of the environment."""
    parts = urlsplit(url)
    if parts.username is None:
        return os.environ.get(_AUTHORIZATION, '')
    user = f'{unquote(parts.username)}:{unquote(parts.password or "")}'
    return f'Basic {base64.b64encode(user.encode()).decode()}'


def _is_plain(url: str) -> bool:
    """Whether the user asked for HTTP without TLS, by the URL or as for other clients."""
    names = {'s3': 'AWS', 's3a': 'AWS', 'az': 'AZURE', 'azure': 'AZURE', 'gs': 'GOOGLE'}
    scheme = url.partition('://')[0]
    asked = os.environ.get(f'{names.get(scheme, "")}_ALLOW_HTTP', '').lower() in {'1', 'true'}
    return scheme == 'http' or asked


def _named(url: str, error: Exception) -> StoreUrlError:
    return StoreUrlError(f'store URL {shown(url)!r}: {plain(error)}')


def shown(url: str) -> str:
    """Return url without what may be a credential, to be shown."""
    return _QUERY.sub(r'\1', _LIKE_USER.sub('', url, count=1))


def plain(error: Exception) -> str:
    """Return the text of an obstore error in one line, without its internals and credentials."""
    text = ' '.join(str(error).partition('Debug source:')[0].split())
    text = _QUERY.sub(r'\1', _LIKE_USER.sub('', text))
    for name, value in os.environ.items():
        if value and _SECRET.fullmatch(name):
            text = text.replace(value, '***')
    return text
