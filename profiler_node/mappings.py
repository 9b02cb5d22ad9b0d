"""Detection mappings out of YAML files."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from profiler_node.core.config import MESSAGE_TYPE
from profiler_node.core.extract.detections import DetectionMapping

SHIPPED = Path(__file__).with_name('detections.yaml')
_NAMES = {entry.name for entry in fields(DetectionMapping)}
_HYPOTHESIS = {'hypotheses', 'hypothesis_label', 'hypothesis_score'}


class MappingError(ValueError):
    """A file that holds no detection mappings."""


def read_mappings(path: Path = SHIPPED) -> dict[str, DetectionMapping]:
    """Return the mappings in a file by message type. Raises MappingError, naming what is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise MappingError(f'{path}: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict) or not content:
        raise MappingError(f'{path}: there are no message types in it')
    return {name: _mapping(f'{path}: {name}', name, entry) for name, entry in content.items()}


def all_mappings(path: str = '') -> Mapping[str, DetectionMapping]:
    """Return the shipped mappings with those of the file at path over them; '' for none."""
    try:
        given = Path(path).expanduser()
    except RuntimeError as error:  # no such user
        raise MappingError(f'{path}: {error}') from error
    return read_mappings() | (read_mappings(given) if path else {})


def _mapping(where: str, name: Any, entry: Any) -> DetectionMapping:
    if not isinstance(name, str) or not MESSAGE_TYPE.fullmatch(name):
        raise MappingError(f'{where} is no message type, as vision_msgs/msg/Detection2DArray is')
    if not isinstance(entry, dict) or not entry:
        raise MappingError(f'{where}: must have keys such as items and label')
    if unknown := {str(key) for key in entry} - _NAMES:
        raise MappingError(f'{where}: {", ".join(sorted(unknown))} is not known')
    values: dict[str, Any] = {
        key: tuple(given) if isinstance(given, list) else given for key, given in entry.items()
    }
    for key, given in values.items():
        if not _FITS.get(key, _are_paths)(given):
            raise MappingError(f'{where}: {key} is {given!r}')
    if (keys := _HYPOTHESIS & values.keys()) and keys != _HYPOTHESIS:
        raise MappingError(f'{where}: {", ".join(sorted(_HYPOTHESIS - keys))} is missing')
    if 'labels' in values and not {'label', 'hypotheses'} & values.keys():
        raise MappingError(f'{where}: labels need label or hypotheses')
    return DetectionMapping(**values)


def _are_paths(given: Any) -> bool:
    paths = given if isinstance(given, tuple) else (given,)
    return bool(paths) and all(isinstance(path, str) for path in paths)


def _are_conditions(given: Any) -> bool:
    return isinstance(given, dict) and all(
        isinstance(path, str) and isinstance(wanted, list) and all(map(_is_value, wanted))
        for path, wanted in given.items()
    )


def _are_names(given: Any) -> bool:
    return isinstance(given, dict) and all(
        _is_value(label) and isinstance(name, str) for label, name in given.items()
    )


def _is_value(given: Any) -> bool:
    return isinstance(given, str | int | float)


_FITS = {'where': _are_conditions, 'labels': _are_names}
