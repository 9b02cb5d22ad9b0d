"""Objects into a store; the bridge's only use of obstore.

Credentials come from the environment (AWS_*, GOOGLE_*, AZURE_*) or the instance, never from here.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from profiler_node.bridge.errors import TransportError

Send = Callable[[str, bytes], None]
"""Write bytes under a key and return when the store has confirmed it. Raises TransportError."""


def open_store(url: str, timeout_s: float) -> ObjectStore:
    """Return the store at url: a directory, or file://, s3://, gs://, az://, http(s)://.

    Raises ValueError, naming the url, where it is none of these.
    """
    scheme = urlsplit(url).scheme
    try:
        if scheme in {'', 'file'}:
            path = Path(unquote(urlsplit(url).path)) if scheme else Path(url).expanduser()
            return LocalStore(path.absolute(), mkdir=True)
        return obstore.store.from_url(
            url,
            client_options={'timeout': timedelta(seconds=timeout_s)},
            # A failed upload is tried again by the uploader, which knows when to stop.
            retry_config={'max_retries': 0},
        )
    except (BaseError, OSError, ValueError) as error:
        raise ValueError(f'store URL {url!r}: {plain(error)}') from error


def plain(error: Exception) -> str:
    """Return the text of an obstore error without the dump of its internals."""
    return str(error).partition('Debug source:')[0].strip()


def sender(url: str, timeout_s: float) -> Send:
    """Return the function that writes objects to the store at url. Raises ValueError."""
    store = open_store(url, timeout_s)

    def send(key: str, body: bytes) -> None:
        try:
            obstore.put(store, key, body)
        except (BaseError, OSError) as error:
            raise TransportError(f'{url}: {plain(error)}') from error

    return send
