"""Objects into a store."""

import os
from collections.abc import Callable
from pathlib import Path

import obstore
from obstore.exceptions import BaseError

from profiler_node.bridge.errors import TransportError
from profiler_node.stores import local_path, open_store, plain

Send = Callable[[str, bytes], None]
"""Write bytes under a key and return when the store has confirmed it. Raises TransportError."""


def sender(url: str, timeout_s: float) -> Send:
    """Return the function that writes objects to the store at url. Raises StoreUrlError."""
    store, folder = open_store(url, timeout_s, create=True), local_path(url)

    def send(key: str, body: bytes) -> None:
        try:
            obstore.put(store, key, body)
            if folder is not None:
                _sync(folder / key, folder)
        except (BaseError, OSError) as error:
            raise TransportError(f'{url}: {plain(error)}') from error

    return send


def _sync(path: Path, root: Path) -> None:
    """Make a file and the folders down to it durable: a power cut must not take back a put."""
    for item in (path, *path.parents):
        descriptor = os.open(item, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if item == root:
            return
