"""Profiles out of a store, or of one object of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from profiler_node.core.profile import Identity, Profile
from profiler_node.wire.codec import WireError, decode
from profiler_node.wire.objects import unpack

_SUFFIX = '.pb.zst'


class StoreError(Exception):
    """A store, or an object in it, that cannot be read."""


def read_profiles(location: str, on_error: Callable[[StoreError], None]) -> Iterator[Profile]:
    """Yield the profiles at location, each identity once, in the order of the objects' names.

    location: a directory, an object file, or a URL (file://, s3://, gs://, az://, http(s)://). An
    object that cannot be read is handed to on_error, and the others are read on. Raises StoreError
    where location itself cannot be read.
    """
    seen: set[Identity] = set()
    for key, body in _read_objects(location):
        try:
            for payload in unpack(body):
                profile = decode(payload)
                if profile.identity not in seen:
                    seen.add(profile.identity)
                    yield profile
        except WireError as error:
            on_error(StoreError(f'{key}: {error}'))


def _read_objects(location: str) -> Iterator[tuple[str, bytes]]:
    try:
        path = _local_path(location)
        if path is not None and path.is_file():
            yield str(path), path.read_bytes()
            return
        if path is not None and not path.is_dir():
            raise StoreError(f'{location}: no such file or directory')
        store: ObjectStore = obstore.store.from_url(location) if path is None else LocalStore(path)
        keys = [
            item['path']
            for chunk in obstore.list(store)
            for item in chunk
            if item['path'].endswith(_SUFFIX)
        ]
        for key in sorted(keys):
            yield key, bytes(obstore.get(store, key).bytes())
    except (BaseError, OSError, ValueError) as error:
        raise StoreError(f'{location}: {error}') from error


def _local_path(location: str) -> Path | None:
    """Return the path that location means, None for a remote URL."""
    url = urlsplit(location)
    if url.scheme == 'file':
        return Path(unquote(url.path))
    return None if '://' in location else Path(location).expanduser()
