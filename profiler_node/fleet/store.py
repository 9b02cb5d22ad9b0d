"""Profiles out of a store, or of one object of it."""

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from profiler_node.core.profile import Profile
from profiler_node.fleet.select import ALL, Selection
from profiler_node.stores import StoreUrlError, local_path, open_store, plain, shown
from profiler_node.wire.codec import WireError, decode
from profiler_node.wire.objects import unpack_file

SUFFIX = '.pb.zst'
_TIMEOUT_S, _RETRIES = 30.0, 4


class StoreError(Exception):
    """A store, or an object in it, that cannot be read."""


class Seen:
    """The identities of what has been read, 93 bytes of memory each. repeated: how often again."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self.repeated = 0

    def is_new(self, profile: Profile) -> bool:
        """Whether profile has not been seen before; from now on it has."""
        digest = profile.identity.digest
        if digest in self._digests:
            self.repeated += 1
            return False
        self._digests.add(digest)
        return True


def read_profiles(
    location: str,
    on_error: Callable[[StoreError], None],
    selection: Selection = ALL,
    seen: Seen | None = None,
) -> Iterator[Profile]:
    """Yield the selected profiles at location, each once, in the order of the objects' names.

    location: a directory, an object file, or a URL (file://, s3://, gs://, az://). An object or a
    profile that cannot be read is handed to on_error, and the others are read on. seen: elsewhere,
    and not wanted again. Raises StoreError where location itself cannot be read.
    """
    seen = seen or Seen()
    for key, open_object in _objects(location):
        for payload in _payloads(key, open_object, on_error):
            try:
                profile = decode(payload)
            except WireError as error:
                on_error(StoreError(f'{key}: {error}'))
                continue
            if selection.takes(profile) and seen.is_new(profile):
                yield profile


def _payloads(
    key: str, open_object: Callable[[], BinaryIO], on_error: Callable[[StoreError], None]
) -> Iterator[bytes]:
    try:
        with open_object() as file:
            yield from unpack_file(file)
    except (WireError, BaseError, OSError) as error:
        on_error(StoreError(f'{key}: {plain(error)}'))


def _objects(location: str) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """Yield the name of each object and what opens it."""
    try:
        path = local_path(location)
        if path is not None and path.is_file():
            yield str(path), partial(_open, path)
            return
        if path is not None and not path.is_dir():
            raise StoreError(f'{shown(location)}: no such file or directory')
        store = open_store(location, _TIMEOUT_S, retries=_RETRIES)
        keys = sorted(
            item['path']
            for chunk in obstore.list(store)
            for item in chunk
            if item['path'].endswith(SUFFIX)
        )
    except (BaseError, OSError, StoreUrlError) as error:
        raise StoreError(f'{shown(location)}: {plain(error)}') from error
    for key in keys:
        yield key, partial(_get, store, key)


def _open(path: Path) -> BinaryIO:
    return path.open('rb')


def _get(store: ObjectStore, key: str) -> BinaryIO:
    return BytesIO(bytes(obstore.get(store, key).bytes()))
