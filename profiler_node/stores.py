"""Object stores by URL, for the bridge that writes them and the fleet that reads them.

Credentials come from the environment (AWS_*, GOOGLE_*, AZURE_*) or the instance, never from here.
"""

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

_ERRORS = (BaseError, OSError, RuntimeError, ValueError)


class StoreUrlError(ValueError):
    """A URL that names no store; the text names the URL."""


def local_path(url: str) -> Path | None:
    """Return the path that url means, None for a remote store. Raises StoreUrlError."""
    try:
        if url.startswith('file://'):
            return Path(unquote(urlsplit(url).path)).absolute()
        return None if '://' in url else Path(url).expanduser().absolute()
    except _ERRORS as error:
        raise StoreUrlError(f'store URL {url!r}: {plain(error)}') from error


def open_store(url: str, timeout_s: float, *, create: bool = False) -> ObjectStore:
    """Return the store at url: a directory, or file://, s3://, gs://, az://, http(s)://.

    create: make the directory where there is none. Raises StoreUrlError.
    """
    path = local_path(url)
    try:
        if path is not None:
            return LocalStore(path, mkdir=create)
        return obstore.store.from_url(
            url,
            client_options={'timeout': timedelta(seconds=timeout_s), 'allow_http': _is_plain(url)},
            # A failed upload is tried again by the uploader, which knows when to stop.
            retry_config={'max_retries': 0},
        )
    except _ERRORS as error:
        raise StoreUrlError(f'store URL {url!r}: {plain(error)}') from error


def _is_plain(url: str) -> bool:
    """Whether the user asked for HTTP without TLS, by the URL or as for other S3 clients."""
    asked = os.environ.get('AWS_ALLOW_HTTP', '').lower() in {'1', 'true'}
    return url.startswith('http://') or (asked and url.startswith('s3'))


def plain(error: Exception) -> str:
    """Return the text of an obstore error in one line, without the dump of its internals."""
    return ' '.join(str(error).partition('Debug source:')[0].split())
