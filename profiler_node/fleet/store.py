"""Profiles out of a store, or of one object of it."""

from collections.abc import Callable, Iterator
from functools import partial

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from profiler_node.core.profile import Identity, Profile
from profiler_node.stores import StoreUrlError, local_path, open_store, plain, shown
from profiler_node.wire.codec import WireError, decode
from profiler_node.wire.objects import unpack

_SUFFIX = '.pb.zst'
_TIMEOUT_S = 30.0


class StoreError(Exception):
    """A store, or an object in it, that cannot be read."""


def read_profiles(location: str, on_error: Callable[[StoreError], None]) -> Iterator[Profile]:
    """Yield the profiles at location, each identity once, in the order of the objects' names.

    location: a directory, an object file, or a URL (file://, s3://, gs://, az://). An object or a
    profile that cannot be read is handed to on_error, and the others are read on. Raises StoreError
    where location itself cannot be read.
    """
    seen: set[Identity] = set()
    for key, read in _objects(location):
        for payload in _payloads(key, read, on_error):
            try:
                profile = decode(payload)
            except WireError as error:
                on_error(StoreError(f'{key}: {error}'))
                continue
            if profile.identity not in seen:
                seen.add(profile.identity)
                yield profile


def _payloads(
    key: str, read: Callable[[], bytes], on_error: Callable[[StoreError], None]
) -> Iterator[bytes]:
    try:
        yield from unpack(read())
    except (WireError, BaseError, OSError) as error:
        on_error(StoreError(f'{key}: {plain(error)}'))


def _objects(location: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of each object and what reads it."""
    try:
        path = local_path(location)
        if path is not None and path.is_file():
            yield str(path), path.read_bytes
            return
        if path is not None and not path.is_dir():
            raise StoreError(f'{shown(location)}: no such file or directory')
        store = open_store(location, _TIMEOUT_S)
        keys = sorted(
            item['path']
            for chunk in obstore.list(store)
            for item in chunk
            if item['path'].endswith(_SUFFIX)
        )
    except (BaseError, OSError, StoreUrlError) as error:
        raise StoreError(f'{shown(location)}: {plain(error)}') from error
    for key in keys:
        yield key, partial(_get, store, key)


def _get(store: ObjectStore, key: str) -> bytes:
    return bytes(obstore.get(store, key).bytes())
