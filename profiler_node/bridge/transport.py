"""Objects into a store.

The key of an object belongs to it alone (64 random bits), so whatever is there under the key is
what an earlier attempt has put, whose confirmation was lost.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import HTTPStore

from profiler_node.bridge.errors import ConfigurationError, RefusedError, TransportError
from profiler_node.bridge.failures import code_of, failure, status_of
from profiler_node.files import replace_file, sync
from profiler_node.stores import local_path, open_store, plain, shown

Send = Callable[[str, bytes], None]
"""Write bytes under a key and return when the store has confirmed it. Raises TransportError."""

_MOST_PATIENCE = 32
_CONNECTING = 0.8  # of the time for an object, so that it is known that nothing was sent
_PART = '#1'  # such a name is not listed by stores
_NOTHING = -1
_NOT_TO_BE_READ = {401, 403, 405, 501}  # by us, who need no more than the right to write


def sender(url: str, timeout_s: float) -> Send:
    """Return the function that writes objects to the store at url. Raises StoreUrlError.

    timeout_s: the longest that writing an object to a remote store takes, with all its requests.
    After each time that it took longer, twice as much is allowed, up to 32 times: a link that is
    slow gets it through in the end, and one that is dead is noticed soon.
    """
    longest_s = timeout_s * _MOST_PATIENCE
    connect_s = _CONNECTING * timeout_s
    store = open_store(url, longest_s, connect_timeout_s=connect_s, create=True)
    folder = local_path(url)
    if folder is not None:
        return partial(_write, folder)
    return _Remote(store, shown(url), timeout_s).send


class _Remote:
    """A store at the other end of a network."""

    def __init__(self, store: obstore.store.ObjectStore, url: str, timeout_s: float) -> None:
        self._store = store
        self._url = url
        self._timeout_s = timeout_s
        self._patience = 1
        self._creates = not isinstance(store, HTTPStore)  # knows put-if-absent

    def send(self, key: str, body: bytes) -> None:
        """Write body under key. Raises TransportError."""
        place = f'{self._url}: {key}'
        timeout_s = self._timeout_s * self._patience
        try:
            asyncio.run(self._put_in_time(key, body, timeout_s))
        except asyncio.TimeoutError:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
            raise TransportError(f'{place}: no answer within {timeout_s:g} s') from None
        except (BaseError, OSError) as error:
            raise failure(place, error) from None  # its own text may show credentials
        self._patience = max(self._patience // 2, 1)

    async def _put_in_time(self, key: str, body: bytes, timeout_s: float) -> None:
        await asyncio.wait_for(self._put(key, body), timeout_s)

    async def _put(self, key: str, body: bytes) -> None:
        if self._creates and await self._create(key, body):
            return
        await obstore.put_async(self._store, key, body, use_multipart=False)
        self._creates = False  # or the body goes twice each time
        if isinstance(self._store, HTTPStore):
            await self._check_stored(key, len(body))

    async def _create(self, key: str, body: bytes) -> bool:
        """Put body where nothing is; False where the store does not know how."""
        try:
            await obstore.put_async(self._store, key, body, mode='create', use_multipart=False)
        except AlreadyExistsError as error:
            await self._check_earlier(key, len(body), error)
        except NotImplementedError:
            return False
        except BaseError as error:
            if status_of(error) == 501 or code_of(error) == 'NotImplemented':
                return False
            raise
        return True

    async def _check_earlier(self, key: str, size: int, error: Exception) -> None:
        """Return if the object that is in the way is the one we have put before."""
        found = await self._size(key)
        # Status 409 may also mean that another request for the key is under way.
        if found is None and (status_of(error) != 409 or code_of(error) == 'BlobAlreadyExists'):
            return
        if found in {None, _NOTHING}:
            raise failure(f'{self._url}: {key}', error)
        if found != size:
            raise RefusedError(
                f'{self._url}: {key}: another object, of {found} bytes instead of {size}, is there'
            )

    async def _check_stored(self, key: str, size: int) -> None:
        """Return if the object is there: web pages, as of a login, answer any request with 200."""
        found = await self._size(key)
        if found not in {None, size}:
            raise ConfigurationError(
                f'{self._url}: {key}: the server said that it has taken the object, but it is not '
                'there: this is no store, or a login page is in between'
            )

    async def _size(self, key: str) -> int | None:
        """Return the size of an object, _NOTHING without one, None where it is not ours to read."""
        try:
            return (await obstore.head_async(self._store, key))['size']
        except (BaseError, OSError) as error:
            status = status_of(error)
            if status in _NOT_TO_BE_READ:
                return None
            if status == 404 or 'Content-Length' in plain(error):
                return _NOTHING
            raise


def _write(root: Path, key: str, body: bytes) -> None:
    """Write body to a file below root that a power cut leaves whole or absent, and not take back.

    A file that is there with other bytes was damaged, and is replaced. Raises TransportError.
    """
    path = root / key
    try:
        if not root.is_dir():  # it was there when we began: what it is on has gone
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(root))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != body:
            replace_file(path, body, _PART)
        for item in (path, *path.parents):
            sync(item)
            if item == root:
                return
    except OSError as error:
        raise failure(str(path), error) from error
