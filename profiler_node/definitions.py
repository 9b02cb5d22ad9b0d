"""Definitions of message types, from the share folders of installed ROS packages."""

import os
from pathlib import Path

from rosbags.typesys.store import Typestore

from profiler_node.core.decode import (
    STORE,
    Types,
    UnknownTypeError,
    store_with,
    types_in,
    types_in_idl,
    used_by,
)

_READ = {'.msg': types_in, '.idl': types_in_idl}


def installed_store(message_type: str) -> Typestore:
    """Return a store with message_type as it is installed here, and with the types that it uses.

    What is not installed, as on a machine without ROS, is taken from ROS 2 Jazzy. Raises
    UnknownTypeError where it is in neither, or cannot be read.
    """
    types: Types = {}
    missing = {message_type}
    while missing:
        for name in missing:
            types |= _installed(name)
        missing = used_by(types) - types.keys()
    return store_with(types)


def _installed(name: str) -> Types:
    """Return the definition of a message type, and those that are in the same file."""
    path = _path_of(name)
    if path is None:
        if name not in STORE.fielddefs:
            raise UnknownTypeError(
                f'{name} is not installed: no folder of AMENT_PREFIX_PATH has it'
            )
        return {name: STORE.fielddefs[name]}
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
    except OSError as error:
        raise UnknownTypeError(f'{name}: {error}') from error
    types = _READ[path.suffix](name, text)
    if name not in types:
        raise UnknownTypeError(f'{path} does not define {name}')
    return types


def _path_of(name: str) -> Path | None:
    """Return the first file that defines a type, in the order of the folders; .msg before .idl."""
    package, _, base = name.partition('/msg/')
    for prefix in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        for suffix in _READ:
            path = Path(prefix, 'share', package, 'msg', base + suffix)
            if path.is_file():
                return path
    return None
