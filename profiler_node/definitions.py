"""Definitions of message types, from the share folders of installed ROS packages."""

import os
import re
from pathlib import Path

from rosbags.typesys.store import Typestore

from profiler_node.core.decode import STORE, UnknownTypeError, store_of

_FIELD = re.compile(r'^\s*([A-Za-z]\w*(?:/[A-Za-z]\w*)?)(?:\[[^\]]*\])?\s+\w+', re.MULTILINE)


def installed_store(message_type: str) -> Typestore:
    """Return a store with message_type as it is installed here, and with the types that it uses.

    Where it is not installed, as on a machine without ROS, that is ROS 2 Jazzy's own. Raises
    UnknownTypeError where it is in neither.
    """
    definitions: dict[str, str] = {}
    try:
        _collect(message_type, definitions)
    except FileNotFoundError as error:
        if message_type in STORE.fielddefs:
            return STORE
        raise UnknownTypeError(f'{message_type}: {error}') from error
    return store_of(definitions)


def _collect(message_type: str, definitions: dict[str, str]) -> None:
    """Add the text of message_type and of all types that it uses."""
    if message_type in definitions:
        return
    package, _, name = message_type.partition('/msg/')
    text = definitions[message_type] = _text(package, name)
    for used in _FIELD.findall(text):
        if '/' in used:
            _collect('/msg/'.join(used.split('/')), definitions)
        elif used[0].isupper():
            used_package = 'std_msgs' if used == 'Header' else package
            _collect(f'{used_package}/msg/{used}', definitions)


def _text(package: str, name: str) -> str:
    for prefix in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        path = Path(prefix, 'share', package, 'msg', f'{name}.msg')
        if path.is_file():
            return path.read_text(encoding='utf-8')
    raise FileNotFoundError(f'{package}/msg/{name}.msg is not installed')
